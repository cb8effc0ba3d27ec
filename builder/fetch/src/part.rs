//! The beginning of a file in the cache, while it is fetched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::Engine;
use files::private;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A partial file, held for this process alone.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    /// Opened for reading and writing.
    pub(super) file: File,
    /// Bytes that it has.
    pub(super) length: u64,
}

impl Part {
    /// Opens or makes it, and waits for any process that is writing it.
    pub(super) fn open(engine: &Engine, folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.part"));
        let cannot = || format!("cannot write {}", path.display());
        loop {
            private::make_folders(folder, private::OPEN_FOLDER)?;
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let file = match opened {
                // The process before removed the empty folder just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.with_context(cannot)?,
            };
            private::give(&file).with_context(cannot)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {
                    engine
                        .progress
                        .say(format!("waiting for another process that fetches {name}"));
                    flock(&file, FlockOperation::LockExclusive).with_context(cannot)?;
                }
                locked => locked.with_context(cannot)?,
            }
            // Whoever held the lock may have renamed or removed the file: then this is not the partial file any more.
            let here = file.metadata().with_context(cannot)?;
            match fs::metadata(&path) {
                Ok(there) if there.dev() == here.dev() && there.ino() == here.ino() => {
                    let length = here.len();
                    return Ok(Self { path, file, length });
                }
                _ => continue,
            }
        }
    }

    /// Drops everything after the first `length` bytes.
    pub(super) fn cut(&mut self, length: u64) -> Result<()> {
        if self.length == length {
            return Ok(());
        }
        self.file.set_len(length).with_context(|| self.cannot())?;
        self.length = length;
        Ok(())
    }

    /// Adds bytes. Where the disk is full the file is given up: what is left of it helps nobody.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes));
        if let Err(error) = written {
            let text = self.cannot();
            self.remove();
            return Err(error).context(text);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives the complete, checked file its name.
    pub(super) fn publish(&mut self, done: &Path) -> Result<()> {
        self.file.sync_all().with_context(|| self.cannot())?;
        fs::rename(&self.path, done).with_context(|| format!("cannot rename {}", self.path.display()))?;
        let folder = done.parent().unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("cannot write {} to the disk", folder.display()))
    }

    /// Removes it, and its folder if nothing else is in it. What cannot be removed is only space.
    pub(super) fn remove(&self) {
        fs::remove_file(&self.path).ok();
        if let Some(folder) = self.path.parent() {
            fs::remove_dir(folder).ok();
        }
    }

    /// What to say of it where it cannot be written.
    pub(super) fn cannot(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}
