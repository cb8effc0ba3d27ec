//! The image to write, with its manifest and its block map beside it. The manifest vouches for the map, the map for the
//! image.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use formats::bmap::{BlockMap, BmapError};
use formats::digest::hex;
use formats::manifest::{FORMAT, Manifest};
use formats::partition::ReadTableError;
use formats::units::Bytes;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::unpacked::{self, Source, UnpackError};

/// How the name of an image ends that is compressed, usually.
const COMPRESSED: [&str; 4] = [".zst", ".gz", ".xz", ".bz2"];

/// An open image.
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// The file.
    pub file: File,
    /// Its bytes, which the file may have compressed.
    pub source: Source,
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
    #[error("{} has {found} bytes, its manifest says {}: it is not whole, build it again", path.display(), expected.0)]
    Size {
        /// The image.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// What the manifest says.
        expected: Bytes,
    },
    /// Its bytes cannot be had.
    #[error("{} is of no use", path.display())]
    Unpack {
        /// The image.
        path: PathBuf,
        /// Why.
        source: UnpackError,
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
    #[error("{} has SHA-256 {found}, the manifest beside it says {expected}: build the image again", path.display())]
    OtherMap {
        /// The block map.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// The image is not the one that its map describes.
    #[error("{} has SHA-256 {found} in bytes {start}..{end}, its block map says {expected}: build it again", path.display())]
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
    /// Its partition table is not one that can be moved to the end of a larger card.
    #[error("the partition table of {} does not go to a larger card: build it again", path.display())]
    Table {
        /// The image.
        path: PathBuf,
        /// Why.
        source: ReadTableError,
    },
    /// The board would not start from this card.
    #[error("{} has no firmware for {board}, which would not start from it; if it shall be written all the same, give --without-firmware; {advice}", path.display())]
    NoFirmware {
        /// The image.
        path: PathBuf,
        /// The board.
        board: String,
        /// What the manifest advises.
        advice: String,
    },
}

impl ImageError {
    /// Whether the image is not what manifest and block map say of it.
    pub fn is_verification_failure(&self) -> bool {
        matches!(
            self,
            Self::Size { .. } | Self::OtherMap { .. } | Self::Digest { .. }
        )
    }
}

/// The files beside an image, and its name without what compression adds.
struct Beside {
    plain: String,
    manifest: PathBuf,
    map: PathBuf,
}

impl Beside {
    fn of(image: &Path) -> Self {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let mut endings = COMPRESSED.iter();
        let plain = endings.find_map(|ending| name.strip_suffix(ending));
        let plain = plain.unwrap_or(&name).to_owned();
        Self {
            manifest: image.with_file_name(&plain).with_extension("manifest.json"),
            map: image.with_file_name(format!("{plain}.bmap")),
            plain,
        }
    }
}

/// The block map beside the image `path`, whatever image that is; `None` where there is none. Where there is a manifest
/// too, the map is the one that it tells of.
pub fn map_beside(path: &Path) -> Result<Option<BlockMap>, ImageError> {
    let beside = Beside::of(path);
    let read = |path: &Path| match files::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(|source| ImageError::Read {
            path: path.to_owned(),
            source,
        }),
    };
    let Some(xml) = read(&beside.map)? else {
        return Ok(None);
    };
    if let Some(text) = read(&beside.manifest)? {
        check_map(&beside.map, &xml, &parse_manifest(&beside.manifest, &text)?)?;
    }
    parse_map(&beside.map, &xml).map(Some)
}

impl Image {
    /// Opens the image of `node`, `NODE.img` or `NODE.img.zst`, with `NODE.manifest.json` and `NODE.img.bmap` beside it. `told`
    /// hears how many bytes of how many were unpacked, where that has to be done first.
    pub fn open(path: &Path, node: &str, told: &mut dyn FnMut(Bytes, Bytes)) -> Result<Self, ImageError> {
        let beside = Beside::of(path);
        let manifest = parse_manifest(&beside.manifest, &read(&beside.manifest)?)?;
        if beside.plain != manifest.image.file {
            return Err(ImageError::OtherFile {
                manifest: beside.manifest,
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
        let xml = read(&beside.map)?;
        check_map(&beside.map, &xml, &manifest)?;
        let map = parse_map(&beside.map, &xml)?;
        let unreadable = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let file = files::open(path).map_err(unreadable)?;
        let copy = file.try_clone().map_err(unreadable)?;
        let total = manifest.image.size;
        let source = unpacked::open(copy, Some(total), &mut |done| told(done, total)).map_err(|source| {
            ImageError::Unpack {
                path: path.to_owned(),
                source,
            }
        })?;
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

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    files::read(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Refuses a block map that is not the one that `manifest` tells of, which is that of an image of its size.
fn check_map(path: &Path, xml: &[u8], manifest: &Manifest) -> Result<(), ImageError> {
    let found = hex(&Sha256::digest(xml));
    let expected = &manifest.image.map_sha256;
    if found != *expected {
        return Err(ImageError::OtherMap {
            path: path.to_owned(),
            found,
            expected: expected.clone(),
        });
    }
    Ok(())
}

fn parse_map(path: &Path, xml: &[u8]) -> Result<BlockMap, ImageError> {
    BlockMap::from_xml(xml).map_err(|source| ImageError::Map {
        path: path.to_owned(),
        source,
    })
}

fn parse_manifest(path: &Path, text: &[u8]) -> Result<Manifest, ImageError> {
    let manifest: Manifest = serde_json::from_slice(text).map_err(|source| ImageError::Manifest {
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
