//! What an image has other than its base: the blocks in which the images of a fleet differ, and nothing else.
//!
//! As bytes:
//!
//! ```text
//! offset    size
//! 0         8     magic "pdcdelta"
//! 8         4     version, little-endian
//! 12        4     zero
//! 16        n     postcard of the runs' offsets and lengths
//! 16+n      m     the runs' bytes, one after another
//! 16+n+m    32    SHA-256 of everything before
//! ```

use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::source::{ReadAt, starts_with};
use crate::sparse::{Piece, SparseImage};

/// Bytes of a block: what images are compared by.
pub const BLOCK: u64 = 4096;

const MAGIC: &[u8; 8] = b"pdcdelta";

/// Goes up with every change of what the bytes mean.
const VERSION: u32 = 1;

const HEADER: usize = 16;
const DIGEST: usize = 32;

/// Bytes that are read of each image at once; a multiple of [`BLOCK`].
const BUFFER: u64 = 1 << 20;

/// Blocks without a gap that are not as in the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where they lie in the image, in bytes; a multiple of [`BLOCK`].
    pub offset: u64,
    /// What they hold: whole blocks, except that an image may end within its last one.
    pub bytes: Vec<u8>,
}

impl Run {
    /// The bytes of the image that it covers.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes.len() as u64)
    }
}

/// What turns a base into another image of the same size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// The runs by offset. None is empty, and there is at least a block between two.
    pub runs: Vec<Run>,
}

/// Where a run lies, as it is written.
#[derive(Serialize, Deserialize)]
struct Span {
    offset: u64,
    length: u64,
}

/// Why bytes are no delta.
#[derive(Debug, Error)]
pub enum DeltaError {
    /// The bytes do not start as a delta does.
    #[error("this is no delta of an image")]
    Foreign,
    /// The delta is of another version.
    #[error("the delta has version {found}; this program reads version {VERSION}")]
    Version {
        /// The version it has.
        found: u32,
    },
    /// The bytes are not those that were written.
    #[error("the delta is damaged or cut short: its SHA-256 does not match")]
    Damaged,
    /// The bytes are intact but mean no list of runs.
    #[error("the delta cannot be decoded")]
    Decode(#[source] postcard::Error),
    /// A run breaks a rule of [`Delta`].
    #[error("the run of {length} bytes at byte {offset} of the image {fault}")]
    Run {
        /// Where the run lies in the image, in bytes.
        offset: u64,
        /// Bytes in it.
        length: u64,
        /// The rule.
        fault: &'static str,
    },
    /// There are more bytes than the runs have.
    #[error("{surplus} bytes of the delta belong to no run")]
    Surplus {
        /// How many more.
        surplus: usize,
    },
}

impl Delta {
    /// What `other` has other than `base`, whose pieces are both in order. Reads only where the two do not refer to the
    /// same bytes, a stretch at a time. A hole equals zeros, so zeros that only `other` maps are not in the delta. An
    /// error where the two have different sizes, or where a blob cannot be read.
    pub fn between(base: &SparseImage, other: &SparseImage) -> io::Result<Self> {
        if base.size != other.size {
            let sizes = format!("the base has {} bytes, the image {}", base.size.0, other.size.0);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sizes));
        }
        let size = base.size.0;
        let (mut base_origins, mut other_origins) = (Origins::new(base), Origins::new(other));
        let mut comparison = Comparison::new(base, other);
        let mut start = 0;
        while start < size {
            let (base_origin, base_end) = base_origins.at(start);
            let (other_origin, other_end) = other_origins.at(start);
            let end = base_end.min(other_end);
            if base_origin != other_origin {
                comparison.compare(start, end)?;
            }
            start = end;
        }
        Ok(comparison.delta)
    }

    /// Adds what whole blocks from `offset` on hold. Blocks have to be added in their order; what directly follows the
    /// last run becomes part of it. Empty bytes add nothing.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) {
        match self.runs.last_mut() {
            _ if bytes.is_empty() => {}
            Some(last) if last.range().end == offset => last.bytes.extend_from_slice(bytes),
            _ => self.runs.push(Run {
                offset,
                bytes: bytes.to_vec(),
            }),
        }
    }

    /// Bytes in all runs.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes.len() as u64).sum()
    }

    /// The delta as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let spans: Vec<Span> = self
            .runs
            .iter()
            .map(|run| Span {
                offset: run.offset,
                length: run.bytes.len() as u64,
            })
            .collect();
        let payload: usize = self.runs.iter().map(|run| run.bytes.len()).sum();
        let mut bytes = Vec::with_capacity(HEADER + 16 * spans.len() + payload + DIGEST);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        #[expect(
            clippy::expect_used,
            reason = "a vector of integers is all that postcard is given here"
        )]
        let mut bytes = postcard::to_extend(&spans, bytes).expect("postcard refuses no sized value");
        for run in &self.runs {
            bytes.extend_from_slice(&run.bytes);
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// Whether `source` starts as a delta does.
    pub fn is_one(source: &impl ReadAt) -> io::Result<bool> {
        starts_with(source, MAGIC)
    }

    /// The delta that `bytes` are. Every rule of [`Delta`] is checked; whether it fits an image, only the image knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeltaError> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(DeltaError::Foreign)?;
        if !header.starts_with(MAGIC) {
            return Err(DeltaError::Foreign);
        }
        let found = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if found != VERSION {
            return Err(DeltaError::Version { found });
        }
        let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(DeltaError::Damaged)?;
        if Sha256::digest(body).as_slice() != digest || header[12..] != [0; 4] {
            return Err(DeltaError::Damaged);
        }
        let encoded = body.get(HEADER..).ok_or(DeltaError::Damaged)?;
        let (spans, mut payload) =
            postcard::take_from_bytes::<Vec<Span>>(encoded).map_err(DeltaError::Decode)?;
        let mut runs = Vec::with_capacity(spans.len());
        let mut end = None;
        for span in &spans {
            let fault = |fault| DeltaError::Run {
                offset: span.offset,
                length: span.length,
                fault,
            };
            end = Some(span.end_behind(end).map_err(fault)?);
            let (bytes, rest) = usize::try_from(span.length)
                .ok()
                .and_then(|length| payload.split_at_checked(length))
                .ok_or_else(|| fault("has fewer bytes than that"))?;
            payload = rest;
            runs.push(Run {
                offset: span.offset,
                bytes: bytes.to_vec(),
            });
        }
        if payload.is_empty() {
            Ok(Self { runs })
        } else {
            Err(DeltaError::Surplus {
                surplus: payload.len(),
            })
        }
    }
}

