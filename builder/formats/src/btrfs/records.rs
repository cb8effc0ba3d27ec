//! The data of items as structs. Source: `uapi/linux/btrfs_tree.h`, whose names stand in the first line of each.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::disk::{DiskKey, DiskTime};

/// An inode, 160 bytes: `btrfs_inode_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct InodeItem {
    /// Transaction that made it.
    pub generation: U64,
    /// Transaction that last changed it.
    pub transaction: U64,
    /// Bytes of a file or symlink; of a directory, twice the sum of its names' lengths.
    pub size: U64,
    /// Bytes of the file that extents cover, before compression.
    pub bytes: U64,
    /// Not used any more: 0.
    pub block_group: U64,
    /// Names; always 1 for a directory.
    pub links: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Type and permissions.
    pub mode: U32,
    /// `major << 20 | minor` of a device.
    pub device: U64,
    /// `BTRFS_INODE_*`: 0, which is checksummed and copied on write.
    pub flags: U64,
    /// Counter for NFS.
    pub sequence: U64,
    /// 0.
    pub reserved: [U64; 4],
    /// Last read.
    pub atime: DiskTime,
    /// Last change of the inode.
    pub ctime: DiskTime,
    /// Last change of the content.
    pub mtime: DiskTime,
    /// When it was made.
    pub otime: DiskTime,
}
const _: () = assert!(size_of::<InodeItem>() == 160);

impl InodeItem {
    /// Flag: its data has no checksums.
    pub const NO_CHECKSUMS: u64 = 1;
}

/// A name of an inode in the directory that the key names, 10 bytes and the name: `btrfs_inode_ref`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeRef {
    /// The name's DIR_INDEX.
    pub index: U64,
    /// Bytes of the name that follows.
    pub name_length: U16,
}
const _: () = assert!(size_of::<InodeRef>() == 10);

/// A name of an inode that found no room in the INODE_REF, 18 bytes and the name: `btrfs_inode_extref`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeExtref {
    /// Inode of the directory.
    pub parent: U64,
    /// The name's DIR_INDEX.
    pub index: U64,
    /// Bytes of the name that follows.
    pub name_length: U16,
}
const _: () = assert!(size_of::<InodeExtref>() == 18);

/// A name in a directory or an extended attribute, 30 bytes, then the name, then the value: `btrfs_dir_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DirItem {
    /// Key of the inode or of the subvolume's root; zeros for an attribute.
    pub location: DiskKey,
    /// Transaction that wrote it.
    pub transaction: U64,
    /// Bytes of the value.
    pub data_length: U16,
    /// Bytes of the name.
    pub name_length: U16,
    /// One of [`file_type`].
    pub file_type: u8,
}
const _: () = assert!(size_of::<DirItem>() == 30);

/// What a [`DirItem`] says that its target is.
pub(super) mod file_type {
    pub const FILE: u8 = 1;
    pub const DIRECTORY: u8 = 2;
    pub const CHARACTER_DEVICE: u8 = 3;
    pub const BLOCK_DEVICE: u8 = 4;
    pub const FIFO: u8 = 5;
    pub const SOCKET: u8 = 6;
    pub const SYMLINK: u8 = 7;
    pub const XATTR: u8 = 8;
}

/// What every run of a file's data opens with, 21 bytes: the first fields of `btrfs_file_extent_item`.
/// The data follows it when it is inline.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileExtentHead {
    /// Transaction that wrote it.
    pub generation: U64,
    /// Bytes of the file in the whole extent, before compression.
    pub ram_bytes: U64,
    /// [`FileExtentHead::RAW`] or [`FileExtentHead::ZSTD`].
    pub compression: u8,
    /// 0.
    pub encryption: u8,
    /// 0.
    pub other_encoding: U16,
    /// [`FileExtentHead::INLINE`], [`FileExtentHead::REGULAR`] or [`FileExtentHead::RESERVED`].
    pub form: u8,
}
const _: () = assert!(size_of::<FileExtentHead>() == 21);

