//! Where the cuts are, and what is stored how.

mod layer_common;

use formats::layer::*;
use layer_common::{bytes, packing};
use testkit::tars::{noise, text};

/// The content that a file becomes.
fn content(data: &[u8], packing: Packing) -> Content {
    let mut builder = LayerBuilder::in_memory(packing).expect("threads can be started");
    builder
        .file(b"file", Attributes::default(), data)
        .expect("a legal entry");
    let layer = builder.finish_layer().expect("memory can be written");
    assert_eq!(bytes(&layer, b"file"), data);
    match layer.entries.into_iter().next().map(|entry| entry.body) {
        Some(Body::File(content)) => content,
        other => panic!("{other:?} is no file"),
    }
}

/// Encoding, file offset, length and stored length of each extent.
fn extents(data: &[u8], packing: Packing) -> Vec<(Encoding, u64, u64, u64)> {
    match content(data, packing).data {
        Data::Extents(extents) => extents
            .iter()
            .map(|extent| {
                (
                    extent.encoding,
                    extent.file_offset,
                    extent.length,
                    extent.stored_length,
                )
            })
            .collect(),
        Data::Inline { .. } => panic!("it is stored in the metadata"),
    }
}

const KIB: u64 = 1024;

#[test]
fn files_up_to_two_kib_are_inline() {
    let inline = |data: &[u8], packing| match content(data, packing).data {
        Data::Inline { encoding, stored } => Some((encoding, stored.len())),
        Data::Extents(_) => None,
    };
    assert_eq!(inline(b"", packing(1)), None);
    assert_eq!(inline(b"x", packing(1)), Some((Encoding::Raw, 1)));
    assert_eq!(inline(&noise(2048, 1), packing(1)), Some((Encoding::Raw, 2048)));
    assert!(matches!(
        inline(&[b'x'; 2048], packing(1)),
        Some((Encoding::Zstd, 1..100))
    ));
    let raw = Packing {
        inline: Inline::Raw,
        ..packing(1)
    };
    assert_eq!(inline(&[b'x'; 2048], raw), Some((Encoding::Raw, 2048)));
    assert_eq!(inline(&[b'x'; 2049], packing(1)), None);
}

#[test]
fn a_frame_has_to_save_a_sector() {
    use Encoding::{Raw, Zstd};
    assert_eq!(extents(&[b'x'; 4096], packing(1)), [(Raw, 0, 4096, 4096)]);
    assert_eq!(extents(&[b'x'; 4097], packing(1)), [(Zstd, 0, 8192, 4096)]);
    // Compressible by less than a sector.
    let nearly = [noise(6000, 1), vec![b'x'; 2000]].concat();
    assert_eq!(extents(&nearly, packing(1)), [(Raw, 0, 8192, 8192)]);
}

#[test]
fn compressed_extents_end_at_128_kib_and_raw_ones_at_1_mib() {
    let lengths = |data: &[u8], packing| -> Vec<(Encoding, u64)> {
        extents(data, packing)
            .iter()
            .map(|(encoding, _, length, _)| (*encoding, *length))
            .collect()
    };
    use Encoding::{Raw, Zstd};
    assert_eq!(
        lengths(&text(300_000), packing(2)),
        [(Zstd, 128 * KIB), (Zstd, 128 * KIB), (Zstd, 40960)]
    );
    assert_eq!(
        lengths(&noise(2_500_000, 1), packing(2)),
        [(Raw, 1 << 20), (Raw, 1 << 20), (Raw, 405_504)]
    );
    let none = Packing {
        compression: Compression::None,
        ..packing(2)
    };
    assert_eq!(lengths(&text(1_100_000), none), [(Raw, 1 << 20), (Raw, 53_248)]);
    // A raw run goes on until something else comes between.
    let mixed = [noise(300 << 10, 2), text(128 << 10)].concat();
    assert_eq!(
        lengths(&mixed, packing(2)),
        [(Raw, 256 * KIB), (Zstd, 128 * KIB), (Zstd, 44 * KIB)]
    );
}

#[test]
fn only_whole_chunks_of_zeros_become_holes() {
    use Encoding::Zstd;
    let zeros = vec![0; 300 << 10];
    assert_eq!(
        extents(&zeros, packing(1)),
        [(Zstd, 256 * KIB, 44 * KIB, 4 * KIB)]
    );
    assert_eq!(extents(&zeros[..256 << 10], packing(1)), []);
}
