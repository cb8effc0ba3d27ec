//! Packages in Gentoo's format of today, gpkg (GLEP 78): a tar of tars.
//!
//! ```text
//! PF-BUILD_ID/gpkg-1               which format this is
//! PF-BUILD_ID/metadata.tar.zst     the files of the VDB
//! PF-BUILD_ID/metadata.tar.zst.sig
//! PF-BUILD_ID/image.tar.zst        what gets installed
//! PF-BUILD_ID/image.tar.zst.sig
//! PF-BUILD_ID/Manifest             length and sums of each of them; signed where the others have a .sig
//! ```
//!
//! The sums are those of the members as they are stored. They are compared before anything is decompressed, so no
//! decompressor gets to see bytes that nobody vouches for.

mod manifest;

pub use manifest::ManifestError;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};

use formats::layer::archive::{Archive, ArchiveError, Kind, Member};
use formats::layer::shown;
use formats::units::Bytes;
use formats::unpack::Codec;
use thiserror::Error;

use self::manifest::{Line, Sums};
use crate::binary::section::Section;
use crate::binary::{Limits, Signatures};

/// Name of the first member.
const FORMAT: &str = "gpkg-1";

/// What a clearsigned text begins with.
const SIGNED: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";

/// Why a file is not a sound gpkg.
#[derive(Debug, Error)]
pub enum GpkgError {
    /// The tar around the members cannot be read.
    #[error("the package is no sound tar")]
    Archive(#[from] ArchiveError),
    /// The file cannot be read.
    #[error("cannot read the package")]
    Read(#[from] io::Error),
    /// A member lies elsewhere than one folder deep.
    #[error("member {} is not of the form FOLDER/NAME", shown(name))]
    Nested {
        /// Its name.
        name: Vec<u8>,
    },
    /// Members lie in different folders.
    #[error(
        "member {} does not lie in the folder {}, where the first one does",
        shown(name),
        shown(folder)
    )]
    Folder {
        /// Its name.
        name: Vec<u8>,
        /// Folder of the first member.
        folder: Vec<u8>,
    },
    /// A member is not a plain file.
    #[error("member {} is {what}, and can only be a file", shown(name))]
    Kind {
        /// Its name.
        name: Vec<u8>,
        /// What it is.
        what: &'static str,
    },
    /// A name comes twice.
    #[error("member `{name}` comes twice")]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// There are too many members.
    #[error("the package has more than the limit of {limit} members")]
    Members {
        /// Most members allowed.
        limit: usize,
    },
    /// The first member is another one.
    #[error(
        "the first member is {}, not `{FORMAT}`: this is no package, or one of a later format",
        shown(name)
    )]
    First {
        /// Its name.
        name: Vec<u8>,
    },
    /// A member that every package has is missing.
    #[error("member `{name}` is missing")]
    Missing {
        /// Its name, less its suffix.
        name: &'static str,
    },
    /// There are two members for the same thing.
    #[error("members `{first}` and `{second}` exclude each other")]
    Both {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A member is compressed in a way that is not read.
    #[error(
        "member `{name}` is compressed with {what}, which is not supported: use a package that was built with \
         BINPKG_COMPRESS=\"zstd\", or bzip2, gzip, xz or none"
    )]
    Compression {
        /// Its name.
        name: String,
        /// What it is compressed with.
        what: String,
    },
    /// A member is not compressed with what its name says.
    #[error("member `{name}` is stored with {found}, not with what its name says")]
    Suffix {
        /// Its name.
        name: String,
        /// How it is compressed.
        found: &'static str,
    },
    /// The Manifest is too long.
    #[error("the Manifest of {size} bytes is above the limit of {limit}")]
    ManifestSize {
        /// Its length.
        size: u64,
        /// Longest Manifest allowed.
        limit: Bytes,
    },
    /// The Manifest has to be signed.
    #[error("the package is not signed, and its source requires a signature")]
    Unsigned,
    /// The Manifest is signed, but not by somebody who counts.
    #[error("the signature of the Manifest is refused: {reason}")]
    Signature {
        /// Why.
        reason: String,
    },
    /// The Manifest cannot be read.
    #[error("the Manifest is malformed")]
    Manifest(#[from] ManifestError),
    /// A member is not in the Manifest.
    #[error("member `{name}` is not in the Manifest")]
    Unlisted {
        /// Its name.
        name: String,
    },
    /// The Manifest has what is not a member.
    #[error("the Manifest lists `{name}`, which is no member")]
    Listed {
        /// Its name.
        name: String,
    },
    /// A member has another length.
    #[error("member `{name}` has {found} bytes, and {expected} by the Manifest")]
    Size {
        /// Its name.
        name: String,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// A member has another sum.
    #[error("member `{name}` does not have the {hash} that the Manifest gives it")]
    Sum {
        /// Its name.
        name: String,
        /// Name of the hash.
        hash: &'static str,
    },
}

/// Where a part of a package is, and how it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub offset: u64,
    pub length: u64,
    pub codec: Codec,
}

