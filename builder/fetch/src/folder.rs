//! A folder of this machine as a mirror: `file:///srv/mirror/`. What is in it is as little trusted as what a server sends.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::trouble::Trouble;

/// The path that a URL of a folder, or of what is in one, stands for; `None` for what servers have.
pub(super) fn path_of(url: &str) -> Option<&Path> {
    url.strip_prefix("file://").map(Path::new)
}

/// A file of a folder, and its size. Whatever is not a regular file is not opened, nor waited for.
pub(super) fn open(path: &Path) -> Result<(File, u64), Trouble> {
    let cannot = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Trouble::Absent("it is not there".into()),
        _ => Trouble::Lasting(error.to_string()),
    };
    let file = files::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    match metadata.is_file() {
        true => Ok((file, metadata.len())),
        false => Err(Trouble::Lasting("it is no regular file".into())),
    }
}

/// A small file as a whole, at most `limit` bytes.
pub(super) fn document(path: &Path, limit: u64) -> Result<Vec<u8>, Trouble> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    // One more than is allowed tells that there are more; it may grow while it is read.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Trouble::Lasting(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(Trouble::Lasting(format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}
