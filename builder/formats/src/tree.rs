//! The one tree that a file system holds: layers stacked, later ones over earlier ones.
//!
//! | module | owns |
//! |---|---|
//! | `stack` | layers over each other: what replaces what |
//! | `resolve` | paths through symbolic links, never out of the tree |

mod resolve;
mod stack;

pub use stack::{StackError, Standing};

use std::collections::{BTreeMap, HashSet};

use self::resolve::Resolved;
use crate::blob::Blob;
use crate::layer::{Attributes, Content, Data, Device};
use crate::units::Bytes;

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

/// What the files of a tree take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Inodes that a directory refers to, with the root.
    pub inodes: u64,
    /// Names in all directories: more than `inodes` has files where there are hard links.
    pub names: u64,
    /// Bytes of all files as a reader sees them, holes included.
    pub file_bytes: Bytes,
    /// Bytes of all extents in their blobs, each counted once.
    pub stored_bytes: Bytes,
    /// Bytes of files stored in the metadata.
    pub inline_bytes: Bytes,
}

impl Tree {
    /// The root directory.
    pub const ROOT: InodeId = InodeId(0);

    /// The inode at `path` (components joined by `/`, one in front is ignored). Symbolic links above the last
    /// component are followed inside the tree; the last one is not.
    pub fn lookup(&self, path: &[u8]) -> Option<InodeId> {
        match split(path) {
            None => Some(Self::ROOT),
            Some((directory, name)) => self.names(self.directory(directory)?)?.get(name).copied(),
        }
    }

    /// Takes the name at `path`, with all that lies below it, out of the tree, and returns the inode it had. Symbolic
    /// links are followed as in [`Tree::lookup`]. `None` where there is nothing, and for the root.
    pub fn remove(&mut self, path: &[u8]) -> Option<InodeId> {
        let (directory, name) = split(path)?;
        let directory = self.directory(directory)?;
        match &mut self.inodes[directory.0].kind {
            InodeKind::Directory(names) => names.remove(name),
            _ => None,
        }
    }

    /// All paths with their inodes: the root first, a directory before what is in it, names in order of their bytes.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            tree: self,
            stack: vec![(Vec::new(), Self::ROOT)],
        }
    }

    /// What the files take that a directory refers to.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let mut seen = HashSet::new();
        let mut extents_seen = HashSet::new();
        for (path, id) in self.walk() {
            usage.names += u64::from(!path.is_empty());
            if !seen.insert(id) {
                continue;
            }
            usage.inodes += 1;
            let InodeKind::File(content, blob) = &self.inodes[id.0].kind else {
                continue;
            };
            usage.file_bytes = usage.file_bytes + Bytes(content.size);
            match &content.data {
                Data::Inline { stored, .. } => {
                    usage.inline_bytes = usage.inline_bytes + Bytes(stored.len() as u64);
                }
                Data::Extents(extents) => {
                    for extent in extents {
                        if extents_seen.insert((blob.address(), extent.blob_offset)) {
                            usage.stored_bytes = usage.stored_bytes + Bytes(extent.stored_length);
                        }
                    }
                }
            }
        }
        usage
    }

    /// The names in a directory; `None` for what is none.
    pub fn names(&self, id: InodeId) -> Option<&BTreeMap<Vec<u8>, InodeId>> {
        match &self.inodes[id.0].kind {
            InodeKind::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// The directory at `path`, all symbolic links followed, the last one too.
    pub fn directory(&self, path: &[u8]) -> Option<InodeId> {
        match self.resolve(path) {
            Resolved::Directory(id) => Some(id),
            _ => None,
        }
    }
}

/// The directory part and the last component of a path; `None` for the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    })
}

/// Paths of a tree with their inodes, as [`Tree::walk`] gives them.
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    /// What is to be visited, the next one last.
    stack: Vec<(Vec<u8>, InodeId)>,
}

impl Iterator for Walk<'_> {
    type Item = (Vec<u8>, InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, id) = self.stack.pop()?;
        if let Some(names) = self.tree.names(id) {
            for (name, child) in names.iter().rev() {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name);
                self.stack.push((below, *child));
            }
        }
        Some((path, id))
    }
}
