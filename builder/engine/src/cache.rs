//! Finished outputs by stage and key.
//!
//! ```text
//! <root>/<stage>/<key>/        a finished output: a folder, never changed again, with the sums of its files
//! <root>/<stage>/<key>.part/   one in the making; whoever made it holds the lock or is dead
//! <root>/<stage>/<key>.lock    held while it is made, so that two builds make it once
//! ```
//!
//! No key of a node is ever in it: what is rendered for a node is made in memory, and goes into its image.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use files::private;
use rustix::fs::{FlockOperation, flock};

use super::Key;
use super::entry::{Entry, seal};

/// A folder of finished outputs.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in `root`, which is made where it is missing.
    pub fn open(root: &Path) -> Result<Self> {
        private::make_folders(root, private::OPEN_FOLDER)
            .with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The folder all outputs are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The finished output of `stage` for `key`, if there is one.
    pub fn find(&self, stage: &str, key: &Key) -> Option<Entry> {
        let folder = self.root.join(stage).join(key.as_str());
        folder.is_dir().then(|| Entry::new(stage, folder))
    }

    /// Whether `stage` has any finished output.
    pub fn has_any(&self, stage: &str) -> bool {
        fs::read_dir(self.root.join(stage))
            .is_ok_and(|entries| entries.flatten().any(|entry| entry.path().extension().is_none()))
    }

    /// The output of `stage` for `key`: found, or made by `make` in the empty folder that it is given. The folder
    /// gets its final name only after `make` succeeded, its files were summed, and everything in it reached the disk.
    pub fn obtain(&self, stage: &str, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<Entry> {
        if let Some(found) = self.find(stage, key) {
            return Ok(found);
        }
        let parent = self.root.join(stage);
        private::make_folders(&parent, private::OPEN_FOLDER)?;
        let lock_path = parent.join(format!("{key}.lock"));
        let lock =
            File::create(&lock_path).with_context(|| format!("cannot make {}", lock_path.display()))?;
        private::give(&lock).with_context(|| format!("cannot give {} away", lock_path.display()))?;
        flock(&lock, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", lock_path.display()))?;
        // Another build may have finished it while this one waited.
        if let Some(found) = self.find(stage, key) {
            return Ok(found);
        }
        remove_abandoned(&parent)?;
        let part = parent.join(format!("{key}.part"));
        remove_folder(&part)?;
        fs::create_dir(&part).with_context(|| format!("cannot make {}", part.display()))?;
        if let Err(error) = make(&part).and_then(|()| seal(&part)) {
            // The error of the work matters more than one of the cleaning; the next run cleans again.
            remove_folder(&part).ok();
            return Err(error);
        }
        private::give_all(&part).with_context(|| format!("cannot give {} away", part.display()))?;
        sync_folder(&part).with_context(|| format!("cannot write {} to the disk", part.display()))?;
        let done = parent.join(key.as_str());
        fs::rename(&part, &done).with_context(|| format!("cannot rename {}", part.display()))?;
        File::open(&parent)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("cannot write {} to the disk", parent.display()))?;
        Ok(Entry::new(stage, done))
    }
}

/// Removes what killed runs left in the making, of whatever key: nobody holds its lock any more.
fn remove_abandoned(parent: &Path) -> Result<()> {
    let listed = || format!("cannot look into {}", parent.display());
    for entry in fs::read_dir(parent).with_context(listed)? {
        let part = entry.with_context(listed)?.path();
        if part.extension() != Some(OsStr::new("part")) {
            continue;
        }
        let lock = part.with_extension("lock");
        let lock = File::create(&lock).with_context(|| format!("cannot make {}", lock.display()))?;
        // This process's own key fails here too: its lock is held through another file.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_folder(&part)?;
        }
    }
    Ok(())
}

/// Removes what a killed run left.
fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Waits until all files of a folder are on the disk: after a power cut the renamed folder must not hold empty files.
fn sync_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_folder(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_leaves_nothing_and_a_finished_one_runs_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::open(folder.path())?;
        let key = Key::builder("s", 1).finish();
        let failed = cache.obtain("s", &key, |part| {
            fs::write(part.join("half"), "x")?;
            anyhow::bail!("broken")
        });
        assert_eq!(failed.unwrap_err().to_string(), "broken");
        assert!(cache.find("s", &key).is_none());
        // As a killed run would leave it:
        fs::create_dir_all(folder.path().join(format!("s/{key}.part/half")))?;
        let done = cache.obtain("s", &key, |part| Ok(fs::write(part.join("whole"), "y")?))?;
        assert_eq!(done.names()?, ["whole"]);
        cache.obtain("s", &key, |_| anyhow::bail!("must not run again"))?;
        Ok(())
    }

    #[test]
    fn two_builds_at_once_make_an_output_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::open(folder.path())?;
        let key = Key::builder("s", 1).finish();
        let made = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    cache.obtain("s", &key, |part| {
                        made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(fs::write(part.join("f"), "z")?)
                    })
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
        Ok(())
    }
}
