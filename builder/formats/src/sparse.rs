//! An image before it is written: a size and the pieces that lie in it. What no piece covers reads as zeros and is
//! left as a hole.
//!
//! Every writer of a format returns such a list instead of bytes. The card places the lists of its partitions into its
//! own, and one loop writes the whole, copying what is in files inside the kernel.

use std::ops::Range;

use thiserror::Error;

use crate::blob::Blob;
use crate::units::Bytes;

/// A run of bytes at a place of an image.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Where it lies in the image, in bytes.
    pub offset: u64,
    /// How many bytes it has; never zero.
    pub length: u64,
    /// The blob the bytes come from.
    pub blob: Blob,
    /// Where they start in the blob, in bytes.
    pub blob_offset: u64,
}

impl Piece {
    /// The bytes of the image that it covers. A piece that would reach beyond the last possible offset ends there: no
    /// image is that large, so [`SparseImage::sort`] refuses it either way.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }
}

/// An image as a list of pieces.
#[derive(Debug, Clone, Default)]
pub struct SparseImage {
    /// The size of the image.
    pub size: Bytes,
    /// Its pieces. In order and without overlap once [`SparseImage::sort`] accepted them.
    pub pieces: Vec<Piece>,
}

/// Pieces that cannot all lie where they were put.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SparseError {
    /// Two pieces claim the same bytes.
    #[error("bytes {first_start}..{first_end} and {second_start}..{second_end} of the image overlap")]
    Overlap {
        /// First byte of the lower piece.
        first_start: u64,
        /// First byte after it.
        first_end: u64,
        /// First byte of the upper piece.
        second_start: u64,
        /// First byte after it.
        second_end: u64,
    },
    /// A piece ends behind the image.
    #[error("bytes {start}..{end} lie behind the end of the image of {size} bytes")]
    Beyond {
        /// First byte of the piece.
        start: u64,
        /// First byte after it.
        end: u64,
        /// Bytes in the image.
        size: u64,
    },
}

impl SparseImage {
    /// An image of `size` that is one hole.
    pub fn empty(size: Bytes) -> Self {
        Self {
            size,
            pieces: Vec::new(),
        }
    }

    /// Puts `bytes` at `offset`. Empty bytes add nothing.
    pub fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        let length = bytes.len() as u64;
        self.put_blob(offset, length, bytes.into(), 0);
    }

    /// Puts `length` bytes of `blob` from `blob_offset` at `offset`.
    pub fn put_blob(&mut self, offset: u64, length: u64, blob: Blob, blob_offset: u64) {
        if length > 0 {
            self.pieces.push(Piece {
                offset,
                length,
                blob,
                blob_offset,
            });
        }
    }

    /// Puts all pieces of `inner`, which starts at `offset` of this image.
    pub fn place(&mut self, offset: u64, inner: SparseImage) {
        self.pieces.extend(inner.pieces.into_iter().map(|piece| Piece {
            offset: piece.offset + offset,
            ..piece
        }));
    }

    /// Sorts the pieces and refuses any that overlap or lie behind the end.
    pub fn sort(&mut self) -> Result<(), SparseError> {
        self.pieces.sort_by_key(|piece| piece.offset);
        for pair in self.pieces.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            if first.offset + first.length > second.offset {
                return Err(SparseError::Overlap {
                    first_start: first.offset,
                    first_end: first.offset + first.length,
                    second_start: second.offset,
                    second_end: second.offset + second.length,
                });
            }
        }
        if let Some(last) = self.pieces.last()
            && last.offset + last.length > self.size.0
        {
            return Err(SparseError::Beyond {
                start: last.offset,
                end: last.offset + last.length,
                size: self.size.0,
            });
        }
        Ok(())
    }

    /// Bytes that pieces cover: what has to be written.
    pub fn mapped(&self) -> Bytes {
        Bytes(self.pieces.iter().map(|piece| piece.length).sum())
    }
}
