//! All trees together. The extent tree lists every tree block, its own too, and the chunks have to hold them: blocks
//! get addresses, the trees that speak of addresses are made anew, and so on until they keep their shape.
//!
//! Blocks lie in this order: the leaves that the role has, all nodes above leaves, the leaves with a node's own items.

use rayon::prelude::*;
use uuid::Uuid;

use super::VolumeSpec;
use super::btree::{KeptLeaf, Leaf, Root, Tree};
use super::chunks::{self, Chunk, Device, Role};
use super::data::DataPlan;
use super::disk::{Identity, NODE_SIZE, object};
use super::error::VolumeError;
use super::files;
use super::items::Items;
use super::namespace::Subvolume;
use super::records::DevItem;
use super::roots;
use super::space::{self, Block, block_bytes};
use crate::sparse::SparseImage;
use crate::tree::Share;
use crate::units::Bytes;

/// Rounds until the shapes must have settled. A round adds blocks and with them items, ever fewer of them; three or
/// four rounds are usual.
const ROUNDS: usize = 64;

/// Tree blocks that are made at once and share one run of memory.
const BATCH: usize = 512;

/// The trees whose items depend on where blocks are. The chunk tree is the last: it alone lies in the system chunk.
const MOVING: [u64; 5] = [
    object::EXTENT_TREE,
    object::DEV_TREE,
    object::FREE_SPACE_TREE,
    object::ROOT_TREE,
    object::CHUNK_TREE,
];

/// What a volume is made of, before it has trees.
pub(super) struct Plan<'p, 'a> {
    /// What was asked for.
    pub spec: &'p VolumeSpec,
    /// The identifiers of every block.
    pub identity: Identity,
    /// UUID of the top-level subvolume.
    pub top_level_uuid: Uuid,
    /// All inodes.
    pub subvolumes: &'p [Subvolume<'a>],
    /// All data.
    pub data: &'p DataPlan<'a>,
    /// The system chunk.
    pub system: Chunk,
    /// What the trees stand on.
    pub ground: Ground<'p>,
}

/// What trees stand on.
pub(super) enum Ground<'p> {
    /// Nothing yet: metadata chunks come from the device behind the data.
    Bare(Device),
    /// The role's leaves and all chunks; only what is a node's own is made.
    Kept(&'p Kept),
}

/// What the volumes of a role have in common.
#[derive(Debug)]
pub(super) struct Kept {
    /// The role's leaves by tree, in the order of the trees.
    leaves: Vec<Vec<KeptLeaf>>,
    /// The metadata chunks.
    metadata: Vec<Chunk>,
    /// First byte of the device behind all chunks.
    end: u64,
}

impl Kept {
    /// Blocks of the role in the metadata chunks, and in the system chunk.
    fn blocks(&self) -> (usize, usize) {
        let counts = self.leaves.iter().map(Vec::len);
        let in_system = self.leaves.last().map_or(0, Vec::len);
        (counts.sum::<usize>() - in_system, in_system)
    }
}

/// All trees, and where their blocks are.
pub(super) struct Forest {
    trees: Vec<Tree>,
    layout: Layout,
}

/// Where the blocks of trees are.
struct Layout {
    /// All blocks in order of their addresses, those of the chunk tree last.
    spots: Vec<Spot>,
    /// Addresses by tree, level, and index.
    addresses: Vec<Vec<Vec<u64>>>,
    /// The root of each tree.
    roots: Vec<Root>,
    /// The chunks in order of their addresses.
    chunks: Vec<Chunk>,
    /// First byte of the device behind them.
    end: u64,
    /// The device as the chunk tree and the superblock have it.
    device: DevItem,
}

/// A block of a tree.
#[derive(Debug, Clone, Copy)]
struct Spot {
    tree: usize,
    level: usize,
    index: usize,
    share: Share,
    address: u64,
}

impl Plan<'_, '_> {
    /// Makes all trees. Over a base, what does not fit behind it is [`VolumeError::BeyondBase`].
    pub fn grow(&self) -> Result<Forest, VolumeError> {
        let mut trees = Vec::new();
        for subvolume in self.subvolumes {
            let items = files::items(subvolume, self.data)?;
            trees.push(self.tree(trees.len(), subvolume.id, items));
        }
        let checksums = space::checksum_tree(self.data);
        trees.push(self.tree(trees.len(), object::CSUM_TREE, checksums));
        let uuids = roots::uuid_tree(self.subvolumes, self.top_level_uuid);
        trees.push(self.tree(trees.len(), object::UUID_TREE, uuids));
        let mut items = Items::default();
        files::empty_directory(&mut items, object::FIRST_FREE, self.spec.time.into(), Share::Role);
        trees.push(self.tree(trees.len(), object::DATA_RELOC_TREE, items));
        let fixed = trees.len();
        for id in MOVING {
            trees.push(self.tree(trees.len(), id, Items::default()));
        }
        for _ in 0..ROUNDS {
            let layout = self.place(&trees)?;
            let moved = self.moving_trees(&layout, fixed);
            let settled = moved
                .iter()
                .map(|tree| &tree.shape)
                .eq(trees[fixed..].iter().map(|tree| &tree.shape));
            trees.truncate(fixed);
            trees.extend(moved);
            if settled {
                return Ok(Forest { trees, layout });
            }
        }
        Err(VolumeError::Unsettled { rounds: ROUNDS })
    }

