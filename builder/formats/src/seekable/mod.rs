//! A compressed image that can be read at any place, and by any zstd: the seekable format of zstd, version 0.1.0
//! (`contrib/seekable_format` of its sources).
//!
//! The image is cut into parts that are compressed by themselves, a frame each. Behind the frames is a table of their
//! sizes in a skippable frame, which other readers skip:
//!
//! ```text
//! size
//! 4      0x184D2A5E
//! 4      bytes that follow
//! 8 n    for each frame: its stored size, the size of its contents; with checksums 4 bytes more, which are ignored here
//! 4      n, the number of frames
//! 1      0; bit 7: the table has checksums
//! 4      0x8F92EAB1
//! ```
//!
//! All numbers are little-endian. Each frame has a checksum of its own, so the table needs none.

use std::io;
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::source::{ReadAt, starts_with};

pub use store::FrameStore;

mod store;

/// The level that images are compressed with: what is much larger on an image is compressed already.
pub const LEVEL: NonZeroU8 = NonZeroU8::MIN.saturating_add(2);

/// Bytes that a frame holds at most, uncompressed.
pub const MAX_CONTENT: usize = 1 << 20;

/// Frames that an image has at most: 4 TiB of full ones. Bounds what a table can make its reader allocate.
pub const MAX_FRAMES: u32 = 1 << 22;

/// First four bytes of a zstd frame.
const FRAME_MAGIC: u32 = 0xFD2F_B528;

const TABLE_MAGIC: u32 = 0x184D_2A5E;
const FOOTER_MAGIC: u32 = 0x8F92_EAB1;
const HEADER: usize = 8;
const FOOTER: usize = 9;
const ENTRY: usize = 8;
const CHECKSUM: usize = 4;
/// Bit of the descriptor: each entry has a checksum.
const HAS_CHECKSUMS: u8 = 1 << 7;
/// Bits of the descriptor that have to be zero.
const RESERVED: u8 = 0b0111_1100;

/// Frames that a reader keeps uncompressed.
const KEPT: usize = 4;

/// A frame in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes that it takes in the file.
    pub stored: u32,
    /// Bytes that it holds, at most [`MAX_CONTENT`]; zero where other readers find a skippable frame.
    pub content: u32,
}

/// Compresses parts of an image. The same bytes give the same frame.
pub struct Encoder {
    zstd: Compressor<'static>,
}

impl Encoder {
    /// An encoder for a level of zstd. Fails where zstd cannot allocate its context or knows no such level.
    pub fn new(level: NonZeroU8) -> io::Result<Self> {
        let mut zstd = Compressor::new(i32::from(level.get()))?;
        zstd.set_parameter(CParameter::ContentSizeFlag(true))?;
        zstd.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { zstd })
    }

    /// The frame of `content`, which has at most [`MAX_CONTENT`] bytes: more are an error of the kind
    /// [`io::ErrorKind::InvalidInput`].
    pub fn encode(&mut self, content: &[u8]) -> io::Result<Vec<u8>> {
        if content.len() > MAX_CONTENT {
            let fault = format!("a frame holds at most {MAX_CONTENT} bytes, not {}", content.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
        }
        self.zstd.compress(content)
    }
}

