//! The image to write, as a file with holes and a manifest beside it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use formats::manifest::{FORMAT, Manifest};
use formats::units::Bytes;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use thiserror::Error;

/// An open image.
#[derive(Debug)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// The file.
    pub file: File,
    /// Its size.
    pub size: Bytes,
    /// What it is.
    pub manifest: Manifest,
    /// Bytes that have to be written, in order. The rest is free space of file systems or zero on any card.
    pub ranges: Vec<Range<u64>>,
}

/// An image that cannot be used.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("{} is not a manifest of an image", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The manifest is of another version.
    #[error("{} has manifest format {found}, this program reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The manifest is of another image.
    #[error("{} is the manifest of {expected}, not of {}; put every manifest beside its own image", manifest.display(), image.display())]
    OtherFile {
        /// The manifest.
        manifest: PathBuf,
        /// The image beside it.
        image: PathBuf,
        /// The file that the manifest names.
        expected: String,
    },
    /// The image is another node's: two nodes of one name and address would meet in the network.
    #[error("{} is the image of {found}, not of {wanted}; build {wanted} again", path.display())]
    OtherNode {
        /// The image.
        path: PathBuf,
        /// The node that its manifest names.
        found: String,
        /// The node that the card is for.
        wanted: String,
    },
    /// The image is cut off or too long.
    #[error("{} has {found} bytes, its manifest says {}: it is not whole", path.display(), expected.0)]
    Size {
        /// The image.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// What the manifest says.
        expected: Bytes,
    },
    /// The image is not the one that the manifest describes.
    #[error("{} has SHA-256 {found}, its manifest says {expected}", path.display())]
    Digest {
        /// The image.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// The board would not start from this card.
    #[error("{} has no firmware for {board}, which would not start from it; {advice}", path.display())]
    NoFirmware {
        /// The image.
        path: PathBuf,
        /// The board.
        board: String,
        /// What the manifest advises.
        advice: String,
    },
}

impl Image {
    /// Opens the image of `node` and the manifest beside it, whose name ends in `.manifest.json` instead of `.img`.
    pub fn open(path: &Path, node: &str) -> Result<Self, ImageError> {
        let manifest_path = path.with_extension("manifest.json");
        let manifest = read_manifest(&manifest_path)?;
        if path.file_name() != Some(OsStr::new(&manifest.image.file)) {
            return Err(ImageError::OtherFile {
                manifest: manifest_path,
                image: path.to_owned(),
                expected: manifest.image.file,
            });
        }
        if manifest.node != node {
            return Err(ImageError::OtherNode {
                path: path.to_owned(),
                found: manifest.node,
                wanted: node.to_owned(),
            });
        }
        let unreadable = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if size != manifest.image.size.0 {
            return Err(ImageError::Size {
                path: path.to_owned(),
                found: size,
                expected: manifest.image.size,
            });
        }
        let mut ranges = data_ranges(&file, size).map_err(|errno| unreadable(errno.into()))?;
        let data: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if data < manifest.image.mapped.0 {
            // Something that copied the file has made holes of zeros, which may be the zeros of a FAT: write them all.
            ranges = vec![Range { start: 0, end: size }];
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            size: Bytes(size),
            manifest,
            ranges,
        })
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, ImageError> {
    let text = fs::read(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|source| ImageError::Manifest {
        path: path.to_owned(),
        source,
    })?;
    if manifest.format != FORMAT {
        return Err(ImageError::Format {
            path: path.to_owned(),
            found: manifest.format,
        });
    }
    Ok(manifest)
}

/// The parts of a file that are not holes.
fn data_ranges(file: &File, size: u64) -> Result<Vec<Range<u64>>, Errno> {
    let mut ranges = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..end);
        position = end;
    }
    Ok(ranges)
}
