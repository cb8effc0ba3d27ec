//! The items of a subvolume's tree: inodes with their names, attributes and data.

use std::collections::BTreeMap;

use zerocopy::IntoBytes;

use super::data::DataPlan;
use super::disk::{DiskKey, DiskTime, GENERATION, Key, MAX_ITEM, kind};
use super::error::{VolumeError, printable};
use super::hash;
use super::items::Items;
use super::namespace::{Body, Child, Inode, Subvolume};
use super::records::{DirItem, FileExtent, FileExtentHead, InodeExtref, InodeItem, InodeRef, file_type};
use crate::blob::Blob;
use crate::layer::{Content, Data, Device, Encoding, Extent};
use crate::tree::{InodeKind, Share};

/// Longest target of a symbolic link: it is inline, below one sector.
const MAX_TARGET: usize = 4095;

/// Longest name of an extended attribute, in bytes (`XATTR_NAME_MAX`).
const MAX_XATTR_NAME: usize = 255;

/// Largest extended attribute, name and value (`BTRFS_MAX_XATTR_SIZE`).
const MAX_XATTR: usize = MAX_ITEM - size_of::<DirItem>();

/// File types as the mode of an inode has them (`S_IF*`).
pub(super) mod mode {
    pub const FIFO: u32 = 0o010_000;
    pub const CHARACTER_DEVICE: u32 = 0o020_000;
    pub const DIRECTORY: u32 = 0o040_000;
    pub const BLOCK_DEVICE: u32 = 0o060_000;
    pub const FILE: u32 = 0o100_000;
    pub const SYMLINK: u32 = 0o120_000;
    pub const SOCKET: u32 = 0o140_000;
    /// What a tree's attributes may hold.
    pub const PERMISSIONS: u32 = 0o007_777;
}

/// All items of a subvolume's tree.
pub(super) fn items(subvolume: &Subvolume<'_>, data: &DataPlan<'_>) -> Result<Items, VolumeError> {
    let mut items = Items::default();
    for (position, inode) in subvolume.inodes.iter().enumerate() {
        let writer = Writer {
            items: &mut items,
            inode,
            path: &|| subvolume.path(position),
        };
        writer.write(data)?;
    }
    items.sort();
    Ok(items)
}

/// Writes the items of one inode.
struct Writer<'w, 'a> {
    items: &'w mut Items,
    inode: &'w Inode<'a>,
    path: &'w dyn Fn() -> String,
}

/// What differs between kinds of inodes.
#[derive(Default)]
struct Nature {
    mode: u32,
    size: u64,
    bytes: u64,
    device: u64,
}

impl Writer<'_, '_> {
    fn write(mut self, data: &DataPlan<'_>) -> Result<(), VolumeError> {
        let inode = self.inode;
        let nature = match &inode.body {
            Body::Directory(children) => self.directory(children)?,
            Body::Other(InodeKind::File(content, blob)) => self.file(content, blob, data),
            Body::Other(InodeKind::Symlink(target)) => self.symlink(target)?,
            Body::Other(InodeKind::CharacterDevice(device)) => {
                self.device(mode::CHARACTER_DEVICE, *device)?
            }
            Body::Other(InodeKind::BlockDevice(device)) => self.device(mode::BLOCK_DEVICE, *device)?,
            Body::Other(InodeKind::Fifo) => Nature {
                mode: mode::FIFO,
                ..Nature::default()
            },
            Body::Other(InodeKind::Socket) => Nature {
                mode: mode::SOCKET,
                ..Nature::default()
            },
            // Directories have a body of their own.
            Body::Other(InodeKind::Directory(_)) => Nature {
                mode: mode::DIRECTORY,
                ..Nature::default()
            },
        };
        self.inode_item(&nature)?;
        self.names()?;
        self.xattrs()
    }

    /// Adds an item of this inode.
    fn push(&mut self, kind: u8, offset: u64, parts: &[&[u8]]) {
        self.items
            .push(Key::new(self.inode.number, kind, offset), self.inode.share, parts);
    }

