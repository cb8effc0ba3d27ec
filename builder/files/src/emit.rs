//! An image becomes a file: the one place that writes images.
//!
//! The file is made under a temporary name in its folder and gets its own name when all of it is on the disk, so what
//! has the name is whole. What lies in files is copied by the kernel; holes are not written.
//!
//! Only a regular file is replaced. A symbolic link to one, or to nothing, becomes the new file: what it led to stays as
//! it was, since nobody said that somewhere else should be written. A disk or a pipe is refused: it would be lost as a
//! node of the file system, and not get the bytes.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use formats::blob::Blob;
use formats::sparse::{Piece, SparseImage};
use formats::units::Bytes;
use rustix::fs::copy_file_range;
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::private;

/// How the temporary names of files start that are being written.
pub const TEMPORARY: &str = ".portadc-";

/// Bytes that are read and written at once where the kernel does not copy.
const BUFFER: usize = 1 << 20;

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Whoever it belongs to: it holds keys, or could.
    Owner,
    /// Whoever may read any new file.
    Anybody,
}

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub size: Bytes,
    /// Bytes that are not holes.
    pub mapped: Bytes,
}

/// Refuses what cannot become a file that is written: what is there and is not a regular file, and each of `inputs`, which
/// would be lost. Whoever works long before there is something to write asks this first.
pub fn check_output(path: &Path, inputs: &[&Path]) -> Result<()> {
    refuse_others(path).with_context(|| format!("cannot write {}", path.display()))?;
    let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let Ok(output) = identity(path) else {
        // There is nothing yet, or writing tells why it cannot be.
        return Ok(());
    };
    // What is wrong with an input is told where it is read.
    match inputs
        .iter()
        .find(|input| identity(input).is_ok_and(|input| input == output))
    {
        Some(input) => bail!(
            "cannot write {}: it is what is read, {}; name another file",
            path.display(),
            input.display()
        ),
        None => Ok(()),
    }
}

/// Refuses what is there, or what a symbolic link leads to, if it is not a regular file.
fn refuse_others(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(());
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        bail!("there is a folder of this name");
    }
    if kind.is_block_device() {
        bail!(
            "it is a disk: write to a file, and bring that to the disk with `dd`, or the image of a node with `portadc flash`"
        );
    }
    if !kind.is_file() {
        bail!("it is a {}, which is not replaced: name a file", kind_name(kind));
    }
    Ok(())
}

/// What is neither file, folder nor disk.
fn kind_name(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "character device"
    }
}

/// Writes `image`, whose pieces are in order, to `path`; a regular file of that name is replaced. After an error nothing is
/// left of the new file, and an old one is as it was.
pub fn write_image(image: &SparseImage, path: &Path, readers: Readers) -> Result<Written> {
    let mapped = image.mapped();
    write(image, path, readers).with_context(|| cannot_write(path, mapped))?;
    Ok(Written {
        size: image.size,
        mapped,
    })
}

fn cannot_write(path: &Path, mapped: Bytes) -> String {
    format!(
        "cannot write {}, which needs {} bytes ({mapped}) of disk space",
        path.display(),
        mapped.0
    )
}

fn write(image: &SparseImage, path: &Path, readers: Readers) -> Result<()> {
    let temporary = temporary(path, readers)?;
    put_image(image, temporary.as_file(), None)?;
    persist(temporary, path)
}

/// Writes what is left of `image` into `file`, which has the bytes of `blob` that the image refers to already, each at
/// its place, and gives it its name.
pub fn complete_image(image: &SparseImage, file: NamedTempFile, blob: &Blob, path: &Path) -> Result<Written> {
    let complete = || -> Result<()> {
        put_image(image, file.as_file(), Some(blob))?;
        persist(file, path)
    };
    let mapped = image.mapped();
    complete().with_context(|| cannot_write(path, mapped))?;
    Ok(Written {
        size: image.size,
        mapped,
    })
}

/// A file in the folder of `path` that is gone unless [`persist`] gives it that name.
pub fn temporary(path: &Path, readers: Readers) -> Result<NamedTempFile> {
    let name = path.file_name().context("the path names no file")?;
    refuse_others(path)?;
    let mut prefix = OsString::from(TEMPORARY);
    prefix.push(name);
    let mode = match readers {
        Readers::Owner => private::FILE,
        // Less what the umask takes.
        Readers::Anybody => 0o666,
    };
    let file = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))
        .context("cannot make a file in its folder")?;
    private::give(file.as_file()).context("cannot give a file to who called sudo")?;
    Ok(file)
}

