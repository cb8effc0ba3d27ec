//! A pack written whole, or not at all: into a folder beside, which then takes the place of the old one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use files::emit::{TEMPORARY, folder_of};
use files::private;
use formats::bmap::BlockMap;
use formats::delta::Delta;
use formats::digest::hex;
use formats::pack::{ENCRYPTED_FORMAT, FORMAT, INDEX, Index, Node, PackedBase};
use formats::seekable::FrameStore;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with, syncfs};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{Recipients, base_files, check_folder, node_files};

/// The place of a pack, locked for this build.
#[derive(Debug)]
pub struct PackFolder {
    path: PathBuf,
    /// Where a new pack grows.
    growing: PathBuf,
    /// What the user should know of how it was, if it was open to others.
    pub narrowed: Option<String>,
    /// The folder that both are in. Held while this lives.
    _lock: File,
}

impl PackFolder {
    /// Locks the place `path`, at which there is nothing or a pack, and removes what a killed build left beside it.
    pub fn open(path: &Path) -> Result<Self> {
        check_folder(path)?;
        let parent = folder_of(path);
        let name = path
            .file_name()
            .with_context(|| format!("{} names no folder", path.display()))?;
        private::make_folders(parent, private::FOLDER)?;
        let lock = File::open(parent).with_context(|| format!("cannot open {}", parent.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => bail!(
                "another build is writing a pack into {}: wait for it, or choose another folder with --out",
                parent.display()
            ),
            result => result.with_context(|| format!("cannot lock {}", parent.display()))?,
        }
        let mut growing = std::ffi::OsString::from(TEMPORARY);
        growing.push(name);
        let growing = parent.join(growing);
        remove_folder(&growing)?;
        // An old pack that stays as it is, too.
        let narrowed = if path.exists() { private::take(path)? } else { None };
        Ok(Self {
            path: path.to_owned(),
            narrowed,
            growing,
            _lock: lock,
        })
    }

    /// Where the pack is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A pack that is being written. Threads can share it.
#[derive(Debug)]
pub struct PackWriter<'a> {
    folder: &'a PackFolder,
    recipients: &'a Recipients,
}

impl<'a> PackWriter<'a> {
    /// Starts a pack whose deltas are encrypted to `recipients`, if there are any.
    pub fn create(folder: &'a PackFolder, recipients: &'a Recipients) -> Result<Self> {
        private::make_folders(&folder.growing, private::FOLDER)?;
        Ok(Self { folder, recipients })
    }

    /// Whether the deltas are encrypted.
    pub fn is_encrypted(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Adds the base `name`: `card`, which has these `segments`. Uses all threads of the pool that this runs in.
    pub fn base(&self, name: &str, card: &SparseImage, segments: &Segments) -> Result<PackedBase> {
        let [image, map_name] = base_files(name);
        let path = self.folder.growing.join(image);
        let write = || -> io::Result<_> {
            let mut file = Hashed {
                file: private::create(&path)?,
                hash: Sha256::new(),
            };
            FrameStore::write(card, segments, &mut file)?;
            Ok(file.hash.finalize())
        };
        let sha256 = write().with_context(|| format!("cannot write {}", path.display()))?;
        let map = BlockMap::of(segments).to_xml();
        self.put(&map_name, map.as_bytes())?;
        Ok(PackedBase {
            name: name.to_owned(),
            sha256: hex(&sha256),
            map_sha256: hex(&Sha256::digest(&map)),
        })
    }

    /// Adds a node, and returns the SHA-256 of its delta where that is encrypted. A delta that is the one of `old`, the
    /// node in the pack that is there and has the same recipients, is taken over: encrypted again, it would be other bytes.
    pub fn node(
        &self,
        name: &str,
        delta: &Delta,
        manifest: &str,
        old: Option<&Node>,
    ) -> Result<Option<String>> {
        let [delta_name, manifest_name] = self.node_files(name);
        self.put(&manifest_name, manifest.as_bytes())?;
        let bytes = delta.to_bytes();
        if !self.is_encrypted() {
            self.put(&delta_name, &bytes)?;
            return Ok(None);
        }
        let sha256 = hex(&Sha256::digest(&bytes));
        if old.is_some_and(|old| old.delta_sha256.as_ref() == Some(&sha256)) {
            self.keep(&delta_name)?;
        } else {
            let encrypted = self
                .recipients
                .encrypt(&bytes)
                .with_context(|| format!("cannot encrypt the delta of {name}"))?;
            self.put(&delta_name, &encrypted)?;
        }
        Ok(Some(sha256))
    }

    /// Takes a base over from the pack that is there.
    pub fn keep_base(&self, name: &str) -> Result<()> {
        base_files(name).iter().try_for_each(|name| self.keep(name))
    }

    /// Takes a node over from the pack that is there.
    pub fn keep_node(&self, name: &str) -> Result<()> {
        let files = self.node_files(name);
        files.iter().try_for_each(|name| self.keep(name))
    }

    fn node_files(&self, name: &str) -> [String; 2] {
        node_files(name, self.is_encrypted())
    }

    /// Writes the index, brings all to the disk, and puts the pack in its place.
    pub fn finish(self, fleet: &str, mut bases: Vec<PackedBase>, nodes: Vec<Node>) -> Result<()> {
        bases.sort_by(|one, other| one.name.cmp(&other.name));
        let index = Index {
            format: match self.is_encrypted() {
                true => ENCRYPTED_FORMAT,
                false => FORMAT,
            },
            fleet: fleet.to_owned(),
            recipients: self.recipients.keys(),
            bases,
            nodes,
        };
        self.put(INDEX, index.to_json()?.as_bytes())?;
        let PackFolder { path, growing, .. } = self.folder;
        let place = || -> Result<()> {
            syncfs(File::open(growing)?)?;
            if !path.exists() {
                fs::rename(growing, path)?;
            } else {
                match renameat_with(CWD, growing, CWD, path, RenameFlags::EXCHANGE) {
                    Ok(()) => {}
                    // The file system cannot exchange folders: for a moment there is none.
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                        let old = growing.with_extension("old");
                        remove_folder(&old)?;
                        fs::rename(path, &old)?;
                        fs::rename(growing, path)?;
                        remove_folder(&old)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            File::open(folder_of(path))?.sync_all()?;
            Ok(())
        };
        place().with_context(|| format!("cannot put the pack at {}", path.display()))?;
        // The old pack, where there was one.
        remove_folder(growing)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.growing.join(name);
        let write = || private::create(&path)?.write_all(bytes);
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    fn keep(&self, name: &str) -> Result<()> {
        let (old, new) = (self.folder.path.join(name), self.folder.growing.join(name));
        fs::hard_link(&old, &new)
            .or_else(|_| fs::copy(&old, &new).and_then(|_| private::give(&File::open(&new)?)))
            .with_context(|| format!("cannot take {} over", old.display()))
    }
}

/// A file that is hashed as it is written.
struct Hashed {
    file: File,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PackWriter<'_> {
    /// Nothing is left of a pack that was not finished. What cannot be removed, the next build finds.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder.growing);
    }
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
