//! Folders and files that nobody but their owner can reach: whatever holds, or could hold, the keys of nodes.
//!
//! Where root works for somebody by sudo, what is made is that person's: else the next build, without sudo, could neither
//! read nor replace it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Permissions of a folder.
pub const FOLDER: u32 = 0o700;

/// Permissions of a folder that anybody may look into, less what the umask takes.
pub const OPEN_FOLDER: u32 = 0o777;

/// Permissions of a file.
pub const FILE: u32 = 0o600;

/// What others may not have.
const OTHERS: u32 = 0o077;

/// Who called sudo: user and group. `None` for whoever works as themselves.
fn caller() -> Option<(u32, u32)> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let user = number("SUDO_UID").filter(|user| *user != 0)?;
    geteuid().is_root().then_some((user, number("SUDO_GID")?))
}

/// Gives a file, or a folder, that was just made to who called sudo.
pub fn give(file: &File) -> io::Result<()> {
    match caller() {
        Some((user, group)) => fchown(file, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// The same of a folder that was just made.
pub fn give_folder(folder: &Path) -> io::Result<()> {
    match caller() {
        Some(_) => give(&open(folder)?),
        None => Ok(()),
    }
}

/// The same of a file, or of a folder that was just made and everything in it.
pub fn give_all(folder: &Path) -> io::Result<()> {
    if caller().is_none() {
        return Ok(());
    }
    if !fs::symlink_metadata(folder)?.is_dir() {
        return give(&open(folder)?);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            give_all(&entry.path())?;
        } else if kind.is_file() {
            give(&open(&entry.path())?)?;
        }
    }
    give(&open(folder)?)
}

/// Makes a folder, and those that are missing above it, with these permissions.
pub fn make_folders(path: &Path, mode: u32) -> Result<()> {
    let make = || -> io::Result<()> {
        let missing = path
            .ancestors()
            .take_while(|folder| *folder != Path::new("") && !folder.is_dir());
        for folder in missing.collect::<Vec<_>>().into_iter().rev() {
            match DirBuilder::new().mode(mode).create(folder) {
                // Another process did.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
                made => made.and_then(|()| give_folder(folder))?,
            }
        }
        Ok(())
    };
    make().with_context(|| format!("cannot make the folder {}", path.display()))
}

/// A file to be written from its start, which is made where it is missing.
pub fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE)
        .open(path)?;
    // It may have been there.
    if file.metadata()?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(FILE))?;
    }
    give(&file)?;
    Ok(file)
}

/// What others could reach until now.
#[derive(Default)]
struct Wider {
    /// The folder's permissions, where they were too many.
    folder: Option<u32>,
    /// How many files in it could be read or written.
    files: usize,
}

/// Makes the folder at `path`, or closes the one that is there, with the files in it, to all but its owner. Returns what
/// the user should know of one that was open.
pub fn take(path: &Path) -> Result<Option<String>> {
    make_folders(path, FOLDER)?;
    let mut wider = Wider::default();
    // A person may have put a link there, to a larger disk.
    let folder = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    ensure!(folder.metadata()?.is_dir(), "{} is no folder", path.display());
    wider.folder = narrow(path, &folder, FOLDER)?;
    for inner in files_of(path)? {
        wider.files += usize::from(narrow_file(&inner)?);
    }
    let what = match (wider.folder, wider.files) {
        (None, 0) => return Ok(None),
        (None, files) => format!("{files} files in {} could be read by others", path.display()),
        (Some(mode), files) => format!(
            "{} could be entered by others (mode {mode:04o}), with {files} files that they could read",
            path.display()
        ),
    };
    Ok(Some(format!(
        "{what}: it is closed to them now; if others use this machine, take the keys in it as known to them"
    )))
}

/// What is in a folder, and in the folders of it.
fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    let list = |folder: &Path, paths: &mut Vec<PathBuf>| -> Result<Vec<PathBuf>> {
        let cannot = || format!("cannot look into {}", folder.display());
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let kind = entry.file_type().with_context(cannot)?;
            if kind.is_dir() {
                folders.push(entry.path());
            }
            if kind.is_dir() || kind.is_file() {
                paths.push(entry.path());
            }
        }
        Ok(folders)
    };
    let mut paths = Vec::new();
    for folder in list(path, &mut paths)? {
        list(&folder, &mut paths)?;
    }
    Ok(paths)
}

/// Closes one file or folder; whether it was open.
fn narrow_file(path: &Path) -> Result<bool> {
    let file = match open(path) {
        // Another process removed or replaced it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let mode = if file.metadata()?.is_dir() { FOLDER } else { FILE };
    Ok(narrow(path, &file, mode)?.is_some())
}

/// Takes from `file` what others may; returns the permissions that it had, where these were more. Root's becomes the
/// caller's.
fn narrow(path: &Path, file: &File, mode: u32) -> Result<Option<u32>> {
    let metadata = file.metadata()?;
    // What has another name somewhere may be another's, who must not get it from root.
    if metadata.uid() == 0 && (metadata.is_dir() || metadata.nlink() == 1) {
        give(file).with_context(|| format!("cannot give {} to who called sudo", path.display()))?;
    }
    let found = metadata.mode() & 0o7777;
    if found & OTHERS == 0 {
        return Ok(None);
    }
    match file.set_permissions(Permissions::from_mode(mode)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{} can be reached by others (mode {found:04o}) and belongs to user {}, who alone can close it: choose another folder",
            path.display(),
            metadata.uid()
        ),
        done => done.with_context(|| format!("cannot close {} to others", path.display()))?,
    }
    Ok(Some(found))
}

/// Opens what is not a link, without waiting, to change whose it is.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_was_open_is_closed_and_said_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("images");
        fs::create_dir_all(folder.join(".state")).unwrap();
        let outside = place.path().join("outside");
        for file in [&outside, &folder.join("a.img"), &folder.join(".state/a.json")] {
            fs::write(file, "x").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        symlink(&outside, folder.join("link")).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(folder.join(".state"), Permissions::from_mode(0o755)).unwrap();
        let said = take(&folder).unwrap().unwrap();
        assert!(
            said.contains("images could be entered by others (mode 0755), with 3 files that they could read"),
            "{said}"
        );
        assert_eq!(mode(&folder), FOLDER);
        assert_eq!(mode(&folder.join(".state")), FOLDER);
        assert_eq!(mode(&folder.join("a.img")), FILE);
        assert_eq!(mode(&folder.join(".state/a.json")), FILE);
        assert_eq!(mode(&outside), 0o644, "what a link leads to is another's");
        assert_eq!(take(&folder).unwrap(), None);
    }

    #[test]
    fn what_is_made_is_closed_whatever_the_umask() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("out/images");
        assert_eq!(take(&folder).unwrap(), None);
        assert_eq!([mode(&folder), mode(&place.path().join("out"))], [FOLDER; 2]);
        let file = folder.join("log");
        fs::write(&file, "longer").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        create(&file).unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap().len()), (FILE, 0));
    }
}