/// The table that ends a file of `frames`, which lie in the file in this order from its first byte on. None for more
/// than [`MAX_FRAMES`].
pub fn seek_table(frames: &[Frame]) -> Option<Vec<u8>> {
    let count = u32::try_from(frames.len())
        .ok()
        .filter(|count| *count <= MAX_FRAMES)?;
    // At most 2^25 bytes.
    let length = (ENTRY * frames.len() + FOOTER) as u32;
    let mut bytes = Vec::with_capacity(HEADER + length as usize);
    bytes.extend_from_slice(&TABLE_MAGIC.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    for frame in frames {
        bytes.extend_from_slice(&frame.stored.to_le_bytes());
        bytes.extend_from_slice(&frame.content.to_le_bytes());
    }
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
    Some(bytes)
}

/// Whether `source` starts as a zstd file does.
pub fn is_zstd(source: &impl ReadAt) -> io::Result<bool> {
    starts_with(source, &FRAME_MAGIC.to_le_bytes())
}

/// Why a file cannot be read at any place.
#[derive(Debug, Error)]
pub enum SeekableError {
    /// The file does not end with a table.
    #[error("the file does not end with the seek table of a seekable zstd file")]
    Foreign,
    /// The table's descriptor has bits that this program does not know.
    #[error(
        "the seek table has the descriptor {descriptor:#04x}, of which this program does not know all bits"
    )]
    Descriptor {
        /// The descriptor.
        descriptor: u8,
    },
    /// There are more frames than [`MAX_FRAMES`].
    #[error("the seek table has {count} frames; this program reads at most {MAX_FRAMES}")]
    Count {
        /// How many there are.
        count: u32,
    },
    /// The table's own size is not what its frames need.
    #[error("the seek table of {count} frames has not the size that it says")]
    TableSize {
        /// How many frames there are.
        count: u32,
    },
    /// A frame is larger than any that [`Encoder`] makes.
    #[error(
        "frame {index} of the seek table has {content} bytes in {stored}; it may hold at most {MAX_CONTENT}"
    )]
    Frame {
        /// Its number, from zero.
        index: usize,
        /// Bytes that it takes in the file.
        stored: u32,
        /// Bytes that it holds.
        content: u32,
    },
    /// Frames and table are not the whole file.
    #[error("the frames end at byte {end} of the file, the seek table starts at byte {table}")]
    Extent {
        /// First byte behind the last frame.
        end: u64,
        /// First byte of the table.
        table: u64,
    },
    /// The frames are not those of the image that they should be of.
    #[error("the frames do not hold the segments of the image")]
    OtherSegments,
    /// The file could not be read.
    #[error("cannot read the seek table")]
    Read(#[source] io::Error),
}

/// Where frames end, counted from the first one.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// In the file.
    stored: u64,
    /// In the image.
    content: u64,
}

/// The image in a file of frames. Threads can share it.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    ends: Vec<End>,
    /// The frames that were used last, the latest at the end.
    kept: Mutex<Vec<(usize, Arc<Vec<u8>>)>>,
}

impl<S: ReadAt> Reader<S> {
    /// Reads the table of `source`. What the frames hold is checked when they are read.
    pub fn open(source: S) -> Result<Self, SeekableError> {
        let size = source.size();
        let footer_at = size.checked_sub(FOOTER as u64).ok_or(SeekableError::Foreign)?;
        let mut footer = [0; FOOTER];
        source
            .read_exact_at(&mut footer, footer_at)
            .map_err(SeekableError::Read)?;
        let [count @ .., descriptor, m0, m1, m2, m3] = footer;
        if [m0, m1, m2, m3] != FOOTER_MAGIC.to_le_bytes() {
            return Err(SeekableError::Foreign);
        }
        if descriptor & RESERVED != 0 {
            return Err(SeekableError::Descriptor { descriptor });
        }
        let count = u32::from_le_bytes(count);
        if count > MAX_FRAMES {
            return Err(SeekableError::Count { count });
        }
        let entry = if descriptor & HAS_CHECKSUMS == 0 {
            ENTRY
        } else {
            ENTRY + CHECKSUM
        };
        // At most 12 * 2^22 bytes.
        let length = count as usize * entry + FOOTER;
        let wrong_size = || SeekableError::TableSize { count };
        let table_at = size
            .checked_sub((HEADER + length) as u64)
            .ok_or_else(wrong_size)?;
        let mut table = vec![0; HEADER + length - FOOTER];
        source
            .read_exact_at(&mut table, table_at)
            .map_err(SeekableError::Read)?;
        let (header, entries) = table.split_at(HEADER);
        if header[..4] != TABLE_MAGIC.to_le_bytes() || header[4..] != (length as u32).to_le_bytes() {
            return Err(wrong_size());
        }

        let mut ends = Vec::with_capacity(count as usize);
        let mut end = End::default();
        for (index, entry) in entries.chunks_exact(entry).enumerate() {
            let stored = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let content = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            // A skippable frame may have any size: it is never read.
            let fits = content == 0 || stored as usize <= compress_bound(MAX_CONTENT);
            if content as usize > MAX_CONTENT || !fits {
                return Err(SeekableError::Frame {
                    index,
                    stored,
                    content,
                });
            }
            // At most 2^22 times 2^32: no overflow.
            end.stored += u64::from(stored);
            end.content += u64::from(content);
            ends.push(end);
        }
        if end.stored != table_at {
            return Err(SeekableError::Extent {
                end: end.stored,
                table: table_at,
            });
        }
        Ok(Self {
            source,
            ends,
            kept: Mutex::default(),
        })
    }

