//! Every source reads what a slice of its bytes reads, and refuses what lies behind its end.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io;

use formats::blob::Blob;
use formats::source::{ReadAt, WholeBlob, Window};
use formats::sparse::SparseImage;
use formats::units::Bytes;
use proptest::prelude::*;

/// 0..8 hole, 8..12 memory, 12..16 of a blob, 16..20 hole, 20..24 memory, 24..30 hole.
fn image() -> (SparseImage, Vec<u8>) {
    let mut image = SparseImage::empty(Bytes(30));
    image.put(8, vec![1, 2, 3, 4]);
    image.put_blob(12, 4, Blob::from(vec![9, 9, 5, 6, 7, 8, 9]), 2);
    image.put(20, vec![10, 11, 12, 13]);
    image.sort().unwrap();
    let mut bytes = vec![0; 30];
    bytes[8..16].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    bytes[20..24].copy_from_slice(&[10, 11, 12, 13]);
    (image, bytes)
}

/// Whether `source` holds `expected`, by every range of it and some that are none.
fn check(source: &dyn ReadAt, expected: &[u8]) {
    let size = expected.len();
    assert_eq!(source.size(), size as u64);
    for start in 0..=size {
        for end in start..=size {
            let mut buffer = vec![0xAA; end - start];
            source.read_exact_at(&mut buffer, start as u64).unwrap();
            assert_eq!(buffer, expected[start..end], "{start}..{end}");
        }
        let mut beyond = vec![0; size - start + 1];
        let error = source.read_exact_at(&mut beyond, start as u64).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    assert!(source.read_exact_at(&mut [0; 2], u64::MAX).is_err());
}

#[test]
fn sparse_images() {
    let (image, bytes) = image();
    check(&image, &bytes);
    check(&SparseImage::empty(Bytes(5)), &[0; 5]);
    check(&SparseImage::empty(Bytes(0)), &[]);
}

#[test]
fn blobs_and_files() {
    let (_, bytes) = image();
    check(&bytes, &bytes);
    check(&WholeBlob::new(Blob::from(bytes.clone())).unwrap(), &bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, &bytes).unwrap();
    let file = File::open(&path).unwrap();
    check(&WholeBlob::new(Blob::from(file)).unwrap(), &bytes);
}

#[test]
fn windows_of_windows() {
    let (image, bytes) = image();
    let boxed: Box<dyn ReadAt> = Box::new(image);
    let outer = Window::new(boxed, 5, 20).unwrap();
    check(&outer, &bytes[5..25]);
    let inner = Window::new(&outer, 4, 9).unwrap();
    check(&inner, &bytes[9..18]);
    check(&Window::new(&outer, 20, 0).unwrap(), &[]);
    assert!(Window::new(&outer, 12, 9).is_err());
    assert!(Window::new(&outer, u64::MAX, 2).is_err());
}

#[test]
fn pieces_that_end_early_are_an_error() {
    let mut image = SparseImage::empty(Bytes(16));
    image.put_blob(0, 8, Blob::from(vec![1; 4]), 0);
    image.put_blob(8, 8, Blob::from(vec![1; 4]), u64::MAX - 1);
    assert!(image.read_exact_at(&mut [0; 4], 0).is_ok());
    assert!(image.read_exact_at(&mut [0; 5], 0).is_err());
    assert!(image.read_exact_at(&mut [0; 8], 8).is_err());
    assert!(image.read_exact_at(&mut [0; 2], 12).is_err());
}

proptest! {
    #[test]
    fn pieces_out_of_order_are_no_panic(
        pieces in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..6),
        offset in 0_u64..90, length in 0_usize..90,
    ) {
        let mut image = SparseImage::empty(Bytes(100));
        for (at, length, blob_offset) in pieces {
            image.put_blob(at % 120, length % 60, Blob::from(vec![7; 20]), blob_offset % 30);
        }
        let _ = image.read_exact_at(&mut vec![0; length], offset);
    }
}
