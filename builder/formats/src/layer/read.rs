//! The bytes of a file of a layer, as a program on the node would read them.

use std::io;

use super::{Content, Data, Encoding, Extent};
use crate::blob::Blob;

impl Content {
    /// The whole file, whose extents lie in `blob`. More than `limit` bytes are an error, and so is data that does not
    /// decode to what the extent says.
    pub fn read(&self, blob: &Blob, limit: u64) -> io::Result<Vec<u8>> {
        if self.size > limit {
            return Err(invalid(format!(
                "the file has {} bytes, the limit is {limit}",
                self.size
            )));
        }
        let size =
            usize::try_from(self.size).map_err(|_| invalid("the file does not fit into memory".into()))?;
        match &self.data {
            Data::Inline { encoding, stored } => decode(*encoding, stored, size),
            Data::Extents(extents) => {
                // An extent may end behind the file, at the end of its last sector.
                let mut bytes = vec![0; size];
                for extent in extents {
                    let data = read_extent(extent, blob)?;
                    let start = usize::try_from(extent.file_offset)
                        .unwrap_or(usize::MAX)
                        .min(size);
                    let length = data.len().min(size - start);
                    bytes[start..start + length].copy_from_slice(&data[..length]);
                }
                Ok(bytes)
            }
        }
    }
}

fn read_extent(extent: &Extent, blob: &Blob) -> io::Result<Vec<u8>> {
    let too_long = |_| invalid("an extent does not fit into memory".into());
    let length = usize::try_from(extent.length).map_err(too_long)?;
    let mut stored = vec![0; usize::try_from(extent.stored_length).map_err(too_long)?];
    blob.read_exact_at(&mut stored, extent.blob_offset)?;
    decode(extent.encoding, &stored, length)
}

fn decode(encoding: Encoding, stored: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let bytes = match encoding {
        Encoding::Raw => stored.to_vec(),
        Encoding::Zstd => {
            // Zeros pad the frame to a sector: only the frame itself is given to the decoder.
            let frame = zstd::zstd_safe::find_frame_compressed_size(stored)
                .map_err(|_| invalid("an extent holds no zstd frame".into()))?;
            zstd::bulk::decompress(&stored[..frame], length)?
        }
    };
    if bytes.len() != length {
        return Err(invalid(format!(
            "an extent decodes to {} bytes instead of {length}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use crate::layer::{Attributes, Body, Compression, Inline, LayerBuilder, Packing, ZstdLevel};

    #[test]
    fn what_was_packed_is_read_back() {
        for compression in [Compression::None, Compression::Zstd(ZstdLevel::DEFAULT)] {
            let packing = Packing {
                compression,
                inline: Inline::Smallest,
                jobs: NonZeroUsize::MIN,
            };
            let mut noise: u32 = 1;
            let mut noisy = || {
                noise = noise.wrapping_mul(1664525).wrapping_add(1013904223);
                (noise >> 24) as u8
            };
            let files: Vec<Vec<u8>> = [0, 1, 2048, 2049, 4096, 131072, 131073, 1_500_000]
                .into_iter()
                .flat_map(|size| {
                    let even: Vec<u8> = (0..size).map(|at| (at / 1000) as u8).collect();
                    [even, (0..size).map(|_| noisy()).collect(), vec![0; size]]
                })
                .collect();
            let mut builder = LayerBuilder::in_memory(packing).unwrap();
            for (number, file) in files.iter().enumerate() {
                let path = format!("{number:03}");
                builder
                    .file(path.as_bytes(), Attributes::default(), file)
                    .unwrap();
            }
            let layer = builder.finish_layer().unwrap();
            for (entry, file) in layer.entries.iter().zip(&files) {
                let Body::File(content) = &entry.body else {
                    panic!()
                };
                assert!(
                    content.read(&layer.blob, 2_000_000).unwrap() == *file,
                    "{} bytes",
                    file.len()
                );
                if !file.is_empty() {
                    let error = content.read(&layer.blob, file.len() as u64 - 1).unwrap_err();
                    assert!(error.to_string().contains("the limit is"), "{error}");
                }
            }
        }
    }
}
