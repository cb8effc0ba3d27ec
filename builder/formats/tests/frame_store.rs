//! The compressed image of a node, put together from the frames of its base: stock zstd gives the node's bytes, frames
//! are copied and not made anew, and they lie where a file system can share them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::ops::Range;

use formats::blob::Blob;
use formats::delta::{BLOCK, Delta};
use formats::seekable::{FrameStore, SeekableError};
use formats::segments::{Kind, Segments};
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use testkit::{oracle, tars};

const MIB: u64 = 1 << 20;

fn bytes_of(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn unpacked(file: &[u8]) -> Vec<u8> {
    zstd::decode_all(file).unwrap()
}

/// A base with some places that nodes may touch.
fn base() -> (SparseImage, Vec<Range<u64>>) {
    let mut image = SparseImage::empty(Bytes(9 * MIB + 512));
    image.put(440, vec![1; 72]);
    image.put(MIB, tars::noise(3_000_000, 1));
    image.put(5 * MIB, tars::text(2_000_000));
    image.put(8 * MIB, tars::noise(300_000, 2));
    image.sort().unwrap();
    let touchable = vec![
        0..512,
        2 * MIB + 8192..2 * MIB + 12_288,
        8 * MIB + 100_000..8 * MIB + 200_000,
    ];
    (image, touchable)
}

fn store() -> (SparseImage, Segments, Vec<u8>, FrameStore) {
    let (image, touchable) = base();
    let segments = Segments::cut(&image, &touchable).unwrap();
    let mut file = Vec::new();
    FrameStore::write(&image, &segments, &mut file).unwrap();
    let store = FrameStore::open(Blob::from(file.clone()), segments.clone()).unwrap();
    (image, segments, file, store)
}

#[test]
fn stock_zstd_gives_base_and_node() {
    let (image, segments, base_file, store) = store();
    let mut delta = Delta::default();
    delta.append(0, &vec![9; BLOCK as usize]);
    delta.append(2 * MIB + 8192, &vec![8; BLOCK as usize]);
    let node = image.patched(&delta);
    let node_segments = segments.for_node(&node, &delta).unwrap();
    let node_file = bytes_of(&store.compose(&node, &node_segments).unwrap());
    let folder = tempfile::tempdir().unwrap();
    for (name, file, expected) in [("base", &base_file, &image), ("node", &node_file, &node)] {
        let [stored, plain, out] =
            ["zst", "img", "out"].map(|end| folder.path().join(format!("{name}.{end}")));
        fs::write(&stored, file).unwrap();
        testkit::image::write(expected, &plain);
        oracle::run(
            "zstd",
            "zstd",
            ["-qd".as_ref(), stored.as_os_str(), "-o".as_ref(), out.as_os_str()],
        );
        oracle::run("diffutils", "cmp", [&plain, &out]);
    }
}

#[test]
fn shared_frames_are_the_base_s_and_lie_as_in_it() {
    let (image, segments, _, store) = store();
    let mut delta = Delta::default();
    delta.append(0, &vec![9; BLOCK as usize]);
    // Where no node should have anything: still right.
    delta.append(5 * MIB + 4096, &vec![7; BLOCK as usize]);
    delta.append(8 * MIB + 102_400, &vec![8; BLOCK as usize]);
    let node = image.patched(&delta);
    let node_segments = segments.for_node(&node, &delta).unwrap();
    let file = store.compose(&node, &node_segments).unwrap();
    assert!(unpacked(&bytes_of(&file)) == bytes_of(&node));
    let own: Vec<_> = node_segments
        .list
        .iter()
        .zip(&segments.list)
        .filter(|(node, base)| node.sha256() != base.sha256())
        .collect();
    assert_eq!(own.len(), 3);
    // Each stretch of shared frames starts at the same place of a block in both files, so that they can be shared.
    let mut before: Option<(u64, u64)> = None;
    let mut starts = 0;
    for piece in &file.pieces {
        let is_shared = piece.blob.length().unwrap() > piece.length;
        if is_shared
            && before.is_none_or(|(end, blob_end)| end != piece.offset || blob_end != piece.blob_offset)
        {
            assert_eq!(
                piece.offset % BLOCK,
                piece.blob_offset % BLOCK,
                "{}",
                piece.offset
            );
            starts += 1;
        }
        before = is_shared.then_some((piece.range().end, piece.blob_offset + piece.length));
    }
    assert!(starts >= 3, "{starts}");
    assert!(
        segments
            .list
            .iter()
            .any(|segment| matches!(segment.kind, Kind::Hole))
    );
}

#[test]
fn frames_of_something_else_are_refused() {
    let (image, segments, file, _) = store();
    let other = Segments::cut(&image, &[]).unwrap();
    assert!(matches!(
        FrameStore::open(Blob::from(file.clone()), other),
        Err(SeekableError::OtherSegments)
    ));
    let cut = file[..file.len() - 1].to_vec();
    assert!(FrameStore::open(Blob::from(cut), segments).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_delta_gives_the_node(blocks in vec((0..2304_u64, any::<u8>()), 0..8)) {
        let (image, segments, _, store) = store();
        let mut delta = Delta::default();
        let blocks: std::collections::BTreeMap<u64, u8> = blocks.into_iter().collect();
        for (block, byte) in blocks {
            delta.append(block * BLOCK, &vec![byte; BLOCK as usize]);
        }
        let node = image.patched(&delta);
        let node_segments = segments.for_node(&node, &delta).unwrap();
        let file = bytes_of(&store.compose(&node, &node_segments).unwrap());
        prop_assert!(unpacked(&file) == bytes_of(&node));
        let reader = formats::seekable::Reader::open(file).unwrap();
        prop_assert_eq!(reader.size(), image.size.0);
    }
}
