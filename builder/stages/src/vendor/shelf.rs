//! A folder that files are put into: whole or not at all, and only where they are not there yet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use fetch::{Pinned, Sha256Sum};
use files::private;
use rustix::fs::{FlockOperation, flock, ioctl_ficlone};
use rustix::io::Errno;

/// How the name of a file ends that is still written.
const PART: &str = ".portadc-part";

/// The folder, held by this process alone.
#[derive(Debug)]
pub(super) struct Shelf {
    path: PathBuf,
    /// Locked as long as it is open.
    folder: File,
}

/// What was done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It was there.
    There,
    /// It was not, or was another one.
    Written,
}

impl Shelf {
    /// The folder `path`, made where it is missing. While another process writes to it that is an error.
    pub(super) fn open(path: &Path) -> Result<Self> {
        private::make_folders(path, private::OPEN_FOLDER)?;
        let cannot = || format!("cannot open the folder {}", path.display());
        let folder = File::open(path).with_context(cannot)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => bail!("another process writes to {}", path.display()),
            locked => locked.with_context(cannot)?,
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
        })
    }

    /// Puts a file there: with its blocks shared, or as another name of it, or else as a copy.
    pub(super) fn put(&self, pinned: &Pinned) -> Result<Put> {
        let to = self.path.join(&pinned.path);
        let cannot = || format!("cannot write {}", to.display());
        let source =
            files::open(&pinned.file).with_context(|| format!("cannot open {}", pinned.file.display()))?;
        if is_there(&to, &source, pinned).with_context(|| format!("cannot read {}", to.display()))? {
            return Ok(Put::There);
        }
        let folder = to.parent().unwrap_or(&self.path);
        private::make_folders(folder, private::OPEN_FOLDER)?;
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(PART);
        let part = folder.join(name);
        remove(&part).with_context(cannot)?;
        let made = self.fill(&part, &source, pinned).and_then(|()| {
            fs::rename(&part, &to).with_context(cannot)?;
            sync(folder)
        });
        if made.is_err() {
            // It is worth nothing; that it cannot be removed tells nothing new.
            fs::remove_file(&part).ok();
        }
        made.map(|()| Put::Written)
    }

    /// Has everything on the disk.
    pub(super) fn finish(self) -> Result<()> {
        self.folder
            .sync_all()
            .with_context(|| format!("cannot write {} to the disk", self.path.display()))
    }

    /// Makes the new file `part` with the bytes of `source`.
    fn fill(&self, part: &Path, source: &File, pinned: &Pinned) -> Result<()> {
        let cannot = || format!("cannot write {}", part.display());
        let create = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o666).open(part)
        };
        let file = create().with_context(cannot)?;
        if ioctl_ficlone(&file, source).is_err() {
            drop(file);
            remove(part).with_context(cannot)?;
            // Another name of the very file that was checked, unless that one was replaced meanwhile.
            if fs::hard_link(&pinned.file, part).is_ok() && is_same(&File::open(part)?, source)? {
                return Ok(());
            }
            remove(part).with_context(cannot)?;
            let mut file = create().with_context(cannot)?;
            io::copy(&mut &*source, &mut file).with_context(cannot)?;
            return self.seal(&file, pinned).with_context(cannot);
        }
        self.seal(&file, pinned).with_context(cannot)
    }

    /// Has the new file on the disk, owned by who called.
    fn seal(&self, file: &File, pinned: &Pinned) -> Result<()> {
        if file.metadata()?.len() != pinned.size.0 {
            return Err(anyhow!("{} changed while it was copied", pinned.file.display()));
        }
        private::give(file)?;
        file.sync_all()?;
        Ok(())
    }
}

/// Whether `path` is the pinned file, byte for byte. A link or anything else that is not a regular file is another one.
fn is_there(path: &Path, source: &File, pinned: &Pinned) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_file() || metadata.len() != pinned.size.0 => return Ok(false),
        Ok(_) => {}
    }
    let file = files::open(path)?;
    // The file that was checked needs not be read once more.
    if is_same(&file, source)? {
        return Ok(true);
    }
    Ok(Sha256Sum::of_reader(&file)? == pinned.sha256)
}

/// Whether two names are of one file.
fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot write {} to the disk", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use formats::units::Bytes;

    use super::*;

    fn pinned(folder: &Path, bytes: &[u8]) -> Pinned {
        let file = folder.join("cached");
        fs::write(&file, bytes).unwrap();
        Pinned {
            path: "a/b/file".into(),
            file,
            size: Bytes(bytes.len() as u64),
            sha256: Sha256Sum::of(bytes),
        }
    }

    #[test]
    fn what_is_there_stays_and_what_is_another_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("shelf");
        let shelf = Shelf::open(&to).unwrap();
        assert!(Shelf::open(&to).is_err(), "two write at once");
        let pinned = pinned(folder.path(), b"bytes");
        let path = to.join("a/b/file");
        assert_eq!(shelf.put(&pinned).unwrap(), Put::Written);
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        let inode = || fs::metadata(&path).unwrap().ino();
        let first = inode();
        assert_eq!(shelf.put(&pinned).unwrap(), Put::There);
        // A copy by hand is compared.
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"bytes").unwrap();
        let copy = inode();
        assert_eq!(shelf.put(&pinned).unwrap(), Put::There);
        assert_eq!(inode(), copy);
        assert!(first > 0);
        // One of the same size, a shorter one, a link out of the folder, a beginning of a run that was killed.
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, b"bytes").unwrap();
        for spoil in [
            (|path: &Path| fs::write(path, b"other").unwrap()) as fn(&Path),
            |path| fs::write(path, b"by").unwrap(),
            |path| symlink("../../../elsewhere", path).unwrap(),
            |path| fs::write(path.with_file_name(format!("file{PART}")), b"by").unwrap(),
        ] {
            fs::remove_file(&path).unwrap();
            spoil(&path);
            assert_eq!(shelf.put(&pinned).unwrap(), Put::Written);
            assert_eq!(fs::read(&path).unwrap(), b"bytes");
            assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"bytes");
        let left: Vec<_> = fs::read_dir(to.join("a/b")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        shelf.finish().unwrap();
    }
}
