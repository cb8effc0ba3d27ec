//! File data as btrfs stores it: one piece of a file in, the stored bytes with their checksums out.
//!
//! - A piece is at most 128 KiB, starts on a sector and is padded with zeros to a sector. Its zstd frame decodes to
//!   exactly the padded length, so a reader never has to invent the end of the last sector.
//! - A frame is kept when it saves at least one sector; otherwise the piece is stored as it is.
//! - A piece of exactly 128 KiB of zeros becomes a hole. Shorter runs of zeros are stored: a hole would cut the
//!   extent in two and cost more metadata than the sector it compresses to.
//! - A file of at most [`MAX_INLINE`] bytes goes into the metadata, compressed when that is shorter and allowed.

use std::io;

use sha2::{Digest, Sha256};

use super::{Encoding, MAX_COMPRESSED, SECTOR};

/// How file data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// With zstd.
    Zstd(ZstdLevel),
}

/// A compression level of zstd: 1 to 15, as the kernel's mount option `compress=zstd:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZstdLevel(u8);

impl ZstdLevel {
    /// The kernel's default.
    pub const DEFAULT: Self = Self(3);

    /// A level from 1 to 15; `None` outside.
    pub const fn new(level: u8) -> Option<Self> {
        if level >= 1 && level <= 15 {
            Some(Self(level))
        } else {
            None
        }
    }

    /// The level as a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// How files are stored that fit into the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inline {
    /// Compressed where that is shorter.
    Smallest,
    /// As they are: files of the same length then take the same place in every volume, so that two volumes which
    /// differ in such a file only differ in its bytes.
    Raw,
}

/// A piece of a file before it is stored.
pub(super) struct Chunk {
    /// The file's bytes; padded with zeros to a sector unless inline.
    pub bytes: Vec<u8>,
    /// Where it will be stored.
    pub place: Place,
}

/// Where a piece of a file will be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the metadata.
    Inline,
    /// In an extent.
    Extent,
}

/// A piece of a file as it is stored.
pub(super) enum Stored {
    /// Nothing but zeros: not stored.
    Hole,
    /// In the metadata.
    Inline(Encoding, Vec<u8>),
    /// In an extent.
    Extent(StoredExtent),
}

/// The stored bytes of an extent.
pub(super) struct StoredExtent {
    /// How `bytes` encode the file's.
    pub encoding: Encoding,
    /// Bytes of the file, a multiple of the sector.
    pub length: u64,
    /// What is stored, padded with zeros to a sector.
    pub bytes: Vec<u8>,
    /// CRC-32C of each sector of `bytes`.
    pub checksums: Vec<u32>,
    /// SHA-256 of `bytes`.
    pub digest: [u8; 32],
}

/// Turns pieces of files into stored bytes. Each thread has one and reuses its zstd context.
pub(super) struct Encoder {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    inline: Inline,
    /// Receives a frame before it is known whether it is kept.
    frame: Vec<u8>,
}

impl Encoder {
    /// Fails when zstd cannot allocate its context.
    pub(super) fn new(compression: Compression, inline: Inline) -> io::Result<Self> {
        let zstd = match compression {
            Compression::None => None,
            Compression::Zstd(level) => Some(zstd::bulk::Compressor::new(i32::from(level.get()))?),
        };
        let frame = vec![0; zstd::zstd_safe::compress_bound(MAX_COMPRESSED as usize)];
        Ok(Self { zstd, inline, frame })
    }

    /// Stores one piece. An error is one of zstd's, for want of memory.
    pub(super) fn encode(&mut self, chunk: Chunk) -> io::Result<Stored> {
        match chunk.place {
            Place::Inline => self.encode_inline(chunk.bytes),
            Place::Extent => self.encode_extent(chunk.bytes),
        }
    }

    fn encode_inline(&mut self, bytes: Vec<u8>) -> io::Result<Stored> {
        if self.inline == Inline::Smallest
            && let Some(frame) = self.compress(&bytes, bytes.len())?
        {
            return Ok(Stored::Inline(Encoding::Zstd, frame.to_vec()));
        }
        Ok(Stored::Inline(Encoding::Raw, bytes))
    }

    fn encode_extent(&mut self, bytes: Vec<u8>) -> io::Result<Stored> {
        let length = bytes.len();
        if length == MAX_COMPRESSED as usize && is_zero(&bytes) {
            return Ok(Stored::Hole);
        }
        // One sector cannot get shorter, so it is not tried. `+ 1`: a frame that just fits the limit saves a sector.
        let limit = length.saturating_sub(SECTOR as usize);
        let kept = if limit == 0 {
            None
        } else {
            self.compress(&bytes, limit + 1)?.map(|frame| {
                let mut padded = Vec::with_capacity(frame.len().next_multiple_of(SECTOR as usize));
                padded.extend_from_slice(frame);
                padded.resize(frame.len().next_multiple_of(SECTOR as usize), 0);
                padded
            })
        };
        let (encoding, bytes) = match kept {
            Some(frame) => (Encoding::Zstd, frame),
            None => (Encoding::Raw, bytes),
        };
        Ok(Stored::Extent(StoredExtent {
            encoding,
            length: length as u64,
            checksums: bytes.chunks(SECTOR as usize).map(crc32c::crc32c).collect(),
            digest: Sha256::digest(&bytes).into(),
            bytes,
        }))
    }

    /// The zstd frame of `bytes` if it is shorter than `limit`.
    fn compress(&mut self, bytes: &[u8], limit: usize) -> io::Result<Option<&[u8]>> {
        let Some(zstd) = &mut self.zstd else {
            return Ok(None);
        };
        let length = zstd.compress_to_buffer(bytes, self.frame.as_mut_slice())?;
        Ok((length < limit).then(|| &self.frame[..length]))
    }
}

/// Whether all bytes are zero.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; SECTOR as usize] = [0; SECTOR as usize];
    bytes
        .chunks(ZEROS.len())
        .all(|sector| *sector == ZEROS[..sector.len()])
}
