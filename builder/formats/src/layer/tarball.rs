//! A root file system's tarball as a layer, read as a stream: nothing is unpacked to disk, and nothing that the
//! archive says is believed before it was checked.

use std::io::{Read, Write};

use thiserror::Error;

use super::archive::{Archive, ArchiveError, Kind, Member};
use super::builder::{BuildError, LayerBuilder};
use super::index::Index;
use super::packer::{PackError, Packing};
use super::path::{self, MAX_PATH, PathFault, shown};
use super::refusal::Refusal;
use super::{Attributes, Device, Entry, Extent, MAX_INLINE};
use crate::units::Bytes;

/// How a tarball is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TarOptions {
    /// How its files are stored.
    pub packing: Packing,
    /// Whether it may have device nodes.
    pub devices: Devices,
    /// What it may not exceed.
    pub limits: Limits,
}

/// Whether a tarball may have device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// It may.
    Allowed,
    /// The first one is an error.
    Refused,
}

/// What a tarball may not exceed. A small archive can unpack to any size; these stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub entries: usize,
    /// Largest file, holes included.
    pub file: Bytes,
    /// Most bytes of the unpacked tar, and of all files together with their holes.
    pub total: Bytes,
    /// Most bytes of memory for the entries themselves: names, targets, attributes, places of extents, inline files.
    pub metadata: Bytes,
    /// Longest path, in bytes.
    pub path: usize,
    /// Largest value of an extended attribute, in bytes.
    pub xattr: usize,
}

impl Default for Limits {
    /// Room for any root file system that goes on a card: a million entries, 16 GiB, what Linux allows in names.
    fn default() -> Self {
        Self {
            entries: 1 << 20,
            file: Bytes::gib(8),
            total: Bytes::gib(16),
            metadata: Bytes::mib(512),
            path: MAX_PATH,
            xattr: super::refusal::MAX_XATTR,
        }
    }
}

impl Limits {
    /// For an archive of the user's own choice: as large as disks are. What has to fit into memory stays limited, and
    /// with it the number of entries.
    pub fn of_memory() -> Self {
        Self {
            entries: usize::MAX,
            file: Bytes(super::refusal::MAX_FILE),
            total: Bytes(u64::MAX),
            ..Self::default()
        }
    }
}

/// Why a tarball did not become a layer.
#[derive(Debug, Error)]
pub enum TarError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry is not accepted.
    #[error("entry {} is refused: {reason}", shown(name))]
    Refused {
        /// The name as the archive gives it.
        name: Vec<u8>,
        /// Why.
        reason: Refusal,
    },
    /// There are too many entries.
    #[error("entry {} is one more than the limit of {limit} entries", shown(name))]
    Entries {
        /// The first that is too many.
        name: Vec<u8>,
        /// Most entries allowed.
        limit: usize,
    },
    /// The files are too large together.
    #[error(
        "with entry {} the files have more than the limit of {limit} together",
        shown(name)
    )]
    Total {
        /// The first that is too much.
        name: Vec<u8>,
        /// Most bytes allowed.
        limit: Bytes,
    },
    /// The entries take too much memory.
    #[error(
        "with entry {} names, attributes and maps take more than the limit of {limit}",
        shown(name)
    )]
    Metadata {
        /// The first that is too much.
        name: Vec<u8>,
        /// Most bytes allowed.
        limit: Bytes,
    },
    /// Compressing or writing failed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// Reads the tarball `tar` (plain, gzip, bzip2, xz or zstd, told by its first bytes) and writes its extents to `blob` as they
