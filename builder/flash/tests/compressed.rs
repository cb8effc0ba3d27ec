//! Images that others compressed.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, reason = "only its image and its card are needed")]
mod bench;

use std::fs;
use std::path::Path;

use bench::{Bench, MIB};
use flash::image::ImageError;
use flash::unpacked::UnpackError;
use flash::{FlashError, Report, Request, Step};
use formats::units::Bytes;
use testkit::oracle;

/// A compressed copy of `file` by another program, in one run.
fn packed(file: &Path, package: &str, program: &str) -> Vec<u8> {
    let copy = file.with_extension("packed");
    let command = format!("{program} < '{}' > '{}'", file.display(), copy.display());
    oracle::run(package, "sh", ["-c", command.as_str()]);
    fs::read(copy).unwrap()
}

/// The image in several parts, each compressed by itself.
fn in_parts(bench: &Bench, package: &str, program: &str) -> Vec<Vec<u8>> {
    let part = bench.folder.path().join("part");
    let parts = bench.bytes.chunks(5 * MIB as usize);
    parts
        .map(|bytes| {
            fs::write(&part, bytes).unwrap();
            packed(&part, package, program)
        })
        .collect()
}

fn flash(
    bench: &Bench,
    image: &Path,
    told: &mut dyn FnMut(Step, Bytes, Bytes),
) -> Result<Report, FlashError> {
    let request = Request::new("red-07", image, &bench.card);
    flash::flash(&request, told)
}

fn check_card(bench: &Bench) {
    let card = fs::read(&bench.card).unwrap();
    for range in [0..MIB + 8192, 3 * MIB..8 * MIB, 12 * MIB - 4096..12 * MIB] {
        let range = range.start as usize..range.end as usize;
        assert!(card[range.clone()] == bench.bytes[range.clone()], "{range:?}");
    }
}

/// Programs that compress, with their packages, and how their files end.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("gzip", "gzip -1", "gz"),
    ("xz-utils", "xz -0", "xz"),
    ("bzip2", "bzip2 -1", "bz2"),
    ("zstd", "zstd -q -1", "zst"),
];

#[test]
fn whatever_it_is_compressed_with_the_card_is_the_same() {
    for (package, program, ending) in PROGRAMS {
        let bench = Bench::new();
        let image = bench.folder.path().join(format!("red-07.img.{ending}"));
        let whole = packed(&bench.image, package, program);
        let parts = in_parts(&bench, package, program);
        assert!(parts.len() > 2);
        let mut skippable = Vec::new();
        for part in &parts {
            // As pzstd begins each of its frames.
            skippable.extend(0x184D_2A50_u32.to_le_bytes());
            skippable.extend(4_u32.to_le_bytes());
            skippable.extend((part.len() as u32).to_le_bytes());
            skippable.extend(part);
        }
        let forms = [whole, parts.concat(), skippable];
        let count = if ending == "zst" { 3 } else { 2 };
        for bytes in &forms[..count] {
            fs::write(&image, bytes).unwrap();
            fs::write(&bench.card, vec![0xee; 80 * MIB as usize]).unwrap();
            let mut unpacked = Bytes(0);
            flash(&bench, &image, &mut |step, done, total| {
                if step == Step::Unpack {
                    unpacked = done;
                    assert_eq!(total, Bytes(12 * MIB));
                }
            })
            .unwrap();
            assert_eq!(unpacked, Bytes(12 * MIB));
            check_card(&bench);
        }
    }
}

#[test]
fn a_stream_that_is_not_whole_or_not_alone_leaves_the_card_alone() {
    for (package, program, ending) in PROGRAMS {
        let bench = Bench::new();
        let image = bench.folder.path().join(format!("red-07.img.{ending}"));
        let whole = packed(&bench.image, package, program);
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        for bytes in [
            whole[..whole.len() - 1].to_vec(),
            whole[..whole.len() / 2].to_vec(),
            whole[..20].to_vec(),
            [&whole[..], b"some garbage"].concat(),
            damaged,
        ] {
            fs::write(&image, &bytes).unwrap();
            let error = flash(&bench, &image, &mut |_, _, _| {}).unwrap_err();
            assert!(
                matches!(
                    error,
                    FlashError::Image(ImageError::Unpack {
                        source: UnpackError::Stream { .. },
                        ..
                    })
                ),
                "{ending}: {error:?}"
            );
            assert!(bench.card_is_untouched(), "{ending}");
        }
    }
}

#[test]
fn a_stream_that_is_longer_than_the_image_is_not_unpacked_to_its_end() {
    let bench = Bench::new();
    let image = bench.folder.path().join("red-07.img.gz");
    let zeros = bench.folder.path().join("zeros");
    fs::File::create(&zeros).unwrap().set_len(64 * MIB).unwrap();
    fs::write(&image, packed(&zeros, "gzip", "gzip -1")).unwrap();
    let error = flash(&bench, &image, &mut |_, done, _| assert!(done.0 <= 12 * MIB)).unwrap_err();
    assert!(
        matches!(
            error,
            FlashError::Image(ImageError::Unpack {
                source: UnpackError::TooLong { .. },
                ..
            })
        ),
        "{error:?}"
    );
    assert!(bench.card_is_untouched());
}

#[test]
fn the_name_says_nothing() {
    let bench = Bench::new();
    // Plain bytes under the name of a compressed image, and the other way round.
    let image = bench.folder.path().join("red-07.img.xz");
    fs::write(&image, &bench.bytes).unwrap();
    flash(&bench, &image, &mut |_, _, _| {}).unwrap();
    check_card(&bench);
    let bytes = packed(&bench.image, "gzip", "gzip -1");
    fs::write(&bench.image, bytes).unwrap();
    fs::write(&bench.card, vec![0xee; 80 * MIB as usize]).unwrap();
    flash(&bench, &bench.image, &mut |_, _, _| {}).unwrap();
    check_card(&bench);
}
