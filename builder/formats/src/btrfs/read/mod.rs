//! Reading a volume, ours or one that the kernel has written to, without mounting it.
//!
//! Nothing that is read is trusted: every block is checked against its checksum and against what its parent says of it,
//! every length against what holds it, and data against its checksums. Where a copy is bad, the other one is used.
//!
//! | module | owns |
//! |---|---|
//! | `chunks` | addresses to bytes of the device |
//! | `block`, `tree` | one block of a tree; the items of a tree |
//! | `subvolumes` | which subvolumes there are, and where |
//! | `inodes` | inodes, their attributes, the names in directories |
//! | `entries` | the entries that share an item |
//! | `runs` | what items say of the runs of files |
//! | `content` | the bytes of files, and their checksums |
//! | `view` | subvolumes mounted into each other: paths, walks |
//! | `verify` | every checksum of the volume |

mod block;
mod chunks;
mod content;
mod entries;
mod error;
mod inodes;
mod runs;
mod subvolumes;
mod tree;
mod verify;
mod view;

pub use content::{Part, Parts, Stored};
pub use error::ReadError;
pub use inodes::{Inode, InodeKind, Name, Target};
pub use subvolumes::Subvolume;
pub use verify::Verification;
pub use view::{Found, MAX_PATH, View, Walk};

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use uuid::Uuid;
use zerocopy::FromBytes;

use block::{Block, Reference};
use chunks::ChunkMap;
use tree::{Items, MAX_LEVEL};

use super::chunks::SUPERBLOCKS;
use super::disk::{Key, kind, object};
use super::records::RootItem;
use super::superblock::{MAGIC, Superblock, incompat};
use crate::layer::SECTOR;
use crate::source::ReadAt;
use crate::units::Bytes;

/// Blocks that are kept; at 16 KiB each, 16 MiB.
const CACHED_BLOCKS: usize = 1024;

/// A volume that is read.
pub struct Reader<'s> {
    source: &'s dyn ReadAt,
    superblock: Box<Superblock>,
    chunks: ChunkMap,
    blocks: RefCell<HashMap<u64, Rc<Block>>>,
}

/// What the superblock says of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its label; bytes that are not UTF-8 are replaced.
    pub label: String,
    /// Its UUID, as mount and blkid know it.
    pub fsid: Uuid,
    /// What its blocks call it.
    pub metadata_uuid: Uuid,
    /// Its size.
    pub size: Bytes,
    /// Bytes in use, copies counted once.
    pub used: Bytes,
    /// Bytes of a tree block.
    pub node_size: u32,
    /// The last transaction.
    pub generation: u64,
    /// Whether a log waits to be replayed: the last changes before a crash, which are not read here.
    pub has_log: bool,
}

impl<'s> Reader<'s> {
    /// Opens the volume that `source` is.
    pub fn open(source: &'s dyn ReadAt) -> Result<Self, ReadError> {
        let superblock = superblock(source)?;
        let array = superblock
            .system_chunks
            .get(..superblock.system_chunks_size.get() as usize);
        let array = array.ok_or(ReadError::Chunk {
            address: 0,
            reason: "is cut off in the superblock",
        })?;
        let mut reader = Self {
            source,
            chunks: ChunkMap::new(array, superblock.device.device.get())?,
            superblock,
            blocks: RefCell::default(),
        };
        let mut found = Vec::new();
        let first = Key::new(object::CHUNKS, kind::CHUNK_ITEM, 0);
        for item in Items::from(&reader, reader.chunk_root(), first)? {
            let item = item?;
            if (item.key.object, item.key.kind) != (first.object, first.kind) {
                break;
            }
            found.push(item);
        }
        for item in found {
            reader.chunks.add(item.key, item.data())?;
        }
        Ok(reader)
    }

