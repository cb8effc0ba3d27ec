//! Segments cover an image without a gap, are cut where they have to be, and hash what Python's hashlib hashes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Range;

use formats::blob::Blob;
use formats::delta::{BLOCK, Delta};
use formats::digest::hex;
use formats::segments::{Kind, MAX_SEGMENT, Segments};
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use testkit::oracle;

const MIB: u64 = 1 << 20;

/// An image of `size` with these bytes mapped: lengths of mapped and unmapped stretches, in turn.
fn image(size: u64, lengths: &[u64]) -> SparseImage {
    let blob = Blob::from((0..4 * MIB).map(|n| (n / 251) as u8).collect::<Vec<u8>>());
    let mut image = SparseImage::empty(Bytes(size));
    let mut at = 0;
    for (turn, length) in lengths.iter().enumerate() {
        let length = (*length).min(size - at);
        if turn % 2 == 0 {
            image.put_blob(at, length, blob.clone(), turn as u64);
        }
        at += length;
    }
    image.sort().unwrap();
    image
}

fn intersect(first: &Range<u64>, second: &Range<u64>) -> bool {
    first.start.max(second.start) < first.end.min(second.end)
}

fn list(segments: &Segments) -> Vec<(u64, u64, char)> {
    let kind = |kind| match kind {
        Kind::Hole => 'h',
        Kind::Shared(_) => 's',
        Kind::Touchable(_) => 't',
    };
    let each = segments.list.iter();
    each.map(|segment| (segment.offset, u64::from(segment.length), kind(segment.kind)))
        .collect()
}

#[test]
fn the_grid_of_a_card() {
    let mut card = SparseImage::empty(Bytes(8 * MIB + 512));
    card.put(440, vec![1; 72]);
    card.put(MIB + 100, vec![2; 3 * MIB as usize]);
    card.put(8 * MIB, vec![3; 512]);
    card.sort().unwrap();
    let touchable = [
        2 * MIB + 5..2 * MIB + 6,
        0..512,
        6 * MIB..6 * MIB + 8192,
        6 * MIB..6 * MIB,
    ];
    let segments = Segments::cut(&card, &touchable).unwrap();
    assert_eq!(
        list(&segments),
        [
            (0, 4096, 't'),
            (4096, MIB - 4096, 'h'),
            (MIB, MIB, 's'),
            (2 * MIB, 4096, 't'),
            (2 * MIB + 4096, MIB, 's'),
            (3 * MIB + 4096, MIB, 's'),
            (4 * MIB + 4096, MIB, 'h'),
            (5 * MIB + 4096, MIB - 4096, 'h'),
            (6 * MIB, 8192, 't'),
            (6 * MIB + 8192, MIB, 'h'),
            (7 * MIB + 8192, MIB - 8192, 'h'),
            (8 * MIB, 512, 's'),
        ]
    );

    // A node that also leaves what it may touch.
    let mut delta = Delta::default();
    delta.append(0, &[7; 4096]);
    delta.append(5 * MIB, &[8; 8192]);
    delta.append(8 * MIB, &[9; 512]);
    let node = segments.for_node(&card.patched(&delta), &delta).unwrap();
    let touched: Vec<usize> = (0..12)
        .filter(|at| node.list[*at] != segments.list[*at])
        .collect();
    assert_eq!(touched, [0, 6, 7, 11]);
    assert!(
        touched
            .iter()
            .all(|at| matches!(node.list[*at].kind, Kind::Touchable(_)))
    );
}

#[test]
fn images_without_anything() {
    let nothing = Segments::cut(&SparseImage::empty(Bytes(0)), std::slice::from_ref(&(0..512))).unwrap();
    assert_eq!(list(&nothing), []);
    let hole = Segments::cut(&SparseImage::empty(Bytes(3 * MIB / 2)), &[]).unwrap();
    assert_eq!(list(&hole), [(0, MIB, 'h'), (MIB, MIB / 2, 'h')]);
}

