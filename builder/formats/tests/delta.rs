//! A delta turns a base into the other image, byte for byte, holds no more than it has to, and comes back from bytes;
//! what is not a delta is refused.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use formats::blob::Blob;
use formats::delta::{BLOCK, Delta, DeltaError, Patched, Run};
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::{Digest, Sha256};
use testkit::oracle;

const BLOCKS: u64 = 40;

fn all_of(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// What a person would do: bytes over bytes.
fn naively_patched(base: &[u8], delta: &Delta) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for run in &delta.runs {
        bytes[run.offset as usize..][..run.bytes.len()].copy_from_slice(&run.bytes);
    }
    bytes
}

/// Asserts that `delta` is in order, merged, of whole blocks, and without a block that it could do without.
fn assert_minimal(delta: &Delta, base: &[u8]) {
    let mut behind = None;
    for run in &delta.runs {
        assert!(run.offset.is_multiple_of(BLOCK) && !run.bytes.is_empty());
        assert!(behind.is_none_or(|behind| behind < run.offset), "{behind:?}");
        let end = run.range().end;
        assert!(end.is_multiple_of(BLOCK) || end == base.len() as u64);
        let before = &base[run.offset as usize..end as usize];
        for (old, new) in before
            .chunks(BLOCK as usize)
            .zip(run.bytes.chunks(BLOCK as usize))
        {
            assert!(
                old != new,
                "a block of the run at {} is as in the base",
                run.offset
            );
        }
        behind = Some(end);
    }
}

/// Some places of an image: holes, zeros, bytes of its own, and bytes of a blob that several images share.
#[derive(Debug, Clone)]
enum Stretch {
    Hole(u64),
    Zeros(u64),
    Own(u64, u8),
    Shared(u64, u64),
}

fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
    // Whole blocks, sectors, and what is neither, as the partition table is.
    let length = || {
        prop_oneof![
            (1..6_u64).prop_map(|n| n * BLOCK),
            (1..20_u64).prop_map(|n| n * 512),
            1..900_u64
        ]
    };
    vec(
        prop_oneof![
            length().prop_map(Stretch::Hole),
            length().prop_map(Stretch::Zeros),
            (length(), any::<u8>()).prop_map(|(length, byte)| Stretch::Own(length, byte)),
            (length(), 0..20_000_u64).prop_map(|(length, from)| Stretch::Shared(length, from)),
        ],
        0..20,
    )
}

fn image(size: u64, shared: &Blob, stretches: &[Stretch]) -> SparseImage {
    let mut image = SparseImage::empty(Bytes(size));
    let mut at = 0;
    for stretch in stretches {
        let (Stretch::Hole(wanted)
        | Stretch::Zeros(wanted)
        | Stretch::Own(wanted, _)
        | Stretch::Shared(wanted, _)) = *stretch;
        let length = wanted.min(size - at);
        match stretch {
            Stretch::Hole(_) => {}
            Stretch::Zeros(_) => image.put(at, vec![0; length as usize]),
            Stretch::Own(_, byte) => image.put(at, vec![*byte; length as usize]),
            Stretch::Shared(_, from) => image.put_blob(at, length, shared.clone(), *from),
        }
        at += length;
    }
    image.sort().unwrap();
    image
}

fn shared() -> Blob {
    Blob::from((0..50_000_u32).map(|n| (n / 7) as u8).collect::<Vec<u8>>())
}

/// A delta as a producer of one would make it, not as a comparison of images would.
fn any_delta(size: u64) -> impl Strategy<Value = Delta> {
    vec((0..BLOCKS, 1..4_u64, 0..3_u8), 0..8).prop_map(move |runs| {
        let mut blocks = BTreeMap::new();
        for (first, count, byte) in runs {
            blocks.extend((first..first + count).map(|block| (block * BLOCK, byte)));
        }
        let mut delta = Delta::default();
        for (offset, byte) in blocks {
            let length = size.saturating_sub(offset).min(BLOCK);
            delta.append(offset, &vec![byte; length as usize]);
        }
        delta
    })
}