    /// The tree `id`, which is at `position` among all: all of `items`, or those that the base's leaves lack.
    fn tree(&self, position: usize, id: u64, mut items: Items) -> Tree {
        match self.ground {
            Ground::Bare(_) => Tree::new(id, items, &[]),
            Ground::Kept(kept) => {
                items.keep_own();
                Tree::new(id, items, &kept.leaves[position])
            }
        }
    }

    /// Metadata chunks for the blocks of `spots`, which come behind `kept` blocks of a base, and the end of all chunks.
    fn metadata_chunks(&self, spots: &[Spot], kept: usize) -> Result<(Vec<Chunk>, u64), VolumeError> {
        let total = block_bytes(kept + spots.len());
        match &self.ground {
            Ground::Bare(device) => {
                let shared = spots.iter().take_while(|spot| spot.share == Share::Role).count();
                let mut device = device.clone();
                let chunks = device.metadata(block_bytes(shared), total, self.spec.metadata);
                Ok((chunks, device.end()))
            }
            Ground::Kept(base) => {
                if !chunks::metadata_suffices(&base.metadata, total) {
                    return Err(VolumeError::BeyondBase);
                }
                let mut chunks = base.metadata.clone();
                chunks::fill_metadata(&mut chunks, total);
                Ok((chunks, base.end))
            }
        }
    }

    /// Gives every block of `trees` its address, and the chunks their lengths.
    fn place(&self, trees: &[Tree]) -> Result<Layout, VolumeError> {
        let chunk_tree = trees.len() - 1;
        let mut spots = order(&trees[..chunk_tree], 0);
        let system_spots = order(&trees[chunk_tree..], chunk_tree);

        let (kept, kept_in_system) = match self.ground {
            Ground::Bare(_) => (0, 0),
            Ground::Kept(base) => base.blocks(),
        };
        let (metadata, end) = self.metadata_chunks(&spots, kept)?;
        let mut system = self.system.clone();
        system.used = block_bytes(kept_in_system + system_spots.len());
        if system.used > system.length {
            let (needed, limit) = (Bytes(system.used), Bytes(system.length));
            return Err(VolumeError::ChunkTree { needed, limit });
        }

        let metadata_places = chunks::block_addresses(&metadata).skip(kept);
        let system_places = chunks::block_addresses(std::slice::from_ref(&system)).skip(kept_in_system);
        for (spot, address) in spots.iter_mut().zip(metadata_places) {
            spot.address = address;
        }
        spots.extend(
            system_spots
                .into_iter()
                .zip(system_places)
                .map(|(spot, address)| Spot { address, ..spot }),
        );

        let mut addresses: Vec<Vec<Vec<u64>>> = trees.iter().map(addresses_by_level).collect();
        for spot in &spots {
            addresses[spot.tree][spot.level][spot.index] = spot.address;
        }
        let roots = trees.iter().zip(&addresses).map(|(tree, addresses)| Root {
            tree: tree.id,
            address: addresses[tree.shape.level()][0],
            // A tree of 493^255 leaves is beyond any volume.
            level: tree.shape.level() as u8,
            blocks: tree.shape.blocks(),
        });
        let roots = roots.collect();
        let chunks: Vec<Chunk> = std::iter::once(system)
            .chain(self.data.chunks.iter().cloned())
            .chain(metadata)
            .collect();
        let total = self.spec.size.total(end);
        let device = space::device_item(&chunks, total, &self.identity);
        Ok(Layout {
            spots,
            addresses,
            roots,
            chunks,
            end,
            device,
        })
    }

    /// The trees that speak of addresses, for `layout`, in the order of [`MOVING`], the first of which is at `first`.
    fn moving_trees(&self, layout: &Layout, first: usize) -> Vec<Tree> {
        let chunks = &layout.chunks;
        let blocks: Vec<Block> = layout
            .spots
            .iter()
            .map(|spot| Block {
                address: spot.address,
                level: spot.level as u8,
                owner: layout.roots[spot.tree].tree,
                share: spot.share,
            })
            .collect();
        let tree = |(position, id)| {
            let items = match id {
                object::EXTENT_TREE => space::extent_tree(self.data, &blocks, chunks),
                object::DEV_TREE => space::device_tree(chunks, &self.identity),
                object::FREE_SPACE_TREE => space::free_space_tree(chunks),
                object::ROOT_TREE => self.root_tree(layout),
                _ => space::chunk_tree(chunks, &layout.device, &self.identity),
            };
            self.tree(position, id, items)
        };
        (first..).zip(MOVING).map(tree).collect()
    }

