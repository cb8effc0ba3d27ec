//! The tree cut into subvolumes.
//!
//! A directory that a subvolume is mounted at is there twice: empty in the subvolume around it, as mount point, and
//! as the root of the subvolume, with all that is below it.

use std::collections::{BTreeMap, HashMap};

use super::disk::{Key, kind, object};
use super::error::{VolumeError, printable};
use super::mounts::Mounts;
use super::namespace::{Body, Child, Inode, Link, Subvolume, joined};
use super::records::file_type;
use super::{SubvolumeContent, SubvolumeSpec};
use crate::layer::Attributes;
use crate::tree::{InodeId, InodeKind, Share, Tree};

/// Longest name, in bytes (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// Most names of an inode (`BTRFS_LINK_MAX`).
const MAX_LINKS: usize = 65_535;

/// First DIR_INDEX of a directory: 0 and 1 stand for `.` and `..`.
const FIRST_INDEX: u64 = 2;

/// A directory that the walk has yet to enter.
struct Visit<'m, 'a> {
    subvolume: usize,
    position: usize,
    /// The directory of the tree; `None` where only a mount path asks for one.
    directory: Option<InodeId>,
    mounts: Option<&'m Mounts<'a>>,
}

/// Builds the subvolumes. Inodes refer to each other by position until all are known and numbered.
struct Walk<'a> {
    /// The tree that is gone through.
    tree: &'a Tree,
    made: &'a Attributes,
    subvolumes: Vec<Subvolume<'a>>,
    /// Where an inode of this tree was put first.
    placed: HashMap<InodeId, (usize, usize)>,
}

/// Cuts `tree` into the top level and `specs`, of which some have trees of their own. Directories that a mount path
/// needs and the tree lacks are given the attributes `made`.
pub(super) fn cut<'a>(
    tree: &'a Tree,
    specs: &'a [SubvolumeSpec],
    made: &'a Attributes,
) -> Result<Vec<Subvolume<'a>>, VolumeError> {
    let mounts = Mounts::new(specs)?;
    let nothing = Mounts::default();
    let mut walk = Walk {
        tree,
        made,
        subvolumes: Vec::new(),
        placed: HashMap::new(),
    };
    walk.subvolumes.push(Subvolume {
        id: object::FS_TREE,
        spec: None,
        inodes: Vec::new(),
        index: 0,
    });
    for (position, spec) in specs.iter().enumerate() {
        let id = object::FIRST_FREE + position as u64;
        walk.subvolumes.push(Subvolume {
            id,
            spec: Some(spec),
            inodes: Vec::new(),
            index: 0,
        });
    }
    for subvolume in 0..walk.subvolumes.len() {
        walk.add_inode(subvolume, Share::Role, made, Body::Directory(Vec::new()));
    }
    // Subvolume 0 is the top level, so those of the specs start at 1.
    let holder = mounts.subvolume.map_or(0, |position| position + 1);
    walk.run(tree, holder, &mounts)?;
    for (position, spec) in specs.iter().enumerate() {
        if let SubvolumeContent::Tree(tree) = &spec.content {
            walk.run(tree, position + 1, &nothing)?;
            walk.check_shared(position + 1)?;
        }
    }
    walk.hang_subvolumes(specs)?;
    for (position, subvolume) in walk.subvolumes.iter_mut().enumerate() {
        number(subvolume);
        check_links(subvolume)?;
        debug_assert!(position == 0 || subvolume.index >= FIRST_INDEX);
    }
    Ok(walk.subvolumes)
}

impl<'a> Walk<'a> {
    /// Adds an inode and tells its position.
    fn add_inode(
        &mut self,
        subvolume: usize,
        share: Share,
        attributes: &'a Attributes,
        body: Body<'a>,
    ) -> usize {
        let inodes = &mut self.subvolumes[subvolume].inodes;
        inodes.push(Inode {
            number: 0,
            share,
            attributes,
            body,
            links: Vec::new(),
        });
        inodes.len() - 1
    }