impl FileExtentHead {
    /// Stored as it is.
    pub const RAW: u8 = 0;
    /// One zstd frame.
    pub const ZSTD: u8 = 3;
    /// The data is in the item.
    pub const INLINE: u8 = 0;
    /// The data is in a data extent.
    pub const REGULAR: u8 = 1;
    /// A data extent is reserved and reads as zeros.
    pub const RESERVED: u8 = 2;
}

/// A run of a file's data in a data extent, 53 bytes: `btrfs_file_extent_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileExtent {
    /// See there.
    pub head: FileExtentHead,
    /// Logical address of the extent.
    pub address: U64,
    /// Bytes it has on disk.
    pub stored_length: U64,
    /// Where in the (decompressed) extent the run starts.
    pub offset: U64,
    /// Bytes of the file it covers.
    pub length: U64,
}
const _: () = assert!(size_of::<FileExtent>() == 53);

/// An extent in use, 24 bytes, then its inline references: `btrfs_extent_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentItem {
    /// References, inline and keyed together.
    pub references: U64,
    /// Transaction that allocated it.
    pub generation: U64,
    /// [`ExtentItem::DATA`] or [`ExtentItem::TREE_BLOCK`].
    pub flags: U64,
}
const _: () = assert!(size_of::<ExtentItem>() == 24);

impl ExtentItem {
    /// Data of files.
    pub const DATA: u64 = 1;
    /// A block of a tree.
    pub const TREE_BLOCK: u64 = 2;
    /// Most bytes of an EXTENT_ITEM before references get items of their own: a sixteenth of a leaf's room less an
    /// item head (`BTRFS_MAX_EXTENT_ITEM_SIZE`).
    pub const MAX: usize = super::disk::BLOCK_ROOM / 16 - size_of::<super::disk::ItemHead>();
}

/// The reference that a tree has to its block, 9 bytes: `btrfs_extent_inline_ref`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct TreeBlockRef {
    /// TREE_BLOCK_REF.
    pub kind: u8,
    /// Id of the tree.
    pub root: U64,
}
const _: () = assert!(size_of::<TreeBlockRef>() == 9);

/// A reference from a file to a data extent, 28 bytes: `btrfs_extent_data_ref`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct DataRef {
    /// Id of the subvolume.
    pub root: U64,
    /// Inode number.
    pub inode: U64,
    /// Where in the file the extent's first byte is or would be.
    pub offset: U64,
    /// File extent items that agree in all of this.
    pub count: U32,
}
const _: () = assert!(size_of::<DataRef>() == 28);

/// A block group's use, 24 bytes: `btrfs_block_group_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BlockGroupItem {
    /// Bytes in use.
    pub used: U64,
    /// Object of the chunk's key.
    pub chunk_object: U64,
    /// Type and profile, as in the chunk.
    pub flags: U64,
}
const _: () = assert!(size_of::<BlockGroupItem>() == 24);

/// How much of a block group is free, 8 bytes: `btrfs_free_space_info`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FreeSpaceInfo {
    /// Free runs.
    pub extents: U32,
    /// 0: runs are items, not bitmaps.
    pub flags: U32,
}
const _: () = assert!(size_of::<FreeSpaceInfo>() == 8);

/// The device, 98 bytes: `btrfs_dev_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct DevItem {
    /// 1.
    pub device: U64,
    /// Bytes of the device that the volume may use.
    pub total_bytes: U64,
    /// Bytes in chunks, copies counted.
    pub bytes_used: U64,
    /// A sector.
    pub io_align: U32,
    /// A sector.
    pub io_width: U32,
    /// A sector.
    pub sector_size: U32,
    /// 0.
    pub kind: U64,
    /// 0.
    pub generation: U64,
    /// 0.
    pub start_offset: U64,
    /// 0.
    pub group: U32,
    /// 0.
    pub seek_speed: u8,
    /// 0.
    pub bandwidth: u8,
    /// The device's UUID.
    pub uuid: [u8; 16],
    /// The metadata UUID.
    pub fsid: [u8; 16],
}
const _: () = assert!(size_of::<DevItem>() == 98);

