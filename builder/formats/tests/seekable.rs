//! Stock zstd gives the bytes of a seekable file, reading at any place gives them too, and damage is noticed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::num::NonZeroU8;

use formats::seekable::{Encoder, Frame, MAX_CONTENT, Reader, SeekableError, seek_table};
use formats::segments::Segments;
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use testkit::{oracle, tars};

fn encoder() -> Encoder {
    Encoder::new(NonZeroU8::new(3).unwrap()).unwrap()
}

/// A file of these parts, a frame each; with `padding`, skippable frames between them.
fn file(parts: &[Vec<u8>], padding: bool) -> Vec<u8> {
    let mut encoder = encoder();
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    for part in parts {
        let frame = encoder.encode(part).unwrap();
        frames.push(Frame {
            stored: frame.len() as u32,
            content: part.len() as u32,
        });
        bytes.extend(frame);
        if padding {
            bytes.extend(*b"\x50\x2A\x4D\x18\x05\0\0\0_____");
            frames.push(Frame {
                stored: 13,
                content: 0,
            });
        }
    }
    bytes.extend(seek_table(&frames).unwrap());
    bytes
}

fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let part = (0..3, 1..5000_usize, any::<u64>()).prop_map(|(kind, length, seed)| match kind {
        0 => tars::text(length),
        1 => tars::noise(length, seed),
        _ => vec![0; length],
    });
    vec(part, 0..12)
}