/// Sizes that are and are not whole blocks.
fn size() -> impl Strategy<Value = u64> {
    (0..BLOCKS * 8).prop_map(|sectors| sectors * 512)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delta_makes_the_other_image(size in size(), first in stretches(), second in stretches()) {
        let shared = shared();
        let (base, other) = (image(size, &shared, &first), image(size, &shared, &second));
        let delta = Delta::between(&base, &other).unwrap();
        assert_minimal(&delta, &all_of(&base));
        let mut patched = base.patched(&delta);
        prop_assert!(all_of(&patched) == all_of(&other));
        patched.sort().expect("patched pieces are in order and do not overlap");
        prop_assert_eq!(Delta::between(&patched, &other).unwrap(), Delta::default());
        prop_assert_eq!(Delta::from_bytes(&delta.to_bytes()).unwrap(), delta);
    }

    #[test]
    fn patching_is_copying_over((size, delta) in size().prop_flat_map(|size| (Just(size), any_delta(size))),
                                stretches in stretches()) {
        let base = image(size, &shared(), &stretches);
        let mut patched = base.patched(&delta);
        prop_assert!(all_of(&patched) == naively_patched(&all_of(&base), &delta));
        let order: Vec<u64> = patched.pieces.iter().map(|piece| piece.offset).collect();
        patched.sort().expect("patched pieces do not overlap");
        prop_assert!(patched.pieces.iter().map(|piece| piece.offset).eq(order));
        prop_assert!(patched.pieces.iter().all(|piece| piece.length > 0));
        prop_assert_eq!(delta.bytes(), delta.runs.iter().map(|run| run.bytes.len() as u64).sum::<u64>());
    }

    #[test]
    fn damage_is_noticed(delta in any_delta(BLOCKS * BLOCK), at in any::<Index>(), bit in 0..8) {
        let written = delta.to_bytes();
        let mut damaged = written.clone();
        damaged[at.index(written.len())] ^= 1_u8 << bit;
        prop_assert!(Delta::from_bytes(&damaged).is_err(), "one flipped bit has to be noticed");
        prop_assert!(Delta::from_bytes(&written[..at.index(written.len())]).is_err());
    }

    #[test]
    fn hostile_bytes_are_no_panic(
        noise in vec(any::<u8>(), 0..200),
        spans in vec((0..4_u64, prop_oneof![0..3_u64, any::<u64>()]), 0..5),
        payload in 0..20_000_usize,
    ) {
        let _ = Delta::from_bytes(&noise);
        let _ = Delta::from_bytes(&sealed(&noise));
        let spans: Vec<_> = spans.iter().map(|(at, length)| (at * BLOCK, length.wrapping_mul(BLOCK))).collect();
        let encoded = encoded(&spans, payload);
        if let Ok(delta) = Delta::from_bytes(&sealed(&encoded)) {
            prop_assert_eq!(delta.to_bytes(), sealed(&encoded));
        }
    }
}

/// A delta of intact bytes around `encoded`, which may mean anything.
fn sealed(encoded: &[u8]) -> Vec<u8> {
    let mut bytes = b"pdcdelta\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(encoded);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Runs of these offsets and lengths with `payload` bytes for all of them.
fn encoded(spans: &[(u64, u64)], payload: usize) -> Vec<u8> {
    let mut encoded = postcard::to_extend(&spans.to_vec(), Vec::new()).unwrap();
    encoded.resize(encoded.len() + payload, 7);
    encoded
}

/// What a reader says of such runs.
fn refusal(spans: &[(u64, u64)], payload: usize) -> String {
    let delta = Delta::from_bytes(&sealed(&encoded(spans, payload)));
    delta.unwrap_err().to_string()
}

#[test]
fn lists_of_runs_that_break_a_rule() {
    let run = |offset: u64, length: u64| format!("the run of {length} bytes at byte {offset} of the image ");
    assert_eq!(refusal(&[(0, 0)], 0), run(0, 0) + "is empty");
    assert_eq!(
        refusal(&[(512, 4096)], 4096),
        run(512, 4096) + "does not start with a block"
    );
    assert_eq!(
        refusal(&[(0, 4096)], 4095),
        run(0, 4096) + "has fewer bytes than that"
    );
    assert_eq!(
        refusal(&[(0, u64::MAX)], 9),
        run(0, u64::MAX) + "has fewer bytes than that"
    );
    let beyond = u64::MAX - 4095;
    assert_eq!(
        refusal(&[(beyond, 4096)], 4096),
        run(beyond, 4096) + "ends beyond any image"
    );
    let order = run(4096, 4096) + "is out of order, or not merged with the one before it";
    for first in [0, 4096, 8192] {
        assert_eq!(refusal(&[(first, 4096), (4096, 4096)], 8192), order);
    }
    assert_eq!(
        refusal(&[(0, 512), (8192, 4096)], 4608),
        run(8192, 4096) + "lies behind one that ends within a block"
    );
    assert_eq!(refusal(&[(0, 512)], 513), "1 bytes of the delta belong to no run");
    // A count of runs that no memory could hold.
    let error =
        Delta::from_bytes(&sealed(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])).unwrap_err();
    assert!(matches!(error, DeltaError::Decode(_)), "{error}");
}

