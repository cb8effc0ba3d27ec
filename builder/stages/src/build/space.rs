//! Disk space for images, asked for when it is known how large they are and before the first of them is written. Kernel and
//! base are in the cache by then, so whoever has made room does not wait for them again.

use std::path::Path;

use anyhow::Result;
use engine::Preflight;
use formats::sparse::SparseImage;
use formats::units::Bytes;

use crate::delta_base::shares_blocks;

/// Disk space that a node's own part may take: some trees of 16 KiB, its files, manifest and block map.
const OWN: Bytes = Bytes::mib(1);

/// How the images of a base lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Each with everything that it has.
    Whole,
    /// The base once, and of each what it has other than that.
    Shared,
}

impl Kept {
    /// How images lie in `folder`.
    pub fn of_images(folder: &Path) -> Result<Self> {
        Ok(match shares_blocks(folder)? {
            true => Self::Shared,
            false => Self::Whole,
        })
    }
}

/// Refuses `count` images over `base` that do not fit into `folder`.
pub fn check(folder: &Path, base: &SparseImage, count: usize, kept: Kept) -> Result<()> {
    let mut preflight = Preflight::default();
    preflight.space(folder, needed(base, count, kept), "images")?;
    preflight.finish()
}

/// The space that they take at most: compressed ones take less. What is in no piece is a hole.
fn needed(base: &SparseImage, count: usize, kept: Kept) -> Bytes {
    let base = base
        .pieces
        .iter()
        .fold(0_u64, |sum, piece| sum.saturating_add(piece.length));
    let count = count as u64;
    let whole = match kept {
        Kept::Whole => base.saturating_mul(count),
        Kept::Shared => base,
    };
    Bytes(whole.saturating_add(OWN.0.saturating_mul(count)))
}

#[cfg(test)]
mod tests {
    use formats::blob::Blob;

    use super::*;

    /// A base with so many bytes that are no hole.
    fn base(length: u64) -> SparseImage {
        let mut base = SparseImage::empty(Bytes(u64::MAX));
        base.put_blob(1 << 20, length, Blob::from(Vec::new()), 0);
        base
    }

    #[test]
    fn images_take_what_they_have_and_share_what_they_can() {
        let mib = |count: u64| Bytes::mib(count);
        assert_eq!(needed(&base(80 << 20), 46, Kept::Whole), mib(46 * 81));
        assert_eq!(needed(&base(80 << 20), 46, Kept::Shared), mib(80 + 46));
        assert_eq!(needed(&base(u64::MAX), 2, Kept::Whole), Bytes(u64::MAX));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), &base(1), 1, Kept::Whole).unwrap();
        let error = check(folder.path(), &base(1 << 62), 1, Kept::Shared).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("images: ") && text.contains(" are needed: free some space"),
            "{text}"
        );
    }
}