    fn inode_item(&mut self, nature: &Nature) -> Result<(), VolumeError> {
        let attributes = self.inode.attributes;
        let limits = [
            ("mode", attributes.mode, mode::PERMISSIONS),
            (
                "nanoseconds of the time",
                attributes.mtime.nanoseconds,
                999_999_999,
            ),
        ];
        for (attribute, value, limit) in limits {
            if value > limit {
                let (value, limit) = (value.into(), limit.into());
                return Err(VolumeError::Attribute {
                    path: (self.path)(),
                    attribute,
                    value,
                    limit,
                });
            }
        }
        let time = DiskTime::from(attributes.mtime);
        let links = match self.inode.body {
            Body::Directory(_) => 1,
            // Checked against the limit of an inode before.
            Body::Other(_) => self.inode.links.len() as u32,
        };
        let item = InodeItem {
            generation: GENERATION.into(),
            transaction: GENERATION.into(),
            size: nature.size.into(),
            bytes: nature.bytes.into(),
            links: links.into(),
            uid: attributes.uid.into(),
            gid: attributes.gid.into(),
            mode: (nature.mode | attributes.mode).into(),
            device: nature.device.into(),
            atime: time,
            ctime: time,
            mtime: time,
            otime: time,
            ..InodeItem::default()
        };
        self.push(kind::INODE_ITEM, 0, &[item.as_bytes()]);
        Ok(())
    }

    /// The names of the inode: one INODE_REF for each directory that has some, and what does not fit into it as
    /// INODE_EXTREF, by hash.
    fn names(&mut self) -> Result<(), VolumeError> {
        let inode = self.inode;
        if inode.links.is_empty() {
            self.push(
                kind::INODE_REF,
                inode.number,
                &[own_parent().as_bytes(), OWN_PARENT],
            );
            return Ok(());
        }
        let mut references: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut overflow: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for link in &inode.links {
            // Names are at most 255 bytes.
            let name_length = (link.name.len() as u16).into();
            let item = references.entry(link.parent).or_default();
            if item.len() + size_of::<InodeRef>() + link.name.len() <= MAX_ITEM {
                let head = InodeRef {
                    index: link.index.into(),
                    name_length,
                };
                item.extend_from_slice(head.as_bytes());
                item.extend_from_slice(link.name);
            } else {
                let head = InodeExtref {
                    parent: link.parent.into(),
                    index: link.index.into(),
                    name_length,
                };
                let item = overflow.entry(hash::extref(link.parent, link.name)).or_default();
                item.extend_from_slice(head.as_bytes());
                item.extend_from_slice(link.name);
            }
        }
        for (parent, item) in &references {
            self.push(kind::INODE_REF, *parent, &[item]);
        }
        self.push_by_hash(kind::INODE_EXTREF, &overflow)
    }

    fn xattrs(&mut self) -> Result<(), VolumeError> {
        let mut by_hash: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (name, value) in &self.inode.attributes.xattrs {
            let size = name.len() + value.len();
            let reason = match name.len() {
                0 => Some("has no name"),
                length if length > MAX_XATTR_NAME => Some("has a name longer than 255 bytes"),
                _ if size > MAX_XATTR => Some("does not fit into a leaf, which has room for 16228 bytes"),
                _ => None,
            };
            if let Some(reason) = reason {
                let (path, name) = ((self.path)(), printable(name));
                return Err(VolumeError::Xattr {
                    path,
                    name,
                    size,
                    reason,
                });
            }
            let head = DirItem {
                location: DiskKey::default(),
                transaction: GENERATION.into(),
                // Both were just found to fit into a leaf.
                data_length: (value.len() as u16).into(),
                name_length: (name.len() as u16).into(),
                file_type: file_type::XATTR,
            };
            let item = by_hash.entry(hash::name(name)).or_default();
            item.extend_from_slice(head.as_bytes());
            item.extend_from_slice(name);
            item.extend_from_slice(value);
        }
        self.push_by_hash(kind::XATTR_ITEM, &by_hash)
    }

    /// Adds items that collect what shares a hash.
    fn push_by_hash(&mut self, kind: u8, items: &BTreeMap<u64, Vec<u8>>) -> Result<(), VolumeError> {
        for (&hash, item) in items {
            if item.len() > MAX_ITEM {
                let (size, limit) = (item.len(), MAX_ITEM);
                return Err(VolumeError::HashCollisions {
                    path: (self.path)(),
                    hash,
                    size,
                    limit,
                });
            }
            self.push(kind, hash, &[item]);
        }
        Ok(())
    }

