//! The images of one base as files. What they have in common is made once; then the kernel copies it into each of
//! them, or shares the blocks where the file system can.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use files::emit::{Readers, put_image, write_image};
use formats::delta::Delta;
use formats::seekable::FrameStore;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use rustix::fs::ioctl_ficlone;

/// How an image is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// As it goes on a card, with holes: `.img`.
    Plain,
    /// Compressed in frames, with a seek table: `.img.zst`.
    Compressed,
}

impl ImageFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Compressed];

    /// How the names of such files end, behind the node's.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => ".img",
            Self::Compressed => ".img.zst",
        }
    }
}

/// What images of a base are written from.
#[derive(Debug)]
pub struct DeltaBase {
    base: SparseImage,
    /// Where images are compressed.
    frames: Option<FrameStore>,
}

impl DeltaBase {
    /// Makes ready to write `count` images over `base`, which has these `segments`, into `folder`. Uses all threads of
    /// the pool that this runs in.
    pub fn new(
        format: ImageFormat,
        base: &SparseImage,
        segments: &Segments,
        folder: &Path,
        count: usize,
    ) -> Result<Self> {
        let make = || -> Result<Self> {
            match format {
                ImageFormat::Plain => Ok(Self {
                    // As one file that all images share, where they can: then it costs nothing to write another one.
                    base: if count > 1 && shares_blocks(folder)? {
                        as_file(base, folder)?
                    } else {
                        base.clone()
                    },
                    frames: None,
                }),
                ImageFormat::Compressed => {
                    let mut file = tempfile::tempfile_in(folder)?;
                    FrameStore::write(base, segments, &mut file)?;
                    Ok(Self {
                        base: base.clone(),
                        frames: Some(FrameStore::open(file.into(), segments.clone())?),
                    })
                }
            }
        };
        make().with_context(|| {
            format!(
                "cannot write what the images have in common in {}",
                folder.display()
            )
        })
    }

    /// Images over a base that is in `frames` already.
    pub fn with_frames(base: SparseImage, frames: FrameStore) -> Self {
        Self {
            base,
            frames: Some(frames),
        }
    }

    /// Writes the image that `delta` makes of the base to `path`. `segments` are the image's.
    pub fn write(&self, delta: &Delta, segments: &Segments, path: &Path) -> Result<()> {
        let image = self.base.patched(delta);
        let file = match &self.frames {
            None => image,
            Some(frames) => frames
                .compose(&image, segments)
                .with_context(|| format!("cannot compress {}", path.display()))?,
        };
        write_image(&file, path, Readers::Owner)?;
        Ok(())
    }
}

/// `image` in a file of `folder` that has no name, piece by piece where it lies in the image.
pub fn as_file(image: &SparseImage, folder: &Path) -> Result<SparseImage> {
    let file = tempfile::tempfile_in(folder)?;
    put_image(image, &file, None)?;
    let mut same = SparseImage::empty(image.size);
    let blob = formats::blob::Blob::from(file);
    for piece in &image.pieces {
        same.put_blob(piece.offset, piece.length, blob.clone(), piece.offset);
    }
    Ok(same)
}

/// Whether files in `folder` can share blocks.
pub fn shares_blocks(folder: &Path) -> Result<bool> {
    let (from, to): (File, File) = (tempfile::tempfile_in(folder)?, tempfile::tempfile_in(folder)?);
    from.set_len(4096)?;
    // Whatever the reason is: then blocks are copied.
    Ok(ioctl_ficlone(&to, &from).is_ok())
}
