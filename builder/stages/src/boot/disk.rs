//! A copy of an image on a larger, throw-away card.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use formats::units::Bytes;
use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

/// The data of `image` in a sparse file of `size` that has no name: it is gone with its last user, however that ends.
pub fn enlarged_copy(image: &Path, size: Bytes) -> Result<File> {
    let source = File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
    let length = source.metadata()?.len();
    ensure!(
        size.0 >= length,
        "the image of {} does not fit a card of {size}",
        Bytes(length)
    );
    let folder = image.parent().unwrap_or(Path::new("."));
    let copy =
        tempfile::tempfile_in(folder).with_context(|| format!("cannot write in {}", folder.display()))?;
    copy.set_len(size.0)?;
    let mut position = 0;
    while position < length {
        let start = match seek(&source, SeekFrom::Data(position)) {
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            start => start?,
        };
        let end = seek(&source, SeekFrom::Hole(start))?;
        let (mut from, mut to) = (start, start);
        while from < end {
            let wanted = usize::try_from(end - from).unwrap_or(usize::MAX);
            if copy_file_range(&source, Some(&mut from), &copy, Some(&mut to), wanted)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                    .context("the image became shorter");
            }
        }
        position = end;
    }
    Ok(copy)
}

/// A path under which another process of this user opens the nameless file while this one holds it.
pub fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}
