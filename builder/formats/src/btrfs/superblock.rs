//! The superblock and its copies: where everything starts.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::VolumeSpec;
use super::chunks::{Chunk, SUPERBLOCKS};
use super::disk::{GENERATION, Identity, NODE_SIZE, object};
use super::forest::Forest;
use super::records::DevItem;
use super::space;
use crate::layer::SECTOR;
use crate::sparse::SparseImage;

/// Longest label, in bytes: the field ends in NUL.
pub(super) const MAX_LABEL: usize = 255;

/// The superblock, 4096 bytes at 64 KiB: `btrfs_super_block`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    /// CRC-32C of what follows, in the first four bytes.
    pub(super) checksum: [u8; 32],
    /// The volume's UUID, as mount and blkid know it.
    pub(super) fsid: [u8; 16],
    /// Byte of the device that this copy is at.
    pub(super) address: U64,
    /// 1: written.
    pub(super) flags: U64,
    /// [`MAGIC`].
    pub(super) magic: [u8; 8],
    /// Last transaction.
    pub(super) generation: U64,
    /// Address of the root tree's root.
    pub(super) root: U64,
    /// Address of the chunk tree's root.
    pub(super) chunk_root: U64,
    /// 0: nothing to replay.
    pub(super) log_root: U64,
    /// 0.
    pub(super) log_root_transaction: U64,
    /// Bytes of the device.
    pub(super) total_bytes: U64,
    /// Bytes in use, copies counted once.
    pub(super) bytes_used: U64,
    /// The root tree's directory.
    pub(super) root_directory: U64,
    /// 1.
    pub(super) devices: U64,
    /// 4096.
    pub(super) sector_size: U32,
    /// 16,384.
    pub(super) node_size: U32,
    /// The node size again.
    pub(super) leaf_size: U32,
    /// A sector.
    pub(super) stripe_size: U32,
    /// Bytes used of `system_chunks`.
    pub(super) system_chunks_size: U32,
    /// Transaction that wrote the chunk tree's root.
    pub(super) chunk_root_generation: U64,
    /// 0: nothing that an old kernel may ignore.
    pub(super) compat: U64,
    /// [`READ_ONLY_COMPAT`].
    pub(super) compat_read_only: U64,
    /// [`incompat`].
    pub(super) incompat: U64,
    /// 0: CRC-32C.
    pub(super) checksum_type: U16,
    /// Level of the root tree's root.
    pub(super) root_level: u8,
    /// Level of the chunk tree's root.
    pub(super) chunk_root_level: u8,
    /// 0.
    pub(super) log_root_level: u8,
    /// The device.
    pub(super) device: DevItem,
    /// Ends in NUL.
    pub(super) label: [u8; MAX_LABEL + 1],
    /// 0: the free space tree takes the cache's place.
    pub(super) cache_generation: U64,
    /// Last transaction that kept the UUID tree: the kernel need not check it.
    pub(super) uuid_tree_generation: U64,
    /// What tree blocks call the volume, if that is not `fsid`.
    pub(super) metadata_uuid: [u8; 16],
    /// 0.
    pub(super) global_roots: U64,
    /// 0.
    pub(super) reserved: [U64; 27],
    /// Keys and items of the system chunks, by which the chunk tree is found.
    pub(super) system_chunks: [u8; 2048],
    /// Roots of the last transactions. Zeros: there were none.
    pub(super) backup_roots: [[u8; 168]; 4],
    /// 0.
    pub(super) padding: [u8; 565],
}
const _: () = assert!(size_of::<Superblock>() == 4096);

/// What tells a superblock from anything else.
pub(super) const MAGIC: [u8; 8] = *b"_BHRfS_M";

/// What a kernel must know to write: the free space tree (bit 0), which is up to date (bit 1).
const READ_ONLY_COMPAT: u64 = 1 | 1 << 1;

/// What a kernel must know to mount: `BTRFS_FEATURE_INCOMPAT_*`.
pub(super) mod incompat {
    /// References to tree blocks of two kinds; always there.
    pub const MIXED_BACKREF: u64 = 1;
    /// Another default subvolume than the top level.
    pub const DEFAULT_SUBVOLUME: u64 = 1 << 1;
    /// Data and metadata in the same chunks.
    pub const MIXED_GROUPS: u64 = 1 << 2;
    /// Extents compressed with LZO.
    pub const LZO: u64 = 1 << 3;
    /// Extents compressed with zstd.
    pub const ZSTD: u64 = 1 << 4;
    /// Tree blocks larger than a page of memory.
    pub const BIG_METADATA: u64 = 1 << 5;
    /// INODE_EXTREF.
    pub const EXTENDED_IREF: u64 = 1 << 6;
    /// METADATA_ITEM.
    pub const SKINNY_METADATA: u64 = 1 << 8;
    /// No items for holes.
    pub const NO_HOLES: u64 = 1 << 9;
    /// `metadata_uuid` is not `fsid`.
    pub const METADATA_UUID: u64 = 1 << 10;
    /// Who owns what is counted per extent.
    pub const SIMPLE_QUOTA: u64 = 1 << 16;
}

