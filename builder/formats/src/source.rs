//! What can be read at any place: the one thing that every reader of a format asks for, so that the same reader serves
//! an image in memory, one that is not written yet, a file, a compressed file, or one partition of any of these.

use std::io;
use std::ops::{Deref, Range};

use crate::blob::Blob;
use crate::sparse::SparseImage;

/// Bytes by offset, of a known size.
pub trait ReadAt {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset`. Where the source ends before that, it is an error of the kind
    /// [`io::ErrorKind::UnexpectedEof`], and what `buffer` holds then is not defined.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Whatever points to a source is one: references, boxes, vectors of bytes.
impl<P> ReadAt for P
where
    P: Deref,
    P::Target: ReadAt,
{
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let range = range_within(self.size(), offset, buffer.len() as u64)?;
        // Both ends are at most the length of a slice.
        buffer.copy_from_slice(&self[range.start as usize..range.end as usize]);
        Ok(())
    }
}

/// The image's pieces have to be in order: [`SparseImage::sort`]. Holes read as zeros.
impl ReadAt for SparseImage {
    fn size(&self) -> u64 {
        self.size.0
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Range { start, end } = range_within(self.size.0, offset, buffer.len() as u64)?;
        let first = self.pieces.partition_point(|piece| piece.range().end <= start);
        let mut filled = start;
        for piece in &self.pieces[first..] {
            if piece.offset >= end {
                break;
            }
            let from = piece.offset.max(filled);
            let to = piece.range().end.min(end);
            if from >= to {
                continue;
            }
            // Differences of places within `buffer`.
            let (gap, begin, stop) = (filled - start, from - start, to - start);
            buffer[gap as usize..begin as usize].fill(0);
            let blob_offset = piece.blob_offset.saturating_add(from - piece.offset);
            piece
                .blob
                .read_exact_at(&mut buffer[begin as usize..stop as usize], blob_offset)?;
            filled = to;
        }
        buffer[(filled - start) as usize..].fill(0);
        Ok(())
    }
}

/// All of a blob; for a file, the size that it had when it was asked for it.
#[derive(Debug, Clone)]
pub struct WholeBlob {
    blob: Blob,
    size: u64,
}

impl WholeBlob {
    /// All of `blob`. Fails where a file does not tell its size.
    pub fn new(blob: Blob) -> io::Result<Self> {
        let size = blob.length()?;
        Ok(Self { blob, size })
    }
}

impl ReadAt for WholeBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        range_within(self.size, offset, buffer.len() as u64)?;
        self.blob.read_exact_at(buffer, offset)
    }
}

/// A part of a source as a source of its own: a partition of an image.
#[derive(Debug, Clone)]
pub struct Window<S> {
    source: S,
    range: Range<u64>,
}

impl<S: ReadAt> Window<S> {
    /// The `length` bytes of `source` from `start` on. An error where `source` ends before.
    pub fn new(source: S, start: u64, length: u64) -> io::Result<Self> {
        let range = range_within(source.size(), start, length)?;
        Ok(Self { source, range })
    }
}

impl<S: ReadAt> ReadAt for Window<S> {
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = range_within(self.size(), offset, buffer.len() as u64)?;
        self.source.read_exact_at(buffer, self.range.start + inner.start)
    }
}

/// Whether the first bytes of `source` are `magic`.
pub fn starts_with(source: &impl ReadAt, magic: &[u8]) -> io::Result<bool> {
    if source.size() < magic.len() as u64 {
        return Ok(false);
    }
    let mut found = vec![0; magic.len()];
    source.read_exact_at(&mut found, 0)?;
    Ok(found == magic)
}

/// The range of `length` bytes from `offset` on, which has to lie within `size` bytes.
pub(crate) fn range_within(size: u64, offset: u64, length: u64) -> io::Result<Range<u64>> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(offset..end),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{length} bytes from {offset} on are wanted of what ends at {size}"),
        )),
    }
}
