//! All trees together. The extent tree lists every tree block, its own too, and the chunks have to hold them: blocks
//! get addresses, the trees that speak of addresses are made anew, and so on until they keep their shape.
//!
//! Blocks lie in this order: the leaves that the role has, all nodes above leaves, the leaves with a node's own items.

use rayon::prelude::*;
use uuid::Uuid;

use super::VolumeSpec;
use super::btree::{Root, Tree};
use super::chunks::{self, Chunk, Device};
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
    /// The device behind the data.
    pub device: Device,
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
    /// Makes all trees.
    pub fn grow(&self) -> Result<Forest, VolumeError> {
        let mut trees = Vec::new();
        for subvolume in self.subvolumes {
            trees.push(Tree::new(subvolume.id, files::items(subvolume, self.data)?));
        }
        trees.push(Tree::new(object::CSUM_TREE, space::checksum_tree(self.data)));
        trees.push(Tree::new(
            object::UUID_TREE,
            roots::uuid_tree(self.subvolumes, self.top_level_uuid),
        ));
        let mut items = Items::default();
        files::empty_directory(&mut items, object::FIRST_FREE, self.spec.time.into(), Share::Role);
        trees.push(Tree::new(object::DATA_RELOC_TREE, items));
        let fixed = trees.len();
        trees.extend(MOVING.map(|id| Tree::new(id, Items::default())));
        for _ in 0..ROUNDS {
            let layout = self.place(&trees)?;
            let moved = self.moving_trees(&layout);
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

    /// Gives every block of `trees` its address, and the chunks their lengths.
    fn place(&self, trees: &[Tree]) -> Result<Layout, VolumeError> {
        let chunk_tree = trees.len() - 1;
        let mut spots = order(&trees[..chunk_tree], 0);
        let system_spots = order(&trees[chunk_tree..], chunk_tree);

        let shared = spots.iter().take_while(|spot| spot.share == Share::Role).count();
        let mut device = self.device.clone();
        let metadata = device.metadata(block_bytes(shared), block_bytes(spots.len()), self.spec.metadata);
        let mut system = self.system.clone();
        system.used = block_bytes(system_spots.len());
        if system.used > system.length {
            let (needed, limit) = (Bytes(system.used), Bytes(system.length));
            return Err(VolumeError::ChunkTree { needed, limit });
        }

        let metadata_places = chunks::block_addresses(&metadata);
        let system_places = chunks::block_addresses(std::slice::from_ref(&system));
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
        let end = device.end();
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

    /// The trees that speak of addresses, for `layout`, in the order of [`MOVING`].
    fn moving_trees(&self, layout: &Layout) -> [Tree; 5] {
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
        MOVING.map(|id| {
            let items = match id {
                object::EXTENT_TREE => space::extent_tree(self.data, &blocks, chunks),
                object::DEV_TREE => space::device_tree(chunks, &self.identity),
                object::FREE_SPACE_TREE => space::free_space_tree(chunks),
                object::ROOT_TREE => self.root_tree(layout),
                _ => space::chunk_tree(chunks, &layout.device, &self.identity),
            };
            Tree::new(id, items)
        })
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

/// Room for the address of each block of a tree.
fn addresses_by_level(tree: &Tree) -> Vec<Vec<u64>> {
    let counts = std::iter::once(tree.shape.leaves.len()).chain(tree.shape.nodes.iter().copied());
    counts.map(|count| vec![0; count]).collect()
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
                .filter(move |(_, leaf)| leaf.share == share);
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

    /// Writes all blocks into `image`, each as often as its chunk has copies.
    pub fn put(&self, image: &mut SparseImage, identity: &Identity) {
        for chunk in &self.layout.chunks {
            let mut spots: Vec<&Spot> = self
                .layout
                .spots
                .iter()
                .filter(|spot| (chunk.start..chunk.end()).contains(&spot.address))
                .collect();
            spots.sort_by_key(|spot| spot.address);
            // Within a chunk, blocks lie one behind the other.
            for (batch, spots) in spots.chunks(BATCH).enumerate() {
                let mut bytes = vec![0; spots.len() * NODE_SIZE];
                bytes
                    .par_chunks_mut(NODE_SIZE)
                    .zip(spots)
                    .for_each(|(block, spot)| {
                        let child = |index| self.layout.addresses[spot.tree][spot.level - 1][index];
                        let tree = &self.trees[spot.tree];
                        tree.write(spot.level, spot.index, spot.address, child, identity, block);
                    });
                let offset = block_bytes(batch * BATCH);
                let length = bytes.len() as u64;
                let blob = crate::blob::Blob::from(bytes);
                for copy in chunk.copies() {
                    image.put_blob(copy + offset, length, blob.clone(), 0);
                }
            }
        }
    }
}
