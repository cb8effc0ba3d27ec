//! An image becomes a file: the one place that writes images.
//!
//! The file is made under a temporary name in its folder and gets its own name when all of it is on the disk, so what
//! has the name is whole. What lies in files is copied by the kernel; holes are not written.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use formats::blob::Blob;
use formats::digest::update_zeros;
use formats::sparse::{Piece, SparseImage};
use formats::units::Bytes;
use rustix::fs::copy_file_range;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// How the temporary names of files start that are being written.
pub const TEMPORARY: &str = ".portadc-";

/// Bytes that are read, hashed and written at once where the kernel does not copy.
const BUFFER: usize = 1 << 20;

/// Whether an image's SHA-256 is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// It is not: the fastest way to write.
    Skip,
    /// It is. It is computed from the bytes on their way into the file; holes count as zeros.
    Sha256,
}

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub size: Bytes,
    /// Bytes that are not holes.
    pub mapped: Bytes,
    /// SHA-256 of the whole file, if it was wanted.
    pub sha256: Option<[u8; 32]>,
}

/// Writes `image`, whose pieces are in order, to `path`; a file of that name is replaced. After an error nothing is
/// left of the new file, and an old one is as it was.
pub fn write_image(image: &SparseImage, path: &Path, digest: Digest) -> Result<Written> {
    let mapped = image.mapped();
    let sha256 = write(image, path, digest).with_context(|| {
        format!(
            "cannot write {}, which needs {} bytes ({mapped}) of disk space",
            path.display(),
            mapped.0
        )
    })?;
    Ok(Written {
        size: image.size,
        mapped,
        sha256,
    })
}

fn write(image: &SparseImage, path: &Path, digest: Digest) -> Result<Option<[u8; 32]>> {
    let name = path.file_name().context("the path names no file")?;
    if path.is_dir() {
        bail!("there is a folder of this name");
    }
    let folder = folder_of(path);
    let mut prefix = OsString::from(TEMPORARY);
    prefix.push(name);
    let temporary = tempfile::Builder::new()
        .prefix(&prefix)
        // As any new file; the default lets nobody else read it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .context("cannot make a file in its folder")?;
    let file = temporary.as_file();
    file.set_len(image.size.0)
        .context("cannot give the file its size")?;
    let mut sink = Sink::new(file, digest);
    for piece in &image.pieces {
        sink.put(piece, image.size).with_context(|| {
            format!(
                "bytes {}..{} of the image",
                piece.offset,
                piece.offset.saturating_add(piece.length)
            )
        })?;
    }
    let sha256 = sink.finish(image.size);
    file.sync_all().context("cannot bring the file to the disk")?;
    temporary
        .persist(path)
        .map_err(|error| error.error)
        .context("cannot give the file its name")?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .context("cannot bring its name to the disk")?;
    Ok(sha256)
}

/// The folder that `path` lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The file while pieces are put into it.
struct Sink<'a> {
    file: &'a File,
    hash: Option<Sha256>,
    /// First byte behind the last piece.
    end: u64,
    buffer: Vec<u8>,
}

impl<'a> Sink<'a> {
    fn new(file: &'a File, digest: Digest) -> Self {
        let hash = match digest {
            Digest::Skip => None,
            Digest::Sha256 => Some(Sha256::new()),
        };
        Self {
            file,
            hash,
            end: 0,
            buffer: Vec::new(),
        }
    }

    fn put(&mut self, piece: &Piece, size: Bytes) -> Result<()> {
        let end = piece
            .offset
            .checked_add(piece.length)
            .filter(|end| *end <= size.0);
        let Some(end) = end else {
            bail!("it lies behind the end of the image of {} bytes", size.0)
        };
        if piece.offset < self.end {
            bail!("the piece before it ends at {}", self.end);
        }
        self.hash_zeros(piece.offset - self.end);
        self.end = end;
        match &piece.blob {
            Blob::Memory(bytes) => {
                let start = usize::try_from(piece.blob_offset)?;
                let bytes = start
                    .checked_add(usize::try_from(piece.length)?)
                    .and_then(|end| bytes.get(start..end))
                    .context("its bytes in memory end early")?;
                if let Some(hash) = &mut self.hash {
                    hash.update(bytes);
                }
                Ok(self.file.write_all_at(bytes, piece.offset)?)
            }
            Blob::File(source) if self.hash.is_none() => self.copy_in_kernel(source, piece),
            Blob::File(source) => self.copy(source, piece, 0),
        }
    }

    /// Has the kernel copy a piece, which on some file systems shares the blocks. Goes on by hand where it cannot.
    fn copy_in_kernel(&mut self, source: &File, piece: &Piece) -> Result<()> {
        let mut done = 0;
        while done < piece.length {
            let mut from = piece.blob_offset + done;
            let mut to = piece.offset + done;
            // What is left beyond the address space of a 32-bit machine is left to the next round.
            let length = usize::try_from(piece.length - done).unwrap_or(usize::MAX);
            match copy_file_range(source, Some(&mut from), self.file, Some(&mut to), length) {
                Ok(0) => return Err(short()),
                Ok(copied) => done += copied as u64,
                Err(Errno::INTR) => {}
                // Between file systems, or on one that knows no such call.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    return self.copy(source, piece, done);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Copies a piece from its byte `done` on through memory, and hashes it if that is wanted.
    fn copy(&mut self, source: &File, piece: &Piece, mut done: u64) -> Result<()> {
        self.buffer.resize(BUFFER, 0);
        while done < piece.length {
            // At most BUFFER.
            let length = (piece.length - done).min(BUFFER as u64) as usize;
            let bytes = &mut self.buffer[..length];
            source
                .read_exact_at(bytes, piece.blob_offset + done)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => short(),
                    _ => error.into(),
                })?;
            if let Some(hash) = &mut self.hash {
                hash.update(&*bytes);
            }
            self.file.write_all_at(bytes, piece.offset + done)?;
            done += length as u64;
        }
        Ok(())
    }

    fn hash_zeros(&mut self, length: u64) {
        if let Some(hash) = &mut self.hash {
            update_zeros(hash, length);
        }
    }

    fn finish(mut self, size: Bytes) -> Option<[u8; 32]> {
        self.hash_zeros(size.0 - self.end);
        self.hash.map(|hash| hash.finalize().into())
    }
}

fn short() -> anyhow::Error {
    anyhow::anyhow!("the file that its bytes are in ends early")
}

/// Writes a small file whole or not at all: under a temporary name, to the disk, then to its name.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    let write = || -> Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
