//! Why a volume cannot be read.

use std::io;

use thiserror::Error;

/// Why a volume, or a part of it, cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The bytes themselves cannot be had.
    #[error("cannot read {length} bytes at byte {offset} of the volume: {source}")]
    Io {
        /// Where in the volume.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// What failed.
        source: io::Error,
    },
    /// There is no superblock to start from.
    #[error("no btrfs superblock at byte {offset}: {reason}")]
    Superblock {
        /// Where one was looked for.
        offset: u64,
        /// What is wrong with what is there.
        reason: String,
    },
    /// The volume uses something of btrfs that is not read here.
    #[error("{what}, which is not supported")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A chunk contradicts itself or another.
    #[error("the chunk at {address:#x} {reason}")]
    Chunk {
        /// Its logical address.
        address: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An address that no chunk holds.
    #[error("{length} bytes at address {address:#x} are not in one chunk")]
    Unmapped {
        /// The logical address.
        address: u64,
        /// How many bytes.
        length: u64,
    },
    /// A block of a tree is damaged in every copy.
    #[error("block {address:#x} of tree {tree}: {reason}")]
    Block {
        /// The tree.
        tree: u64,
        /// The block's logical address.
        address: u64,
        /// What is wrong with the last copy.
        reason: String,
    },
    /// An item does not say what items of its type say.
    #[error("item ({object} {kind} {offset}) of tree {tree} {reason}")]
    Item {
        /// The tree.
        tree: u64,
        /// First part of the item's key.
        object: u64,
        /// Its type.
        kind: u8,
        /// Last part of the key.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something that has to be there is not.
    #[error("tree {tree} has no {what}")]
    Missing {
        /// The tree.
        tree: u64,
        /// What is missing.
        what: String,
    },
    /// Data of a file is damaged in every copy.
    #[error("data at address {address:#x} {reason}")]
    Data {
        /// Its logical address.
        address: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A path that no tree of directories can have.
    #[error("directory {inode} of tree {tree} {reason}")]
    Directory {
        /// The tree.
        tree: u64,
        /// Its inode.
        inode: u64,
        /// What is wrong.
        reason: &'static str,
    },
}