    /// Goes through `tree` from its root, which subvolume `holder` holds.
    fn run(&mut self, tree: &'a Tree, holder: usize, mounts: &Mounts<'a>) -> Result<(), VolumeError> {
        self.tree = tree;
        self.placed.clear();
        let root = tree.inodes.get(Tree::ROOT.0);
        let Some(root) = root.filter(|inode| matches!(inode.kind, InodeKind::Directory(_))) else {
            let reason = "the root of the tree is not a directory";
            return Err(VolumeError::Structure {
                path: self.draft_path(holder, 0, b""),
                reason,
            });
        };
        self.claim(Tree::ROOT, holder, 0)?;
        self.set_root(holder, &root.attributes, root.share);
        let mut visits = vec![Visit {
            subvolume: holder,
            position: 0,
            directory: Some(Tree::ROOT),
            mounts: Some(mounts),
        }];
        while let Some(visit) = visits.pop() {
            let first = visits.len();
            self.enter(&visit, &mut visits)?;
            // The first entry is entered first.
            visits[first..].reverse();
        }
        Ok(())
    }

    /// Refuses a node's own inodes in a subvolume that all nodes have alike.
    fn check_shared(&self, subvolume: usize) -> Result<(), VolumeError> {
        let inodes = &self.subvolumes[subvolume].inodes;
        match inodes.iter().position(|inode| inode.share == Share::Node) {
            None => Ok(()),
            Some(position) => Err(VolumeError::Structure {
                path: self.draft_path(subvolume, position, b""),
                reason: "is a node's own, but the subvolume is alike on all nodes",
            }),
        }
    }

    /// Gives the root directory of `subvolume` the attributes of a directory of the tree.
    fn set_root(&mut self, subvolume: usize, attributes: &'a Attributes, share: Share) {
        let root = &mut self.subvolumes[subvolume].inodes[0];
        root.attributes = attributes;
        root.share = share;
    }

    /// Notes that a directory of the tree has its place, which it can have but once.
    fn claim(&mut self, id: InodeId, subvolume: usize, position: usize) -> Result<(), VolumeError> {
        match self.placed.insert(id, (subvolume, position)) {
            None => Ok(()),
            Some(_) => Err(VolumeError::Structure {
                path: self.draft_path(subvolume, position, b""),
                reason: "a directory has two names",
            }),
        }
    }