/// A base with what `delta` changes in it, read without making the image.
#[derive(Debug)]
pub struct Patched<S> {
    base: S,
    delta: Delta,
}

impl<S: ReadAt> Patched<S> {
    /// `base` as `delta` changes it; `None` where a run goes on behind the end of the base.
    pub fn new(base: S, delta: Delta) -> Option<Self> {
        let fits = delta.runs.iter().all(|run| run.range().end <= base.size());
        fits.then_some(Self { base, delta })
    }
}

impl<S: ReadAt> ReadAt for Patched<S> {
    fn size(&self) -> u64 {
        self.base.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.base.read_exact_at(buffer, offset)?;
        let end = offset.saturating_add(buffer.len() as u64);
        let first = self.delta.runs.partition_point(|run| run.range().end <= offset);
        for run in self.delta.runs[first..].iter().take_while(|run| run.offset < end) {
            let (from, to) = (run.offset.max(offset), run.range().end.min(end));
            // Differences of places within the buffer, and within the run.
            buffer[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&run.bytes[(from - run.offset) as usize..(to - run.offset) as usize]);
        }
        Ok(())
    }
}

impl Span {
    /// First byte after it, where it obeys the rules behind a run that ended at `before`; otherwise the broken rule.
    fn end_behind(&self, before: Option<u64>) -> Result<u64, &'static str> {
        if self.length == 0 {
            return Err("is empty");
        }
        if !self.offset.is_multiple_of(BLOCK) {
            return Err("does not start with a block");
        }
        if before.is_some_and(|before| !before.is_multiple_of(BLOCK)) {
            return Err("lies behind one that ends within a block");
        }
        if before.is_some_and(|before| self.offset <= before) {
            return Err("is out of order, or not merged with the one before it");
        }
        self.offset
            .checked_add(self.length)
            .ok_or("ends beyond any image")
    }
}