    /// The frames with where they start in the file.
    pub fn frames(&self) -> impl Iterator<Item = (u64, Frame)> {
        self.ends.iter().enumerate().map(|(index, end)| {
            let start = self.start(index);
            let frame = Frame {
                // Both were read as 32 bits.
                stored: (end.stored - start.stored) as u32,
                content: (end.content - start.content) as u32,
            };
            (start.stored, frame)
        })
    }

    /// Where frame `index` starts.
    fn start(&self, index: usize) -> End {
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before));
        before.copied().unwrap_or_default()
    }

    /// What frame `index` holds.
    fn content(&self, index: usize) -> io::Result<Arc<Vec<u8>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = kept.iter().position(|(number, _)| *number == index) {
            let found = kept.remove(position);
            let content = Arc::clone(&found.1);
            kept.push(found);
            return Ok(content);
        }
        // Other threads need not wait for this frame.
        drop(kept);
        let content = Arc::new(self.decode(index)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((index, Arc::clone(&content)));
        Ok(content)
    }

    fn decode(&self, index: usize) -> io::Result<Vec<u8>> {
        let (start, end) = (self.start(index), self.ends[index]);
        let wanted = (end.content - start.content) as usize;
        let mut stored = vec![0; (end.stored - start.stored) as usize];
        self.source.read_exact_at(&mut stored, start.stored)?;
        let damaged = |fault: String| {
            let place = format!("frame {index} of the file, at byte {}: {fault}", start.stored);
            io::Error::new(io::ErrorKind::InvalidData, place)
        };
        let content = Decompressor::new()?
            .decompress(&stored, wanted)
            .map_err(|error| damaged(error.to_string()))?;
        if content.len() == wanted {
            Ok(content)
        } else {
            Err(damaged(format!(
                "it holds {} bytes, the seek table says {wanted}",
                content.len()
            )))
        }
    }
}

impl<S: ReadAt> ReadAt for Reader<S> {
    fn size(&self) -> u64 {
        self.ends.last().map_or(0, |end| end.content)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let range = crate::source::range_within(self.size(), offset, buffer.len() as u64)?;
        let mut index = self.ends.partition_point(|end| end.content <= range.start);
        let mut rest = buffer;
        let mut at = range.start;
        while !rest.is_empty() {
            let content = self.content(index)?;
            // Within the frame; zero for all frames but the first.
            let from = (at - self.start(index).content) as usize;
            let length = rest.len().min(content.len() - from);
            let (filled, left) = rest.split_at_mut(length);
            filled.copy_from_slice(&content[from..from + length]);
            rest = left;
            at += length as u64;
            index += 1;
            // Skippable frames hold nothing.
            while self.ends.get(index).is_some_and(|end| end.content <= at) {
                index += 1;
            }
        }
        Ok(())
    }
}
