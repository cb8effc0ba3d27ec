//! Folders as wholes.

use std::fs;
use std::path::Path;

/// Copies the tree below `from`, folders and files, to `to`. What a symbolic link leads to is copied in its place.
pub fn copy(from: &Path, to: &Path) {
    let copied = fs::create_dir_all(to).and_then(|()| {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy(&entry.path(), &target),
                false => fs::copy(entry.path(), target).map(drop)?,
            }
        }
        Ok(())
    });
    if let Err(error) = copied {
        panic!("cannot copy {} to {}: {error}", from.display(), to.display());
    }
}