#[test]
fn stock_zstd_gives_the_very_bytes() {
    let mut image = SparseImage::empty(Bytes((9 << 20) + 512));
    image.put(440, vec![1; 72]);
    image.put(1 << 20, tars::noise(3_000_000, 1));
    image.put(5 << 20, tars::text(2_000_000));
    image.sort().unwrap();
    let segments = Segments::cut(&image, &[]).unwrap();
    let parts: Vec<Vec<u8>> = segments
        .list
        .iter()
        .map(|segment| {
            let mut bytes = vec![0; segment.length as usize];
            image.read_exact_at(&mut bytes, segment.offset).unwrap();
            bytes
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let [plain, stored, unpacked] = ["plain", "image.zst", "unpacked"].map(|name| folder.path().join(name));
    testkit::image::write(&image, &plain);
    for padding in [false, true] {
        fs::write(&stored, file(&parts, padding)).unwrap();
        oracle::run("zstd", "zstd", ["-q".as_ref(), "-t".as_ref(), stored.as_os_str()]);
        oracle::run(
            "zstd",
            "zstd",
            [
                "-qdf".as_ref(),
                stored.as_os_str(),
                "-o".as_ref(),
                unpacked.as_os_str(),
            ],
        );
        oracle::run("diffutils", "cmp", [&plain, &unpacked]);
        let listed = oracle::run("zstd", "zstd", ["-lv".as_ref(), stored.as_os_str()]);
        let skippable = if padding { parts.len() + 1 } else { 1 };
        for expected in [
            format!("# Zstandard Frames: {}\n", parts.len()),
            format!("# Skippable Frames: {skippable}\n"),
            format!("({} B)", image.size.0),
            "Check: XXH64".to_owned(),
        ] {
            assert!(listed.contains(&expected), "{expected}:\n{listed}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_at_any_place(parts in parts(), padding: bool, places in vec((any::<Index>(), any::<Index>()), 1..20)) {
        let expected = parts.concat();
        let reader = Reader::open(file(&parts, padding)).unwrap();
        prop_assert_eq!(reader.size(), expected.len() as u64);
        for (first, second) in places {
            let (first, second) = (first.index(expected.len() + 1), second.index(expected.len() + 1));
            let range = first.min(second)..first.max(second);
            let mut bytes = vec![0xAA; range.len()];
            reader.read_exact_at(&mut bytes, range.start as u64).unwrap();
            prop_assert!(bytes == expected[range]);
        }
        prop_assert!(reader.read_exact_at(&mut [0; 2], reader.size().saturating_sub(1)).is_err());
    }

    #[test]
    fn damage_is_noticed(parts in parts(), at in any::<Index>(), bit in 0..8) {
        let expected = parts.concat();
        let mut damaged = file(&parts, false);
        let at = at.index(damaged.len());
        damaged[at] ^= 1_u8 << bit;
        if let Ok(reader) = Reader::open(damaged) && let Ok(size) = usize::try_from(reader.size()) {
            let mut bytes = vec![0; size];
            // A bit that means nothing to zstd may be another one, but never do other bytes come out.
            if reader.read_exact_at(&mut bytes, 0).is_ok() {
                prop_assert!(bytes == expected);
            }
        }
    }

    #[test]
    fn hostile_tables_are_no_panic(mut bytes in vec(any::<u8>(), 0..100),
                                   frames in vec((0..60_u32, 0..3_000_000_u32), 0..6), flags: u8) {
        let frames: Vec<Frame> = frames.iter().map(|(stored, content)| Frame { stored: *stored, content: *content }).collect();
        let stored = frames.iter().map(|frame| frame.stored as usize).sum();
        bytes.resize(stored, 7);
        bytes.extend(seek_table(&frames).unwrap());
        let descriptor = bytes.len() - 5;
        bytes[descriptor] = flags & 0x83;
        if let Ok(reader) = Reader::open(bytes) {
            let _ = reader.read_exact_at(&mut vec![0; reader.size().min(5000) as usize], 0);
        }
    }
}

#[test]
fn tables_with_checksums_are_read() {
    let frame = encoder().encode(b"contents").unwrap();
    let mut bytes = frame.clone();
    bytes.extend(0x184D_2A5E_u32.to_le_bytes());
    bytes.extend(21_u32.to_le_bytes());
    bytes.extend((frame.len() as u32).to_le_bytes());
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend(*b"sums\x01\0\0\0\x80");
    bytes.extend(0x8F92_EAB1_u32.to_le_bytes());
    let reader = Reader::open(&bytes).unwrap();
    let mut contents = [0; 8];
    reader.read_exact_at(&mut contents, 0).unwrap();
    assert_eq!(contents, *b"contents");

    let end = bytes.len();
    bytes[end - 5] = 0x84;
    assert!(matches!(
        Reader::open(&bytes),
        Err(SeekableError::Descriptor { descriptor: 0x84 })
    ));
}

#[test]
fn files_without_a_right_table() {
    let refusal = |bytes: Vec<u8>| Reader::open(bytes).unwrap_err().to_string();
    let good = file(&[b"some contents".to_vec()], false);
    let end = good.len();
    let foreign = "the file does not end with the seek table of a seekable zstd file";
    assert_eq!(refusal(Vec::new()), foreign);
    assert_eq!(refusal(good[..end - 1].to_vec()), foreign);
    assert_eq!(
        refusal(good[end - 9..].to_vec()),
        "the seek table of 1 frames has not the size that it says"
    );
    let mut many = good.clone();
    many[end - 6] = 0xFF;
    assert!(refusal(many).ends_with("frames; this program reads at most 4194304"));
    let frame = end - 25;
    assert_eq!(
        refusal(good[1..].to_vec()),
        format!(
            "the frames end at byte {frame} of the file, the seek table starts at byte {}",
            frame - 1
        )
    );
    let huge = seek_table(&[Frame {
        stored: 0,
        content: MAX_CONTENT as u32 + 1,
    }])
    .unwrap();
    assert_eq!(
        refusal(huge),
        "frame 0 of the seek table has 1048577 bytes in 0; it may hold at most 1048576"
    );
    let none = Reader::open(seek_table(&[]).unwrap()).unwrap();
    assert_eq!(none.size(), 0);
    none.read_exact_at(&mut [], 0).unwrap();
}

#[test]
fn contents_that_are_not_what_the_table_says() {
    let mut bytes = encoder().encode(b"eight by").unwrap();
    let stored = bytes.len() as u32;
    bytes.extend(seek_table(&[Frame { stored, content: 9 }]).unwrap());
    let error = Reader::open(bytes)
        .unwrap()
        .read_exact_at(&mut [0; 9], 0)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame 0 of the file, at byte 0: it holds 8 bytes, the seek table says 9"
    );
    assert!(encoder().encode(&vec![0; MAX_CONTENT + 1]).is_err());
}
