//! Writing, in an order that leaves no half-written card that looks like one.
//!
//! 1. The head, which is the first MiB with partition table and first boot loader, becomes zeros, and so does the end of
//!    the card: what it was is gone.
//! 2. Signatures of old contents that the image would not cover become zeros.
//! 3. The body, which is the rest of the image, follows, hashed on the way.
//! 4. If every range of the image was what its block map says, and the body was read back, what belongs to the end of the card
//!    and the head are written.

use std::io;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use formats::units::{Bytes, SECTOR};
use thiserror::Error;

use crate::chunks::{Chunk, HEAD, Piece, WAITING, body_size, send};
use crate::device::Target;
use crate::direct::{Buffer, Fate};
use crate::image::Image;
use crate::table::Place;
use crate::{FlashError, Writes};

/// Where btrfs keeps superblocks behind [`HEAD`], from the start of its partition or disk.
const OLD_SUPERBLOCKS: [u64; 2] = [64 << 20, 256 << 30];

/// Bytes of a btrfs superblock.
const SUPERBLOCK: u64 = 4096;

/// The card did not take the bytes.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Some of them.
    #[error("cannot write bytes {start}..{end} of {}{fate}", path.display())]
    Write {
        /// The card.
        path: PathBuf,
        /// First byte that may not be on it.
        start: u64,
        /// First byte after those that were written at once.
        end: u64,
        /// What became of the card.
        fate: Fate,
        /// Why.
        source: io::Error,
    },
    /// It had them, but does not say that it keeps them.
    #[error("{} does not say that it keeps what was written{fate}", path.display())]
    Sync {
        /// The card.
        path: PathBuf,
        /// What became of it.
        fate: Fate,
        /// Why.
        source: io::Error,
    },
}

/// What is on the card before it gets its ends.
#[derive(Debug)]
pub struct Body {
    /// What is on the card behind the head.
    pub chunks: Vec<Chunk>,
    /// How much of that was there before.
    pub unchanged: Bytes,
    /// What goes to the end of the card at last, with its place: the copy of a GPT that the image has elsewhere.
    copy: Option<(u64, Vec<u8>)>,
    /// What goes to the start of the card behind that.
    head: Vec<u8>,
}

/// Writes all of `image` but its head to `target`, which is large enough. `progress` is told what is on the card. The image is
/// read while the card writes.
pub fn write_body(
    image: &Image,
    target: &Target,
    writes: Writes,
    progress: &mut dyn FnMut(Bytes, Bytes),
) -> Result<Body, FlashError> {
    let place = Place::of(image, target);
    let stale = place.stale(image);
    erase_ends(target)?;
    erase_old_signatures(image, target)?;

    let total = body_size(image);
    let mut done = Bytes(0);
    thread::scope(|scope| {
        let (sender, pieces) = sync_channel(WAITING);
        let reading = scope.spawn(move || send(image, &stale, &sender));
        let (mut chunks, mut unchanged) = (Vec::new(), Bytes(0));
        let mut buffer = Buffer::new();
        // An error drops `pieces`, which ends the reading.
        for piece in pieces {
            if writes == Writes::Changed && holds(target, &mut buffer, &piece) {
                unchanged = unchanged + Bytes(piece.chunk.length);
            } else {
                put(target, &piece.bytes, piece.chunk.offset)?;
            }
            done = done + Bytes(piece.chunk.length);
            progress(done, total);
            chunks.push(piece.chunk);
        }
        let mut head = reading.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        let copy = place.adapt(image, target, &mut head)?;
        sync(target)?;
        Ok(Body {
            chunks,
            unchanged,
            copy,
            head,
        })
    })
}

/// Whether the card holds a piece already. What cannot be read is written.
fn holds(target: &Target, buffer: &mut Buffer, piece: &Piece) -> bool {
    let found = target.read(buffer, piece.chunk.offset, piece.chunk.length);
    found.is_ok_and(|bytes| *bytes == *piece.bytes)
}

/// Makes the card one that starts.
pub fn write_ends(body: &Body, target: &Target) -> Result<Vec<Chunk>, WriteError> {
    let mut chunks = Vec::new();
    let copy = body.copy.iter().map(|(offset, bytes)| (*offset, bytes));
    for (offset, bytes) in copy.chain([(0, &body.head)]) {
        put(target, &Buffer::of(bytes), offset)?;
        sync(target)?;
        chunks.push(Chunk::of(bytes, offset));
    }
    Ok(chunks)
}

/// Makes the card one that does not start, and is none of what it was: a partition table, or its copy, is in the first
/// MiB or in the last.
pub fn erase_ends(target: &Target) -> Result<(), WriteError> {
    zero(target, 0..HEAD.min(target.size.0))?;
    zero(target, target.size.0.saturating_sub(HEAD)..target.size.0)?;
    sync(target)
}

/// Zeros what could be taken for something that the card no longer is. The image has holes there, where a file system
/// of its own reserves bytes.
fn erase_old_signatures(image: &Image, target: &Target) -> Result<(), WriteError> {
    erase_old_superblocks(target, 0, target.size.0)?;
    for partition in &image.manifest.partitions {
        let first = partition.first_sector.to_bytes().0;
        let length = partition.sectors.saturating_mul(SECTOR);
        let end = first.saturating_add(length).min(target.size.0);
        // Almost all file systems, LVM, RAID, encryption and swap have their signature at the start.
        zero(target, first..first.saturating_add(HEAD).min(end))?;
        erase_old_superblocks(target, first, end)?;
    }
    Ok(())
}

/// Zeros the superblocks of a btrfs that lay from `start` to `end`, but for the first.
fn erase_old_superblocks(target: &Target, start: u64, end: u64) -> Result<(), WriteError> {
    for superblock in OLD_SUPERBLOCKS {
        let offset = start.saturating_add(superblock);
        zero(target, offset..offset.saturating_add(SUPERBLOCK).min(end))?;
    }
    Ok(())
}

pub(crate) fn put(target: &Target, bytes: &[u8], offset: u64) -> Result<(), WriteError> {
    target.write(bytes, offset).map_err(|source| WriteError::Write {
        path: target.path.clone(),
        start: offset,
        end: offset + bytes.len() as u64,
        fate: target.fate(&source),
        source,
    })
}

/// Writes zeros; nothing where the range is empty.
fn zero(target: &Target, range: Range<u64>) -> Result<(), WriteError> {
    match range.end.checked_sub(range.start) {
        // At most HEAD.
        Some(length) if length > 0 => put(target, &Buffer::of(&vec![0; length as usize]), range.start),
        _ => Ok(()),
    }
}

/// Waits until the card says that it keeps what it has.
pub(crate) fn sync(target: &Target) -> Result<(), WriteError> {
    target.file.sync_all().map_err(|source| WriteError::Sync {
        path: target.path.clone(),
        fate: target.fate(&source),
        source,
    })
}
