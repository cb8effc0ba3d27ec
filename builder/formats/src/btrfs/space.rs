//! The items that say what is where: extent tree, checksum tree, free space tree, chunk tree, device tree.

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::chunks::{Chunk, Role};
use super::data::{DataExtent, DataPlan};
use super::disk::{BLOCK_ROOM, GENERATION, Identity, ItemHead, Key, NODE_SIZE, STRIPE_LENGTH, kind, object};
use super::hash;
use super::items::Items;
use super::records::{
    BlockGroupItem, ChunkItem, DataRef, DevExtent, DevItem, ExtentItem, FreeSpaceInfo, Stripe, TreeBlockRef,
};
use crate::layer::SECTOR;
use crate::tree::Share;

/// The one device of a volume.
const DEVICE: u64 = 1;

/// Most checksums of one item (`MAX_CSUM_ITEMS`).
const MAX_CHECKSUMS: usize = (BLOCK_ROOM - 2 * size_of::<ItemHead>()) / size_of::<u32>() - 1;

/// A tree block as the extent tree lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Logical address.
    pub address: u64,
    /// 0 for a leaf.
    pub level: u8,
    /// Id of the tree.
    pub owner: u64,
    /// Whether it is there on all nodes of the role.
    pub share: Share,
}

/// The extent tree: what of every chunk is used by what.
pub(super) fn extent_tree(data: &DataPlan<'_>, blocks: &[Block], chunks: &[Chunk]) -> Items {
    let mut items = Items::default();
    // In front of it stands a node's own data, which not every node has.
    let first_metadata = chunks.iter().find(|chunk| chunk.role == Role::Metadata);
    items.border = first_metadata.map(|chunk| Key::new(chunk.start, 0, 0));
    for chunk in chunks {
        let item = BlockGroupItem {
            used: chunk.used.into(),
            chunk_object: Chunk::OBJECT.into(),
            flags: chunk.flags().into(),
        };
        let key = Key::new(chunk.start, kind::BLOCK_GROUP_ITEM, chunk.length);
        items.push(key, group_share(chunk, chunks), &[item.as_bytes()]);
    }
    for extent in &data.extents {
        data_extent(&mut items, extent);
    }
    for block in blocks {
        let key = Key::new(block.address, kind::METADATA_ITEM, block.level.into());
        let item = ExtentItem {
            references: 1.into(),
            generation: GENERATION.into(),
            flags: ExtentItem::TREE_BLOCK.into(),
        };
        let reference = TreeBlockRef {
            kind: kind::TREE_BLOCK_REF,
            root: block.owner.into(),
        };
        items.push(key, block.share, &[item.as_bytes(), reference.as_bytes()]);
    }
    items.sort();
    items
}

/// A chunk is used by a node's own things when it is the last of its role.
fn group_share(chunk: &Chunk, chunks: &[Chunk]) -> Share {
    let last = chunks.iter().rfind(|other| other.role == chunk.role);
    match last {
        Some(last) if last.start == chunk.start && chunk.role != Role::System => Share::Node,
        _ => Share::Role,
    }
}

/// A data extent with its references: inline while they fit, by descending hash as the kernel searches them, then as
/// items of their own.
fn data_extent(items: &mut Items, extent: &DataExtent<'_>) {
    // A file of one node that has the role's data adds its reference to the role's extent.
    let share = extent
        .references
        .iter()
        .map(|reference| reference.share)
        .max()
        .unwrap_or(extent.share);
    let mut references: Vec<(u64, DataRef)> = extent
        .references
        .iter()
        .map(|reference| {
            let item = DataRef {
                root: reference.root.into(),
                inode: reference.inode.into(),
                offset: reference.offset.into(),
                count: 1.into(),
            };
            (
                hash::data_ref(reference.root, reference.inode, reference.offset),
                item,
            )
        })
        .collect();
    references.sort_by_key(|&(hash, _)| std::cmp::Reverse(hash));
    let head = ExtentItem {
        references: (references.len() as u64).into(),
        generation: GENERATION.into(),
        flags: ExtentItem::DATA.into(),
    };
    let each = size_of_val(&kind::EXTENT_DATA_REF) + size_of::<DataRef>();
    let room = (ExtentItem::MAX - size_of::<ExtentItem>()) / each;
    let (inline, keyed) = references.split_at(references.len().min(room));
    let mut item = head.as_bytes().to_vec();
    for (_, reference) in inline {
        item.push(kind::EXTENT_DATA_REF);
        item.extend_from_slice(reference.as_bytes());
    }
    items.push(
        Key::new(extent.address, kind::EXTENT_ITEM, extent.source.stored_length),
        share,
        &[&item],
    );
    // Where hashes collide, the kernel looks at the next key. From the lowest hash up, so that a taken key is known.
    let mut free = 0;
    for &(hash, reference) in keyed.iter().rev() {
        let offset = hash.max(free);
        free = offset + 1;
        items.push(
            Key::new(extent.address, kind::EXTENT_DATA_REF, offset),
            share,
            &[reference.as_bytes()],
        );
    }
}