/// come. The result depends on the tar and on `options` without `jobs`, on nothing else; with the blob it makes a
/// layer ([`Index::with_blob`]). After an error the blob is worth nothing.
pub fn from_tar(tar: impl Read, blob: impl Write, options: &TarOptions) -> Result<Index, TarError> {
    let limits = &options.limits;
    let mut archive = Archive::open(tar, limits.total.0)?;
    let mut layer = LayerBuilder::new(options.packing, blob)?;
    let mut total: u64 = 0;
    let mut metadata: u64 = 0;
    while let Some(mut member) = archive.next_member()? {
        let name = std::mem::take(&mut member.name);
        if layer.len() >= limits.entries {
            return Err(TarError::Entries {
                name,
                limit: limits.entries,
            });
        }
        if member.kind == Kind::File {
            total = total.saturating_add(member.size);
        }
        // A file that is too large by itself is refused for that, below.
        if total > limits.total.0 && member.size <= limits.file.0 {
            return Err(TarError::Total {
                name,
                limit: limits.total,
            });
        }
        metadata = metadata.saturating_add(memory(&name, &member));
        if metadata > limits.metadata.0 {
            return Err(TarError::Metadata {
                name,
                limit: limits.metadata,
            });
        }
        add(&mut layer, &mut archive, &name, member, options).map_err(|error| match error {
            AddError::Refused(reason) | AddError::Build(BuildError::Refused { reason, .. }) => {
                TarError::Refused { name, reason }
            }
            AddError::Build(BuildError::Pack(error)) => error.into(),
            AddError::Build(BuildError::Read { source, .. }) => archive.read_error(source).into(),
            AddError::Archive(error) => error.into(),
        })?;
    }
    Ok(layer.finish()?.0)
}

/// About how many bytes of memory a member's entry takes until the layer is finished.
fn memory(name: &[u8], member: &Member) -> u64 {
    let xattrs: usize = member
        .xattrs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let fixed = size_of::<Entry>() + size_of::<Extent>() * member.regions.len();
    let inline = if member.size <= MAX_INLINE { member.size } else { 0 };
    (fixed + name.len() + member.target.len() + xattrs) as u64 + inline
}

enum AddError {
    Refused(Refusal),
    Build(BuildError),
    Archive(ArchiveError),
}

impl From<Refusal> for AddError {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

impl From<BuildError> for AddError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

fn add<W: Write>(
    layer: &mut LayerBuilder<W>,
    archive: &mut Archive<'_>,
    name: &[u8],
    member: Member,
    options: &TarOptions,
) -> Result<(), AddError> {
    let limits = &options.limits;
    let path = member_path(name, member.kind, limits.path).map_err(Refusal::Path)?;
    let attributes = Attributes {
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        mtime: member.mtime,
        xattrs: member.xattrs,
    };
    if let Some((name, value)) = attributes
        .xattrs
        .iter()
        .find(|(_, value)| value.len() > limits.xattr)
    {
        let (name, length) = (name.clone(), value.len());
        return Err(Refusal::XattrSize {
            name,
            length,
            limit: limits.xattr,
        }
        .into());
    }
    let device = Device {
        major: member.devmajor,
        minor: member.devminor,
    };
    match member.kind {
        Kind::Directory => layer.directory(path, attributes)?,
        Kind::Symlink => layer.symlink(path, attributes, &member.target)?,
        Kind::Hardlink => {
            let target = member.target.strip_prefix(b"./").unwrap_or(&member.target);
            layer.hardlink(path, target)?;
        }
        Kind::CharacterDevice | Kind::BlockDevice if options.devices == Devices::Refused => {
            return Err(Refusal::Device.into());
        }
        Kind::CharacterDevice => layer.character_device(path, attributes, device)?,
        Kind::BlockDevice => layer.block_device(path, attributes, device)?,
        Kind::Fifo => layer.fifo(path, attributes)?,
        Kind::File => {
            if member.size > limits.file.0 {
                return Err(Refusal::Size {
                    size: member.size,
                    limit: limits.file.0,
                }
                .into());
            }
            layer.sparse_file(path, attributes, member.size, &member.regions, |buffer| {
                archive.read_data(buffer).map_err(AddError::Archive)
            })?;
        }
    }
    Ok(())
}

/// The path of an entry in a layer, of at most `limit` bytes: without the `./` in front and, for a directory, the `/`
/// behind. The root is the empty path.
pub fn member_path(name: &[u8], kind: Kind, limit: usize) -> Result<&[u8], PathFault> {
    if name.len() > limit {
        return Err(PathFault::Long {
            length: name.len(),
            limit,
        });
    }
    if name.is_empty() {
        return Err(PathFault::EmptyComponent);
    }
    let mut path = name;
    if kind == Kind::Directory {
        if path == b"." || path == b"./" {
            return Ok(b"");
        }
        path = path.strip_suffix(b"/").unwrap_or(path);
    }
    path = path.strip_prefix(b"./").unwrap_or(path);
    if path.is_empty() {
        return Err(if name.starts_with(b"/") {
            PathFault::Absolute
        } else {
            PathFault::EmptyComponent
        });
    }
    path::check(path, limit)?;
    Ok(path)
}
