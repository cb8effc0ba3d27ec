//! The system in the making: the base's tree, what packages put over it, and what goes.
//!
//! Data of new files goes to the layer as it comes and is not read back. What is read back or written again by a later
//! package (accounts, `env.d`, the package manager's own files) is a *text*: it stays in memory until all packages are
//! installed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;

use formats::blob::Blob;
use formats::layer::{Attributes, Content, Data, Encoding, Index, Layer, LayerBuilder, PackError, Packing};
use formats::tree::{Inode, InodeId, InodeKind, Share, Tree};
use formats::units::Time;

use super::error::Fault;

/// Most bytes of a file that is read into memory.
pub(super) const MAX_READ: u64 = 64 << 20;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub directory: InodeId,
    pub name: Vec<u8>,
}

pub(super) struct Root<W> {
    pub tree: Tree,
    /// Where each directory is; the root is nowhere.
    places: HashMap<InodeId, Place>,
    /// The first inode that is not the base's.
    first_new: usize,
    layer: LayerBuilder<W>,
    /// What of the base goes away, by its path there.
    removed: BTreeSet<Vec<u8>>,
    /// New files that are in memory until the end.
    texts: BTreeSet<Vec<u8>>,
    time: Time,
    /// What inodes of new files have for their data, which the layer has.
    nowhere: Blob,
}

impl<W: Write> Root<W> {
    pub fn new(base: &Layer, packing: Packing, blob: W, time: Time) -> Result<Self, RootError> {
        let tree = Tree::stack(&[(base, Share::Role)], time).map_err(Fault::from)?;
        let mut places = HashMap::new();
        let mut open = vec![Tree::ROOT];
        while let Some(directory) = open.pop() {
            for (name, id) in tree.names(directory).into_iter().flatten() {
                if tree.names(*id).is_some() {
                    let name = name.clone();
                    places.insert(*id, Place { directory, name });
                    open.push(*id);
                }
            }
        }
        Ok(Self {
            first_new: tree.inodes.len(),
            tree,
            places,
            layer: LayerBuilder::new(packing, blob)?,
            removed: BTreeSet::new(),
            texts: BTreeSet::new(),
            time,
            nowhere: Vec::new().into(),
        })
    }

