//! Writing, in an order that leaves no half-written card that looks like one.
//!
//! 1. The head, which is the first MiB with partition table and first boot loader, becomes zeros, and so does the end of
//!    the card: what it was is gone.
//! 2. Signatures of old contents that the image would not cover become zeros.
//! 3. The body, which is the rest of the image, follows, hashed on the way.
//! 4. If every range of the image was what its block map says, and the body was read back, the head is written.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use formats::bmap::MappedRange;
use formats::digest::hex;
use formats::units::{Bytes, SECTOR};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::FlashError;
use crate::device::Target;
use crate::image::{Image, ImageError};

/// What is written last, and what is zeroed where something may have its signature.
const HEAD: u64 = 1 << 20;

/// Bytes that are read, hashed and written at once.
pub(crate) const CHUNK: u64 = 4 << 20;

/// Where btrfs keeps superblocks behind [`HEAD`], from the start of its partition or disk.
const OLD_SUPERBLOCKS: [u64; 2] = [64 << 20, 256 << 30];

/// Bytes of a btrfs superblock.
const SUPERBLOCK: u64 = 4096;

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
    fn of(bytes: &[u8], offset: u64) -> Self {
        Self {
            offset,
            length: bytes.len() as u64,
            sha256: Sha256::digest(bytes).into(),
        }
    }
}

/// The card did not take the bytes.
#[derive(Debug, Error)]
#[error("cannot write to {} at byte {offset}", path.display())]
pub struct WriteError {
    /// The card.
    pub path: PathBuf,
    /// Where.
    pub offset: u64,
    /// Why.
    pub source: io::Error,
}

/// What is on the card before it gets its head.
#[derive(Debug)]
pub struct Body {
    /// What was written behind the head.
    pub chunks: Vec<Chunk>,
    /// What goes to the start of the card at last.
    head: Vec<u8>,
}

/// Writes all of `image` but its head to `target`, which is large enough.
pub fn write_body(
    image: &Image,
    target: &Target,
    progress: &mut dyn FnMut(Bytes, Bytes),
) -> Result<Body, FlashError> {
    erase_ends(target)?;
    erase_old_signatures(image, target)?;

    let mut head = vec![0; HEAD.min(image.size.0) as usize];
    let body_of = |range: &MappedRange| range.range().start.max(HEAD)..range.range().end;
    let length = |range: Range<u64>| range.end.saturating_sub(range.start);
    let total = Bytes(image.map.ranges.iter().map(|range| length(body_of(range))).sum());
    let mut chunks = Vec::new();
    let mut buffer = vec![0; CHUNK as usize];
    let mut done = 0;
    for range in &image.map.ranges {
        let mut hash = Sha256::new();
        let mut position = range.offset;
        while position < range.range().end {
            // A chunk is all head or all body.
            let border = if position < HEAD { HEAD } else { u64::MAX };
            // At most CHUNK.
            let length = CHUNK.min(range.range().end.min(border) - position);
            let bytes = &mut buffer[..length as usize];
            read(image, bytes, position)?;
            hash.update(&*bytes);
            if position < HEAD {
                head[position as usize..(position + length) as usize].copy_from_slice(bytes);
            } else {
                put(target, bytes, position)?;
                chunks.push(Chunk::of(bytes, position));
                done += length;
                progress(Bytes(done), total);
            }
            position += length;
        }
        check_digest(image, range, &hash.finalize().into())?;
    }
    sync(target)?;
    Ok(Body { chunks, head })
}

/// Makes the card one that starts.
pub fn write_head(body: &Body, target: &Target) -> Result<Chunk, WriteError> {
    put(target, &body.head, 0)?;
    sync(target)?;
    Ok(Chunk::of(&body.head, 0))
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

fn read(image: &Image, bytes: &mut [u8], offset: u64) -> Result<(), ImageError> {
    image
        .source
        .read_exact_at(bytes, offset)
        .map_err(|source| ImageError::Read {
            path: image.path.clone(),
            source,
        })
}

pub(crate) fn put(target: &Target, bytes: &[u8], offset: u64) -> Result<(), WriteError> {
    target
        .file
        .write_all_at(bytes, offset)
        .map_err(|source| WriteError {
            path: target.path.clone(),
            offset,
            source,
        })
}

/// Writes zeros; nothing where the range is empty.
fn zero(target: &Target, range: Range<u64>) -> Result<(), WriteError> {
    match range.end.checked_sub(range.start) {
        // At most HEAD.
        Some(length) if length > 0 => put(target, &vec![0; length as usize], range.start),
        _ => Ok(()),
    }
}

/// Waits until the card has what was written: only here some errors show.
pub(crate) fn sync(target: &Target) -> Result<(), WriteError> {
    target.file.sync_all().map_err(|source| WriteError {
        path: target.path.clone(),
        offset: 0,
        source,
    })
}
