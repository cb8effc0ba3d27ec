//! The folder of images: one build at a time works in it, and `SHA256SUMS` lists what is finished.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use files::emit::{Readers, TEMPORARY, write_file};
use files::private;
use model::fleet::Fleet;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::ImageFiles;
use crate::card::manifest::sha256sums;
use crate::delta_base::ImageFormat;

/// The file in the folder of images that lists their hashes.
const SUMS: &str = "SHA256SUMS";

/// The folder, locked for this build.
#[derive(Debug)]
pub struct ImageFolder {
    path: PathBuf,
    /// What the user should know of how it was, if it was open to others.
    pub narrowed: Option<String>,
    /// Held while this lives.
    _lock: File,
}

impl ImageFolder {
    /// Opens the folder, which is made where it is missing, and removes what a killed build left in it.
    pub fn open(path: &Path) -> Result<Self> {
        if path.join("fleet.toml").exists() {
            bail!(
                "{} holds the description of a fleet: choose another folder with --out",
                path.display()
            );
        }
        let state = path.join(".state");
        private::make_folders(&state, private::FOLDER)?;
        let lock_path = state.join("lock");
        let lock =
            private::create(&lock_path).with_context(|| format!("cannot write in {}", state.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => bail!(
                "another build is writing images into {}: wait for it, or choose another folder with --out",
                path.display()
            ),
            result => result.with_context(|| format!("cannot lock {}", lock_path.display()))?,
        }
        let narrowed = private::take(path)?;
        for folder in [path, &state] {
            remove_unfinished(folder).with_context(|| format!("cannot tidy {}", folder.display()))?;
        }
        Ok(Self {
            path: path.to_owned(),
            narrowed,
            _lock: lock,
        })
    }

    /// The files of a node's image.
    pub fn files(&self, node: &str, format: ImageFormat) -> ImageFiles {
        ImageFiles::new(&self.path, node, format)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the list away, before images change that it tells of, and once `prepare` has said that nothing stands in their
    /// way: what it refuses leaves images and list as they are.
    pub fn begin<T>(&self, prepare: impl FnOnce() -> Result<T>) -> Result<T> {
        let prepared = prepare()?;
        let path = self.path.join(SUMS);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(prepared),
        }
    }

    /// Lists the finished images of the fleet in `SHA256SUMS`: manifests and block maps, which vouch for the images,
    /// and images whose own SHA-256 somebody has asked for.
    pub fn write_sums(&self, fleet: &Fleet) -> Result<()> {
        let mut sums = BTreeMap::new();
        for node in &fleet.nodes {
            for format in ImageFormat::ALL {
                let files = self.files(&node.name, format);
                let Some(state) = files.finished() else { continue };
                let name = |path: &Path| {
                    path.file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned()
                };
                sums.insert(name(&files.manifest), state.manifest_sha256);
                sums.insert(name(&files.map), state.figures.map_sha256);
                sums.extend(state.sha256.map(|sha256| (name(&files.image), sha256)));
            }
        }
        let sums = sha256sums(&sums)?;
        let path = self.path.join(SUMS);
        if fs::read(&path).is_ok_and(|old| old == sums.as_bytes()) {
            return Ok(());
        }
        write_file(&path, sums.as_bytes(), Readers::Owner)
    }
}

/// Removes the files that were written under temporary names.
fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_temporary = name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        if is_temporary && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use formats::blob::Blob;
    use formats::sparse::SparseImage;
    use formats::units::Bytes;

    use super::*;
    use crate::build::space::{self, Kept};

    #[test]
    fn a_build_that_is_refused_leaves_the_list_and_one_that_begins_does_not() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = ImageFolder::open(temporary.path()).unwrap();
        let list = temporary.path().join(SUMS);
        fs::write(&list, "x").unwrap();
        let mut base = SparseImage::empty(Bytes(u64::MAX));
        base.put_blob(0, 1 << 62, Blob::from(Vec::new()), 0);
        let error = folder.begin(|| space::check(temporary.path(), &base, 1, Kept::Whole));
        assert!(error.unwrap_err().to_string().contains("are needed"));
        assert!(list.exists());
        assert_eq!(folder.begin(|| Ok(7)).unwrap(), 7);
        assert!(!list.exists());
        folder.begin(|| Ok(())).unwrap();
    }
}