    /// The path of a directory.
    pub fn path(&self, mut directory: InodeId) -> Vec<u8> {
        let mut names: Vec<&[u8]> = Vec::new();
        while let Some(place) = self.places.get(&directory) {
            names.push(&place.name);
            directory = place.directory;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The path of a place, without symbolic links in it.
    pub fn path_of(&self, place: &Place) -> Vec<u8> {
        below(&self.path(place.directory), &place.name)
    }

    /// The place that a path means, symbolic links above the last component followed; `None` where no directory is.
    pub fn place(&self, path: &[u8]) -> Option<Place> {
        let (above, name) = split(path);
        Some(Place {
            directory: self.tree.directory(above)?,
            name: name.to_vec(),
        })
    }

    /// What is at a place.
    pub fn at(&self, place: &Place) -> Option<InodeId> {
        self.tree.names(place.directory)?.get(&place.name).copied()
    }

    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.tree.inodes[id.0]
    }

    /// Whether the packages brought it.
    pub fn is_new(&self, id: InodeId) -> bool {
        id.0 >= self.first_new
    }

    /// The time of what no package gives one.
    pub fn time(&self) -> Time {
        self.time
    }

    /// How many inodes there are: later ones get higher numbers.
    pub fn inodes(&self) -> usize {
        self.tree.inodes.len()
    }

    /// The bytes of the file at `path`, the last link followed, too; `None` where there is no file.
    pub fn read(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let Some(id) = self.file(path) else {
            return Ok(None);
        };
        self.read_inode(id, path)
    }

    /// The bytes of a file; `None` for what is none.
    pub fn read_inode(&self, id: InodeId, path: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let InodeKind::File(content, blob) = &self.inode(id).kind else {
            return Ok(None);
        };
        if content.size > MAX_READ {
            return Err(Fault::Large {
                path: path.to_vec(),
                size: content.size,
                limit: MAX_READ,
            });
        }
        let bytes = content.read(blob, MAX_READ).map_err(|source| Fault::Read {
            path: path.to_vec(),
            source,
        })?;
        Ok(Some(bytes))
    }

    /// The file at `path`, one symbolic link to it followed.
    fn file(&self, path: &[u8]) -> Option<InodeId> {
        let id = self.tree.lookup(path)?;
        match &self.inode(id).kind {
            InodeKind::Symlink(target) if target.starts_with(b"/") => self.tree.lookup(target),
            InodeKind::Symlink(target) => self.tree.lookup(&below(split(path).0, target)),
            _ => Some(id),
        }
    }

    /// Makes a directory where nothing is.
    pub fn make_directory(&mut self, place: Place, attributes: Attributes) -> InodeId {
        let id = self.add(&place, attributes, InodeKind::Directory(BTreeMap::new()));
        self.places.insert(id, place);
        id
    }

    /// The directory at `path`; those that are missing are made as `0755`, owned by root.
    pub fn directory(&mut self, path: &[u8]) -> Result<InodeId, Fault> {
        if path.is_empty() {
            return Ok(Tree::ROOT);
        }
        let (above, name) = split(path);
        let place = Place {
            directory: self.directory(above)?,
            name: name.to_vec(),
        };
        let Some(id) = self.at(&place) else {
            let attributes = Attributes {
                mode: 0o755,
                mtime: self.time,
                ..Attributes::default()
            };
            return Ok(self.make_directory(place, attributes));
        };
        self.tree.directory(path).ok_or_else(|| Fault::NotDirectory {
            path: path.to_vec(),
            what: what(&self.inode(id).kind),
        })
    }

    /// Gives a directory of the packages other attributes.
    pub fn set_attributes(&mut self, id: InodeId, change: impl FnOnce(&mut Attributes)) {
        if self.is_new(id) && self.tree.names(id).is_some() {
            change(&mut self.tree.inodes[id.0].attributes);
        }
    }

    /// The layer, for the data of a file that [`Root::add_file`] then makes known.
    pub fn layer(&mut self) -> &mut LayerBuilder<W> {
        &mut self.layer
    }

    /// Makes a file known whose data the layer has.
    pub fn add_file(&mut self, place: &Place, attributes: Attributes, size: u64) -> InodeId {
        // Not readable: nobody may take holes for the data.
        let data = Data::Inline {
            encoding: Encoding::Raw,
            stored: Vec::new(),
        };
        let blob = self.nowhere.clone();
        self.add(place, attributes, InodeKind::File(Content { size, data }, blob))
    }

    /// Puts a symbolic link or a named pipe in place.
    pub fn put_other(&mut self, place: &Place, attributes: Attributes, kind: InodeKind) -> Result<(), Fault> {
        let path = self.path_of(place);
        match &kind {
            InodeKind::Symlink(target) => self.layer.symlink(&path, attributes.clone(), target)?,
            _ => self.layer.fifo(&path, attributes.clone())?,
        }
        self.add(place, attributes, kind);
        Ok(())
    }

    /// Gives what is at `target` another name.
    pub fn put_hardlink(&mut self, place: &Place, target: &Place) -> Result<(), Fault> {
        let (path, first) = (self.path_of(place), self.path_of(target));
        let id = self.at(target);
        match id.map(|id| self.inode(id).clone()) {
            Some(inode) if self.texts.contains(&first) => {
                // Two names of a file in memory are two files: each may get another text.
                let bytes = id.map(|id| self.read_inode(id, &first)).transpose()?.flatten();
                self.put_text(place, inode.attributes, bytes.unwrap_or_default());
            }
            Some(_) => {
                self.layer.hardlink(&path, &first)?;
                if let (Some(id), InodeKind::Directory(names)) =
                    (id, &mut self.tree.inodes[place.directory.0].kind)
                {
                    names.insert(place.name.clone(), id);
                }
            }
            None => {
                return Err(Fault::Entry {
                    name: path,
                    reason: formats::layer::Refusal::LinkMissing { target: first },
                });
            }
        }
        Ok(())
    }

    /// Puts a text in place, over whatever is not a directory there.
    pub fn put_text(&mut self, place: &Place, attributes: Attributes, bytes: Vec<u8>) {
        let path = self.path_of(place);
        let content = Content {
            size: bytes.len() as u64,
            data: Data::Inline {
                encoding: Encoding::Raw,
                stored: bytes,
            },
        };
        let blob = self.nowhere.clone();
        self.add(place, attributes, InodeKind::File(content, blob));
        self.texts.insert(path);
    }

    /// Writes the text at `path` unless it is that already. Owner and mode of what is there stay.
    pub fn write_text(&mut self, path: &[u8], mode: u32, bytes: Vec<u8>) -> Result<(), Fault> {
        if self.read(path)?.is_some_and(|there| there == bytes) {
            return Ok(());
        }
        let (above, name) = split(path);
        let place = Place {
            directory: self.directory(above)?,
            name: name.to_vec(),
        };
        let there = self.at(&place).map(|id| self.inode(id));
        let attributes = match there {
            Some(Inode {
                kind: InodeKind::File(..),
                attributes,
                ..
            }) => Attributes {
                mtime: self.time,
                ..attributes.clone()
            },
            Some(Inode {
                kind: InodeKind::Directory(_),
                ..
            }) => {
                return Err(Fault::OverDirectory {
                    path: path.to_vec(),
                    what: "a file",
                });
            }
            _ => Attributes {
                mode,
                mtime: self.time,
                ..Attributes::default()
            },
        };
        self.put_text(&place, attributes, bytes);
        Ok(())
    }

    /// Takes away what is at a place, with all below it.
    pub fn remove(&mut self, place: &Place) {
        let Some(id) = self.at(place) else { return };
        let path = self.path_of(place);
        let inside = below(&path, b"");
        self.texts
            .retain(|text| *text != path && !text.starts_with(&inside));
        if let InodeKind::Directory(names) = &mut self.tree.inodes[place.directory.0].kind {
            names.remove(&place.name);
        }
        if !self.is_new(id) {
            self.removed.insert(path);
        }
    }

    /// The layer over the base, and the paths of the base that go: none of them below another.
    pub fn finish(mut self) -> Result<Finished<W>, RootError> {
        for (id, place) in &self.places {
            if id.0 >= self.first_new && self.at(place) == Some(*id) {
                let attributes = self.tree.inodes[id.0].attributes.clone();
                let path = self.path_of(place);
                self.layer.directory(&path, attributes).map_err(Fault::from)?;
            }
        }
        for path in std::mem::take(&mut self.texts) {
            let Some(id) = self.tree.lookup(&path) else {
                continue;
            };
            let attributes = self.inode(id).attributes.clone();
            let bytes = self.read_inode(id, &path)?.unwrap_or_default();
            self.layer.file(&path, attributes, &bytes).map_err(Fault::from)?;
        }
        let is_below_another = |path: &[u8]| {
            let mut above = split(path).0;
            while !above.is_empty() && !self.removed.contains(above) {
                above = split(above).0;
            }
            !above.is_empty()
        };
        let removed = self.removed.iter().filter(|path| !is_below_another(path));
        let removed = removed.cloned().collect();
        let (index, blob) = self.layer.finish()?;
        Ok(Finished {
            index,
            blob,
            removed,
            tree: self.tree,
        })
    }
}

/// What a [`Root`] came to.
pub(super) struct Finished<W> {
    pub index: Index,
    pub blob: W,
    pub removed: Vec<Vec<u8>>,
    pub tree: Tree,
}

/// Why a [`Root`] cannot be: for what is in it, or for the layer's bytes.
pub(super) enum RootError {
    Fault(Fault),
    Pack(PackError),
}

impl From<Fault> for RootError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<PackError> for RootError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

impl<W> Root<W> {
    fn add(&mut self, place: &Place, attributes: Attributes, kind: InodeKind) -> InodeId {
        let id = InodeId(self.tree.inodes.len());
        self.tree.inodes.push(Inode {
            attributes,
            kind,
            share: Share::Role,
        });
        if let InodeKind::Directory(names) = &mut self.tree.inodes[place.directory.0].kind {
            names.insert(place.name.clone(), id);
        }
        id
    }
}

/// A path in a folder; with an empty name, what paths in it start with.
pub(super) fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, name].join(&b'/')
    }
}

/// The folder and the last component of a path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// What an inode is, with its article.
pub(super) fn what(kind: &InodeKind) -> &'static str {
    match kind {
        InodeKind::Directory(_) => "a directory",
        InodeKind::File(..) => "a file",
        InodeKind::Symlink(_) => "a symbolic link",
        InodeKind::CharacterDevice(_) | InodeKind::BlockDevice(_) => "a device",
        InodeKind::Fifo => "a named pipe",
        InodeKind::Socket => "a socket",
    }
}
