//! The image as the chunks that it goes to the card in: read, decompressed, compared with the block map and hashed, ahead of
//! the writing.

use std::ops::Range;
use std::sync::mpsc::SyncSender;

use formats::bmap::MappedRange;
use formats::digest::hex;
use formats::units::Bytes;
use sha2::{Digest as _, Sha256};

use crate::direct::{Buffer, CHUNK};
use crate::image::{Image, ImageError};

/// What is written last: the first MiB, with partition table and first boot loader.
pub(crate) const HEAD: u64 = 1 << 20;

/// Chunks that wait to be written. One is enough to have card and processor work at the same time; the second one evens out
/// what takes long to decompress.
pub(crate) const WAITING: usize = 2;

/// A run of bytes that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it lies on the card.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// What it hashes to.
    pub sha256: [u8; 32],
}

impl Chunk {
    /// `bytes`, which lie at `offset`.
    pub(crate) fn of(bytes: &[u8], offset: u64) -> Self {
        Self {
            offset,
            length: bytes.len() as u64,
            sha256: Sha256::digest(bytes).into(),
        }
    }
}

/// A chunk with its bytes.
pub(crate) struct Piece {
    pub(crate) chunk: Chunk,
    pub(crate) bytes: Buffer,
}

/// How much of `image` is behind its head.
pub(crate) fn body_size(image: &Image) -> Bytes {
    let body = |range: Range<u64>| range.end.saturating_sub(range.start.max(HEAD));
    Bytes(image.map.ranges.iter().map(|range| body(range.range())).sum())
}

/// Reads `image` and sends all but its head, which is returned. What is `stale` becomes zeros. A chunk ends where its unit of
/// [`CHUNK`] bytes of the card does. Where nobody takes them any more, the rest is not read.
pub(crate) fn send(
    image: &Image,
    stale: &Range<u64>,
    pieces: &SyncSender<Piece>,
) -> Result<Vec<u8>, ImageError> {
    let mut head = vec![0; HEAD.min(image.size.0) as usize];
    let mut chunk = Open::at(0);
    for range in &image.map.ranges {
        let mut hash = Sha256::new();
        let mut position = range.offset;
        while position < range.range().end {
            let border = if position < HEAD {
                HEAD
            } else {
                (position + 1).next_multiple_of(CHUNK)
            };
            let end = range.range().end.min(border);
            if position < HEAD {
                let bytes = &mut head[position as usize..end as usize];
                read(image, bytes, position)?;
                hash.update(&*bytes);
            } else {
                if chunk.end() != position || position.is_multiple_of(CHUNK) {
                    let full = std::mem::replace(&mut chunk, Open::at(position));
                    if full.send(pieces).is_break() {
                        return Ok(head);
                    }
                }
                let bytes = chunk.bytes.add(end - position);
                read(image, bytes, position)?;
                hash.update(&*bytes);
                let (from, to) = (stale.start.max(position), stale.end.min(end));
                if from < to {
                    bytes[(from - position) as usize..(to - position) as usize].fill(0);
                }
            }
            position = end;
        }
        check_digest(image, range, &hash.finalize().into())?;
    }
    // The last one: whether it is taken makes no difference here.
    let _ = chunk.send(pieces);
    Ok(head)
}

/// A chunk that is being filled.
struct Open {
    offset: u64,
    bytes: Buffer,
}

impl Open {
    fn at(offset: u64) -> Self {
        Self {
            offset,
            bytes: Buffer::new(),
        }
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Hands it over; breaks where nobody takes it.
    fn send(self, pieces: &SyncSender<Piece>) -> std::ops::ControlFlow<()> {
        if self.bytes.is_empty() {
            return std::ops::ControlFlow::Continue(());
        }
        let piece = Piece {
            chunk: Chunk::of(&self.bytes, self.offset),
            bytes: self.bytes,
        };
        match pieces.send(piece) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        }
    }
}

/// Compares a range of the image with the block map.
fn check_digest(image: &Image, range: &MappedRange, digest: &[u8; 32]) -> Result<(), ImageError> {
    if *digest == range.sha256 {
        return Ok(());
    }
    Err(ImageError::Digest {
        path: image.path.clone(),
        start: range.offset,
        end: range.range().end,
        found: hex(digest),
        expected: hex(&range.sha256),
    })
}

pub(crate) fn read(image: &Image, bytes: &mut [u8], offset: u64) -> Result<(), ImageError> {
    image
        .source
        .read_exact_at(bytes, offset)
        .map_err(|source| ImageError::Read {
            path: image.path.clone(),
            source,
        })
}
