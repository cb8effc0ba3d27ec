//! A binary package as a file: opened, checked against what is expected of it, verified; then its metadata in memory and its
//! image as a stream. The format, gpkg or the older xpak, is told by the file.
//!
//! | module | owns |
//! |---|---|
//! | `gpkg`, `xpak` | the two formats |
//! | `metadata`, `image` | what is in a package |
//! | `expected` | what index and lock say of it |
//! | `section` | a part of a file as a stream |

mod expected;
mod gpkg;
mod image;
mod metadata;
mod section;
mod xpak;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use formats::units::Bytes;
use thiserror::Error;

pub use self::expected::{Contradiction, Expected};
pub use self::gpkg::{GpkgError, ManifestError};
pub use self::image::{ImageEntries, ImageError};
pub use self::metadata::MetadataError;
pub use self::xpak::XpakError;

use self::expected::{check_file, check_metadata};
use self::gpkg::Part;
use self::section::Section;

/// Bytes read at once.
const BUFFER: usize = 128 << 10;

/// What a package may not exceed. A small file can unpack to any size; these stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most members of a gpkg, without the Manifest.
    pub members: usize,
    /// Longest Manifest.
    pub manifest: Bytes,
    /// Most bytes of the unpacked metadata; they are in memory.
    pub metadata: Bytes,
    /// Most files of metadata.
    pub metadata_files: usize,
    /// Largest file of metadata.
    pub metadata_file: Bytes,
    /// Most bytes of the unpacked image, and of all its files together with their holes.
    pub image: Bytes,
    /// Most entries of the image.
    pub entries: usize,
    /// Largest file of the image, holes included.
    pub file: Bytes,
}

impl Default for Limits {
    /// Room for any package that goes on a card, with some to spare.
    fn default() -> Self {
        Self {
            members: 64,
            manifest: Bytes::mib(1),
            metadata: Bytes::mib(64),
            metadata_files: 4096,
            metadata_file: Bytes::mib(32),
            image: Bytes::gib(64),
            entries: 1 << 20,
            file: Bytes::gib(8),
        }
    }
}

/// Who counts as a signer of packages.
pub trait Signatures {
    /// The text of a clearsigned Manifest if somebody who counts signed it; the reason otherwise.
    fn text(&self, manifest: &[u8]) -> Result<Vec<u8>, String>;

    /// Whether packages have to be signed. One that is signed is given to [`Signatures::text`] in any case.
    fn required(&self) -> bool;
}

/// Why a file is not accepted as a binary package.
#[derive(Debug, Error)]
pub enum BinaryError {
    /// The file cannot be read.
    #[error("cannot read the package")]
    Read(#[from] io::Error),
    /// The file is none.
    #[error(
        "the file is no binary package: it is neither a gpkg (a tar) nor an xpak (which ends with `STOP`)"
    )]
    Format,
    /// It is not what was expected.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// It is not a sound gpkg.
    #[error(transparent)]
    Gpkg(#[from] GpkgError),
    /// It is not a sound xpak.
    #[error(transparent)]
    Xpak(#[from] XpakError),
    /// Its metadata is refused.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// A package file whose sums were compared and whose metadata was read.
#[derive(Debug)]
pub struct BinaryPackage {
    file: File,
    md5: [u8; 16],
    metadata: BTreeMap<String, Vec<u8>>,
    image: Part,
    prefix: &'static str,
    limits: Limits,
}

impl BinaryPackage {
    /// Opens the package `file`, within [`Limits::default`]. `expected` is what its index or lock says of it; `signatures`
    /// tells who may sign a Manifest. All of the file is read, nothing is decompressed before its sums were compared.
    pub fn open(file: File, expected: &Expected, signatures: &dyn Signatures) -> Result<Self, BinaryError> {
        Self::open_within(file, expected, signatures, Limits::default())
    }

    /// Opens a package as [`BinaryPackage::open`] does, within other limits.
    pub fn open_within(
        file: File,
        expected: &Expected,
        signatures: &dyn Signatures,
        limits: Limits,
    ) -> Result<Self, BinaryError> {
        let size = file.metadata()?.len();
        let md5 = check_file(&file, size, expected)??;
        let (metadata, image, prefix) = if xpak::is_xpak(&file, size)? {
            if signatures.required() {
                return Err(XpakError::Unsigned.into());
            }
            let package = xpak::read(&file, size, &limits)?;
            let image = Part {
                offset: 0,
                length: package.tar,
                codec: package.codec,
            };
            (package.metadata, image, "")
        } else {
            if !is_tar(&file, size)? {
                return Err(BinaryError::Format);
            }
            let parts = gpkg::locate(&file, size, &limits, signatures)?;
            let tar = unpacked(&file, parts.metadata).map_err(MetadataError::Read)?;
            (metadata::from_tar(tar, &limits)?, parts.image, "image/")
        };
        check_metadata(&metadata, expected)?;
        Ok(Self {
            file,
            md5,
            metadata,
            image,
            prefix,
            limits,
        })
    }

    /// MD5 of the file, which the VDB keeps as `BINPKGMD5`.
    pub fn md5(&self) -> [u8; 16] {
        self.md5
    }

    /// The files of the VDB by name (`SLOT`, `RDEPEND`, `environment.bz2`, ...), verbatim. `CATEGORY` and `PF` are there.
    pub fn metadata(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.metadata
    }

    /// What gets installed, as a plain tar. It can be asked for again.
    pub fn image(&self) -> Result<ImageStream<'_>, BinaryError> {
        Ok(ImageStream {
            tar: unpacked(&self.file, self.image)?,
            prefix: self.prefix,
            left: self.limits.image.0,
            limits: self.limits,
        })
    }
}

/// A plain tar, decompressed as it is read. Reading fails where the compressed bytes are damaged or followed by others, and
/// behind [`Limits::image`].
pub struct ImageStream<'a> {
    tar: Box<dyn BufRead + 'a>,
    prefix: &'static str,
    /// Bytes that may still come.
    left: u64,
    limits: Limits,
}

impl<'a> ImageStream<'a> {
    /// What the paths in the tar start with: `image/`, which its root lacks the slash of, or nothing.
    pub fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// The entries of the tar, each checked.
    pub fn entries(self) -> ImageEntries<'a> {
        let (prefix, limits) = (self.prefix, self.limits);
        ImageEntries::new(BufReader::with_capacity(BUFFER, self), prefix, limits)
    }
}

impl Read for ImageStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tar.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let message = format!(
                "the image unpacks to more than the limit of {}",
                self.limits.image
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(count)
    }
}

/// The bytes that a part of a package unpacks to.
fn unpacked<'a>(file: &'a File, part: Part) -> io::Result<Box<dyn BufRead + 'a>> {
    let section = Section::new(file, part.offset, part.length);
    part.codec.decoder(BufReader::with_capacity(BUFFER, section))
}

/// Whether a file begins with the header of a tar.
fn is_tar(file: &File, size: u64) -> io::Result<bool> {
    const MAGIC: &[u8; 5] = b"ustar";
    let mut start = Vec::new();
    Section::new(file, 0, size.min(512)).read_to_end(&mut start)?;
    Ok(start.get(257..262) == Some(MAGIC))
}
