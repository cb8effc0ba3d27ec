//! What the tests of layers share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::num::NonZeroUsize;

use formats::layer::*;

/// zstd:3 with two threads, everything allowed.
pub fn options() -> TarOptions {
    TarOptions {
        packing: packing(2),
        devices: Devices::Allowed,
        limits: Limits::default(),
    }
}

/// zstd:3 with `jobs` threads.
pub fn packing(jobs: usize) -> Packing {
    Packing {
        compression: Compression::Zstd(ZstdLevel::DEFAULT),
        inline: Inline::Smallest,
        jobs: NonZeroUsize::new(jobs).expect("tests use at least one thread"),
    }
}

/// The layer of a tar.
pub fn read(tar: &[u8], options: &TarOptions) -> Result<Layer, TarError> {
    let mut blob = Vec::new();
    let index = from_tar(tar, &mut blob, options)?;
    Ok(index
        .with_blob(blob.into())
        .expect("the blob has the length that its index says"))
}

/// The entry at a path.
pub fn entry<'a>(layer: &'a Layer, path: &[u8]) -> &'a Entry {
    layer
        .entries
        .iter()
        .find(|entry| entry.path == path)
        .unwrap_or_else(|| panic!("the layer has no {}", shown(path)))
}

/// The bytes of a file as a reader of the file system would see them, every rule of extents asserted on the way.
pub fn bytes(layer: &Layer, path: &[u8]) -> Vec<u8> {
    let Body::File(content) = &entry(layer, path).body else {
        panic!("{} is no file", shown(path))
    };
    content_bytes(layer, content)
}

/// As [`bytes`], for a file's content.
pub fn content_bytes(layer: &Layer, content: &Content) -> Vec<u8> {
    let size = usize::try_from(content.size).expect("test files fit into memory");
    let extents = match &content.data {
        Data::Inline {
            encoding: Encoding::Raw,
            stored,
        } => return stored.clone(),
        Data::Inline {
            encoding: Encoding::Zstd,
            stored,
        } => {
            assert!(
                stored.len() < size,
                "a frame that is not shorter should not be kept"
            );
            return unzstd(stored, size);
        }
        Data::Extents(extents) => extents,
    };
    let mut file = vec![0; size.next_multiple_of(4096)];
    for extent in extents {
        let mut stored = vec![0; usize::try_from(extent.stored_length).expect("extents are small")];
        layer
            .blob
            .read_exact_at(&mut stored, extent.blob_offset)
            .expect("extents lie in the blob");
        let checksums: Vec<u32> = stored.chunks(4096).map(plain_crc32c).collect();
        assert_eq!(checksums, extent.checksums);
        let length = usize::try_from(extent.length).expect("extents are small");
        let data = match extent.encoding {
            Encoding::Raw => stored,
            Encoding::Zstd => {
                assert!(extent.length <= 128 << 10 && extent.stored_length < extent.length);
                unzstd(&stored, length)
            }
        };
        let start = usize::try_from(extent.file_offset).expect("test files fit into memory");
        assert_eq!(data.len(), length);
        file[start..start + length].copy_from_slice(&data);
    }
    assert!(
        file[size..].iter().all(|byte| *byte == 0),
        "what follows the end of a file has to be zero"
    );
    file.truncate(size);
    file
}

/// The frame at the start of `stored`, behind which only zeros may come.
fn unzstd(stored: &[u8], length: usize) -> Vec<u8> {
    let frame = zstd::zstd_safe::find_frame_compressed_size(stored).expect("it starts with a frame");
    assert!(
        stored[frame..].iter().all(|byte| *byte == 0),
        "padding has to be zero"
    );
    let data = zstd::bulk::decompress(&stored[..frame], length).expect("the frame decodes");
    assert_eq!(data.len(), length);
    data
}

/// CRC-32C from its definition: reflected polynomial 0x82f63b78, all ones before and after.
fn plain_crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut crc = index as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)]
    })
}
