//! Layers over each other. What a later layer has at a path replaces what an earlier one had there:
//!
//! | later | over | gives |
//! |---|---|---|
//! | directory | directory | the later's attributes, the children of both |
//! | directory | symbolic link to a directory | the same, for the directory that the link leads to |
//! | directory | anything else | an error |
//! | anything else | empty directory, or what is not a directory | the later; other names of the earlier keep it |
//! | anything else | directory with children | an error |
//!
//! A path that leads through an earlier layer's symbolic link (`lib/modules` where `lib` is a link to `usr/lib`) is
//! followed inside the tree.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::resolve::Resolved;
use super::{Inode, InodeId, InodeKind, Share, Tree, split};
use crate::layer::{Attributes, Body, Entry, Layer, shown};
use crate::units::Time;

/// Why layers cannot be stacked. Layers are counted from 0, the lowest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StackError {
    /// A directory where an earlier layer has something else.
    #[error("directory {} of layer {layer} would replace {standing}", shown(path))]
    DirectoryOver {
        /// The later layer.
        layer: usize,
        /// The directory's path in it.
        path: Vec<u8>,
        /// What is there.
        standing: Standing,
    },
    /// Something else where earlier layers have a directory that is not empty.
    #[error(
        "{} of layer {layer} would replace {standing}, which is not empty",
        shown(path)
    )]
    OverDirectory {
        /// The later layer.
        layer: usize,
        /// The entry's path in it.
        path: Vec<u8>,
        /// The directory.
        standing: Standing,
    },
    /// A path leads through what is not a directory.
    #[error("{} of layer {layer} passes through {standing}", shown(path))]
    Through {
        /// The later layer.
        layer: usize,
        /// The entry's path in it.
        path: Vec<u8>,
        /// What is in its way.
        standing: Standing,
    },
    /// A path leads through a symbolic link to nothing.
    #[error(
        "{} of layer {layer} passes through {standing}, which leads to nothing",
        shown(path)
    )]
    Dangling {
        /// The later layer.
        layer: usize,
        /// The entry's path in it.
        path: Vec<u8>,
        /// The symbolic link.
        standing: Standing,
    },
    /// A path leads through too many symbolic links.
    #[error(
        "{} of layer {layer} passes through a loop of symbolic links at {standing}",
        shown(path)
    )]
    Loop {
        /// The later layer.
        layer: usize,
        /// The entry's path in it.
        path: Vec<u8>,
        /// One of the links.
        standing: Standing,
    },
    /// Two paths of one layer lead to the same place.
    #[error("{} of layer {layer} leads to the same place as {standing}", shown(path))]
    Twice {
        /// The layer.
        layer: usize,
        /// The entry's path in it.
        path: Vec<u8>,
        /// The other entry.
        standing: Standing,
    },
    /// A hard link's target is missing in its layer or cannot have two names: no reader of layers makes such a layer.
    #[error(
        "{} of layer {layer} links to {}, which is nothing of that layer that can have another name",
        shown(path),
        shown(target)
    )]
    Hardlink {
        /// The layer.
        layer: usize,
        /// The entry's path in it.
        path: Vec<u8>,
        /// Where it links to.
        target: Vec<u8>,
    },
}

/// What already stands where an entry wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} {}{}", shown(path), layer.map_or(String::new(), |layer| format!(" of layer {layer}")))]
pub struct Standing {
    /// The layer it comes from; `None` for a directory that was made because entries lie in it.
    pub layer: Option<usize>,
    /// Its path in that layer, or in the tree.
    pub path: Vec<u8>,
    /// What it is.
    pub what: &'static str,
}

struct Stack {
    tree: Tree,
    /// For each inode, the layer it came from and its path there; `None` for a directory that was made.
    origins: Vec<Option<(usize, Vec<u8>)>>,
    /// For directories that no layer gives.
    time: Time,
}

impl Tree {
    /// Stacks layers, the lowest first, and says who has each: what a layer brings gets its share. A directory keeps
    /// its share when a later layer gives it the same attributes. Directories that no layer gives are made as `0755`,
    /// owned by root, of the given time, and are alike on all nodes.
    pub fn stack(layers: &[(&Layer, Share)], made_directories: Time) -> Result<Self, StackError> {
        let mut stack = Stack {
            tree: Self { inodes: Vec::new() },
            origins: Vec::new(),
            time: made_directories,
        };
        stack.make_directory();
        for (number, (layer, share)) in layers.iter().enumerate() {
            stack.add_layer(number, layer, *share)?;
        }
        Ok(stack.tree)
    }
}

impl Stack {
    fn add_layer(&mut self, layer: usize, content: &Layer, share: Share) -> Result<(), StackError> {
        // Inodes first: a hard link may come before the path that it is another name of.
        let mut inodes: HashMap<&[u8], InodeId> = HashMap::new();
        for entry in &content.entries {
            let kind = match &entry.body {
                Body::Directory | Body::Hardlink(_) => continue,
                Body::File(data) => InodeKind::File(data.clone(), content.blob.clone()),
                Body::Symlink(target) => InodeKind::Symlink(target.clone()),
                Body::CharacterDevice(device) => InodeKind::CharacterDevice(*device),
                Body::BlockDevice(device) => InodeKind::BlockDevice(*device),
                Body::Fifo => InodeKind::Fifo,
                Body::Socket => InodeKind::Socket,
            };
            inodes.insert(&entry.path, self.make(layer, entry, kind, share));
        }
        for entry in &content.entries {
            let target = match &entry.body {
                Body::Directory => {
                    self.add_directory(layer, entry, share)?;
                    continue;
                }
                Body::Hardlink(target) => target,
                _ => &entry.path,
            };
            let id = inodes.get(&target[..]).ok_or_else(|| StackError::Hardlink {
                layer,
                path: entry.path.clone(),
                target: target.clone(),
            })?;
            self.put(layer, entry, *id)?;
        }
        Ok(())
    }

