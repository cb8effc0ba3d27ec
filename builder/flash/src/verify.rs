//! Reading back. Cards that lie about their size or wear out return something else than was written, and the page cache
//! would hide it: it is passed by with `O_DIRECT`, or emptied where that is not possible.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use formats::units::Bytes;
use rustix::fs::{Advice, OFlags, fadvise};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::device::{Target, own_path};
use crate::write::{CHUNK, Chunk};

/// What `O_DIRECT` wants memory, offsets and lengths to be multiples of; no disk has larger sectors.
const ALIGNMENT: u64 = 4096;

/// The card does not hold what was written to it.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Other bytes came back.
    #[error("{} does not hold what was written: bytes {start}..{end} differ; the card is bad or smaller than it claims", path.display())]
    Differs {
        /// The card.
        path: PathBuf,
        /// First byte of the run that differs somewhere.
        start: u64,
        /// First byte after it.
        end: u64,
    },
    /// The card has less room than it says.
    #[error(
        "{} claims to hold {} bytes ({claimed}), but not what is written to it at byte {offset}: it is a false card or a bad one; \
         throw it away",
        path.display(),
        claimed.0
    )]
    Capacity {
        /// The card.
        path: PathBuf,
        /// What it says.
        claimed: Bytes,
        /// The first place that did not hold what was written there.
        offset: u64,
    },
    /// No bytes came back.
    #[error("cannot read {} back at byte {offset}", path.display())]
    Read {
        /// The card.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

impl VerifyError {
    /// No bytes came back from `offset`.
    pub(crate) fn unreadable(target: &Target, offset: u64) -> impl FnOnce(io::Error) -> Self {
        let path = target.path.clone();
        move |source| Self::Read { path, offset, source }
    }
}

/// Reads every chunk from the card itself and compares its hash.
pub fn verify(
    target: &Target,
    chunks: &[Chunk],
    progress: &mut dyn FnMut(Bytes, Bytes),
) -> Result<(), VerifyError> {
    let unreadable = |offset| VerifyError::unreadable(target, offset);
    let reader = Reader::new(target).map_err(unreadable(0))?;
    let mut memory = Reader::memory();
    let total = chunks.iter().map(|chunk| Bytes(chunk.length)).sum();
    let mut done = 0;
    for chunk in chunks {
        let bytes = reader
            .read(&mut memory, chunk.offset, chunk.length)
            .map_err(unreadable(chunk.offset))?;
        if Sha256::digest(bytes)[..] != chunk.sha256 {
            return Err(VerifyError::Differs {
                path: target.path.clone(),
                start: chunk.offset,
                end: chunk.offset + chunk.length,
            });
        }
        done += chunk.length;
        progress(Bytes(done), total);
    }
    Ok(())
}

/// Reads what is on the card, not in the page cache.
pub(crate) enum Reader<'a> {
    /// Around the cache.
    Direct(File),
    /// Through the cache, which is emptied before each read.
    Cached(&'a File),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(target: &'a Target) -> io::Result<Self> {
        // Not by the card's name, which may mean something else by now.
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECT.bits() as i32)
            .open(own_path(&target.file));
        match direct {
            Ok(file) => Ok(Self::Direct(file)),
            // A file system without it, as tmpfs was for long.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Self::Cached(&target.file)),
            Err(error) => Err(error),
        }
    }

    /// What [`Reader::read`] reads into.
    pub(crate) fn memory() -> Vec<u8> {
        vec![0; (CHUNK + 2 * ALIGNMENT) as usize]
    }

    /// Reads `length` bytes, at most [`CHUNK`], into `memory`, which [`Reader::memory`] made.
    pub(crate) fn read<'b>(&self, memory: &'b mut [u8], offset: u64, length: u64) -> io::Result<&'b [u8]> {
        let start = offset % ALIGNMENT;
        let aligned = memory.as_ptr().align_offset(ALIGNMENT as usize);
        let buffer = &mut memory[aligned..];
        match self {
            Self::Direct(file) => {
                let from = offset - start;
                let wanted = (start + length).next_multiple_of(ALIGNMENT);
                let mut done = 0;
                // The last read before the end of the card may return less than asked for.
                while done < start + length {
                    match file.read_at(&mut buffer[done as usize..wanted as usize], from + done)? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        count => done += count as u64,
                    }
                }
            }
            Self::Cached(file) => {
                fadvise(file, offset, std::num::NonZeroU64::new(length), Advice::DontNeed)?;
                file.read_exact_at(&mut buffer[start as usize..(start + length) as usize], offset)?;
            }
        }
        Ok(&buffer[start as usize..(start + length) as usize])
    }
}
