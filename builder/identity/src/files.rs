//! Files and folders that nobody but their owner can reach.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use files::private;
use rustix::fs::OFlags;

use super::what_to_do_about;

/// Largest file of the store that is read, in bytes; keys have a few hundred.
const MAX_FILE: u64 = 64 * 1024;

pub(super) fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// A folder that only its owner can enter. One that others can enter is an error.
pub(super) fn make_private_folder(folder: &Path) -> Result<()> {
    let make = || -> std::io::Result<()> {
        match DirBuilder::new().mode(private::FOLDER).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| private::give_folder(folder)),
        }
    };
    make().with_context(|| format!("cannot make {}", folder.display()))?;
    let metadata =
        fs::symlink_metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    ensure!(metadata.is_dir(), "{} is not a folder", folder.display());
    check_mode(folder, &metadata)
}

/// Nobody but the owner may reach what is in the store.
pub(super) fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    let mode = metadata.mode() & 0o7777;
    ensure!(
        mode & 0o077 == 0,
        "{} can be reached by others (mode {mode:04o}): `chmod go= {}` (`chmod -R` for all of identity/, where it was restored \
         with other modes), and if others use this machine, take its keys as known to them",
        path.display(),
        path.display()
    );
    Ok(())
}

/// A file of the store; links are not followed. Only a public half may be read by others.
pub(super) fn read_private(path: &Path) -> Result<String> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                anyhow!("{} is missing{}", path.display(), what_to_do_about(path))
            }
            _ => anyhow!(error).context(format!("cannot read {}", path.display())),
        })?;
    let metadata = file
        .metadata()
        .with_context(|| format!("cannot look at {}", path.display()))?;
    ensure!(metadata.is_file(), "{} is not a file", path.display());
    if path.extension().is_none_or(|extension| extension != "pub") {
        check_mode(path, &metadata)?;
    }
    ensure!(
        metadata.len() <= MAX_FILE,
        "{} has {} bytes, no key has more than {MAX_FILE}",
        path.display(),
        metadata.len()
    );
    let mut text = String::new();
    file.read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// A new file of mode 0600 that has reached the disk.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(private::FILE)
            .open(path)?;
        // The umask can only have taken bits away from the owner.
        file.set_permissions(Permissions::from_mode(private::FILE))?;
        private::give(&file)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces a file: there is the old one or the new one, never a part.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    file.write_all(bytes)
        .and_then(|()| private::give(file.as_file()))
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(folder)
}

pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot write {} to the disk", folder.display()))
}
