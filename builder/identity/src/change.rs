//! A change of what the store has: all of it, or nothing.
//!
//! ```text
//! identity/.revoking.part/      what is being drawn; of a run that was cut off: gone at the next start
//! identity/.revoking/           drawn and on the disk, in folders as the store has them: from here on it counts. Each thing in
//!                               it takes the place of the old one, and what its list `gone` names goes; a run that was cut off
//!                               is completed at the next start
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use super::files::{exists, make_private_folder, sync_folder, write_new};
use super::fleet::{FLEET, KNOWN_HOSTS};
use super::revoke::REVOKED;
use super::ssh::public_path;
use super::{BEFORE, IdentityStore, OPERATOR_KEY, check_name};

const DRAWING: &str = ".revoking.part";
const DRAWN: &str = ".revoking";

/// What goes away, a line each: `nodes/red-07`.
const GONE: &str = "gone";

/// Folders of the store that a change may have something of.
pub(super) const KINDS: [&str; 5] = ["nodes", "containers", "links", "i2p", "tunnels"];

impl IdentityStore {
    /// Makes a change: `draw` fills a folder that is laid out as the store is, and names what goes away, each a kind and a name.
    /// The lock is held. Cut off anywhere, either nothing has changed, or the next to open the store completes it.
    pub(super) fn change<'g>(
        &self,
        gone: impl IntoIterator<Item = (&'g str, &'g str)>,
        draw: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let drawing = self.folder.join(DRAWING);
        remove(&drawing)?;
        make_private_folder(&drawing)?;
        for kind in KINDS {
            make_private_folder(&drawing.join(kind))?;
        }
        draw(&drawing)?;
        let gone: String = gone
            .into_iter()
            .map(|(kind, name)| format!("{kind}/{name}\n"))
            .collect();
        write_new(&drawing.join(GONE), gone.as_bytes())?;
        for kind in KINDS {
            sync_folder(&drawing.join(kind))?;
        }
        sync_folder(&drawing)?;
        fs::rename(&drawing, self.folder.join(DRAWN))
            .with_context(|| format!("cannot rename {}", drawing.display()))?;
        sync_folder(&self.folder)?;
        self.complete()
    }

    /// Completes a change that was cut off, or takes back one that had not drawn everything yet. Asked whenever the store is
    /// opened.
    pub(super) fn settle(&self) -> Result<()> {
        let left = [DRAWING, DRAWN].map(|name| self.folder.join(name));
        for path in left {
            if exists(&path)? {
                // Whoever gets the lock completes what waits for it.
                let _lock = self.lock()?;
                return remove(&self.folder.join(DRAWING));
            }
        }
        Ok(())
    }

    /// Puts what was drawn in the place of what it replaces. The lock is held.
    pub(super) fn complete(&self) -> Result<()> {
        let drawn = self.folder.join(DRAWN);
        if !exists(&drawn)? {
            return Ok(());
        }
        let operator = Path::new(OPERATOR_KEY);
        let before = Path::new(BEFORE);
        // The list first: nothing new is used that was not told of.
        for name in [Path::new(REVOKED), Path::new(KNOWN_HOSTS), Path::new(FLEET)] {
            place(&drawn.join(name), &self.folder.join(name))?;
        }
        for key in [before, operator] {
            for name in [key, &public_path(key)] {
                place(&drawn.join(name), &self.folder.join(name))?;
            }
        }
        for kind in KINDS {
            let folder = drawn.join(kind);
            let names = match fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.and_then(Iterator::collect::<std::io::Result<Vec<_>>>),
            };
            let names = names.with_context(|| format!("cannot look into {}", folder.display()))?;
            for entry in names {
                place(&entry.path(), &self.folder.join(kind).join(entry.file_name()))?;
            }
        }
        self.remove_gone(&drawn.join(GONE))?;
        for kind in KINDS {
            sync_folder(&self.folder.join(kind))?;
        }
        sync_folder(&self.folder)?;
        remove(&drawn)
    }

    /// Removes what the list at `path` names. One that was written before there were lists has none.
    fn remove_gone(&self, path: &Path) -> Result<()> {
        if !exists(path)? {
            return Ok(());
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for (kind, name) in text.lines().filter_map(|line| line.split_once('/')) {
            check_name(name, "node")?;
            if KINDS.contains(&kind) {
                remove(&self.folder.join(kind).join(name))?;
            }
        }
        Ok(())
    }
}

/// Gives `new` the place of `old`, if it was not given it yet.
fn place(new: &Path, old: &Path) -> Result<()> {
    if !exists(new)? {
        return Ok(());
    }
    // Of a folder only one that is empty would be replaced.
    if new.is_dir() {
        remove(old)?;
    }
    fs::rename(new, old).with_context(|| format!("cannot rename {}", new.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