    /// Adds all entries of one directory: those of the tree, and those that only a mount path asks for.
    fn enter<'m>(
        &mut self,
        visit: &Visit<'m, 'a>,
        visits: &mut Vec<Visit<'m, 'a>>,
    ) -> Result<(), VolumeError> {
        let tree = self.tree;
        let mut names: BTreeMap<&'a [u8], Option<InodeId>> = BTreeMap::new();
        if let Some(mounts) = visit.mounts {
            names.extend(mounts.below.keys().map(|&name| (name, None)));
        }
        if let Some(InodeKind::Directory(entries)) = visit.directory.map(|id| &tree.inodes[id.0].kind) {
            names.extend(entries.iter().map(|(name, &id)| (name.as_slice(), Some(id))));
        }
        for (name, id) in names {
            self.check_name(visit.subvolume, visit.position, name)?;
            let mounts = visit.mounts.and_then(|mounts| mounts.below.get(name));
            match id {
                Some(id) => self.add_entry(visit, name, id, mounts, visits)?,
                None => self.add_directory(visit, name, None, mounts, visits)?,
            }
        }
        Ok(())
    }

    /// Adds the entry `name`, which the tree has, to the directory that `visit` is in.
    fn add_entry<'m>(
        &mut self,
        visit: &Visit<'m, 'a>,
        name: &'a [u8],
        id: InodeId,
        mounts: Option<&'m Mounts<'a>>,
        visits: &mut Vec<Visit<'m, 'a>>,
    ) -> Result<(), VolumeError> {
        let tree = self.tree;
        let path = |walk: &Self| walk.draft_path(visit.subvolume, visit.position, name);
        let source = tree.inodes.get(id.0).ok_or_else(|| VolumeError::Structure {
            path: path(self),
            reason: "refers to an inode that the tree lacks",
        })?;
        if matches!(source.kind, InodeKind::Directory(_)) {
            return self.add_directory(visit, name, Some(id), mounts, visits);
        }
        if let Some(mounts) = mounts {
            return Err(VolumeError::MountPath {
                path: path(self),
                subvolume: mounts.needed_by.to_owned(),
                reason: "is not a directory in the tree",
            });
        }
        let position = match self.placed.get(&id) {
            None => {
                let body = Body::Other(&source.kind);
                let position = self.add_inode(visit.subvolume, source.share, &source.attributes, body);
                self.placed.insert(id, (visit.subvolume, position));
                position
            }
            Some(&(subvolume, position)) if subvolume == visit.subvolume => position,
            Some(&(subvolume, position)) => {
                return Err(VolumeError::LinkAcrossSubvolumes {
                    first: self.draft_path(subvolume, position, b""),
                    second: path(self),
                });
            }
        };
        self.link(
            visit.subvolume,
            visit.position,
            name,
            position,
            type_of(&source.kind),
        );
        Ok(())
    }

    /// Adds a directory, which is a mount point where `mounts` has a subvolume for it.
    fn add_directory<'m>(
        &mut self,
        visit: &Visit<'m, 'a>,
        name: &'a [u8],
        directory: Option<InodeId>,
        mounts: Option<&'m Mounts<'a>>,
        visits: &mut Vec<Visit<'m, 'a>>,
    ) -> Result<(), VolumeError> {
        let tree = self.tree;
        let (attributes, share) = directory.map_or((self.made, Share::Role), |id| {
            let source = &tree.inodes[id.0];
            (&source.attributes, source.share)
        });
        let position = self.add_inode(visit.subvolume, share, attributes, Body::Directory(Vec::new()));
        self.link(
            visit.subvolume,
            visit.position,
            name,
            position,
            file_type::DIRECTORY,
        );
        let mounted = mounts.and_then(|mounts| mounts.subvolume);
        // Subvolume 0 is the top level. What is below a mount point belongs to the subvolume mounted there.
        let (subvolume, position) = mounted.map_or((visit.subvolume, position), |spec| (spec + 1, 0));
        if let Some(id) = directory {
            self.claim(id, subvolume, position)?;
        }
        if mounted.is_some() {
            self.set_root(subvolume, attributes, share);
        }
        visits.push(Visit {
            subvolume,
            position,
            directory,
            mounts,
        });
        Ok(())
    }

    /// Gives the inode at `position` a name in the directory at `parent`.
    fn link(&mut self, subvolume: usize, parent: usize, name: &'a [u8], position: usize, file_type: u8) {
        let inodes = &mut self.subvolumes[subvolume].inodes;
        let location = Key::new(position as u64, kind::INODE_ITEM, 0);
        let index = add_child(&mut inodes[parent], name, location, file_type);
        inodes[position].links.push(Link {
            parent: parent as u64,
            index,
            name,
        });
    }

    /// Gives every subvolume its name in the top level.
    fn hang_subvolumes(&mut self, specs: &'a [SubvolumeSpec]) -> Result<(), VolumeError> {
        for (position, spec) in specs.iter().enumerate() {
            let name = spec.name.as_bytes();
            self.check_name(0, 0, name)?;
            let root = &mut self.subvolumes[0].inodes[0];
            if let Body::Directory(children) = &root.body
                && children.iter().any(|child| child.name == name)
            {
                return Err(VolumeError::DuplicateName {
                    name: spec.name.clone(),
                });
            }
            let location = Key::new(object::FIRST_FREE + position as u64, kind::ROOT_ITEM, u64::MAX);
            self.subvolumes[position + 1].index = add_child(root, name, location, file_type::DIRECTORY);
        }
        Ok(())
    }

    /// Refuses a name that no directory can hold.
    fn check_name(&self, subvolume: usize, position: usize, name: &[u8]) -> Result<(), VolumeError> {
        let reason = match name {
            b"" => "is empty",
            b"." | b".." => "has a meaning of its own",
            _ if name.len() > MAX_NAME => "is longer than 255 bytes",
            _ if name.contains(&b'/') => "contains a slash",
            _ if name.contains(&0) => "contains NUL",
            _ => return Ok(()),
        };
        let path = self.draft_path(subvolume, position, name);
        Err(VolumeError::Name {
            path,
            length: name.len(),
            reason,
        })
    }

    /// The path of `name` in the inode at `position`, before inodes have numbers.
    fn draft_path(&self, subvolume: usize, position: usize, name: &[u8]) -> String {
        let subvolume = &self.subvolumes[subvolume];
        let mut names = Vec::new();
        if !name.is_empty() {
            names.push(printable(name));
        }
        let mut inode = &subvolume.inodes[position];
        while let Some(link) = inode.links.first() {
            names.push(printable(link.name));
            inode = &subvolume.inodes[link.parent as usize];
        }
        names.push(subvolume.spec.map_or_else(String::new, |spec| spec.name.clone()));
        joined(names)
    }
}

