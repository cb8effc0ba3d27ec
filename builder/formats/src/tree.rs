//! The one tree that a file system holds: layers stacked, later ones over earlier ones.

use std::collections::BTreeMap;

use crate::blob::Blob;
use crate::layer::{Attributes, Content, Device};

/// An inode of a [`Tree`], by position in [`Tree::inodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub usize);

/// A tree of inodes. The first is the root directory.
#[derive(Debug, Clone)]
pub struct Tree {
    /// All inodes; what no directory refers to any more is not written.
    pub inodes: Vec<Inode>,
}

/// One inode: a directory, or a file with any number of names.
#[derive(Debug, Clone)]
pub struct Inode {
    /// Owner, mode, time, extended attributes.
    pub attributes: Attributes,
    /// What it is.
    pub kind: InodeKind,
    /// Who has it.
    pub share: Share,
}

/// Whether all nodes of a role have an inode alike. What is per node sorts last in a volume: highest inode numbers,
/// last data addresses, so that two nodes differ at the tail only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// Alike on every node of the role.
    Role,
    /// The node's own.
    Node,
}

/// What an inode is.
#[derive(Debug, Clone)]
pub enum InodeKind {
    /// Names and the inodes they refer to.
    Directory(BTreeMap<Vec<u8>, InodeId>),
    /// A regular file: its data and the blob that the data's extents lie in.
    File(Content, Blob),
    /// A symbolic link's target.
    Symlink(Vec<u8>),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Tree {
    /// The root directory.
    pub const ROOT: InodeId = InodeId(0);
}
