//! An image checked against its block map: what is mapped has its SHA-256, all else is zeros.

use std::ops::Range;

use anyhow::{Context, Result};
use formats::bmap::BlockMap;
use formats::source::ReadAt;
use sha2::{Digest as _, Sha256};

/// Bytes that are read at once.
const BUFFER: u64 = 1 << 20;

/// Where an image is not what its block map says.
#[derive(Debug)]
pub struct Fault {
    /// The first byte of the range that is something else; `None` where it is of all of the image.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub said: String,
}

/// All that `map` does not say of the image in `source`, in order. Of one that ends early, what there is of whole ranges is
/// compared.
pub fn faults(source: &impl ReadAt, map: &BlockMap) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let size = source.size();
    if size != map.image_size.0 {
        let said = format!(
            "the image has {size} bytes, its block map says {}",
            map.image_size.0
        );
        faults.push(Fault { offset: None, said });
    }
    let mut end = 0;
    for mapped in &map.ranges {
        let range = mapped.range();
        if range.end > size {
            break;
        }
        expect_zeros(source, end..range.start, &mut faults)?;
        let mut hash = Sha256::new();
        read(source, range.clone(), |bytes, _| hash.update(bytes))?;
        if hash.finalize()[..] != mapped.sha256 {
            faults.push(Fault {
                offset: Some(range.start),
                said: format!(
                    "bytes {}..{} of the image are not what its block map says",
                    range.start, range.end
                ),
            });
        }
        end = range.end;
    }
    // Where a range reaches beyond the end, it is not known what was to be there.
    if size == map.image_size.0 {
        expect_zeros(source, end..size, &mut faults)?;
    }
    Ok(faults)
}

fn expect_zeros(source: &impl ReadAt, range: Range<u64>, faults: &mut Vec<Fault>) -> Result<()> {
    read(source, range, |bytes, offset| {
        if bytes.iter().any(|byte| *byte != 0) {
            let end = offset.saturating_add(bytes.len() as u64);
            faults.push(Fault {
                offset: Some(offset),
                said: format!(
                    "bytes {offset}..{end} of the image are not zeros, which they are where its block map has nothing"
                ),
            });
        }
    })
}

/// Hands the bytes in `range` to `each` in parts, with the place of each part.
fn read(source: &impl ReadAt, range: Range<u64>, mut each: impl FnMut(&[u8], u64)) -> Result<()> {
    let mut buffer = vec![0; BUFFER.min(range.end.saturating_sub(range.start)) as usize];
    let mut offset = range.start;
    while offset < range.end {
        // At most BUFFER.
        let length = (range.end - offset).min(BUFFER);
        let bytes = &mut buffer[..length as usize];
        source
            .read_exact_at(bytes, offset)
            .with_context(|| format!("bytes {offset}..{} of the image cannot be read", offset + length))?;
        each(bytes, offset);
        offset += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use formats::delta::Delta;
    use formats::segments::Segments;
    use formats::sparse::SparseImage;
    use formats::units::Bytes;

    use super::*;
    use crate::delta_base::{DeltaBase, ImageFormat};
    use crate::inspect::open_built;

    /// What is wrong with the image in the file `path`; one that cannot be read is damaged as well.
    fn compare(path: &Path, map: &str) -> Result<Vec<String>> {
        let map = BlockMap::from_xml(map.as_bytes()).unwrap();
        let found = faults(&open_built(path)?, &map)?;
        Ok(found.into_iter().map(|fault| fault.said).collect())
    }

    fn is_whole(path: &Path, map: &str) -> bool {
        compare(path, map).is_ok_and(|faults| faults.is_empty())
    }

    #[test]
    fn each_byte_counts_in_each_form() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = SparseImage::empty(Bytes(5 << 20));
        image.put(4096, vec![7; 8192]);
        image.put(3 << 20, (0_u32..300_000).flat_map(u32::to_le_bytes).collect());
        let segments = Segments::cut(&image, &[]).unwrap();
        let map = BlockMap::of(&segments).to_xml();
        for format in ImageFormat::ALL {
            let path = folder.path().join(format!("x{}", format.suffix()));
            let delta_base = DeltaBase::new(format, &image, &segments, folder.path(), 1).unwrap();
            delta_base.write(&Delta::default(), &segments, &path).unwrap();
            assert!(is_whole(&path, &map), "{format:?}");
            let whole = fs::read(&path).unwrap();
            let places = match format {
                // Mapped, at both ends of ranges, and in holes.
                ImageFormat::Plain => vec![0, 4096, 12_287, 12_288, (3 << 20) + 1_199_999, (5 << 20) - 1],
                ImageFormat::Compressed => vec![0, whole.len() / 3, whole.len() / 2, whole.len() - 1],
            };
            for place in places {
                let mut bytes = whole.clone();
                bytes[place] ^= 1;
                fs::write(&path, &bytes).unwrap();
                assert!(!is_whole(&path, &map), "{format:?}: {place}");
            }
            fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            assert!(!is_whole(&path, &map), "{format:?} is cut short");
            fs::write(&path, &whole).unwrap();
            assert!(is_whole(&path, &map), "{format:?}");
        }
        let mut other = image.clone();
        other.put(2 << 20, vec![1; 4096]);
        other.sort().unwrap();
        let other = BlockMap::of(&Segments::cut(&other, &[]).unwrap()).to_xml();
        let path = folder.path().join("x.img");
        // What that one maps is a hole here.
        let found = compare(&path, &other).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with("of the image are not what its block map says"),
            "{found:?}"
        );
        // One that ends early.
        fs::write(
            &path,
            [vec![0; 2 << 20], vec![1; 4096], vec![0; 1 << 20]].concat(),
        )
        .unwrap();
        let cut = compare(&path, &map).unwrap();
        assert!(
            cut[0].starts_with("the image has 3149824 bytes, its block map says 5242880"),
            "{cut:?}"
        );
    }
}