    /// What the superblock says.
    pub fn summary(&self) -> Summary {
        let superblock = &self.superblock;
        let label = superblock.label.split(|byte| *byte == 0).next().unwrap_or(&[]);
        Summary {
            label: String::from_utf8_lossy(label).into_owned(),
            fsid: Uuid::from_bytes(superblock.fsid),
            metadata_uuid: Uuid::from_bytes(*metadata_uuid(superblock)),
            size: Bytes(superblock.total_bytes.get()),
            used: Bytes(superblock.bytes_used.get()),
            node_size: superblock.node_size.get(),
            generation: superblock.generation.get(),
            has_log: superblock.log_root.get() != 0,
        }
    }

    fn chunk_root(&self) -> Reference {
        Reference {
            tree: object::CHUNK_TREE,
            address: self.superblock.chunk_root.get(),
            level: self.superblock.chunk_root_level,
            generation: self.superblock.chunk_root_generation.get(),
            first: None,
        }
    }

    fn root_root(&self) -> Reference {
        Reference {
            tree: object::ROOT_TREE,
            address: self.superblock.root.get(),
            level: self.superblock.root_level,
            generation: self.superblock.generation.get(),
            first: None,
        }
    }

    /// The root of a tree that the root tree lists.
    fn root(&self, tree: u64) -> Result<Reference, ReadError> {
        let from = Key::new(tree, kind::ROOT_ITEM, 0);
        let item = Items::from(self, self.root_root(), from)?.next().transpose()?;
        let item = item.filter(|item| (item.key.object, item.key.kind) == (tree, kind::ROOT_ITEM));
        let item = item.ok_or_else(|| ReadError::Missing {
            tree: object::ROOT_TREE,
            what: format!("root of tree {tree}"),
        })?;
        Ok(reference(tree, &root_item(&item)?))
    }

    /// The block that `reference` leads to: the first copy that is right.
    fn block(&self, reference: &Reference) -> Result<Rc<Block>, ReadError> {
        let address = reference.address;
        let wrong = |reason| ReadError::Block {
            tree: reference.tree,
            address,
            reason,
        };
        if reference.level >= MAX_LEVEL {
            return Err(wrong(format!("it would have level {}", reference.level)));
        }
        if let Some(block) = self.blocks.borrow().get(&address) {
            block.check(reference).map_err(wrong)?;
            return Ok(Rc::clone(block));
        }
        let size = self.superblock.node_size.get();
        let mut error = None;
        for offset in self.chunks.copies(address, size.into())? {
            match self.copy_of_block(reference, offset) {
                Ok(block) => {
                    let block = Rc::new(block);
                    let mut blocks = self.blocks.borrow_mut();
                    if blocks.len() >= CACHED_BLOCKS {
                        blocks.clear();
                    }
                    blocks.insert(address, Rc::clone(&block));
                    return Ok(block);
                }
                Err(copy_error) => error = Some(copy_error),
            }
        }
        Err(error.unwrap_or_else(|| wrong("it is nowhere".to_owned())))
    }

    /// The copy of a block at byte `offset` of the device.
    fn copy_of_block(&self, reference: &Reference, offset: u64) -> Result<Block, ReadError> {
        // At most 64 KiB: the superblock was checked.
        let mut bytes = vec![0; self.superblock.node_size.get() as usize];
        self.read(&mut bytes, offset)?;
        let metadata_uuid = metadata_uuid(&self.superblock);
        Block::parse(bytes, reference.address, metadata_uuid)
            .and_then(|block| block.check(reference).map(|()| block))
            .map_err(|reason| ReadError::Block {
                tree: reference.tree,
                address: reference.address,
                reason,
            })
    }

    /// Bytes of the device.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let length = buffer.len();
        self.source
            .read_exact_at(buffer, offset)
            .map_err(|source| ReadError::Io {
                offset,
                length,
                source,
            })
    }
}

/// What tree blocks call the volume.
fn metadata_uuid(superblock: &Superblock) -> &[u8; 16] {
    if superblock.incompat.get() & incompat::METADATA_UUID == 0 {
        &superblock.fsid
    } else {
        &superblock.metadata_uuid
    }
}

