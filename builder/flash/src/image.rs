//! The image to write, with its manifest and its block map beside it. The manifest vouches for the map, the map for the
//! image.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use formats::bmap::{BlockMap, BmapError};
use formats::digest::hex;
use formats::manifest::{FORMAT, Manifest};
use formats::seekable::{self, SeekableError};
use formats::source::{ReadAt, WholeBlob};
use formats::units::Bytes;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// How the name of an image ends that is compressed.
const COMPRESSED: &str = ".zst";

/// An open image.
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// The file.
    pub file: File,
    /// Its bytes, which the file may have compressed.
    pub source: Box<dyn ReadAt>,
    /// Its size.
    pub size: Bytes,
    /// What it is.
    pub manifest: Manifest,
    /// What has to be written. The rest is free space of file systems or zero on any card.
    pub map: BlockMap,
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
    /// The file is not compressed as it should be.
    #[error("{} cannot be read as a compressed image", path.display())]
    Compression {
        /// The image.
        path: PathBuf,
        /// Why.
        source: SeekableError,
    },
    /// The map beside the image is not one.
    #[error("{} cannot be used", path.display())]
    Map {
        /// The block map.
        path: PathBuf,
        /// Why.
        source: BmapError,
    },
    /// The map is not the one that the manifest tells of.
    #[error("{} has SHA-256 {found}, the manifest beside it says {expected}", path.display())]
    OtherMap {
        /// The block map.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// The image is not the one that its map describes.
    #[error("{} has SHA-256 {found} in bytes {start}..{end}, its block map says {expected}", path.display())]
    Digest {
        /// The image.
        path: PathBuf,
        /// First byte of the range.
        start: u64,
        /// First byte after it.
        end: u64,
        /// Its SHA-256.
        found: String,
        /// What the map says.
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
    /// Opens the image of `node`, `NODE.img` or `NODE.img.zst`, with `NODE.manifest.json` and `NODE.img.bmap` beside it.
    pub fn open(path: &Path, node: &str) -> Result<Self, ImageError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = name.strip_suffix(COMPRESSED).unwrap_or(&name);
        let manifest_path = path.with_file_name(plain).with_extension("manifest.json");
        let manifest = read_manifest(&manifest_path)?;
        if plain != manifest.image.file {
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
        let map = read_map(&path.with_file_name(format!("{plain}.bmap")), &manifest)?;
        let unreadable = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let blob = WholeBlob::new(file.try_clone().map_err(unreadable)?.into()).map_err(unreadable)?;
        let source: Box<dyn ReadAt> = if plain == name {
            Box::new(blob)
        } else {
            let frames = seekable::Reader::open(blob).map_err(|source| ImageError::Compression {
                path: path.to_owned(),
                source,
            })?;
            Box::new(frames)
        };
        let size = source.size();
        if size != manifest.image.size.0 {
            return Err(ImageError::Size {
                path: path.to_owned(),
                found: size,
                expected: manifest.image.size,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            source,
            size: Bytes(size),
            manifest,
            map,
        })
    }
}

/// The block map that `manifest` tells of, which is that of an image of its size.
fn read_map(path: &Path, manifest: &Manifest) -> Result<BlockMap, ImageError> {
    let xml = fs::read(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })?;
    let found = hex(&Sha256::digest(&xml));
    let expected = &manifest.image.map_sha256;
    if found != *expected {
        return Err(ImageError::OtherMap {
            path: path.to_owned(),
            found,
            expected: expected.clone(),
        });
    }
    BlockMap::from_xml(&xml).map_err(|source| ImageError::Map {
        path: path.to_owned(),
        source,
    })
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
