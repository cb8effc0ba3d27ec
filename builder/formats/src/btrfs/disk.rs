//! The words and blocks of the format: object ids, item types, keys, block headers. All of it little-endian, none of
//! it padded. Source: the "On-disk format" page of the btrfs documentation and `uapi/linux/btrfs_tree.h`.

use uuid::Uuid;
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::Time;

/// Bytes of a tree block, leaf or node: the default of mkfs.btrfs.
pub(super) const NODE_SIZE: usize = 16 * 1024;

/// Bytes of a tree block behind its header.
pub(super) const BLOCK_ROOM: usize = NODE_SIZE - size_of::<Header>();

/// Most bytes of one item's data: it fills a leaf alone.
pub(super) const MAX_ITEM: usize = BLOCK_ROOM - size_of::<ItemHead>();

/// Children of a node that is full.
pub(super) const FANOUT: usize = BLOCK_ROOM / size_of::<KeyPointer>();

/// The transaction that a fresh volume was written in; the kernel's first one is the next.
pub(super) const GENERATION: u64 = 1;

/// Bytes that RAID profiles cut chunks into; single and DUP carry it without using it.
pub(super) const STRIPE_LENGTH: u64 = 64 * 1024;

/// Object ids with a meaning of their own.
pub(super) mod object {
    /// Tree of the trees' roots.
    pub const ROOT_TREE: u64 = 1;
    /// Tree of what is allocated.
    pub const EXTENT_TREE: u64 = 2;
    /// Tree of the chunks and devices.
    pub const CHUNK_TREE: u64 = 3;
    /// Tree of what of the device the chunks use.
    pub const DEV_TREE: u64 = 4;
    /// The top-level subvolume.
    pub const FS_TREE: u64 = 5;
    /// The directory in the root tree that names the default subvolume.
    pub const ROOT_TREE_DIR: u64 = 6;
    /// Tree of the data's checksums.
    pub const CSUM_TREE: u64 = 7;
    /// Tree from subvolumes' UUIDs to their ids.
    pub const UUID_TREE: u64 = 9;
    /// Tree of what of the block groups is free.
    pub const FREE_SPACE_TREE: u64 = 10;
    /// Tree that the kernel's balance collects moved data in.
    pub const DATA_RELOC_TREE: u64 = -9_i64 as u64;
    /// Owner of all checksum items.
    pub const EXTENT_CSUM: u64 = -10_i64 as u64;
    /// Owner of all device items.
    pub const DEV_ITEMS: u64 = 1;
    /// Owner of all chunk items.
    pub const CHUNKS: u64 = 256;
    /// Last id of subvolumes.
    pub const LAST_FREE: u64 = -256_i64 as u64;
    /// First id of subvolumes, and the inode number of every subvolume's root directory.
    pub const FIRST_FREE: u64 = 256;
}

/// Item types, the middle part of a key.
pub(super) mod kind {
    pub const INODE_ITEM: u8 = 1;
    pub const INODE_REF: u8 = 12;
    pub const INODE_EXTREF: u8 = 13;
    pub const XATTR_ITEM: u8 = 24;
    pub const DIR_ITEM: u8 = 84;
    pub const DIR_INDEX: u8 = 96;
    pub const EXTENT_DATA: u8 = 108;
    pub const EXTENT_CSUM: u8 = 128;
    pub const ROOT_ITEM: u8 = 132;
    pub const ROOT_BACKREF: u8 = 144;
    pub const ROOT_REF: u8 = 156;
    pub const EXTENT_ITEM: u8 = 168;
    pub const METADATA_ITEM: u8 = 169;
    pub const TREE_BLOCK_REF: u8 = 176;
    pub const EXTENT_DATA_REF: u8 = 178;
    pub const BLOCK_GROUP_ITEM: u8 = 192;
    pub const FREE_SPACE_INFO: u8 = 198;
    pub const FREE_SPACE_EXTENT: u8 = 199;
    pub const DEV_EXTENT: u8 = 204;
    pub const DEV_ITEM: u8 = 216;
    pub const CHUNK_ITEM: u8 = 228;
    pub const UUID_SUBVOLUME: u8 = 251;
}

