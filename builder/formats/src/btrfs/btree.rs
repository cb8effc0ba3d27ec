//! Bulk load: sorted items become full leaves, leaves become nodes, until one block is the root.
//!
//! A leaf holds either what all nodes of a role have or what is a node's own, so that the first kind of leaf is the
//! same in all volumes of the role.

use zerocopy::IntoBytes;

use super::disk::{BLOCK_ROOM, FANOUT, GENERATION, Header, Identity, ItemHead, Key, KeyPointer, NODE_SIZE};
use super::items::Items;
use crate::tree::Share;

/// A tree whose items are known and sorted into leaves.
#[derive(Debug)]
pub(super) struct Tree {
    /// Its id.
    pub id: u64,
    /// Its items, sorted.
    pub items: Items,
    /// How its blocks divide them.
    pub shape: Shape,
}

/// How many blocks a tree has, and which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shape {
    /// The leaves from left to right. At least one, which may be empty.
    pub leaves: Vec<Leaf>,
    /// Nodes of each level above the leaves, from the lowest up; the last has one. Empty for a single leaf.
    pub nodes: Vec<usize>,
}

/// A leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// A range of the tree's items, from `first` up to before `end`, which are all of one share.
    Made { first: usize, end: usize, share: Share },
    /// One that is there already.
    Kept(KeptLeaf),
}

/// A leaf of a base: it is neither made nor moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptLeaf {
    /// Key of its first item.
    pub first: Key,
    /// Logical address.
    pub address: u64,
}

/// Where a tree's root is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    /// Id of the tree.
    pub tree: u64,
    /// Logical address of the root block.
    pub address: u64,
    /// Its level.
    pub level: u8,
    /// Blocks of the whole tree.
    pub blocks: usize,
}

impl Tree {
    /// Packs `items`, which are sorted and of which each fits into a leaf, between the leaves of a base.
    pub fn new(id: u64, items: Items, kept: &[KeptLeaf]) -> Self {
        let shape = Shape::of(&items, kept);
        Self { id, items, shape }
    }

    /// The first key of a leaf. An empty leaf, which only a tree's only leaf can be, has none.
    fn leaf_key(&self, leaf: &Leaf) -> Key {
        match leaf {
            Leaf::Made { first, .. } => self.items.entries()[*first].key,
            Leaf::Kept(kept) => kept.first,
        }
    }

    /// The leaves that all nodes of a role have, at the `addresses` of the tree's leaves.
    pub fn role_leaves(&self, addresses: &[u64]) -> Vec<KeptLeaf> {
        let leaves = self.shape.leaves.iter().zip(addresses);
        leaves
            .filter(|(leaf, _)| {
                matches!(
                    leaf,
                    Leaf::Made {
                        share: Share::Role,
                        ..
                    }
                )
            })
            .map(|(leaf, &address)| KeptLeaf {
                first: self.leaf_key(leaf),
                address,
            })
            .collect()
    }

    /// First key of the block at `index` of `level`.
    fn first_key(&self, level: usize, index: usize) -> Key {
        // The first child of a node is `FANOUT` times as far right as the node.
        let leaf = (0..level).fold(index, |index, _| index * FANOUT);
        self.leaf_key(&self.shape.leaves[leaf])
    }