/// Puts the superblock into `image`, at each of its places that the device has. `zstd` tells whether anything is
/// compressed.
pub(super) fn put(
    image: &mut SparseImage,
    spec: &VolumeSpec,
    forest: &Forest,
    identity: &Identity,
    zstd: bool,
) {
    let total = forest.device().total_bytes.get();
    for address in SUPERBLOCKS {
        // The kernel looks for a copy only where the device does not end with it.
        if address + SECTOR < total {
            let mut superblock = superblock(spec, forest, identity, zstd);
            superblock.address = address.into();
            let checksum = crc32c::crc32c(&superblock.as_bytes()[superblock.checksum.len()..]);
            superblock.checksum[..4].copy_from_slice(&checksum.to_le_bytes());
            image.put(address, superblock.as_bytes().to_vec());
        }
    }
}

/// The superblock without address and checksum.
fn superblock(spec: &VolumeSpec, forest: &Forest, identity: &Identity, zstd: bool) -> Superblock {
    let of = |id| forest.root(id).map_or((0, 0), |root| (root.address, root.level));
    let (root, root_level) = of(object::ROOT_TREE);
    let (chunk_root, chunk_root_level) = of(object::CHUNK_TREE);
    let other_uuid = identity.metadata_uuid != spec.fsid;
    let default = spec.subvolumes.iter().any(|subvolume| subvolume.default);
    let optional = [
        (default, incompat::DEFAULT_SUBVOLUME),
        (zstd, incompat::ZSTD),
        (other_uuid, incompat::METADATA_UUID),
    ];
    let always =
        incompat::MIXED_BACKREF | incompat::EXTENDED_IREF | incompat::SKINNY_METADATA | incompat::NO_HOLES;
    let incompat = optional
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .fold(always, |all, (_, bit)| all | bit);

    let mut label = [0; MAX_LABEL + 1];
    label[..spec.label.len()].copy_from_slice(spec.label.as_bytes());
    let mut system_chunks = [0; 2048];
    let systems = forest
        .chunks()
        .iter()
        .filter(|chunk| chunk.role == super::chunks::Role::System);
    let array: Vec<u8> = systems.flat_map(|chunk| system_chunk(chunk, identity)).collect();
    system_chunks[..array.len()].copy_from_slice(&array);

    Superblock {
        checksum: [0; 32],
        fsid: spec.fsid.into_bytes(),
        address: 0.into(),
        flags: 1.into(),
        magic: MAGIC,
        generation: GENERATION.into(),
        root: root.into(),
        chunk_root: chunk_root.into(),
        log_root: 0.into(),
        log_root_transaction: 0.into(),
        total_bytes: forest.device().total_bytes,
        bytes_used: space::used(forest.chunks()).into(),
        root_directory: object::ROOT_TREE_DIR.into(),
        devices: 1.into(),
        sector_size: (SECTOR as u32).into(),
        node_size: (NODE_SIZE as u32).into(),
        leaf_size: (NODE_SIZE as u32).into(),
        stripe_size: (SECTOR as u32).into(),
        // One system chunk: at most 129 bytes.
        system_chunks_size: (array.len() as u32).into(),
        chunk_root_generation: GENERATION.into(),
        compat: 0.into(),
        compat_read_only: READ_ONLY_COMPAT.into(),
        incompat: incompat.into(),
        checksum_type: 0.into(),
        root_level,
        chunk_root_level,
        log_root_level: 0,
        device: *forest.device(),
        label,
        cache_generation: 0.into(),
        uuid_tree_generation: GENERATION.into(),
        metadata_uuid: if other_uuid {
            identity.metadata_uuid.into_bytes()
        } else {
            [0; 16]
        },
        global_roots: 0.into(),
        reserved: Default::default(),
        system_chunks,
        backup_roots: [[0; 168]; 4],
        padding: [0; 565],
    }
}

/// A system chunk as the superblock has it: its key, then its item.
fn system_chunk(chunk: &Chunk, identity: &Identity) -> Vec<u8> {
    let mut bytes = space::chunk_key(chunk).to_disk().as_bytes().to_vec();
    bytes.extend(space::chunk_item(chunk, identity));
    bytes
}
