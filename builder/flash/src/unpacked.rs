//! The bytes of an image that is plain or compressed, by whomever: its first bytes say how, not its name. What can be read from its
//! start to its end only is unpacked first, into a file without a name. So a stream that was cut off, or has something else
//! behind it, is refused before a card is touched, and no image is in memory.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use formats::seekable::{self, SeekableError};
use formats::source::{ReadAt, WholeBlob};
use formats::units::Bytes;
use formats::unpack::{Codec, MAGIC, Unsupported};
use rustix::fs::OFlags;
use thiserror::Error;

/// Bytes that are unpacked at once. Where all of them are zeros, the file gets a hole.
const BLOCK: u64 = 64 << 10;

/// Bytes at any place, for any thread.
pub type Source = Box<dyn ReadAt + Send + Sync>;

/// Why the bytes of an image cannot be had.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is compressed in a way that is not read.
    #[error(transparent)]
    Unsupported(Unsupported),
    /// Its table of frames is no good.
    #[error("it cannot be read as a seekable zstd file")]
    Seekable(#[source] SeekableError),
    /// The stream is not whole, or not alone.
    #[error("it is compressed with {}, and damaged, cut off, or followed by something else: nothing but a whole file will do", how.name())]
    Stream {
        /// How it is compressed.
        how: Codec,
        /// What is wrong behind the last byte that could be unpacked.
        source: io::Error,
    },
    /// It goes on and on.
    #[error("it unpacks to more than {} bytes", limit.0)]
    TooLong {
        /// What it should have.
        limit: Bytes,
    },
    /// There is no room for what is unpacked.
    #[error("it cannot be unpacked into {}; TMPDIR names another folder", folder.display())]
    Room {
        /// Where it was unpacked to.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The bytes of the image in `file`. `told` hears how many were unpacked, where that has to be done; more than `limit` are refused.
pub fn open(file: File, limit: Option<Bytes>, told: &mut dyn FnMut(Bytes)) -> Result<Source, UnpackError> {
    let (blob, codec) = begin(&file)?;
    if codec == Codec::Plain {
        return Ok(Box::new(blob));
    }
    if codec == Codec::Zstd {
        match seekable::Reader::open(blob) {
            // Of another program, or with other frames than we make.
            Err(SeekableError::Foreign | SeekableError::Frame { .. }) => {}
            Err(error) => return Err(UnpackError::Seekable(error)),
            Ok(frames) => return Ok(Box::new(frames)),
        }
    }
    let unpacked = unpack(codec, file, limit, told)?;
    let blob = WholeBlob::new(unpacked.into()).map_err(UnpackError::Read)?;
    Ok(Box::new(blob))
}

/// The bytes of the image in `file` as a build writes it: plain, or in frames with a table of them. Nothing else is taken, though
/// its bytes may be the same once they are unpacked.
pub fn open_built(file: File) -> Result<Source, UnpackError> {
    match begin(&file)? {
        (blob, Codec::Plain) => Ok(Box::new(blob)),
        (blob, _) => Ok(Box::new(
            seekable::Reader::open(blob).map_err(UnpackError::Seekable)?,
        )),
    }
}

/// A file, and how its first bytes say that it is compressed.
fn begin(file: &File) -> Result<(WholeBlob, Codec), UnpackError> {
    let blob = WholeBlob::new(file.try_clone().map_err(UnpackError::Read)?.into());
    let blob = blob.map_err(UnpackError::Read)?;
    let mut magic = vec![0; blob.size().min(MAGIC as u64) as usize];
    blob.read_exact_at(&mut magic, 0).map_err(UnpackError::Read)?;
    let codec = Codec::of(&magic).map_err(UnpackError::Unsupported)?;
    Ok((blob, codec))
}

/// Unpacks `file` into a file that has no name.
fn unpack(
    codec: Codec,
    mut file: File,
    limit: Option<Bytes>,
    told: &mut dyn FnMut(Bytes),
) -> Result<File, UnpackError> {
    // Not /tmp, which may be memory.
    let folder = env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let no_room = |source| UnpackError::Room {
        folder: folder.clone(),
        source,
    };
    // Keys are in an image.
    let output = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::TMPFILE.bits() as i32)
        .open(&folder)
        .map_err(no_room)?;
    // Of a disk, asking for the size has moved it.
    file.rewind().map_err(UnpackError::Read)?;
    let damaged = |source| UnpackError::Stream { how: codec, source };
    let mut input = codec.decoder(BufReader::new(file)).map_err(damaged)?;
    let mut block = Vec::new();
    let mut done = 0;
    loop {
        block.clear();
        input
            .by_ref()
            .take(BLOCK)
            .read_to_end(&mut block)
            .map_err(damaged)?;
        if block.is_empty() {
            break;
        }
        if block.iter().any(|byte| *byte != 0) {
            output.write_all_at(&block, done).map_err(no_room)?;
        }
        done += block.len() as u64;
        if let Some(limit) = limit.filter(|limit| done > limit.0) {
            return Err(UnpackError::TooLong { limit });
        }
        told(Bytes(done));
    }
    output.set_len(done).map_err(no_room)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_and_little_are_read_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"abc", b"BZh"] {
            let path = folder.path().join("image");
            fs::write(&path, bytes).unwrap();
            let source = open(File::open(&path).unwrap(), None, &mut |_| {}).unwrap();
            assert_eq!(source.size(), bytes.len() as u64);
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        fs::write(&path, [0x04, 0x22, 0x4d, 0x18, 0, 0]).unwrap();
        let error = open(File::open(&path).unwrap(), None, &mut |_| {}).err().unwrap();
        assert_eq!(
            error.to_string(),
            "compressed with lz4, which is not supported: gzip, bzip2, xz and zstd are"
        );
    }
}