/// A root item. Old kernels wrote shorter ones, whose missing fields count as zeros.
fn root_item(item: &tree::Item) -> Result<RootItem, ReadError> {
    /// Bytes up to and with `level`.
    const OLD: usize = 239;
    let mut bytes = [0; size_of::<RootItem>()];
    let data = item.data();
    let known = data.len().min(bytes.len());
    if known < OLD {
        return Err(item.wrong("is too short for a root"));
    }
    bytes[..known].copy_from_slice(&data[..known]);
    Ok(zerocopy::transmute!(bytes))
}

fn reference(tree: u64, root: &RootItem) -> Reference {
    Reference {
        tree,
        address: root.address.get(),
        level: root.level,
        generation: root.generation.get(),
        first: None,
    }
}

/// The first superblock that is right: the others are there for that.
fn superblock(source: &dyn ReadAt) -> Result<Box<Superblock>, ReadError> {
    let mut first_error = None;
    for offset in SUPERBLOCKS {
        match superblock_at(source, offset) {
            Ok(superblock) => return Ok(superblock),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(ReadError::Superblock {
        offset: 0,
        reason: "there is none".to_owned(),
    }))
}

/// The superblock at `offset`, with nothing in it that the rest of the reader could not take.
fn superblock_at(source: &dyn ReadAt, offset: u64) -> Result<Box<Superblock>, ReadError> {
    /// What the volume may use. Compression other than zstd is found where a file uses it.
    const READ: u64 = incompat::MIXED_BACKREF
        | incompat::DEFAULT_SUBVOLUME
        | incompat::MIXED_GROUPS
        | incompat::LZO
        | incompat::ZSTD
        | incompat::BIG_METADATA
        | incompat::EXTENDED_IREF
        | incompat::SKINNY_METADATA
        | incompat::NO_HOLES
        | incompat::METADATA_UUID
        | incompat::SIMPLE_QUOTA;

    let wrong = |reason: String| ReadError::Superblock { offset, reason };
    let mut bytes = [0; size_of::<Superblock>()];
    source
        .read_exact_at(&mut bytes, offset)
        .map_err(|error| wrong(error.to_string()))?;
    let superblock = Superblock::read_from_bytes(&bytes).map_err(|error| wrong(error.to_string()))?;
    if superblock.magic != MAGIC {
        return Err(wrong("it is something else".to_owned()));
    }
    let unsupported = |what: String| Err(ReadError::Unsupported { what });
    if superblock.checksum_type.get() != 0 {
        return unsupported(format!(
            "the volume has checksums of type {}",
            superblock.checksum_type
        ));
    }
    let (stored, summed) = bytes.split_at(superblock.checksum.len());
    if stored[..4] != crc32c::crc32c(summed).to_le_bytes() {
        return Err(wrong("its checksum is wrong".to_owned()));
    }
    if superblock.address.get() != offset {
        return Err(wrong(format!("it says to be at byte {}", superblock.address)));
    }
    let unknown = superblock.incompat.get() & !READ;
    if unknown != 0 {
        return unsupported(format!("the volume has the incompatible features {unknown:#x}"));
    }
    if superblock.devices.get() != 1 {
        return unsupported(format!("the volume has {} devices", superblock.devices));
    }
    if u64::from(superblock.sector_size.get()) != SECTOR {
        return unsupported(format!(
            "the volume has sectors of {} bytes",
            superblock.sector_size
        ));
    }
    let node_size = superblock.node_size.get();
    if !(4096..=65536).contains(&node_size) || !node_size.is_power_of_two() {
        return Err(wrong(format!("it asks for tree blocks of {node_size} bytes")));
    }
    let size = superblock.total_bytes.get();
    if size > source.size() {
        return Err(wrong(format!(
            "the volume has {size} bytes, only {} of them are here",
            source.size()
        )));
    }
    Ok(Box::new(superblock))
}