/// The checksum tree: one item for each run of data that is contiguous in a chunk.
pub(super) fn checksum_tree(data: &DataPlan<'_>) -> Items {
    let mut items = Items::default();
    let mut run: Vec<U32> = Vec::with_capacity(MAX_CHECKSUMS);
    let mut start = 0;
    let mut share = Share::Role;
    let mut flush = |start, share, run: &mut Vec<U32>| {
        if !run.is_empty() {
            let key = Key::new(object::EXTENT_CSUM, kind::EXTENT_CSUM, start);
            items.push(key, share, &[run.as_bytes()]);
            run.clear();
        }
    };
    // Both are in order of addresses, and a chunk that has extents has one at its start.
    let mut starts = data.chunks.iter().map(|chunk| chunk.start).peekable();
    for extent in &data.extents {
        let opens_chunk = starts.next_if_eq(&extent.address).is_some();
        let follows =
            extent.address == start + run.len() as u64 * SECTOR && extent.share == share && !opens_chunk;
        if !follows {
            flush(start, share, &mut run);
            (start, share) = (extent.address, extent.share);
        }
        for &checksum in &extent.source.checksums {
            if run.len() == MAX_CHECKSUMS {
                flush(start, share, &mut run);
                start += MAX_CHECKSUMS as u64 * SECTOR;
            }
            run.push(checksum.into());
        }
    }
    flush(start, share, &mut run);
    items
}

/// The free space tree: chunks are used from their start on, so each has at most one free run.
pub(super) fn free_space_tree(chunks: &[Chunk]) -> Items {
    let mut items = Items::default();
    for chunk in chunks {
        let free = chunk.length - chunk.used;
        let info = FreeSpaceInfo {
            extents: u32::from(free > 0).into(),
            flags: 0.into(),
        };
        let share = group_share(chunk, chunks);
        items.push(
            Key::new(chunk.start, kind::FREE_SPACE_INFO, chunk.length),
            share,
            &[info.as_bytes()],
        );
        if free > 0 {
            let key = Key::new(chunk.start + chunk.used, kind::FREE_SPACE_EXTENT, free);
            items.push(key, share, &[]);
        }
    }
    items.sort();
    items
}

/// The device: how large it is and how much of it is in chunks.
pub(super) fn device_item(chunks: &[Chunk], total_bytes: u64, identity: &Identity) -> DevItem {
    let in_chunks: u64 = chunks
        .iter()
        .map(|chunk| chunk.length * chunk.copies().count() as u64)
        .sum();
    DevItem {
        device: DEVICE.into(),
        total_bytes: total_bytes.into(),
        bytes_used: in_chunks.into(),
        io_align: (SECTOR as u32).into(),
        io_width: (SECTOR as u32).into(),
        sector_size: (SECTOR as u32).into(),
        kind: 0.into(),
        generation: 0.into(),
        start_offset: 0.into(),
        group: 0.into(),
        seek_speed: 0,
        bandwidth: 0,
        uuid: identity.device_uuid.into_bytes(),
        fsid: identity.metadata_uuid.into_bytes(),
    }
}

/// The chunk tree: the device and all chunks.
pub(super) fn chunk_tree(chunks: &[Chunk], device: &DevItem, identity: &Identity) -> Items {
    let mut items = Items::default();
    items.push(
        Key::new(object::DEV_ITEMS, kind::DEV_ITEM, DEVICE),
        Share::Role,
        &[device.as_bytes()],
    );
    for chunk in chunks {
        items.push(chunk_key(chunk), Share::Role, &[&chunk_item(chunk, identity)]);
    }
    items.sort();
    items
}

/// The key of a chunk's item.
pub(super) fn chunk_key(chunk: &Chunk) -> Key {
    Key::new(Chunk::OBJECT, kind::CHUNK_ITEM, chunk.start)
}

/// A chunk's item with its stripes.
pub(super) fn chunk_item(chunk: &Chunk, identity: &Identity) -> Vec<u8> {
    let head = ChunkItem {
        length: chunk.length.into(),
        owner: object::EXTENT_TREE.into(),
        stripe_length: STRIPE_LENGTH.into(),
        flags: chunk.flags().into(),
        io_align: (STRIPE_LENGTH as u32).into(),
        io_width: (STRIPE_LENGTH as u32).into(),
        sector_size: (SECTOR as u32).into(),
        stripes: (chunk.copies().count() as u16).into(),
        sub_stripes: 1.into(),
    };
    let mut item = head.as_bytes().to_vec();
    for offset in chunk.copies() {
        let stripe = Stripe {
            device: DEVICE.into(),
            offset: offset.into(),
            device_uuid: identity.device_uuid.into_bytes(),
        };
        item.extend_from_slice(stripe.as_bytes());
    }
    item
}

/// The device tree: the same runs by their place on the device.
pub(super) fn device_tree(chunks: &[Chunk], identity: &Identity) -> Items {
    let mut items = Items::default();
    for chunk in chunks {
        for copy in chunk.copies() {
            let item = DevExtent {
                chunk_tree: object::CHUNK_TREE.into(),
                chunk_object: Chunk::OBJECT.into(),
                chunk: chunk.start.into(),
                length: chunk.length.into(),
                chunk_tree_uuid: identity.chunk_tree_uuid.into_bytes(),
            };
            items.push(
                Key::new(DEVICE, kind::DEV_EXTENT, copy),
                Share::Role,
                &[item.as_bytes()],
            );
        }
    }
    items.sort();
    items
}

/// Bytes that tree blocks and data take in all chunks, copies counted once.
pub(super) fn used(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(|chunk| chunk.used).sum()
}

/// Bytes of `blocks` tree blocks.
pub(super) const fn block_bytes(blocks: usize) -> u64 {
    blocks as u64 * NODE_SIZE as u64
}
