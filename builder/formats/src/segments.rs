//! An image cut into segments: the parts that are hashed, compressed and listed by themselves.
//!
//! All images of one base have the same segments. A segment that no node touches is hashed and compressed once, for the
//! base; a node has to do so only with the few that its delta changes. Block maps, compressed images and the digest of
//! an image all follow this one grid.

use std::io;
use std::ops::Range;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::delta::{BLOCK, Delta};
use crate::source::ReadAt;
use crate::sparse::{Piece, SparseImage};
use crate::units::Bytes;

/// Bytes that a segment has at most; a multiple of [`BLOCK`].
pub const MAX_SEGMENT: u32 = 1 << 20;

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies in the image, in bytes; a multiple of [`BLOCK`].
    pub offset: u64,
    /// How many bytes it has, from 1 to [`MAX_SEGMENT`]: whole blocks, except that an image may end within its last one.
    pub length: u32,
    /// What is in it.
    pub kind: Kind,
}

/// What is in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it reads as zeros and has not to be written.
    Hole,
    /// What all images of the base have, with its SHA-256.
    Shared([u8; 32]),
    /// What a node may have for itself, with its SHA-256. It counts as mapped even where it is zeros.
    Touchable([u8; 32]),
}

impl Segment {
    /// The bytes of the image that it covers.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.length))
    }

    /// SHA-256 of its bytes, where it is mapped.
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        match &self.kind {
            Kind::Hole => None,
            Kind::Shared(sha256) | Kind::Touchable(sha256) => Some(sha256),
        }
    }
}

/// An image as segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// The size of the image.
    pub size: Bytes,
    /// The segments in order, from the first byte of the image to the last, without a gap.
    pub list: Vec<Segment>,
}

impl Segments {
    /// Cuts `image`, whose pieces are in order, and hashes what is mapped, on all threads of the pool that this runs in.
    ///
    /// `touchable` are the ranges of bytes that may differ between the images of this base, in any order. A segment
    /// ends where a mapped stretch or a touchable range does, both rounded out to whole blocks. An error is one of
    /// reading a blob.
    pub fn cut(image: &SparseImage, touchable: &[Range<u64>]) -> io::Result<Self> {
        let size = image.size.0;
        let mapped = whole_blocks(image.pieces.iter().map(Piece::range), size);
        let touchable = whole_blocks(touchable.iter().cloned(), size);
        let mut edges: Vec<u64> = mapped
            .iter()
            .chain(&touchable)
            .flat_map(|range| [range.start, range.end])
            .chain([0, size])
            .collect();
        edges.sort_unstable();
        edges.dedup();

        // The digests are filled in below, when all segments are known.
        let unknown = [0; 32];
        let mut stretches: Vec<(Range<u64>, Kind)> = Vec::new();
        for pair in edges.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            let kind = if covers(&touchable, start) {
                Kind::Touchable(unknown)
            } else if covers(&mapped, start) {
                Kind::Shared(unknown)
            } else {
                Kind::Hole
            };
            match stretches.last_mut() {
                Some((before, same)) if *same == kind => before.end = end,
                _ => stretches.push((start..end, kind)),
            }
        }
        let mut list: Vec<Segment> = stretches
            .into_iter()
            .flat_map(|(range, kind)| in_segments(range, kind))
            .collect();
        list.par_iter_mut()
            .try_for_each_init(Vec::new, |buffer, segment| -> io::Result<()> {
                segment.kind = match segment.kind {
                    Kind::Hole => Kind::Hole,
                    Kind::Shared(_) => Kind::Shared(sha256(image, segment, buffer)?),
                    Kind::Touchable(_) => Kind::Touchable(sha256(image, segment, buffer)?),
                };
                Ok(())
            })?;
        Ok(Self {
            size: image.size,
            list,
        })
    }

    /// The same segments for the image of a node, `node`, which is the base patched with `delta`. Only segments that a
    /// run touches are read and hashed; they become touchable, whatever they were. An error where `node` has another
    /// size, or where a blob cannot be read.
    pub fn for_node(&self, node: &SparseImage, delta: &Delta) -> io::Result<Self> {
        if node.size != self.size {
            let sizes = format!("the base has {} bytes, the image {}", self.size.0, node.size.0);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sizes));
        }
        let mut segments = self.clone();
        let mut buffer = Vec::new();
        // The first segment that no run before has touched.
        let mut next = 0;
        for run in &delta.runs {
            let Range { start, end } = run.range();
            next = next.max(
                segments
                    .list
                    .partition_point(|segment| segment.range().end <= start),
            );
            while let Some(segment) = segments.list.get_mut(next)
                && segment.offset < end
            {
                segment.kind = Kind::Touchable(sha256(node, segment, &mut buffer)?);
                next += 1;
            }
        }
        Ok(segments)
    }

    /// The segments that are mapped, in order, with their digests.
    pub fn mapped(&self) -> impl Iterator<Item = (&Segment, &[u8; 32])> {
        self.list
            .iter()
            .filter_map(|segment| segment.sha256().map(|sha256| (segment, sha256)))
    }
}

/// Segments that cover `range`, all full but the last.
pub(crate) fn in_segments(range: Range<u64>, kind: Kind) -> impl Iterator<Item = Segment> {
    let end = range.end;
    range.step_by(MAX_SEGMENT as usize).map(move |offset| Segment {
        offset,
        // At most MAX_SEGMENT.
        length: (end - offset).min(u64::from(MAX_SEGMENT)) as u32,
        kind,
    })
}

fn sha256(image: &SparseImage, segment: &Segment, buffer: &mut Vec<u8>) -> io::Result<[u8; 32]> {
    buffer.resize(segment.length as usize, 0);
    image.read_exact_at(buffer, segment.offset)?;
    Ok(Sha256::digest(&*buffer).into())
}

/// Rounds ranges out to whole blocks, but not beyond `size`; orders and merges them. Empty ranges vanish.
fn whole_blocks(ranges: impl Iterator<Item = Range<u64>>, size: u64) -> Vec<Range<u64>> {
    let mut rounded: Vec<Range<u64>> = ranges
        .filter(|range| !range.is_empty() && range.start < size)
        .map(|range| {
            let end = range.end.checked_next_multiple_of(BLOCK);
            range.start - range.start % BLOCK..end.map_or(size, |end| end.min(size))
        })
        .collect();
    rounded.sort_unstable_by_key(|range| range.start);
    rounded.dedup_by(|range, before| {
        let joined = range.start <= before.end;
        if joined {
            before.end = before.end.max(range.end);
        }
        joined
    });
    rounded
}

/// Whether one of `ranges`, which are in order, covers the byte at `offset`.
fn covers(ranges: &[Range<u64>], offset: u64) -> bool {
    ranges
        .get(ranges.partition_point(|range| range.end <= offset))
        .is_some_and(|range| range.start <= offset)
}