/// The parts of a package whose sums were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub metadata: Part,
    pub image: Part,
}

/// A member as it was found.
struct Found {
    offset: u64,
    size: u64,
    sums: Sums,
}

/// Locates the parts of a package in `file`, all of whose `size` bytes are read.
pub(crate) fn locate(
    file: &File,
    size: u64,
    limits: &Limits,
    signatures: &dyn Signatures,
) -> Result<Parts, GpkgError> {
    let Container {
        mut members,
        manifest,
    } = members(file, size, limits)?;
    let manifest = manifest.ok_or(GpkgError::Missing { name: "Manifest" })?;
    let mut lines = manifest::parse(&text(manifest, signatures)?)?;
    let metadata = part(&members, "metadata.tar")?;
    let image = part(&members, "image.tar")?;
    while let Some((name, found)) = members.pop_first() {
        check(name, found, &mut lines)?;
    }
    match lines.pop_first() {
        Some((name, _)) => Err(GpkgError::Listed { name }),
        None => Ok(Parts {
            metadata: sound(file, metadata)?,
            image: sound(file, image)?,
        }),
    }
}

/// What a tar around members has.
#[derive(Default)]
struct Container {
    /// All but the Manifest.
    members: BTreeMap<String, Found>,
    manifest: Option<Vec<u8>>,
}

/// Reads the tar around the members and sums up each.
fn members(file: &File, size: u64, limits: &Limits) -> Result<Container, GpkgError> {
    let input = BufReader::with_capacity(BUFFER, Section::new(file, 0, size));
    let mut archive = Archive::plain(input, u64::MAX);
    let mut container = Container::default();
    let mut folder = None;
    while let Some(member) = archive.next_member()? {
        let is_first = container.members.is_empty() && container.manifest.is_none();
        if is_first && member.name.rsplit(|byte| *byte == b'/').next() != Some(FORMAT.as_bytes()) {
            return Err(GpkgError::First { name: member.name });
        }
        let (its_folder, name) = split(&member)?;
        let folder: &Vec<u8> = folder.get_or_insert_with(|| its_folder.to_vec());
        if *folder != its_folder {
            return Err(GpkgError::Folder {
                name: member.name,
                folder: folder.clone(),
            });
        }
        let is_manifest = name == "Manifest";
        if container.members.contains_key(name) || is_manifest && container.manifest.is_some() {
            return Err(GpkgError::Duplicate {
                name: name.to_owned(),
            });
        }
        if container.members.len() >= limits.members {
            return Err(GpkgError::Members {
                limit: limits.members,
            });
        }
        if is_manifest {
            if member.size > limits.manifest.0 {
                return Err(GpkgError::ManifestSize {
                    size: member.size,
                    limit: limits.manifest,
                });
            }
            // It is not longer than the limit, so it fits.
            let mut manifest = vec![0; member.size as usize];
            archive.read_data(&mut manifest)?;
            container.manifest = Some(manifest);
            continue;
        }
        let offset = archive.offset();
        let sums = sum(&mut archive, member.size)?;
        let size = member.size;
        container
            .members
            .insert(name.to_owned(), Found { offset, size, sums });
    }
    Ok(container)
}

/// Bytes read at once.
const BUFFER: usize = 128 << 10;

/// Sums of the `size` bytes of data of a member.
fn sum(archive: &mut Archive<'_>, size: u64) -> Result<Sums, GpkgError> {
    let mut sums = Sums::default();
    let mut buffer = vec![0; BUFFER];
    let mut left = size;
    while left > 0 {
        let step = left.min(BUFFER as u64);
        let bytes = &mut buffer[..step as usize];
        archive.read_data(bytes)?;
        sums.update(bytes);
        left -= step;
    }
    Ok(sums)
}