    /// Writes the block at `index` of `level` into `block`, which is zeros and goes to `address`. `child` tells the
    /// addresses of the level below.
    pub fn write(
        &self,
        level: usize,
        index: usize,
        address: u64,
        child: impl Fn(usize) -> u64,
        identity: &Identity,
        block: &mut [u8],
    ) {
        let items = if level == 0 {
            self.write_leaf(index, block)
        } else {
            let below = if level == 1 {
                self.shape.leaves.len()
            } else {
                self.shape.nodes[level - 2]
            };
            self.write_node(
                level,
                index * FANOUT..below.min((index + 1) * FANOUT),
                child,
                block,
            )
        };
        let mut header = Header {
            checksum: [0; 32],
            fsid: identity.metadata_uuid.into_bytes(),
            address: address.into(),
            flags: Header::FLAGS.into(),
            chunk_tree_uuid: identity.chunk_tree_uuid.into_bytes(),
            generation: GENERATION.into(),
            owner: self.id.into(),
            // At most what fits into a block.
            items: (items as u32).into(),
            level: level as u8,
        };
        block[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        let checksum = crc32c::crc32c(&block[header.checksum.len()..]);
        header.checksum[..4].copy_from_slice(&checksum.to_le_bytes());
        block[..header.checksum.len()].copy_from_slice(&header.checksum);
    }

    /// Item heads from the front, data from the back. Tells the number of items.
    fn write_leaf(&self, index: usize, block: &mut [u8]) -> usize {
        let Leaf::Made { first, end, .. } = self.shape.leaves[index] else {
            // It has no place among the blocks that are written.
            return 0;
        };
        let items = &self.items.entries()[first..end];
        let body = &mut block[size_of::<Header>()..];
        let mut end = body.len();
        for (position, entry) in items.iter().enumerate() {
            let start = end - entry.size;
            body[start..end].copy_from_slice(self.items.data(entry));
            let head = ItemHead {
                key: entry.key.to_disk(),
                // Both are below the size of a block.
                offset: (start as u32).into(),
                size: (entry.size as u32).into(),
            };
            put(body, position, head.as_bytes());
            end = start;
        }
        items.len()
    }

    /// Pointers to `children` of the level below. Tells their number.
    fn write_node(
        &self,
        level: usize,
        children: std::ops::Range<usize>,
        child: impl Fn(usize) -> u64,
        block: &mut [u8],
    ) -> usize {
        let body = &mut block[size_of::<Header>()..];
        let count = children.len();
        for (position, index) in children.enumerate() {
            let pointer = KeyPointer {
                key: self.first_key(level - 1, index).to_disk(),
                address: child(index).into(),
                generation: GENERATION.into(),
            };
            put(body, position, pointer.as_bytes());
        }
        count
    }
}

/// Puts the `position`th of equally long records.
fn put(body: &mut [u8], position: usize, record: &[u8]) {
    body[position * record.len()..][..record.len()].copy_from_slice(record);
}

impl Shape {
    /// The shape of a tree that starts with nothing.
    pub fn empty() -> Self {
        Self {
            leaves: vec![Leaf::Made {
                first: 0,
                end: 0,
                share: Share::Node,
            }],
            nodes: Vec::new(),
        }
    }

    /// Packs items as full as they fit, with a new leaf wherever what is shared meets what is not, at the border, and
    /// behind a leaf that is there already.
    fn of(items: &Items, kept: &[KeptLeaf]) -> Self {
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut kept = kept.iter().peekable();
        let mut before_border = items.border.is_some();
        let mut room = 0;
        for (position, entry) in items.entries().iter().enumerate() {
            let size = size_of::<ItemHead>() + entry.size;
            while let Some(leaf) = kept.next_if(|leaf| leaf.first < entry.key) {
                leaves.push(Leaf::Kept(*leaf));
            }
            let crosses = before_border && items.border.is_some_and(|border| entry.key >= border);
            before_border &= !crosses;
            match leaves.last_mut() {
                Some(Leaf::Made { end, share, .. }) if *share == entry.share && size <= room && !crosses => {
                    *end = position + 1;
                }
                _ => {
                    leaves.push(Leaf::Made {
                        first: position,
                        end: position + 1,
                        share: entry.share,
                    });
                    room = BLOCK_ROOM;
                }
            }
            room -= size;
        }
        leaves.extend(kept.map(|leaf| Leaf::Kept(*leaf)));
        if leaves.is_empty() {
            return Self::empty();
        }
        let mut nodes = Vec::new();
        let mut below = leaves.len();
        while below > 1 {
            below = below.div_ceil(FANOUT);
            nodes.push(below);
        }
        Self { leaves, nodes }
    }

    /// Level of the root.
    pub fn level(&self) -> usize {
        self.nodes.len()
    }

    /// Blocks of all levels.
    pub fn blocks(&self) -> usize {
        self.leaves.len() + self.nodes.iter().sum::<usize>()
    }
}

const _: () = assert!(FANOUT == 493 && NODE_SIZE == size_of::<Header>() + BLOCK_ROOM);
