//! A layer put together entry by entry, from rendered files or from a tar. All that an entry has to be is asked here, so
//! that a layer is sound however it was made.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::index::Index;
use super::packer::{PackError, Packer, Packing, Region};
use super::path::{self, MAX_PATH, shown};
use super::places::{Place, Places};
use super::refusal::{MAX_FILE, Refusal, check_attributes};
use super::{Attributes, Body, Content, Data, Device, Entry, Layer};

/// Why a layer could not be made.
#[derive(Debug, Error)]
pub enum BuildError {
    /// An entry cannot be part of the layer.
    #[error("entry {} is refused: {reason}", shown(path))]
    Refused {
        /// The path of the entry.
        path: Vec<u8>,
        /// Why.
        reason: Refusal,
    },
    /// The content of a file could not be read.
    #[error("cannot read the content of {}", shown(path))]
    Read {
        /// The path of the file.
        path: Vec<u8>,
        /// The reader's error.
        source: io::Error,
    },
    /// Compressing or writing failed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// A layer in the making. Its extents are written to `W` as entries come.
pub struct LayerBuilder<W> {
    packer: Packer<W>,
    entries: Places<(Attributes, Body)>,
    /// Paths of the files, in the order in which the packer got them.
    files: Vec<Vec<u8>>,
}

impl LayerBuilder<Vec<u8>> {
    /// A layer whose extents are kept in memory.
    pub fn in_memory(packing: Packing) -> Result<Self, PackError> {
        Self::new(packing, Vec::new())
    }

    /// The finished layer.
    pub fn finish_layer(self) -> Result<Layer, PackError> {
        let (index, blob) = self.finish()?;
        Ok(Layer {
            entries: index.entries,
            blob: blob.into(),
        })
    }
}

impl<W: Write> LayerBuilder<W> {
    /// A layer whose extents are written to `blob`, from its start.
    pub fn new(packing: Packing, blob: W) -> Result<Self, PackError> {
        Ok(Self {
            packer: Packer::new(packing, blob)?,
            entries: Places::default(),
            files: Vec::new(),
        })
    }

    /// Adds a directory; the empty path is the root.
    pub fn directory(&mut self, path: &[u8], attributes: Attributes) -> Result<(), BuildError> {
        self.add(path, attributes, Body::Directory)
    }

    /// Adds a file with the given bytes.
    pub fn file(&mut self, path: &[u8], attributes: Attributes, bytes: &[u8]) -> Result<(), BuildError> {
        self.file_from(path, attributes, bytes.len() as u64, bytes)
    }

    /// Adds a file of `size` bytes that come from `reader`, which may have more.
    pub fn file_from(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        size: u64,
        mut reader: impl Read,
    ) -> Result<(), BuildError> {
        self.sparse_file(
            path,
            attributes,
            size,
            &[Region {
                offset: 0,
                length: size,
            }],
            |buffer| {
                reader.read_exact(buffer).map_err(|source| BuildError::Read {
                    path: path.to_vec(),
                    source,
                })
            },
        )
    }

    /// Adds a file with data in `regions` (in order, disjoint, within `size`) that `read` delivers one after another.
    pub fn sparse_file<E: From<BuildError>>(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        size: u64,
        regions: &[Region],
        mut read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if size > MAX_FILE {
            return Err(refused(
                path,
                Refusal::Size {
                    size,
                    limit: MAX_FILE,
                },
            )
            .into());
        }
        self.add(
            path,
            attributes,
            Body::File(Content {
                size,
                data: Data::Extents(Vec::new()),
            }),
        )?;
        self.files.push(path.to_vec());
        self.packer
            .file(size, regions, |buffer| read(buffer).map_err(FileError::Read))
            .map_err(|error| match error {
                FileError::Read(error) => error,
                FileError::Pack(error) => BuildError::Pack(error).into(),
            })
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &[u8], attributes: Attributes, target: &[u8]) -> Result<(), BuildError> {
        if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) {
            return Err(refused(path, Refusal::SymlinkTarget { length: target.len() }));
        }
        self.add(path, attributes, Body::Symlink(target.to_vec()))
    }

    /// Adds another name of what was added as `target`: a file, a symbolic link, a device, anything but a directory.
    /// Owner, mode, time and extended attributes are those of the target.
    pub fn hardlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), BuildError> {
        let target = target.to_vec();
        if let Err(fault) = path::check(&target, MAX_PATH) {
            return Err(refused(path, Refusal::LinkPath { target, fault }));
        }
        let (attributes, first) = match self.entries.get(&target) {
            Some((_, Body::Directory)) => return Err(refused(path, Refusal::LinkDirectory { target })),
            Some((attributes, Body::Hardlink(first))) => (attributes.clone(), first.clone()),
            Some((attributes, _)) => (attributes.clone(), target),
            None => return Err(refused(path, Refusal::LinkMissing { target })),
        };
        self.add(path, attributes, Body::Hardlink(first))
    }

    /// Adds a character device.
    pub fn character_device(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        device: Device,
    ) -> Result<(), BuildError> {
        self.add(path, attributes, Body::CharacterDevice(device))
    }

    /// Adds a block device.
    pub fn block_device(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        device: Device,
    ) -> Result<(), BuildError> {
        self.add(path, attributes, Body::BlockDevice(device))
    }

    /// Adds a named pipe.
    pub fn fifo(&mut self, path: &[u8], attributes: Attributes) -> Result<(), BuildError> {
        self.add(path, attributes, Body::Fifo)
    }

    /// Adds a socket.
    pub fn socket(&mut self, path: &[u8], attributes: Attributes) -> Result<(), BuildError> {
        self.add(path, attributes, Body::Socket)
    }

    /// Entries so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Waits until all extents are written; the index of the layer and the sink.
    pub fn finish(self) -> Result<(Index, W), PackError> {
        let packed = self.packer.finish()?;
        let mut entries = self.entries.into_entries();
        for (path, content) in self.files.iter().zip(packed.contents) {
            if let Some((_, body)) = entries.get_mut(path) {
                *body = Body::File(content);
            }
        }
        let entries = entries
            .into_iter()
            .map(|(path, (attributes, body))| Entry {
                path,
                attributes,
                body,
            })
            .collect();
        Ok((
            Index {
                entries,
                blob_length: packed.blob_length,
            },
            packed.blob,
        ))
    }

    fn add(&mut self, path: &[u8], attributes: Attributes, body: Body) -> Result<(), BuildError> {
        let entry = (attributes, body);
        self.check(path, &entry).map_err(|reason| refused(path, reason))?;
        self.entries.insert(path.to_vec(), entry);
        Ok(())
    }

    fn check(&self, path: &[u8], entry: &(Attributes, Body)) -> Result<(), Refusal> {
        path::check(path, MAX_PATH).map_err(Refusal::Path)?;
        check_attributes(&entry.0)?;
        Ok(self.entries.check(path, entry)?)
    }
}

impl Place for (Attributes, Body) {
    fn is_directory(&self) -> bool {
        self.1 == Body::Directory
    }

    fn what(&self) -> &'static str {
        self.1.what()
    }
}

/// What stops the packing of one file: its reader or the packer.
enum FileError<E> {
    Read(E),
    Pack(PackError),
}

impl<E> From<PackError> for FileError<E> {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

fn refused(path: &[u8], reason: Refusal) -> BuildError {
    BuildError::Refused {
        path: path.to_vec(),
        reason,
    }
}
