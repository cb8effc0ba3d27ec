//! SHA-256 of parts of an image that is not written yet.

use anyhow::{Context, Result};
pub use formats::digest::hex;
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use sha2::{Digest as _, Sha256};

/// Bytes that are read and hashed at once.
const BUFFER: usize = 1 << 20;

/// SHA-256 of the bytes `start..end` of `image`, whose pieces are in order. Holes count as zeros.
pub fn of_range(image: &SparseImage, start: u64, end: u64) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut done = start;
    while done < end {
        // At most BUFFER.
        let length = (end - done).min(BUFFER as u64) as usize;
        let bytes = &mut buffer[..length];
        image
            .read_exact_at(bytes, done)
            .with_context(|| format!("cannot read the bytes of the image from {done}"))?;
        hash.update(&*bytes);
        done += length as u64;
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use formats::units::Bytes;

    use super::*;

    #[test]
    fn any_range_hashes_as_its_bytes() {
        let mut image = SparseImage::empty(Bytes(200_000));
        let bytes: Vec<u8> = (0..150_000_u32).map(|n| (n * 7 + n / 256) as u8).collect();
        image.put_blob(10, 90, bytes.clone().into(), 5);
        image.put_blob(100, 50, bytes.clone().into(), 1_000);
        image.put_blob(70_000, 120_000, bytes.clone().into(), 30_000);
        let mut all = vec![0; 200_000];
        all[10..100].copy_from_slice(&bytes[5..95]);
        all[100..150].copy_from_slice(&bytes[1_000..1_050]);
        all[70_000..190_000].copy_from_slice(&bytes[30_000..]);
        let edges = [
            0, 1, 10, 11, 50, 99, 100, 101, 150, 151, 69_999, 70_000, 70_001, 189_999, 190_000, 200_000,
        ];
        for start in edges {
            for end in edges.into_iter().filter(|end| *end >= start) {
                let expected: [u8; 32] = Sha256::digest(&all[start as usize..end as usize]).into();
                assert_eq!(of_range(&image, start, end).unwrap(), expected, "{start}..{end}");
            }
        }
    }
}
