//! Files put in place as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use files::private;
use tempfile::TempDir;

/// A hidden folder in which everything is made before it gets its place beside it. What is not moved goes with it.
pub struct Draft(TempDir);

impl Draft {
    /// A draft of what will lie in `folder`, which is there.
    pub fn new(folder: &Path) -> Result<Self> {
        let draft = tempfile::Builder::new()
            .prefix(".portadc-")
            .tempdir_in(folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        Ok(Self(draft))
    }

    /// What is called `name` in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and makes the folders above it, with the permissions that anybody's files have.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8], is_executable: bool) -> Result<()> {
        let path = self.path(name);
        let mode = if is_executable { 0o777 } else { 0o666 };
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Gives what is called `name` its place; where root works for somebody by sudo, it is that person's.
    pub fn publish(&self, name: impl AsRef<Path>, place: &Path) -> Result<()> {
        let path = self.path(&name);
        private::give_all(&path).with_context(|| format!("cannot give {} away", path.display()))?;
        fs::rename(self.path(name), place).with_context(|| format!("cannot make {}", place.display()))
    }
}

/// Whether anything is at `path`, a link that leads nowhere included.
pub fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