    fn directory(&mut self, children: &[Child<'_>]) -> Result<Nature, VolumeError> {
        let mut by_hash: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut names = 0;
        for child in children {
            let head = DirItem {
                location: child.location.to_disk(),
                transaction: GENERATION.into(),
                data_length: 0.into(),
                // Names are at most 255 bytes.
                name_length: (child.name.len() as u16).into(),
                file_type: child.file_type,
            };
            self.push(kind::DIR_INDEX, child.index, &[head.as_bytes(), child.name]);
            let item = by_hash.entry(hash::name(child.name)).or_default();
            item.extend_from_slice(head.as_bytes());
            item.extend_from_slice(child.name);
            names += child.name.len() as u64;
        }
        self.push_by_hash(kind::DIR_ITEM, &by_hash)?;
        Ok(Nature {
            mode: mode::DIRECTORY,
            size: 2 * names,
            ..Nature::default()
        })
    }

    fn file(&mut self, content: &Content, blob: &Blob, data: &DataPlan<'_>) -> Nature {
        let bytes = match &content.data {
            Data::Inline { encoding, stored } => {
                self.inline(content.size, *encoding, stored);
                content.size
            }
            Data::Extents(extents) => {
                for extent in extents {
                    // Every extent of every file was planned.
                    let address = data.address(blob, extent).unwrap_or_default();
                    self.extent(extent, address);
                }
                extents.iter().map(|extent| extent.length).sum()
            }
        };
        Nature {
            mode: mode::FILE,
            size: content.size,
            bytes,
            device: 0,
        }
    }

    fn extent(&mut self, extent: &Extent, address: u64) {
        let item = FileExtent {
            head: head(extent.length, extent.encoding, FileExtentHead::REGULAR),
            address: address.into(),
            stored_length: extent.stored_length.into(),
            offset: 0.into(),
            length: extent.length.into(),
        };
        self.push(kind::EXTENT_DATA, extent.file_offset, &[item.as_bytes()]);
    }

    fn inline(&mut self, size: u64, encoding: Encoding, stored: &[u8]) {
        let head = head(size, encoding, FileExtentHead::INLINE);
        self.push(kind::EXTENT_DATA, 0, &[head.as_bytes(), stored]);
    }

    fn symlink(&mut self, target: &[u8]) -> Result<Nature, VolumeError> {
        let length = target.len();
        if length == 0 || length > MAX_TARGET {
            return Err(VolumeError::Symlink {
                path: (self.path)(),
                length,
                limit: MAX_TARGET,
            });
        }
        let size = length as u64;
        self.inline(size, Encoding::Raw, target);
        Ok(Nature {
            mode: mode::SYMLINK,
            size,
            bytes: size,
            device: 0,
        })
    }

    fn device(&self, mode: u32, Device { major, minor }: Device) -> Result<Nature, VolumeError> {
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(VolumeError::Device {
                path: (self.path)(),
                major,
                minor,
            });
        }
        Ok(Nature {
            mode,
            device: u64::from(major) << 20 | u64::from(minor),
            ..Nature::default()
        })
    }
}

/// The first fields of a run of `ram_bytes` bytes of a file.
fn head(ram_bytes: u64, encoding: Encoding, form: u8) -> FileExtentHead {
    FileExtentHead {
        generation: GENERATION.into(),
        ram_bytes: ram_bytes.into(),
        compression: match encoding {
            Encoding::Raw => FileExtentHead::RAW,
            Encoding::Zstd => FileExtentHead::ZSTD,
        },
        encryption: 0,
        other_encoding: 0.into(),
        form,
    }
}

/// The items of a tree that has nothing but a root directory, `number`.
pub(super) fn empty_directory(items: &mut Items, number: u64, time: DiskTime, share: Share) {
    let inode = InodeItem {
        generation: GENERATION.into(),
        transaction: GENERATION.into(),
        links: 1.into(),
        mode: (mode::DIRECTORY | 0o755).into(),
        atime: time,
        ctime: time,
        mtime: time,
        otime: time,
        ..InodeItem::default()
    };
    items.push(Key::new(number, kind::INODE_ITEM, 0), share, &[inode.as_bytes()]);
    items.push(
        Key::new(number, kind::INODE_REF, number),
        share,
        &[own_parent().as_bytes(), OWN_PARENT],
    );
}

/// The name of a root directory, which is its own parent.
const OWN_PARENT: &[u8] = b"..";

/// What stands before [`OWN_PARENT`] in an INODE_REF.
fn own_parent() -> InodeRef {
    InodeRef {
        index: 0.into(),
        name_length: (OWN_PARENT.len() as u16).into(),
    }
}