#[test]
fn other_formats_and_versions() {
    let mut bytes = Delta::default().to_bytes();
    assert_eq!(Delta::from_bytes(&bytes).unwrap(), Delta::default());
    bytes[8] = 2;
    assert!(matches!(
        Delta::from_bytes(&bytes),
        Err(DeltaError::Version { found: 2 })
    ));
    assert!(matches!(
        Delta::from_bytes(b"pdclayer\x01\0\0\0\0\0\0\0"),
        Err(DeltaError::Foreign)
    ));
    assert!(matches!(Delta::from_bytes(b""), Err(DeltaError::Foreign)));
}

#[test]
fn the_same_bytes_of_a_blob_are_not_read() {
    // An empty file: whoever reads of it fails.
    let unreadable = Blob::from(tempfile::tempfile().unwrap());
    let image = |own: u8| {
        let mut image = SparseImage::empty(Bytes(1 << 40));
        image.put_blob(1 << 20, 1 << 38, unreadable.clone(), 4096);
        image.put(1 << 39, vec![own; 4096]);
        image
    };
    let delta = Delta::between(&image(1), &image(2)).unwrap();
    assert_eq!(
        delta.runs,
        [Run {
            offset: 1 << 39,
            bytes: vec![2; 4096]
        }]
    );
    // Another place in the same blob is another matter.
    let mut moved = image(1);
    moved.pieces[0].blob_offset = 8192;
    assert!(Delta::between(&image(1), &moved).is_err());
}

#[test]
fn images_of_different_sizes_have_no_delta() {
    let image = |size| SparseImage::empty(Bytes(size));
    let error = Delta::between(&image(4096), &image(8192)).unwrap_err();
    assert_eq!(error.to_string(), "the base has 4096 bytes, the image 8192");
}

#[test]
fn a_run_behind_the_end_is_refused_by_the_image() {
    let mut delta = Delta::default();
    delta.append(1 << 20, &[1; 4096]);
    let mut patched = SparseImage::empty(Bytes(8192)).patched(&delta);
    assert!(patched.sort().is_err());
}

#[test]
fn cmp_sees_the_same_files() {
    let shared = shared();
    let size = 5 * 1024 * 1024 + 512;
    let base = image(
        size,
        &shared,
        &[Stretch::Own(3_000_000, 1), Stretch::Shared(30_000, 77)],
    );
    let other = image(
        size,
        &shared,
        &[
            Stretch::Own(2_999_999, 1),
            Stretch::Own(2_000_000, 3),
            Stretch::Hole(242_000),
            Stretch::Own(900, 9),
        ],
    );
    let delta = Delta::between(&base, &other).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("patched"), folder.path().join("other")];
    testkit::image::write(&base.patched(&delta), &paths[0]);
    testkit::image::write(&other, &paths[1]);
    oracle::run("diffutils", "cmp", &paths);
}

proptest! {
    #[test]
    fn a_patched_base_reads_as_the_patched_image(
        blocks in vec((0..BLOCKS, any::<u8>()), 0..12),
        places in vec((any::<Index>(), any::<Index>()), 1..20),
    ) {
        let base: Vec<u8> = (0..BLOCKS * BLOCK).map(|n| (n / 7) as u8).collect();
        let mut delta = Delta::default();
        let blocks: BTreeMap<u64, u8> = blocks.into_iter().collect();
        for (block, byte) in blocks {
            delta.append(block * BLOCK, &vec![byte; BLOCK as usize]);
        }
        let expected = naively_patched(&base, &delta);
        let patched = Patched::new(base, delta).unwrap();
        prop_assert_eq!(patched.size(), expected.len() as u64);
        for (first, second) in places {
            let (first, second) = (first.index(expected.len() + 1), second.index(expected.len() + 1));
            let range = first.min(second)..first.max(second);
            let mut bytes = vec![0xAA; range.len()];
            patched.read_exact_at(&mut bytes, range.start as u64).unwrap();
            prop_assert!(bytes == expected[range]);
        }
        prop_assert!(patched.read_exact_at(&mut [0; 2], patched.size() - 1).is_err());
    }
}

#[test]
fn a_delta_of_a_larger_image_is_none_of_this_one() {
    let mut delta = Delta::default();
    delta.append(BLOCK, &[1; BLOCK as usize]);
    assert!(Patched::new(vec![0; 2 * BLOCK as usize - 1], delta.clone()).is_none());
    assert!(Patched::new(vec![0; 2 * BLOCK as usize], delta).is_some());
}
