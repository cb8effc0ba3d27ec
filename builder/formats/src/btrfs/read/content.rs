//! The bytes of files, and their checksums.

use std::ops::Range;
use std::rc::Rc;

use super::runs::{Extent, Run, decompress};
use super::tree::Items;
use super::{Inode, InodeKind, ReadError, Reader, Subvolume};
use crate::btrfs::disk::{Key, kind, object};
use crate::layer::SECTOR;

/// Most bytes of a file that come as one part.
const MAX_PART: u64 = 256 * 1024;

/// A run of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This many zeros that are not stored: a hole, or reserved space.
    Zeros(u64),
    /// Stored bytes, decompressed.
    Bytes(Vec<u8>),
}

impl Part {
    /// Bytes of the file in it.
    pub fn length(&self) -> u64 {
        match self {
            Self::Zeros(length) => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// A run of a file as it is stored; holes have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where in the file it starts.
    pub file_offset: u64,
    /// Bytes of the file it covers.
    pub length: u64,
    /// Where it starts in what its extent decodes to, and how long that is; `None` where it is not compressed.
    pub decoded: Option<(u64, u64)>,
    /// Bytes of the volume that hold it, one range for each copy; none for what is in a tree block.
    pub places: Vec<Range<u64>>,
    /// What is in a tree block, decompressed.
    pub inline: Vec<u8>,
}

/// The runs of a file from its first byte to its last, without a gap. Ends for good after an error.
pub struct Parts<'r, 's> {
    reader: &'r Reader<'s>,
    items: Items<'r, 's>,
    inode: u64,
    is_summed: bool,
    /// Bytes of the file.
    size: u64,
    /// Bytes that came already.
    done: u64,
    /// What comes next, and where in the file it starts.
    next: Option<(u64, Run)>,
    /// The compressed extent that was read last: files often use several parts of one.
    decoded: Option<(u64, Rc<Vec<u8>>)>,
}

impl<'s> Reader<'s> {
    /// The content of a file; nothing for what is not a file. Data is checked against its checksums.
    pub fn parts<'r>(&'r self, subvolume: &Subvolume, inode: &Inode) -> Result<Parts<'r, 's>, ReadError> {
        let size = match inode.kind {
            InodeKind::File(size) => size,
            _ => 0,
        };
        let first = Key::new(inode.number, kind::EXTENT_DATA, 0);
        Ok(Parts {
            reader: self,
            items: Items::from(self, subvolume.root, first)?,
            inode: inode.number,
            is_summed: inode.is_summed,
            size,
            done: 0,
            next: None,
            decoded: None,
        })
    }

    /// The checksums of the sectors of `length` bytes at `address`.
    pub(super) fn checksums(&self, address: u64, length: u64) -> Result<Vec<u32>, ReadError> {
        let first = Key::new(object::EXTENT_CSUM, kind::EXTENT_CSUM, address);
        let mut found = Vec::new();
        let mut next = address;
        let end = address.saturating_add(length);
        for item in Items::at_most(self, self.root(object::CSUM_TREE)?, first)? {
            let item = item?;
            let start = item.key.offset;
            let sums = item.data().len() as u64 / 4;
            if (item.key.object, item.key.kind) != (first.object, first.kind)
                || start.saturating_add(sums.saturating_mul(SECTOR)) <= next
            {
                if item.key > first {
                    break;
                }
                continue;
            }
            if start > next || next >= end {
                break;
            }
            // Below the number of checksums in the item.
            let skip = ((next - start) / SECTOR) as usize;
            let wanted = ((end - next) / SECTOR) as usize;
            let sums = item.data().chunks_exact(4).skip(skip).take(wanted);
            found.extend(sums.map(|sum| u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]])));
            next = address + found.len() as u64 * SECTOR;
        }
        if next < end {
            return Err(ReadError::Data {
                address: next,
                reason: "has no checksum".to_owned(),
            });
        }
        Ok(found)
    }

    /// `length` bytes of data at `address`, from a copy that agrees with the checksums. At most [`MAX_PART`].
    fn data(&self, address: u64, length: u64, is_summed: bool) -> Result<Vec<u8>, ReadError> {
        let sums = match is_summed {
            true => Some(self.checksums(address, length)?),
            false => None,
        };
        let mut error = None;
        for offset in self.chunks.copies(address, length)? {
            let mut bytes = vec![0; length as usize];
            let read = self.read(&mut bytes, offset);
            match read.and_then(|()| check_sums(&bytes, sums.as_deref(), address)) {
                Ok(()) => return Ok(bytes),
                Err(copy_error) => error = Some(copy_error),
            }
        }
        Err(error.unwrap_or(ReadError::Unmapped { address, length }))
    }
}

/// Whether the sectors at `address` have these checksums.
pub(super) fn check_sums(bytes: &[u8], sums: Option<&[u32]>, address: u64) -> Result<(), ReadError> {
    let sectors = bytes.chunks(SECTOR as usize).zip(sums.unwrap_or_default());
    for (at, (sector, sum)) in (0..).zip(sectors) {
        if crc32c::crc32c(sector) != *sum {
            return Err(ReadError::Data {
                address: address + at * SECTOR,
                reason: "does not have the checksum that the volume keeps for it".to_owned(),
            });
        }
    }
    Ok(())
}

