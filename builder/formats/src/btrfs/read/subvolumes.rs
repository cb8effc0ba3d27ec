//! Which subvolumes a volume has.

use uuid::Uuid;
use zerocopy::FromBytes;

use super::block::Reference;
use super::entries::{dir_items, name_of};
use super::tree::Items;
use super::{ReadError, Reader, reference, root_item};
use crate::btrfs::disk::{Key, kind, object};
use crate::btrfs::records::{InodeRef, RootItem, RootRef};
use crate::btrfs::{hash, roots};
use crate::units::Time;

/// Most names from the top level to a subvolume: a loop has no end.
const MAX_DEPTH: usize = 1024;

/// A subvolume.
#[derive(Debug, Clone)]
pub struct Subvolume {
    /// Its id; 5 is the top level.
    pub id: u64,
    /// Where it hangs below the top level, components joined by `/`; empty for the top level.
    pub path: Vec<u8>,
    /// Its UUID.
    pub uuid: Uuid,
    /// Whether nothing in it can be changed.
    pub read_only: bool,
    /// Whether it is mounted where no subvolume is asked for.
    pub is_default: bool,
    /// When it was made.
    pub made: Time,
    pub(super) root: Reference,
}

impl Subvolume {
    /// The inode of its root directory.
    pub const ROOT: u64 = object::FIRST_FREE;
}

impl Reader<'_> {
    /// All subvolumes by id: the top level is the first.
    pub fn subvolumes(&self) -> Result<Vec<Subvolume>, ReadError> {
        let default = self.default_subvolume()?;
        let mut found: Vec<Subvolume> = Vec::new();
        for item in Items::from(
            self,
            self.root_root(),
            Key::new(object::FS_TREE, kind::ROOT_ITEM, 0),
        )? {
            let item = item?;
            let id = item.key.object;
            let is_subvolume =
                id == object::FS_TREE || (object::FIRST_FREE..=object::LAST_FREE).contains(&id);
            if item.key.kind != kind::ROOT_ITEM || !is_subvolume {
                continue;
            }
            let root = root_item(&item)?;
            // One without references is being deleted.
            let is_second = found.last().is_some_and(|last| last.id == id);
            if root.references.get() == 0 || is_second {
                continue;
            }
            found.push(Subvolume {
                id,
                path: self.path_of(id)?,
                uuid: Uuid::from_bytes(root.uuid),
                read_only: root.flags.get() & RootItem::READ_ONLY != 0,
                is_default: id == default,
                made: root.otime.into(),
                root: reference(id, &root),
            });
        }
        Ok(found)
    }

    /// The id of the subvolume that the root tree's directory names.
    fn default_subvolume(&self) -> Result<u64, ReadError> {
        let directory = self.superblock.root_directory.get();
        let key = Key::new(directory, kind::DIR_ITEM, hash::name(roots::DEFAULT));
        let item = Items::from(self, self.root_root(), key)?.next().transpose()?;
        let Some(item) = item.filter(|item| item.key == key) else {
            return Ok(object::FS_TREE);
        };
        for entry in dir_items(&item) {
            let entry = entry?;
            if entry.name == roots::DEFAULT {
                return Ok(entry.head.location.object.get());
            }
        }
        Ok(object::FS_TREE)
    }

    /// Where a subvolume hangs below the top level.
    fn path_of(&self, id: u64) -> Result<Vec<u8>, ReadError> {
        let mut components: Vec<Vec<u8>> = Vec::new();
        let mut id = id;
        while id != object::FS_TREE {
            let from = Key::new(id, kind::ROOT_BACKREF, 0);
            let item = Items::from(self, self.root_root(), from)?.next().transpose()?;
            let item = item.filter(|item| (item.key.object, item.key.kind) == (id, kind::ROOT_BACKREF));
            let item = item.ok_or_else(|| ReadError::Missing {
                tree: object::ROOT_TREE,
                what: format!("place of subvolume {id}"),
            })?;
            let (head, name) =
                RootRef::read_from_prefix(item.data()).map_err(|_| item.wrong("is too short"))?;
            let name = name_of(&item, name, head.name_length.get())?;
            components.push(name.to_vec());
            id = item.key.offset;
            self.climb(id, head.directory.get(), &mut components)?;
            if components.len() > MAX_DEPTH {
                return Err(item.wrong("leads deeper than any path"));
            }
        }
        components.reverse();
        Ok(components.join(&b'/'))
    }

    /// Adds the names from directory `inode` of subvolume `id` up to its root.
    fn climb(&self, id: u64, mut inode: u64, components: &mut Vec<Vec<u8>>) -> Result<(), ReadError> {
        let mut root = None;
        while inode != Subvolume::ROOT {
            let root = match root {
                Some(root) => root,
                None => *root.insert(self.root(id)?),
            };
            let from = Key::new(inode, kind::INODE_REF, 0);
            let item = Items::from(self, root, from)?.next().transpose()?;
            let item = item.filter(|item| (item.key.object, item.key.kind) == (inode, kind::INODE_REF));
            let item = item.ok_or_else(|| ReadError::Missing {
                tree: id,
                what: format!("name of inode {inode}"),
            })?;
            let (head, name) =
                InodeRef::read_from_prefix(item.data()).map_err(|_| item.wrong("is too short"))?;
            components.push(name_of(&item, name, head.name_length.get())?.to_vec());
            if components.len() > MAX_DEPTH {
                return Err(item.wrong("leads deeper than any path"));
            }
            inode = item.key.offset;
        }
        Ok(())
    }
}