/// Where an image has its bytes from, for places in ascending order.
struct Origins<'a> {
    image: &'a SparseImage,
    /// The first piece that may lie at or behind the next place.
    next: usize,
}

impl<'a> Origins<'a> {
    fn new(image: &'a SparseImage) -> Self {
        Self { image, next: 0 }
    }

    /// The blob and the place in it that the byte at `start` comes from, none in a hole, and where that stretch ends.
    fn at(&mut self, start: u64) -> (Option<(usize, u64)>, u64) {
        let size = self.image.size.0;
        while let Some(piece) = self.image.pieces.get(self.next) {
            let range = piece.range();
            if start < range.start {
                return (None, range.start.min(size));
            }
            if start < range.end {
                let blob_offset = piece.blob_offset.saturating_add(start - range.start);
                return (Some((piece.blob.address(), blob_offset)), range.end.min(size));
            }
            self.next += 1;
        }
        (None, size)
    }
}

/// Two images while blocks of them are compared, in ascending order.
struct Comparison<'a> {
    base: &'a SparseImage,
    other: &'a SparseImage,
    base_bytes: Vec<u8>,
    other_bytes: Vec<u8>,
    /// First byte behind the last block that was compared.
    compared: u64,
    delta: Delta,
}

impl<'a> Comparison<'a> {
    fn new(base: &'a SparseImage, other: &'a SparseImage) -> Self {
        Self {
            base,
            other,
            base_bytes: Vec::new(),
            other_bytes: Vec::new(),
            compared: 0,
            delta: Delta::default(),
        }
    }

    /// Compares all blocks that the bytes from `start` to `end` touch and that were not compared yet.
    fn compare(&mut self, start: u64, end: u64) -> io::Result<()> {
        let mut start = (start - start % BLOCK).max(self.compared);
        let end = end
            .checked_next_multiple_of(BLOCK)
            .map_or(self.base.size.0, |end| end.min(self.base.size.0));
        while start < end {
            // At most BUFFER.
            let length = (end - start).min(BUFFER) as usize;
            self.base_bytes.resize(length, 0);
            self.other_bytes.resize(length, 0);
            self.base.read_exact_at(&mut self.base_bytes, start)?;
            self.other.read_exact_at(&mut self.other_bytes, start)?;
            let blocks = self.base_bytes.chunks(BLOCK as usize);
            for (base, other) in blocks.zip(self.other_bytes.chunks(BLOCK as usize)) {
                if base != other {
                    self.delta.append(start, other);
                }
                start += other.len() as u64;
            }
        }
        self.compared = self.compared.max(end);
        Ok(())
    }
}

impl SparseImage {
    /// This image, whose pieces are in order, with the bytes of `delta` in place of its own. The pieces are in order
    /// again; a run behind the end of the image stays one that [`SparseImage::sort`] refuses.
    ///
    /// Runs of zeros become pieces, too, not holes: the base may have something there, and who writes only what is
    /// mapped over an older card has to write these zeros.
    pub fn patched(&self, delta: &Delta) -> SparseImage {
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2 * delta.runs.len());
        let mut runs = delta.runs.iter().peekable();
        // First byte behind the last run.
        let mut covered = 0;
        for piece in &self.pieces {
            let Range { start, end } = piece.range();
            let mut start = start.max(covered);
            while let Some(run) = runs.next_if(|run| run.offset < end) {
                pieces.extend(part(piece, start..run.offset));
                pieces.push(piece_of(run));
                covered = run.range().end;
                start = start.max(covered);
            }
            pieces.extend(part(piece, start..end));
        }
        pieces.extend(runs.map(piece_of));
        SparseImage {
            size: self.size,
            pieces,
        }
    }
}

/// The part of `piece` that covers `range` of the image, if there is any. `range` lies within the piece.
fn part(piece: &Piece, range: Range<u64>) -> Option<Piece> {
    (!range.is_empty()).then(|| Piece {
        offset: range.start,
        length: range.end - range.start,
        blob: piece.blob.clone(),
        blob_offset: piece.blob_offset.saturating_add(range.start - piece.offset),
    })
}

fn piece_of(run: &Run) -> Piece {
    Piece {
        offset: run.offset,
        length: run.bytes.len() as u64,
        blob: run.bytes.clone().into(),
        blob_offset: 0,
    }
}