    /// Adds a directory, or gives an existing one the entry's attributes.
    fn add_directory(&mut self, layer: usize, entry: &Entry, share: Share) -> Result<(), StackError> {
        let path = entry.path.clone();
        let id = match split(&entry.path) {
            None => Tree::ROOT,
            Some((above, name)) => {
                let parent = self.parent(layer, entry, above)?;
                match self.tree.names(parent).and_then(|names| names.get(name)).copied() {
                    None => {
                        let kind = InodeKind::Directory(BTreeMap::new());
                        let id = self.make(layer, entry, kind, share);
                        self.link(parent, name, id);
                        return Ok(());
                    }
                    Some(id) => match &self.tree.inodes[id.0].kind {
                        InodeKind::Directory(_) => id,
                        InodeKind::Symlink(_) => self.parent(layer, entry, &entry.path)?,
                        _ => {
                            return Err(StackError::DirectoryOver {
                                layer,
                                path,
                                standing: self.standing(id),
                            });
                        }
                    },
                }
            }
        };
        let inode = &mut self.tree.inodes[id.0];
        if inode.attributes != entry.attributes {
            inode.attributes = entry.attributes.clone();
            inode.share = share;
            self.origins[id.0] = Some((layer, path));
        }
        Ok(())
    }

    /// Puts an inode at an entry's path.
    fn put(&mut self, layer: usize, entry: &Entry, id: InodeId) -> Result<(), StackError> {
        let path = &entry.path;
        let Some((above, name)) = split(path) else {
            let (path, standing) = (path.clone(), self.standing(Tree::ROOT));
            return Err(StackError::OverDirectory {
                layer,
                path,
                standing,
            });
        };
        let parent = self.parent(layer, entry, above)?;
        if let Some(there) = self.tree.names(parent).and_then(|names| names.get(name)).copied() {
            let standing = self.standing(there);
            if self.tree.names(there).is_some_and(|names| !names.is_empty()) {
                return Err(StackError::OverDirectory {
                    layer,
                    path: path.clone(),
                    standing,
                });
            }
            if standing.layer == Some(layer) {
                return Err(StackError::Twice {
                    layer,
                    path: path.clone(),
                    standing,
                });
            }
        }
        self.link(parent, name, id);
        Ok(())
    }

    /// The directory at `path`, for an entry that lies in it; made where nothing is.
    fn parent(&mut self, layer: usize, entry: &Entry, path: &[u8]) -> Result<InodeId, StackError> {
        let entry_path = || entry.path.clone();
        match self.tree.resolve(path) {
            Resolved::Directory(id) => Ok(id),
            Resolved::Missing { mut parent, missing } => {
                for name in missing {
                    let made = self.make_directory();
                    self.link(parent, &name, made);
                    parent = made;
                }
                Ok(parent)
            }
            Resolved::Dangling(link) => {
                let standing = self.standing(link);
                Err(StackError::Dangling {
                    layer,
                    path: entry_path(),
                    standing,
                })
            }
            Resolved::NotDirectory(id) => {
                let standing = self.standing(id);
                Err(StackError::Through {
                    layer,
                    path: entry_path(),
                    standing,
                })
            }
            Resolved::Loop(link) => {
                let standing = self.standing(link);
                Err(StackError::Loop {
                    layer,
                    path: entry_path(),
                    standing,
                })
            }
        }
    }

    fn make(&mut self, layer: usize, entry: &Entry, kind: InodeKind, share: Share) -> InodeId {
        self.origins.push(Some((layer, entry.path.clone())));
        self.tree.inodes.push(Inode {
            attributes: entry.attributes.clone(),
            kind,
            share,
        });
        InodeId(self.tree.inodes.len() - 1)
    }

    fn make_directory(&mut self) -> InodeId {
        self.origins.push(None);
        let attributes = Attributes {
            mode: 0o755,
            mtime: self.time,
            ..Attributes::default()
        };
        let kind = InodeKind::Directory(BTreeMap::new());
        self.tree.inodes.push(Inode {
            attributes,
            kind,
            share: Share::Role,
        });
        InodeId(self.tree.inodes.len() - 1)
    }

    fn link(&mut self, parent: InodeId, name: &[u8], id: InodeId) {
        if let InodeKind::Directory(names) = &mut self.tree.inodes[parent.0].kind {
            names.insert(name.to_vec(), id);
        }
    }

    fn standing(&self, id: InodeId) -> Standing {
        let (layer, path) = match self.origins[id.0].clone() {
            Some((layer, path)) => (Some(layer), path),
            None => {
                let found = self.tree.walk().find(|(_, other)| *other == id);
                (None, found.map(|(path, _)| path).unwrap_or_default())
            }
        };
        let what = match &self.tree.inodes[id.0].kind {
            InodeKind::Directory(_) => "directory",
            InodeKind::File(..) => "file",
            InodeKind::Symlink(_) => "symbolic link",
            InodeKind::CharacterDevice(_) => "character device",
            InodeKind::BlockDevice(_) => "block device",
            InodeKind::Fifo => "named pipe",
            InodeKind::Socket => "socket",
        };
        Standing { layer, path, what }
    }
}