impl Parts<'_, '_> {
    /// Where the file has data, without reading it: the places of all [`Part::Bytes`].
    pub fn regions(mut self) -> Result<Vec<Range<u64>>, ReadError> {
        let mut regions: Vec<Range<u64>> = Vec::new();
        while let Some((start, run)) = self.next_run()? {
            let (length, is_data) = match run {
                Run::Inline(bytes) => (bytes.len() as u64, true),
                Run::Zeros(length) => (length, false),
                Run::Extent(extent) => (extent.length, true),
            };
            // Their sum was found to be a number.
            self.done = start + length;
            let end = self.done.min(self.size);
            match regions.last_mut() {
                Some(last) if is_data && last.end == start && end > start => last.end = end,
                _ if is_data && end > start => regions.push(start..end),
                _ => {}
            }
        }
        Ok(regions)
    }

    /// How the file is stored, without reading its data.
    pub fn stored(mut self) -> Result<Vec<Stored>, ReadError> {
        let mut stored = Vec::new();
        while let Some((file_offset, run)) = self.next_run()? {
            let mut run = match run {
                Run::Zeros(length) => {
                    self.done = file_offset + length;
                    continue;
                }
                Run::Inline(inline) => Stored {
                    file_offset,
                    length: inline.len() as u64,
                    decoded: None,
                    places: Vec::new(),
                    inline,
                },
                Run::Extent(extent) => {
                    // Of a compressed extent all of it counts.
                    let (start, length) = match extent.decoded_length {
                        Some(_) => (0, extent.stored_length),
                        None => (extent.offset, extent.length),
                    };
                    let address = extent.address.saturating_add(start);
                    let copies = self.reader.chunks.copies(address, length)?;
                    Stored {
                        file_offset,
                        length: extent.length,
                        decoded: extent.decoded_length.map(|length| (extent.offset, length)),
                        places: copies.map(|copy| copy..copy.saturating_add(length)).collect(),
                        inline: Vec::new(),
                    }
                }
            };
            // The sum was found to be a number.
            self.done = file_offset + run.length;
            run.length = run.length.min(self.size.saturating_sub(file_offset));
            stored.push(run);
        }
        Ok(stored)
    }

    /// The next run of the file.
    fn advance(&mut self) -> Result<Option<Part>, ReadError> {
        if self.done >= self.size {
            return Ok(None);
        }
        if self.next.is_none() {
            self.next = self.next_run()?;
        }
        let left = self.size - self.done;
        let part = match self.next.take() {
            None => Part::Zeros(left),
            Some((start, run)) if start > self.done => {
                self.next = Some((start, run));
                Part::Zeros(left.min(start - self.done))
            }
            Some((_, Run::Inline(mut bytes))) => {
                bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                Part::Bytes(bytes)
            }
            Some((_, Run::Zeros(length))) => Part::Zeros(length.min(left)),
            Some((start, Run::Extent(extent))) => {
                let mut bytes = self.extent(extent)?;
                let taken = bytes.len() as u64;
                if taken < extent.length {
                    let rest = Extent {
                        offset: extent.offset + taken,
                        length: extent.length - taken,
                        ..extent
                    };
                    self.next = Some((start + taken, Run::Extent(rest)));
                }
                bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                Part::Bytes(bytes)
            }
        };
        self.done += part.length();
        Ok(Some(part))
    }

    fn next_run(&mut self) -> Result<Option<(u64, Run)>, ReadError> {
        // An empty inline run says nothing.
        loop {
            let Some(item) = self.items.next().transpose()? else {
                return Ok(None);
            };
            let start = item.key.offset;
            if (item.key.object, item.key.kind) != (self.inode, kind::EXTENT_DATA) {
                return Ok(None);
            }
            if start < self.done {
                return Err(item.wrong("overlaps the one before it"));
            }
            match Run::parse(&item)? {
                Run::Inline(bytes) if bytes.is_empty() => {}
                Run::Inline(_) if start != 0 => return Err(item.wrong("has inline data inside a file")),
                run => return Ok(Some((start, run))),
            }
        }
    }

    /// The first bytes of a part of an extent: all of them, or [`MAX_PART`].
    fn extent(&mut self, extent: Extent) -> Result<Vec<u8>, ReadError> {
        let Some(decoded_length) = extent.decoded_length else {
            let length = extent.length.min(MAX_PART);
            let address = extent.address.checked_add(extent.offset);
            let address = address.ok_or(ReadError::Unmapped {
                address: extent.address,
                length: extent.stored_length,
            })?;
            return self.reader.data(address, length, self.is_summed);
        };
        let decoded = match &self.decoded {
            Some((address, decoded)) if *address == extent.address => Rc::clone(decoded),
            _ => {
                let stored = self
                    .reader
                    .data(extent.address, extent.stored_length, self.is_summed)?;
                let decoded = decompress(&stored, decoded_length).ok_or_else(|| ReadError::Data {
                    address: extent.address,
                    reason: format!("is no zstd frame of {decoded_length} bytes"),
                })?;
                let decoded = Rc::new(decoded);
                self.decoded = Some((extent.address, Rc::clone(&decoded)));
                decoded
            }
        };
        // The run was found to lie within the length that its own item gives; another item may have given less.
        let start = extent.offset as usize;
        let part = decoded.get(start..start + extent.length as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| ReadError::Data {
            address: extent.address,
            reason: "is used with two different lengths".to_owned(),
        })
    }
}

impl Iterator for Parts<'_, '_> {
    type Item = Result<Part, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.advance();
        if part.is_err() {
            self.done = self.size;
        }
        part.transpose()
    }
}
