//! Reading back. Cards that lie about their size or wear out return something else than was written.

use std::io;
use std::path::PathBuf;

use formats::units::Bytes;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::chunks::Chunk;
use crate::device::Target;
use crate::direct::{Buffer, Fate};

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
        "{} claims to hold {} bytes ({claimed}), but not what is written to it at byte {offset}: it is a false card or a bad one, and \
         holds at most {} bytes ({most}); throw it away",
        path.display(),
        claimed.0,
        most.0
    )]
    Capacity {
        /// The card.
        path: PathBuf,
        /// What it says.
        claimed: Bytes,
        /// The first place that did not hold what was written there.
        offset: u64,
        /// It does not hold more than this.
        most: Bytes,
    },
    /// No bytes came back.
    #[error("cannot read bytes {start}..{end} of {} back{fate}", path.display())]
    Read {
        /// The card.
        path: PathBuf,
        /// The first byte that was wanted.
        start: u64,
        /// The first byte after them.
        end: u64,
        /// What became of the card.
        fate: Fate,
        /// Why.
        source: io::Error,
    },
}

/// Reads every chunk from the card itself and compares its hash.
pub fn verify(
    target: &Target,
    chunks: &[Chunk],
    progress: &mut dyn FnMut(Bytes, Bytes),
) -> Result<(), VerifyError> {
    let mut buffer = Buffer::new();
    let total = chunks.iter().map(|chunk| Bytes(chunk.length)).sum();
    let mut done = 0;
    for chunk in chunks {
        let bytes = get(target, &mut buffer, chunk.offset, chunk.length)?;
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

/// `length` bytes from `offset` on, as they are on the card, in `buffer`.
pub(crate) fn get<'b>(
    target: &Target,
    buffer: &'b mut Buffer,
    offset: u64,
    length: u64,
) -> Result<&'b [u8], VerifyError> {
    target
        .read(buffer, offset, length)
        .map_err(|source| VerifyError::Read {
            path: target.path.clone(),
            start: offset,
            end: offset + length,
            fate: target.fate(&source),
            source,
        })
}
