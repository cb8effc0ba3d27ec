//! Subvolumes mounted into each other as a node has them: paths and walks through all of them.

use std::collections::{BTreeMap, HashSet};

use super::{Inode, InodeKind, Name, ReadError, Reader, Subvolume, Target};

/// Longest path that is followed, in bytes. Linux takes 4095 at once, but lets programs go deeper step by step.
pub const MAX_PATH: usize = 16 * 1024;

/// Symbolic links that are followed on the way to one name (Linux: `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// A subvolume as root directory, and others mounted below it.
#[derive(Debug, Clone)]
pub struct View {
    /// What is at the root.
    pub root: Subvolume,
    /// What is mounted below, by path: components joined by `/`, none in front. What is mounted where no directory is
    /// does not show.
    pub mounts: BTreeMap<Vec<u8>, Subvolume>,
}

impl View {
    /// One subvolume alone.
    pub fn of(root: Subvolume) -> Self {
        Self {
            root,
            mounts: BTreeMap::new(),
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone)]
pub struct Found<'v> {
    /// The path, components joined by `/`; empty for the root.
    pub path: Vec<u8>,
    /// The subvolume that it lies in.
    pub subvolume: &'v Subvolume,
    /// What is there.
    pub inode: Inode,
}

impl<'s> Reader<'s> {
    /// What `path` leads to, all symbolic links followed, inside the view. `None` where nothing is.
    pub fn find<'v>(&self, view: &'v View, path: &[u8]) -> Result<Option<Found<'v>>, ReadError> {
        let root = self.at_root(view)?;
        // The way from the root to where the search is, and what is still ahead, next one last.
        let mut way = vec![root.clone()];
        let mut ahead: Vec<Vec<u8>> = Vec::new();
        push_reversed(&mut ahead, path);
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            if component == b".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let Some(here) = way.last() else {
                return Ok(None);
            };
            if here.inode.kind != InodeKind::Directory {
                return Ok(None);
            }
            let target = self.name(here.subvolume, here.inode.number, &component)?;
            let Some(target) = target else {
                return Ok(None);
            };
            let Some(found) = self.step(view, here, &component, target)? else {
                return Ok(None);
            };
            if let InodeKind::Symlink(target) = &found.inode.kind {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(None);
                }
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                push_reversed(&mut ahead, target);
                continue;
            }
            if found.path.len() > MAX_PATH {
                return Ok(None);
            }
            way.push(found);
        }
        Ok(way.pop())
    }

    /// All paths of the view: the root first, a directory before what is in it, names in order of their bytes.
    pub fn walk<'r, 'v>(&'r self, view: &'v View) -> Walk<'r, 's, 'v> {
        Walk {
            reader: self,
            view,
            open: Vec::new(),
            seen: HashSet::new(),
            state: State::Before,
        }
    }

    fn at_root<'v>(&self, view: &'v View) -> Result<Found<'v>, ReadError> {
        Ok(Found {
            path: Vec::new(),
            subvolume: &view.root,
            inode: self.inode(&view.root, Subvolume::ROOT)?,
        })
    }

    /// What a name of the directory `parent` leads to; `None` where a subvolume hangs that the view does not show.
    fn step<'v>(
        &self,
        view: &'v View,
        parent: &Found<'v>,
        name: &[u8],
        target: Target,
    ) -> Result<Option<Found<'v>>, ReadError> {
        let mut path = parent.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let mounted = view.mounts.get(&path);
        let (subvolume, number) = match (mounted, target) {
            (Some(mounted), Target::Subvolume(_)) => (mounted, Subvolume::ROOT),
            (None, Target::Subvolume(_)) => return Ok(None),
            (_, Target::Inode(number)) => (parent.subvolume, number),
        };
        let mut found = Found {
            inode: self.inode(subvolume, number)?,
            path,
            subvolume,
        };
        if let (Some(mounted), InodeKind::Directory) = (mounted, &found.inode.kind) {
            found.inode = self.inode(mounted, Subvolume::ROOT)?;
            found.subvolume = mounted;
        }
        Ok(Some(found))
    }
}

/// Puts the components of `path` before what is ahead already, which is kept in reverse.
fn push_reversed(ahead: &mut Vec<Vec<u8>>, path: &[u8]) {
    let components = path.split(|byte| *byte == b'/').rev();
    let components = components.filter(|component| !component.is_empty() && *component != b".");
    ahead.extend(components.map(<[u8]>::to_vec));
}

/// The paths of a view, as [`Reader::walk`] gives them. Ends for good after an error.
pub struct Walk<'r, 's, 'v> {
    reader: &'r Reader<'s>,
    view: &'v View,
    /// The directories above the next name, each with the names that are left of it.
    open: Vec<(Found<'v>, std::vec::IntoIter<Name>)>,
    /// Directories that were met: each has one name only, or a walk would not end.
    seen: HashSet<(u64, u64)>,
    state: State,
}

/// How far a walk is.
#[derive(PartialEq, Eq)]
enum State {
    Before,
    Within,
    Behind,
}

impl<'v> Walk<'_, '_, 'v> {
    fn advance(&mut self) -> Result<Option<Found<'v>>, ReadError> {
        if self.state == State::Before {
            self.state = State::Within;
            let root = self.reader.at_root(self.view)?;
            self.enter(&root)?;
            return Ok(Some(root));
        }
        while let Some((directory, names)) = self.open.last_mut() {
            let Some(name) = names.next() else {
                self.open.pop();
                continue;
            };
            let found = self.reader.step(self.view, directory, &name.name, name.target)?;
            if let Some(found) = found {
                if found.inode.kind == InodeKind::Directory {
                    self.enter(&found)?;
                }
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, directory: &Found<'v>) -> Result<(), ReadError> {
        let (tree, inode) = (directory.subvolume.id, directory.inode.number);
        let wrong = |reason| ReadError::Directory { tree, inode, reason };
        if !self.seen.insert((tree, inode)) {
            return Err(wrong("has a second name"));
        }
        if directory.path.len() > MAX_PATH {
            return Err(wrong("has a path longer than any that is followed"));
        }
        let names = self.reader.names(directory.subvolume, inode)?;
        self.open.push((directory.clone(), names.into_iter()));
        Ok(())
    }
}

impl<'v> Iterator for Walk<'_, '_, 'v> {
    type Item = Result<Found<'v>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Behind {
            return None;
        }
        let found = self.advance();
        if !matches!(found, Ok(Some(_))) {
            self.state = State::Behind;
        }
        found.transpose()
    }
}