    /// The root tree: all trees but itself and the chunk tree, which the superblock names.
    fn root_tree(&self, layout: &Layout) -> Items {
        let in_superblock = [object::ROOT_TREE, object::CHUNK_TREE];
        let roots: Vec<Root> = layout
            .roots
            .iter()
            .filter(|root| !in_superblock.contains(&root.tree))
            .copied()
            .collect();
        roots::root_tree(
            self.subvolumes,
            self.top_level_uuid,
            &roots,
            self.spec.time.into(),
        )
    }
}

/// Room for the address of each block of a tree; those of a base's leaves are known.
fn addresses_by_level(tree: &Tree) -> Vec<Vec<u64>> {
    let leaves = tree.shape.leaves.iter().map(|leaf| match leaf {
        Leaf::Kept(kept) => kept.address,
        Leaf::Made { .. } => 0,
    });
    let nodes = tree.shape.nodes.iter().map(|&count| vec![0; count]);
    std::iter::once(leaves.collect()).chain(nodes).collect()
}

/// The blocks of `trees`, the first of which is number `first`, in the order in which they lie.
fn order(trees: &[Tree], first: usize) -> Vec<Spot> {
    let trees = || {
        trees
            .iter()
            .enumerate()
            .map(move |(position, tree)| (first + position, &tree.shape))
    };
    let leaves = |share| {
        trees().flat_map(move |(tree, shape)| {
            let leaves = shape
                .leaves
                .iter()
                .enumerate()
                .filter(move |(_, leaf)| matches!(leaf, Leaf::Made { share: of, .. } if *of == share));
            leaves.map(move |(index, _)| Spot {
                tree,
                level: 0,
                index,
                share,
                address: 0,
            })
        })
    };
    let nodes = trees().flat_map(|(tree, shape)| {
        let levels = shape.nodes.iter().enumerate();
        levels.flat_map(move |(level, &count)| {
            let level = level + 1;
            (0..count).map(move |index| Spot {
                tree,
                level,
                index,
                share: Share::Node,
                address: 0,
            })
        })
    });
    leaves(Share::Role)
        .chain(nodes)
        .chain(leaves(Share::Node))
        .collect()
}

impl Forest {
    /// The chunks in order of their addresses.
    pub fn chunks(&self) -> &[Chunk] {
        &self.layout.chunks
    }

    /// The device.
    pub fn device(&self) -> &DevItem {
        &self.layout.device
    }

    /// First byte of the device behind all chunks.
    pub fn end(&self) -> u64 {
        self.layout.end
    }

    /// The root of the tree `id`, which is one of [`object`].
    pub fn root(&self, id: u64) -> Option<&Root> {
        self.layout.roots.iter().find(|root| root.tree == id)
    }

    /// What the volumes of the role have in common.
    pub fn kept(&self) -> Kept {
        let leaves = self.trees.iter().zip(&self.layout.addresses);
        Kept {
            leaves: leaves
                .map(|(tree, addresses)| tree.role_leaves(&addresses[0]))
                .collect(),
            metadata: self
                .layout
                .chunks
                .iter()
                .filter(|chunk| chunk.role == Role::Metadata)
                .cloned()
                .collect(),
            end: self.layout.end,
        }
    }

    /// Writes the blocks of `share` into `image`, each as often as its chunk has copies.
    pub fn put(&self, image: &mut SparseImage, identity: &Identity, share: Share) {
        for chunk in &self.layout.chunks {
            let mut spots: Vec<&Spot> = self
                .layout
                .spots
                .iter()
                .filter(|spot| spot.share == share && (chunk.start..chunk.end()).contains(&spot.address))
                .collect();
            spots.sort_by_key(|spot| spot.address);
            // Within a chunk, the blocks of a share lie one behind the other.
            for spots in spots.chunks(BATCH) {
                let mut bytes = vec![0; spots.len() * NODE_SIZE];
                bytes
                    .par_chunks_mut(NODE_SIZE)
                    .zip(spots)
                    .for_each(|(block, spot)| {
                        let child = |index| self.layout.addresses[spot.tree][spot.level - 1][index];
                        let tree = &self.trees[spot.tree];
                        tree.write(spot.level, spot.index, spot.address, child, identity, block);
                    });
                let offset = spots[0].address - chunk.start;
                let length = bytes.len() as u64;
                let blob = crate::blob::Blob::from(bytes);
                for copy in chunk.copies() {
                    image.put_blob(copy + offset, length, blob.clone(), 0);
                }
            }
        }
    }
}