/// Folder and name of a member that is a file in a folder.
fn split(member: &Member) -> Result<(&[u8], &str), GpkgError> {
    let full = &member.name;
    let nested = || GpkgError::Nested { name: full.clone() };
    let slash = full.iter().position(|byte| *byte == b'/').ok_or_else(nested)?;
    let (folder, name) = (&full[..slash], &full[slash + 1..]);
    let name = str::from_utf8(name).map_err(|_| nested())?;
    let is_plain = |component: &[u8]| !matches!(component, b"" | b"." | b"..") && !component.contains(&b'/');
    if !is_plain(folder) || !is_plain(name.as_bytes()) || name.contains(char::is_control) {
        return Err(nested());
    }
    let is_whole =
        |region: &formats::layer::archive::Region| (region.offset, region.length) == (0, member.size);
    let what = match member.kind {
        Kind::File if member.regions.iter().all(is_whole) => return Ok((folder, name)),
        Kind::File => "a sparse file",
        kind => kind.what(),
    };
    Err(GpkgError::Kind {
        name: full.clone(),
        what,
    })
}

/// The text of a Manifest, for which somebody who counts vouches where that is wanted.
fn text(manifest: Vec<u8>, signatures: &dyn Signatures) -> Result<Vec<u8>, GpkgError> {
    if manifest.trim_ascii_start().starts_with(SIGNED) {
        signatures
            .text(&manifest)
            .map_err(|reason| GpkgError::Signature { reason })
    } else if signatures.required() {
        Err(GpkgError::Unsigned)
    } else {
        Ok(manifest)
    }
}

/// Compares a member with its line, which is taken out.
fn check(name: String, found: Found, lines: &mut BTreeMap<String, Line>) -> Result<(), GpkgError> {
    let Some(line) = lines.remove(&name) else {
        return Err(GpkgError::Unlisted { name });
    };
    if line.size != found.size {
        return Err(GpkgError::Size {
            name,
            expected: line.size,
            found: found.size,
        });
    }
    match line.differs(&found.sums.finish()) {
        Some(algorithm) => Err(GpkgError::Sum {
            name,
            hash: algorithm.name(),
        }),
        None => Ok(()),
    }
}

/// The one member that is called `stem`, with or without the suffix of a compression.
fn part(members: &BTreeMap<String, Found>, stem: &'static str) -> Result<(String, Part), GpkgError> {
    let mut parts = members.iter().filter_map(|(name, found)| {
        let suffix = name.strip_prefix(stem)?;
        let is_other = !suffix.is_empty() && !suffix.starts_with('.') || suffix.ends_with(".sig");
        (!is_other).then_some((name, suffix, found))
    });
    let (name, suffix, found) = parts.next().ok_or(GpkgError::Missing { name: stem })?;
    if let Some((second, ..)) = parts.next() {
        return Err(GpkgError::Both {
            first: name.clone(),
            second: second.clone(),
        });
    }
    let codec = match suffix {
        "" => Codec::Plain,
        ".gz" => Codec::Gzip,
        ".bz2" => Codec::Bzip2,
        ".xz" => Codec::Xz,
        ".zst" => Codec::Zstd,
        _ => {
            let what = match suffix {
                ".lz4" => "lz4".to_owned(),
                ".lz" => "lzip".to_owned(),
                ".lzo" => "lzop".to_owned(),
                other => format!("what `{other}` stands for"),
            };
            return Err(GpkgError::Compression {
                name: name.clone(),
                what,
            });
        }
    };
    let part = Part {
        offset: found.offset,
        length: found.size,
        codec,
    };
    Ok((name.clone(), part))
}

/// The part, if it is compressed as its name says.
fn sound(file: &File, (name, part): (String, Part)) -> Result<Part, GpkgError> {
    let mut magic = Vec::new();
    let mut start = io::Read::take(
        Section::new(file, part.offset, part.length),
        formats::unpack::MAGIC as u64,
    );
    io::Read::read_to_end(&mut start, &mut magic)?;
    let found = match Codec::of(&magic) {
        Ok(found) if found == part.codec => return Ok(part),
        Ok(found) => found.name(),
        Err(unsupported) => unsupported.0,
    };
    Err(GpkgError::Suffix { name, found })
}
