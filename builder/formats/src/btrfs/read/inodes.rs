//! Inodes, their attributes, and the names in directories.

use std::collections::BTreeMap;

use zerocopy::FromBytes;

use super::entries::{DirEntry, dir_items, name_of};
use super::runs::Run;
use super::tree::{Item, Items};
use super::{ReadError, Reader, Subvolume};
use crate::btrfs::disk::{Key, kind};
use crate::btrfs::files::mode;
use crate::btrfs::hash;
use crate::btrfs::records::InodeItem;
use crate::layer::{Attributes, Device};

/// File type bits of a mode.
const TYPE: u32 = 0o170_000;

/// Longest target of a symbolic link that is read, in bytes (Linux: `PATH_MAX`).
const MAX_TARGET: u64 = 4096;

/// An inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its number in the subvolume.
    pub number: u64,
    /// Owner, mode, time of the last change of the content, extended attributes.
    pub attributes: Attributes,
    /// What it is.
    pub kind: InodeKind,
    /// How many names it has.
    pub links: u32,
    /// Whether its data has checksums.
    pub(super) is_summed: bool,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InodeKind {
    /// A directory.
    Directory,
    /// A regular file of this many bytes.
    File(u64),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl InodeKind {
    /// What it is, with its article, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::CharacterDevice(_) => "a character device",
            Self::BlockDevice(_) => "a block device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
        }
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name: neither empty, nor `.` or `..`, without `/` and NUL.
    pub name: Vec<u8>,
    /// What it leads to.
    pub target: Target,
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An inode of the same subvolume.
    Inode(u64),
    /// The root directory of the subvolume of this id.
    Subvolume(u64),
}

impl Reader<'_> {
    /// An inode of a subvolume.
    pub fn inode(&self, subvolume: &Subvolume, number: u64) -> Result<Inode, ReadError> {
        let missing = || ReadError::Missing {
            tree: subvolume.id,
            what: format!("inode {number}"),
        };
        let first = Key::new(number, kind::INODE_ITEM, 0);
        let mut items = Items::from(self, subvolume.root, first)?;
        let item = items.next().transpose()?.filter(|item| item.key == first);
        let item = item.ok_or_else(missing)?;
        let record =
            InodeItem::read_from_bytes(item.data()).map_err(|_| item.wrong("has the wrong length"))?;
        let mut attributes = Attributes {
            mode: record.mode.get() & mode::PERMISSIONS,
            uid: record.uid.get(),
            gid: record.gid.get(),
            mtime: record.mtime.into(),
            xattrs: BTreeMap::new(),
        };
        if attributes.mtime.nanoseconds > 999_999_999 {
            return Err(item.wrong("has a time with more than a second of nanoseconds"));
        }
        let first = Key::new(number, kind::XATTR_ITEM, 0);
        for item in Items::from(self, subvolume.root, first)? {
            let item = item?;
            if (item.key.object, item.key.kind) != (number, kind::XATTR_ITEM) {
                break;
            }
            for entry in dir_items(&item) {
                let entry = entry?;
                if entry.name.is_empty() || entry.name.contains(&0) {
                    return Err(item.wrong("has an extended attribute without a legal name"));
                }
                attributes
                    .xattrs
                    .insert(entry.name.to_vec(), entry.value.to_vec());
            }
        }
        let device = || Device {
            // What the kernel takes of it: 12 and 20 bits.
            major: (record.device.get() >> 20) as u32 & 0xfff,
            minor: record.device.get() as u32 & 0xf_ffff,
        };
        let kind = match record.mode.get() & TYPE {
            mode::DIRECTORY => InodeKind::Directory,
            mode::FILE => InodeKind::File(record.size.get()),
            mode::SYMLINK => InodeKind::Symlink(self.target(subvolume, number, &item, record.size.get())?),
            mode::CHARACTER_DEVICE => InodeKind::CharacterDevice(device()),
            mode::BLOCK_DEVICE => InodeKind::BlockDevice(device()),
            mode::FIFO => InodeKind::Fifo,
            mode::SOCKET => InodeKind::Socket,
            _ => return Err(item.wrong("has a mode of no file type")),
        };
        Ok(Inode {
            number,
            attributes,
            kind,
            links: record.links.get(),
            is_summed: record.flags.get() & InodeItem::NO_CHECKSUMS == 0,
        })
    }

    /// The target of a symbolic link of `size` bytes.
    fn target(
        &self,
        subvolume: &Subvolume,
        number: u64,
        inode: &Item,
        size: u64,
    ) -> Result<Vec<u8>, ReadError> {
        if size == 0 || size > MAX_TARGET {
            return Err(inode.wrong("is a symbolic link of an impossible length"));
        }
        let key = Key::new(number, kind::EXTENT_DATA, 0);
        let item = Items::from(self, subvolume.root, key)?.next().transpose()?;
        let item = item.filter(|item| item.key == key);
        let item = item.ok_or_else(|| inode.wrong("is a symbolic link without a target"))?;
        let Run::Inline(mut bytes) = Run::parse(&item)? else {
            return Err(item.wrong("is no target of a symbolic link"));
        };
        // mkfs.btrfs stores the NUL behind the target, too.
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        match bytes.len() as u64 {
            0 => Err(item.wrong("is an empty target of a symbolic link")),
            length if length > size => Err(item.wrong("is longer than its symbolic link")),
            _ => Ok(bytes),
        }
    }

    /// The names in a directory, in order of their bytes.
    pub fn names(&self, subvolume: &Subvolume, directory: u64) -> Result<Vec<Name>, ReadError> {
        let first = Key::new(directory, kind::DIR_INDEX, 0);
        let mut names = Vec::new();
        for item in Items::from(self, subvolume.root, first)? {
            let item = item?;
            if (item.key.object, item.key.kind) != (directory, kind::DIR_INDEX) {
                break;
            }
            for entry in dir_items(&item) {
                names.push(name(&item, &entry?)?);
            }
        }
        names.sort_by(|one, other| one.name.cmp(&other.name));
        match names.windows(2).all(|pair| pair[0].name < pair[1].name) {
            true => Ok(names),
            false => Err(ReadError::Directory {
                tree: subvolume.id,
                inode: directory,
                reason: "has a name twice",
            }),
        }
    }

    /// What `wanted` leads to in a directory, if it is there.
    pub fn name(
        &self,
        subvolume: &Subvolume,
        directory: u64,
        wanted: &[u8],
    ) -> Result<Option<Target>, ReadError> {
        let key = Key::new(directory, kind::DIR_ITEM, hash::name(wanted));
        let item = Items::from(self, subvolume.root, key)?.next().transpose()?;
        let Some(item) = item.filter(|item| item.key == key) else {
            return Ok(None);
        };
        for entry in dir_items(&item) {
            let name = name(&item, &entry?)?;
            if name.name == wanted {
                return Ok(Some(name.target));
            }
        }
        Ok(None)
    }
}

fn name(item: &Item, entry: &DirEntry<'_>) -> Result<Name, ReadError> {
    let location = Key::from(entry.head.location);
    let target = match location.kind {
        kind::INODE_ITEM => Target::Inode(location.object),
        kind::ROOT_ITEM => Target::Subvolume(location.object),
        _ => return Err(item.wrong("leads to neither an inode nor a subvolume")),
    };
    let name = name_of(item, entry.name, entry.head.name_length.get())?.to_vec();
    Ok(Name { name, target })
}
