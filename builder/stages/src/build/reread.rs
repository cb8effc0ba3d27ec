//! A written image read back and held against its block map: for whoever is to say what the file is.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use formats::bmap::BlockMap;
use formats::source::ReadAt;
use sha2::{Digest as _, Sha256};

use crate::inspect::open_source;

/// Bytes that are read at once.
const BUFFER: u64 = 1 << 20;

/// Fails where the image in the file `path`, of whatever form, is not what its block map `map` says: what is mapped has its
/// SHA-256, all else is zeros.
pub fn compare(path: &Path, map: &[u8]) -> Result<()> {
    let map = BlockMap::from_xml(map)?;
    let source = open_source(path)?;
    ensure!(
        source.size() == map.image_size.0,
        "it has {} bytes, its block map says {}",
        source.size(),
        map.image_size.0
    );
    let mut end = 0;
    for mapped in &map.ranges {
        let range = mapped.range();
        expect_zeros(&source, end..range.start)?;
        let mut hash = Sha256::new();
        read(&source, range.clone(), |bytes, _| {
            hash.update(bytes);
            Ok(())
        })?;
        ensure!(
            hash.finalize()[..] == mapped.sha256,
            "bytes {}..{} have another SHA-256 than its block map says",
            range.start,
            range.end
        );
        end = range.end;
    }
    expect_zeros(&source, end..source.size())
}

fn expect_zeros(source: &impl ReadAt, range: Range<u64>) -> Result<()> {
    read(source, range, |bytes, offset| {
        ensure!(
            bytes.iter().all(|byte| *byte == 0),
            "bytes {offset}..{} are not zeros, which they are where its block map has nothing",
            offset.saturating_add(bytes.len() as u64)
        );
        Ok(())
    })
}

/// Hands the bytes in `range` to `each` in parts, with the place of each part.
fn read(
    source: &impl ReadAt,
    range: Range<u64>,
    mut each: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER.min(range.end.saturating_sub(range.start)) as usize];
    let mut offset = range.start;
    while offset < range.end {
        // At most BUFFER.
        let length = (range.end - offset).min(BUFFER);
        let bytes = &mut buffer[..length as usize];
        source
            .read_exact_at(bytes, offset)
            .with_context(|| format!("bytes {offset}..{} cannot be read", offset + length))?;
        each(bytes, offset)?;
        offset += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use formats::delta::Delta;
    use formats::segments::Segments;
    use formats::sparse::SparseImage;
    use formats::units::Bytes;

    use super::*;
    use crate::basis::{Basis, Form};

    #[test]
    fn each_byte_counts_in_each_form() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = SparseImage::empty(Bytes(5 << 20));
        image.put(4096, vec![7; 8192]);
        image.put(3 << 20, (0_u32..300_000).flat_map(u32::to_le_bytes).collect());
        let segments = Segments::cut(&image, &[]).unwrap();
        let map = BlockMap::of(&segments).to_xml();
        for form in Form::ALL {
            let path = folder.path().join(format!("x{}", form.suffix()));
            let basis = Basis::new(form, &image, &segments, folder.path(), 1).unwrap();
            basis.write(&Delta::default(), &segments, &path).unwrap();
            compare(&path, map.as_bytes()).unwrap();
            let whole = fs::read(&path).unwrap();
            let places = match form {
                // Mapped, at both ends of ranges, and in holes.
                Form::Plain => vec![0, 4096, 12_287, 12_288, (3 << 20) + 1_199_999, (5 << 20) - 1],
                Form::Compressed => vec![0, whole.len() / 3, whole.len() / 2, whole.len() - 1],
            };
            for place in places {
                let mut bytes = whole.clone();
                bytes[place] ^= 1;
                fs::write(&path, &bytes).unwrap();
                assert!(compare(&path, map.as_bytes()).is_err(), "{form:?}: {place}");
            }
            fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            assert!(compare(&path, map.as_bytes()).is_err(), "{form:?} is cut short");
            fs::write(&path, &whole).unwrap();
            compare(&path, map.as_bytes()).unwrap();
        }
        let mut other = image.clone();
        other.put(2 << 20, vec![1; 4096]);
        other.sort().unwrap();
        let other = BlockMap::of(&Segments::cut(&other, &[]).unwrap()).to_xml();
        let path = folder.path().join("x.img");
        let error = compare(&path, other.as_bytes()).unwrap_err().to_string();
        assert!(
            error.ends_with("another SHA-256 than its block map says"),
            "{error}"
        );
    }
}
