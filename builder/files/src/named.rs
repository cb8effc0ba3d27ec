//! Files that a person names to be read. What would wait for a writer, act when it is opened or never end is refused
//! instead.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file or a block device, or what a symbolic link leads to of these. Anything else is an error at once:
/// a folder of the kind [`io::ErrorKind::IsADirectory`], pipes, sockets and character devices of the kind
/// [`io::ErrorKind::InvalidInput`].
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened: some devices act when they are.
    check(&fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        // Should it be a pipe by now.
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// All of what [`open`] opens.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    if !kind.is_file() && !kind.is_block_device() {
        let fault = "it is no regular file or block device";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
    }
    Ok(())
}
