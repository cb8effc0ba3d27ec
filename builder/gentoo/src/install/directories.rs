//! Directories of an image: which one on the system each is, and when it is made.

use std::io::Write;

use formats::layer::Attributes;
use formats::tree::{InodeId, InodeKind, Tree};

use super::error::Fault;
use super::merge::Merge;
use super::root::{Place, below, split, what};
use crate::contents::Kind;

impl<W: Write> Merge<'_, W> {
    /// Merges a directory.
    pub(super) fn directory(&mut self, path: &[u8], attributes: Attributes) -> Result<(), Fault> {
        if let Some(id) = self.existing_directory(path)? {
            self.merged.directories.insert(path.to_vec(), id);
        } else {
            let (above, name) = split(path);
            let place = Place {
                directory: self.above(above)?,
                name: name.to_vec(),
            };
            self.make_directory(path, place, attributes)?;
        }
        self.merged.items.insert(path.to_vec(), Kind::Directory);
        let (above, name) = split(path);
        if let Some(directory) = self.existing_directory(above)? {
            let name = name.to_vec();
            self.database.own(Place { directory, name }, self.package);
        }
        Ok(())
    }

    fn make_directory(
        &mut self,
        path: &[u8],
        place: Place,
        attributes: Attributes,
    ) -> Result<InodeId, Fault> {
        if let Some(id) = self.root.at(&place) {
            // What goes with the version that is replaced makes room now.
            let of_replaced = self
                .replaced
                .is_some_and(|(replaced, _)| self.database.owners(&place).eq([replaced]));
            if !of_replaced {
                return Err(Fault::NotDirectory {
                    path: path.to_vec(),
                    what: what(&self.root.inode(id).kind),
                });
            }
            self.root.remove(&place);
        }
        let id = self.root.make_directory(place, attributes);
        self.merged.directories.insert(path.to_vec(), id);
        Ok(id)
    }

    /// The directory at a path of the package, made where it is missing.
    pub(super) fn above(&mut self, path: &[u8]) -> Result<InodeId, Fault> {
        if let Some(id) = self.existing_directory(path)? {
            self.merged.directories.insert(path.to_vec(), id);
            return Ok(id);
        }
        // Left out, but something in it stays; or the image just does not list it.
        let given = self.merged.deferred.get(path).cloned();
        let attributes = given.unwrap_or_else(|| Attributes {
            mode: 0o755,
            mtime: self.root.time(),
            ..Attributes::default()
        });
        let (above, name) = split(path);
        let place = Place {
            directory: self.above(above)?,
            name: name.to_vec(),
        };
        self.merged.items.insert(path.to_vec(), Kind::Directory);
        self.database.own(place.clone(), self.package);
        self.make_directory(path, place, attributes)
    }

    /// The directory that a path of the package means on the system, if there is one.
    fn existing_directory(&self, path: &[u8]) -> Result<Option<InodeId>, Fault> {
        if path.is_empty() {
            return Ok(Some(Tree::ROOT));
        }
        if let Some(id) = self.merged.directories.get(path) {
            return Ok(Some(*id));
        }
        let (above, name) = split(path);
        let Some(directory) = self.existing_directory(above)? else {
            return Ok(None);
        };
        let place = Place {
            directory,
            name: name.to_vec(),
        };
        let Some(id) = self.root.at(&place) else {
            return Ok(None);
        };
        let through = |what| Fault::Through {
            path: path.to_vec(),
            ancestor: self.root.path_of(&place),
            what,
        };
        match &self.root.inode(id).kind {
            InodeKind::Directory(_) => Ok(Some(id)),
            InodeKind::Symlink(_) if id.0 >= self.first => {
                Err(through("a symbolic link of the package itself"))
            }
            InodeKind::Symlink(_) => match self.root.tree.directory(&self.root.path_of(&place)) {
                Some(id) => Ok(Some(id)),
                None => Err(through("a symbolic link that leads to no directory")),
            },
            _ if id.0 >= self.first => Err(through("no directory in the package itself")),
            _ => Ok(None),
        }
    }

    /// Whether a path is left out, as the package or as the system has it.
    pub(super) fn leaves_out(&self, path: &[u8]) -> bool {
        if self.filters.is_empty() {
            return false;
        }
        let (mut above, mut rest) = (path, Vec::new());
        // The deepest directory that is there, and what lies below it.
        let real = loop {
            let (folder, name) = split(above);
            rest = below(name, &rest);
            match self.existing_directory(folder) {
                Ok(Some(id)) => break below(&self.root.path(id), &rest),
                // What is wrong with it is said where it is merged.
                Ok(None) | Err(_) if !folder.is_empty() => above = folder,
                _ => break rest,
            }
        };
        let real = real.strip_suffix(b"/").unwrap_or(&real);
        self.filters.leaves_out(path) || self.filters.leaves_out(real)
    }
}