/// A key in memory; items of a tree are in order of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Key {
    /// What the item belongs to: an inode, an address, a tree.
    pub object: u64,
    /// One of [`kind`].
    pub kind: u8,
    /// What tells items of a kind apart: a file offset, a name's hash, a length.
    pub offset: u64,
}

impl Key {
    /// The key of these three parts.
    pub const fn new(object: u64, kind: u8, offset: u64) -> Self {
        Self { object, kind, offset }
    }

    /// The key as it is stored.
    pub fn to_disk(self) -> DiskKey {
        DiskKey {
            object: self.object.into(),
            kind: self.kind,
            offset: self.offset.into(),
        }
    }
}

/// A key, 17 bytes: `btrfs_disk_key`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct DiskKey {
    /// See [`Key::object`].
    pub object: U64,
    /// See [`Key::kind`].
    pub kind: u8,
    /// See [`Key::offset`].
    pub offset: U64,
}
const _: () = assert!(size_of::<DiskKey>() == 17);

impl From<DiskKey> for Key {
    fn from(key: DiskKey) -> Self {
        Self::new(key.object.get(), key.kind, key.offset.get())
    }
}

/// What every tree block opens with, 101 bytes: `btrfs_header`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// CRC-32C of the block behind this field, in the first four bytes.
    pub checksum: [u8; 32],
    /// The metadata UUID, which is the file system's where the superblock has no other.
    pub fsid: [u8; 16],
    /// Logical address of this block.
    pub address: U64,
    /// [`Header::FLAGS`].
    pub flags: U64,
    /// UUID of the chunk tree, alike in all blocks.
    pub chunk_tree_uuid: [u8; 16],
    /// Transaction that wrote the block.
    pub generation: U64,
    /// Id of the tree.
    pub owner: U64,
    /// Items of a leaf, children of a node.
    pub items: U32,
    /// 0 for a leaf.
    pub level: u8,
}
const _: () = assert!(size_of::<Header>() == 101);

impl Header {
    /// Written to disk (bit 0), and references are of the mixed kind (revision 1 in the top byte).
    pub const FLAGS: u64 = 1 | 1 << 56;
}

/// Where an item of a leaf is, 25 bytes: `btrfs_item`. They follow the header; the data grows down from the end.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ItemHead {
    /// The item's key.
    pub key: DiskKey,
    /// First byte of its data, counted from the end of the header.
    pub offset: U32,
    /// Bytes of its data.
    pub size: U32,
}
const _: () = assert!(size_of::<ItemHead>() == 25);

/// A child of a node, 33 bytes: `btrfs_key_ptr`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct KeyPointer {
    /// First key of the child.
    pub key: DiskKey,
    /// Logical address of the child.
    pub address: U64,
    /// Transaction that wrote the child.
    pub generation: U64,
}
const _: () = assert!(size_of::<KeyPointer>() == 33);

/// A time, 12 bytes: `btrfs_timespec`. Seconds are signed.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct DiskTime {
    /// Seconds since 1970.
    pub seconds: I64,
    /// Nanoseconds past them.
    pub nanoseconds: U32,
}
const _: () = assert!(size_of::<DiskTime>() == 12);

impl From<Time> for DiskTime {
    fn from(time: Time) -> Self {
        Self {
            seconds: time.seconds.into(),
            nanoseconds: time.nanoseconds.into(),
        }
    }
}

impl From<DiskTime> for Time {
    fn from(time: DiskTime) -> Self {
        Self {
            seconds: time.seconds.get(),
            nanoseconds: time.nanoseconds.get(),
        }
    }
}

/// The identifiers that every block carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    /// What tree blocks and the device item call the file system.
    pub metadata_uuid: Uuid,
    /// UUID of the chunk tree.
    pub chunk_tree_uuid: Uuid,
    /// UUID of the one device.
    pub device_uuid: Uuid,
}
