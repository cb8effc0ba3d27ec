//! What a subvolume is made of: who has which inode number, which names, and which place in its directories.

use super::disk::{Key, object};
use super::error::printable;
use super::{SubvolumeContent, SubvolumeSpec};
use crate::layer::Attributes;
use crate::tree::{InodeKind, Share};

/// A subvolume with all its inodes.
#[derive(Debug)]
pub(super) struct Subvolume<'a> {
    /// Its id, which is its tree's.
    pub id: u64,
    /// What was asked for; `None` for the top level.
    pub spec: Option<&'a SubvolumeSpec>,
    /// Its inodes in order of their numbers. The first is its root directory.
    pub inodes: Vec<Inode<'a>>,
    /// Where it hangs in the top level; 0 for the top level itself.
    pub index: u64,
}

/// An inode with its names.
#[derive(Debug)]
pub(super) struct Inode<'a> {
    /// Its number.
    pub number: u64,
    /// Who has it.
    pub share: Share,
    /// Owner, mode, time, extended attributes.
    pub attributes: &'a Attributes,
    /// What it is.
    pub body: Body<'a>,
    /// Its names; none for a root directory.
    pub links: Vec<Link<'a>>,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// A directory with its entries in order of names, which is the order of their DIR_INDEX too.
    Directory(Vec<Child<'a>>),
    /// Anything else, as the tree has it.
    Other(&'a InodeKind),
}

/// A name of an inode.
#[derive(Debug)]
pub(super) struct Link<'a> {
    /// Inode number of the directory.
    pub parent: u64,
    /// The name's DIR_INDEX.
    pub index: u64,
    /// The name.
    pub name: &'a [u8],
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Child<'a> {
    /// The name.
    pub name: &'a [u8],
    /// Its DIR_INDEX.
    pub index: u64,
    /// Key of the inode or of the subvolume's root.
    pub location: Key,
    /// One of [`file_type`].
    pub file_type: u8,
}

impl Subvolume<'_> {
    /// The path of an inode by position, from the subvolume's name on, for messages.
    pub fn path(&self, position: usize) -> String {
        let mut names = Vec::new();
        let mut inode = &self.inodes[position];
        while let Some(link) = inode.links.first() {
            names.push(printable(link.name));
            match self
                .inodes
                .binary_search_by_key(&link.parent, |inode| inode.number)
            {
                Ok(parent) => inode = &self.inodes[parent],
                // A node's own inodes come without the role's directories.
                Err(_) => break,
            }
        }
        names.push(self.spec.map_or_else(String::new, |spec| spec.name.clone()));
        joined(names)
    }

    /// Whether a tree of its own is in it.
    pub fn is_template(&self) -> bool {
        self.spec
            .is_some_and(|spec| matches!(spec.content, SubvolumeContent::Tree(_)))
    }

    /// The path of an inode in the tree, by position, without a slash in front. The first name counts.
    pub fn tree_path(&self, position: usize) -> Vec<u8> {
        let mut names = Vec::new();
        let mut inode = &self.inodes[position];
        while let Some(link) = inode.links.first() {
            names.push(link.name);
            inode = &self.inodes[(link.parent - object::FIRST_FREE) as usize];
        }
        let mount: &[u8] = match self.spec.map(|spec| &spec.content) {
            Some(SubvolumeContent::Mount(path)) => path,
            _ => b"",
        };
        let mount = mount.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.reverse();
        mount.chain(names).collect::<Vec<_>>().join(&b'/')
    }
}

/// A path from its components, the last one first. The first may be the empty name of the top level.
pub(super) fn joined(mut names: Vec<String>) -> String {
    names.reverse();
    if names.len() == 1 {
        names.push(String::new());
    }
    names.join("/")
}