/// A chunk, 48 bytes, then its stripes: `btrfs_chunk` without its first stripe.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ChunkItem {
    /// Logical bytes.
    pub length: U64,
    /// The extent tree.
    pub owner: U64,
    /// Bytes of a stripe unit.
    pub stripe_length: U64,
    /// Type and profile.
    pub flags: U64,
    /// A stripe unit.
    pub io_align: U32,
    /// A stripe unit.
    pub io_width: U32,
    /// A sector.
    pub sector_size: U32,
    /// Copies.
    pub stripes: U16,
    /// 1; of use to RAID10 only.
    pub sub_stripes: U16,
}
const _: () = assert!(size_of::<ChunkItem>() == 48);

/// One copy of a chunk, 32 bytes: `btrfs_stripe`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Stripe {
    /// 1.
    pub device: U64,
    /// Byte of the device.
    pub offset: U64,
    /// The device's UUID.
    pub device_uuid: [u8; 16],
}
const _: () = assert!(size_of::<Stripe>() == 32);

/// A run of the device in use by a chunk, 48 bytes: `btrfs_dev_extent`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DevExtent {
    /// The chunk tree.
    pub chunk_tree: U64,
    /// Object of the chunk's key.
    pub chunk_object: U64,
    /// Logical address of the chunk.
    pub chunk: U64,
    /// Bytes.
    pub length: U64,
    /// UUID of the chunk tree.
    pub chunk_tree_uuid: [u8; 16],
}
const _: () = assert!(size_of::<DevExtent>() == 48);

/// The root of a tree, 439 bytes: `btrfs_root_item`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RootItem {
    /// A directory's inode that nothing reads, kept as mkfs.btrfs and the kernel write it.
    pub inode: InodeItem,
    /// Transaction that wrote the root.
    pub generation: U64,
    /// Inode of the root directory; 0 where the tree has no inodes.
    pub root_directory: U64,
    /// Logical address of the root block.
    pub address: U64,
    /// 0.
    pub byte_limit: U64,
    /// Bytes of the tree's blocks.
    pub bytes_used: U64,
    /// 0.
    pub last_snapshot: U64,
    /// [`RootItem::READ_ONLY`] or 0.
    pub flags: U64,
    /// 1.
    pub references: U32,
    /// Zeros: not being dropped.
    pub drop_progress: DiskKey,
    /// 0.
    pub drop_level: u8,
    /// Level of the root block.
    pub level: u8,
    /// `generation` again; what follows is valid because both agree.
    pub generation_v2: U64,
    /// The subvolume's UUID.
    pub uuid: [u8; 16],
    /// Zeros: not a snapshot.
    pub parent_uuid: [u8; 16],
    /// Zeros: not received.
    pub received_uuid: [u8; 16],
    /// Transaction of the last change.
    pub change_transaction: U64,
    /// Transaction that made it.
    pub origin_transaction: U64,
    /// 0: not sent.
    pub send_transaction: U64,
    /// 0: not received.
    pub receive_transaction: U64,
    /// Last change.
    pub ctime: DiskTime,
    /// When it was made.
    pub otime: DiskTime,
    /// Zero.
    pub stime: DiskTime,
    /// Zero.
    pub rtime: DiskTime,
    /// 0.
    pub reserved: [U64; 8],
}
const _: () = assert!(size_of::<RootItem>() == 439);

impl RootItem {
    /// The subvolume cannot be written to.
    pub const READ_ONLY: u64 = 1;
}

/// Where a subvolume hangs in its parent, 18 bytes and the name: `btrfs_root_ref`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RootRef {
    /// Inode of the directory.
    pub directory: U64,
    /// DIR_INDEX of the name.
    pub index: U64,
    /// Bytes of the name that follows.
    pub name_length: U16,
}
const _: () = assert!(size_of::<RootRef>() == 18);