/// Brings a file to the disk and gives it its name.
fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file()
        .sync_all()
        .context("cannot bring the file to the disk")?;
    file.persist(path)
        .map_err(|error| error.error)
        .context("cannot give the file its name")?;
    File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .context("cannot bring its name to the disk")
}

/// The folder that `path` lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Writes `image` into `file`, which is empty, or has the bytes of the blob `there` already: those stay.
pub fn put_image(image: &SparseImage, file: &File, there: Option<&Blob>) -> Result<()> {
    file.set_len(image.size.0)
        .context("cannot give the file its size")?;
    let there = there.map(Blob::address);
    let mut end = 0;
    for piece in joined(&image.pieces) {
        let range = piece.range();
        put(file, &piece, end, image.size, there)
            .with_context(|| format!("bytes {}..{} of the image", range.start, range.end))?;
        end = range.end;
    }
    Ok(())
}

/// The pieces, of which those that follow each other both in the image and in a file become one: the kernel copies, or
/// shares, more at once.
fn joined(pieces: &[Piece]) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if follows(last, piece) => last.length += piece.length,
            _ => joined.push(piece.clone()),
        }
    }
    joined
}

fn follows(before: &Piece, piece: &Piece) -> bool {
    matches!(piece.blob, Blob::File(_))
        && before.blob.address() == piece.blob.address()
        && before.range().end == piece.offset
        && before.blob_offset.checked_add(before.length) == Some(piece.blob_offset)
}

/// Puts a piece into a file of `size` bytes, in which the pieces before it end at `before`, unless the file has it
/// because it is of the blob at the address `there`.
fn put(file: &File, piece: &Piece, before: u64, size: Bytes, there: Option<usize>) -> Result<()> {
    let end = piece.offset.checked_add(piece.length);
    if end.is_none_or(|end| end > size.0) {
        bail!("it lies behind the end of the image of {} bytes", size.0)
    }
    if piece.offset < before {
        bail!("the piece before it ends at {before}");
    }
    if there == Some(piece.blob.address()) {
        ensure!(
            piece.offset == piece.blob_offset,
            "they are at byte {} of the file",
            piece.blob_offset
        );
        return Ok(());
    }
    match &piece.blob {
        Blob::Memory(bytes) => {
            let start = usize::try_from(piece.blob_offset)?;
            let bytes = start
                .checked_add(usize::try_from(piece.length)?)
                .and_then(|end| bytes.get(start..end))
                .context("its bytes in memory end early")?;
            Ok(file.write_all_at(bytes, piece.offset)?)
        }
        Blob::File(source) => copy_in_kernel(file, source, piece),
    }
}

/// Has the kernel copy a piece, which on some file systems shares the blocks. Goes on by hand where it cannot.
fn copy_in_kernel(file: &File, source: &File, piece: &Piece) -> Result<()> {
    let mut done = 0;
    while done < piece.length {
        let mut from = piece.blob_offset + done;
        let mut to = piece.offset + done;
        // What is left beyond the address space of a 32-bit machine is left to the next round.
        let length = usize::try_from(piece.length - done).unwrap_or(usize::MAX);
        match copy_file_range(source, Some(&mut from), file, Some(&mut to), length) {
            Ok(0) => return Err(short()),
            Ok(copied) => done += copied as u64,
            Err(Errno::INTR) => {}
            // Between file systems, or on one that knows no such call.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy(file, source, piece, done);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Copies a piece from its byte `done` on through memory.
fn copy(file: &File, source: &File, piece: &Piece, mut done: u64) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    while done < piece.length {
        // At most BUFFER.
        let length = (piece.length - done).min(BUFFER as u64) as usize;
        let bytes = &mut buffer[..length];
        source
            .read_exact_at(bytes, piece.blob_offset + done)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => short(),
                _ => error.into(),
            })?;
        file.write_all_at(bytes, piece.offset + done)?;
        done += length as u64;
    }
    Ok(())
}

fn short() -> anyhow::Error {
    anyhow::anyhow!("the file that its bytes are in ends early")
}

/// Writes a small file whole or not at all: under a temporary name, to the disk, then to its name. Like an image, it
/// replaces a regular file only.
pub fn write_file(path: &Path, bytes: &[u8], readers: Readers) -> Result<()> {
    let write = || -> Result<()> {
        let mut temporary = temporary(path, readers)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