#[test]
fn errors_are_told() {
    let mut image = SparseImage::empty(Bytes(MIB));
    image.put_blob(0, 8192, Blob::from(vec![1; 4096]), 0);
    assert!(Segments::cut(&image, &[]).is_err());
    let segments = Segments::cut(&SparseImage::empty(Bytes(MIB)), &[]).unwrap();
    let error = segments
        .for_node(&SparseImage::empty(Bytes(512)), &Delta::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "the base has 1048576 bytes, the image 512");
}

#[test]
fn python_computes_the_same_digests() {
    let image = image(9 * MIB + 1536, &[700, 2 * MIB, 3 * MIB + 512, MIB, 3 * MIB]);
    let segments = Segments::cut(&image, &[0..4096, 4 * MIB..4 * MIB + 9000]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    testkit::image::write(&image, &path);
    let script = "
import hashlib, sys
image = open(sys.argv[1], 'rb').read()
for place in sys.argv[2:]:
    offset, length = map(int, place.split('+'))
    print(hashlib.sha256(image[offset:offset + length]).hexdigest())";
    let mut arguments = vec![
        "-c".to_owned(),
        script.to_owned(),
        path.to_str().unwrap().to_owned(),
    ];
    arguments.extend(
        segments
            .mapped()
            .map(|(segment, _)| format!("{}+{}", segment.offset, segment.length)),
    );
    let expected: Vec<String> = segments.mapped().map(|(_, sha256)| hex(sha256)).collect();
    let found = oracle::run("python3", "python3", arguments);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn segments_fit_image_and_node(
        sectors in 0..6 * MIB / 512,
        lengths in vec(prop_oneof![1..600_u64, (1..300_u64).prop_map(|n| n * BLOCK)], 0..12),
        touchable in vec((0..6 * MIB, 0..100_000_u64), 0..6),
        blocks in vec((0..1536_u64, any::<u8>()), 0..12),
    ) {
        let size = sectors * 512;
        let image = image(size, &lengths);
        let touchable: Vec<Range<u64>> = touchable.iter().map(|(start, length)| *start..start + length).collect();
        let segments = Segments::cut(&image, &touchable).unwrap();

        let mut at = 0;
        for segment in &segments.list {
            let range = segment.range();
            prop_assert_eq!(range.start, at);
            prop_assert!(segment.length > 0 && segment.length <= MAX_SEGMENT && at.is_multiple_of(BLOCK));
            at = range.end;
            let mapped = image.pieces.iter().any(|piece| intersect(&piece.range(), &range));
            let touched = touchable.iter().any(|touchable| intersect(touchable, &range));
            match segment.kind {
                Kind::Hole => prop_assert!(!mapped && !touched),
                Kind::Shared(_) => prop_assert!(mapped && !touched),
                Kind::Touchable(_) => prop_assert!(touched),
            }
        }
        prop_assert_eq!(at, size);

        // A node's segments are what cutting its image anew would hash, at the same places.
        let mut delta = Delta::default();
        let blocks: BTreeMap<u64, u8> = blocks.into_iter().collect();
        for (block, byte) in blocks {
            let length = size.saturating_sub(block * BLOCK).min(BLOCK);
            delta.append(block * BLOCK, &vec![byte; length as usize]);
        }
        let node_image = image.patched(&delta);
        let node = segments.for_node(&node_image, &delta).unwrap();
        for (segment, before) in node.list.iter().zip(&segments.list) {
            prop_assert_eq!(segment.range(), before.range());
            let mut bytes = vec![0; segment.length as usize];
            node_image.read_exact_at(&mut bytes, segment.offset).unwrap();
            match segment.sha256() {
                Some(sha256) => prop_assert_eq!(*sha256, <[u8; 32]>::from(Sha256::digest(&bytes))),
                None => prop_assert!(bytes.iter().all(|byte| *byte == 0)),
            }
            let hit = delta.runs.iter().any(|run| intersect(&run.range(), &segment.range()));
            prop_assert!(hit || segment == before);
            prop_assert!(!hit || matches!(segment.kind, Kind::Touchable(_)));
        }
    }
}
