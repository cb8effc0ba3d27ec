//! Which entries can stand together: no path twice, the root a directory, and nothing but a directory with anything in it.

use std::collections::BTreeMap;

use thiserror::Error;

use super::path::{parent, shown};

/// What lies at a path.
pub trait Place {
    /// Whether other entries can lie in it.
    fn is_directory(&self) -> bool;

    /// What it is, with its article, for messages.
    fn what(&self) -> &'static str;
}

/// Why an entry cannot stand beside the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Clash {
    /// The root is something else than a directory.
    #[error("the root can only be a directory")]
    Root,
    /// Another entry has its path.
    #[error("an earlier entry has the same path")]
    Duplicate,
    /// A directory above it is given as something else.
    #[error("it passes through {}, which is {what}", shown(ancestor))]
    Through {
        /// The path that is not a directory.
        ancestor: Vec<u8>,
        /// What it is.
        what: &'static str,
    },
    /// It is not a directory, but earlier entries lie in it.
    #[error("earlier entries lie in it, so it can only be a directory")]
    HasChildren,
}

/// What lies at each path so far; directories above an entry need not be entries themselves.
#[derive(Debug, Clone)]
pub struct Places<P>(BTreeMap<Vec<u8>, P>);

impl<P> Default for Places<P> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<P: Place> Places<P> {
    /// Whether `place` can lie at `path`, a legal one, as well.
    pub fn check(&self, path: &[u8], place: &P) -> Result<(), Clash> {
        if path.is_empty() && !place.is_directory() {
            return Err(Clash::Root);
        }
        if self.0.contains_key(path) {
            return Err(Clash::Duplicate);
        }
        if !place.is_directory() && self.has_entries_in(path) {
            return Err(Clash::HasChildren);
        }
        let mut below = path;
        while let Some(ancestor) = parent(below) {
            match self.0.get(ancestor) {
                Some(place) if !place.is_directory() => {
                    return Err(Clash::Through {
                        ancestor: ancestor.to_vec(),
                        what: place.what(),
                    });
                }
                _ => below = ancestor,
            }
        }
        Ok(())
    }

    /// Puts at `path` what [`Places::check`] has accepted there.
    pub fn insert(&mut self, path: Vec<u8>, place: P) {
        self.0.insert(path, place);
    }

    /// What lies at `path`.
    pub fn get(&self, path: &[u8]) -> Option<&P> {
        self.0.get(path)
    }

    /// Entries so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries by path.
    pub fn into_entries(self) -> BTreeMap<Vec<u8>, P> {
        self.0
    }

    /// Whether entries lie in the directory at `path`, itself an entry or not.
    fn has_entries_in(&self, path: &[u8]) -> bool {
        let inside = [path, b"/"].concat();
        let next = self.0.range(inside.clone()..).next();
        next.is_some_and(|(first, _)| first.starts_with(&inside))
    }
}