/// Adds an entry to `directory` and tells its DIR_INDEX.
fn add_child<'a>(directory: &mut Inode<'a>, name: &'a [u8], location: Key, file_type: u8) -> u64 {
    match &mut directory.body {
        Body::Directory(children) => {
            let index = FIRST_INDEX + children.len() as u64;
            children.push(Child {
                name,
                index,
                location,
                file_type,
            });
            index
        }
        // Only directories are entered.
        Body::Other(_) => 0,
    }
}

/// Numbers the inodes, the nodes' own last, and turns positions into numbers.
fn number(subvolume: &mut Subvolume<'_>) {
    let inodes = &subvolume.inodes;
    let of = |share| (1..inodes.len()).filter(move |&position| inodes[position].share == share);
    let order: Vec<usize> = std::iter::once(0)
        .chain(of(Share::Role))
        .chain(of(Share::Node))
        .collect();
    let mut numbers = vec![0; order.len()];
    for (place, &position) in order.iter().enumerate() {
        numbers[position] = object::FIRST_FREE + place as u64;
    }
    for (inode, &number) in subvolume.inodes.iter_mut().zip(&numbers) {
        inode.number = number;
        for link in &mut inode.links {
            link.parent = numbers[link.parent as usize];
        }
        if let Body::Directory(children) = &mut inode.body {
            for child in children
                .iter_mut()
                .filter(|child| child.location.kind == kind::INODE_ITEM)
            {
                child.location.object = numbers[child.location.object as usize];
            }
        }
    }
    subvolume.inodes.sort_by_key(|inode| inode.number);
}

/// Refuses an inode with more names than it can count.
fn check_links(subvolume: &Subvolume<'_>) -> Result<(), VolumeError> {
    for (position, inode) in subvolume.inodes.iter().enumerate() {
        if inode.links.len() > MAX_LINKS {
            let path = subvolume.path(position);
            return Err(VolumeError::TooManyLinks {
                path,
                links: inode.links.len(),
                limit: MAX_LINKS,
            });
        }
    }
    Ok(())
}

/// What a directory entry says of an inode of `kind`.
fn type_of(kind: &InodeKind) -> u8 {
    match kind {
        InodeKind::Directory(_) => file_type::DIRECTORY,
        InodeKind::File(..) => file_type::FILE,
        InodeKind::Symlink(_) => file_type::SYMLINK,
        InodeKind::CharacterDevice(_) => file_type::CHARACTER_DEVICE,
        InodeKind::BlockDevice(_) => file_type::BLOCK_DEVICE,
        InodeKind::Fifo => file_type::FIFO,
        InodeKind::Socket => file_type::SOCKET,
    }
}
