//! A disk in memory that keeps only the sectors that somebody wrote. A writer that expects a device to seek in
//! works on one; what it leaves there becomes the pieces of an image.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::sparse::SparseImage;
use crate::units::{Bytes, SECTOR};

/// Bytes of a sector, as an array length.
const SECTOR_LENGTH: usize = SECTOR as usize;

/// The sectors of a disk that were written, and the place that reads and writes move on.
#[derive(Debug)]
pub(crate) struct ScratchDisk {
    size: u64,
    position: u64,
    sectors: BTreeMap<u64, [u8; SECTOR_LENGTH]>,
}

impl ScratchDisk {
    /// A disk of zeros, positioned at its first byte.
    pub(crate) fn new(size: Bytes) -> Self {
        Self {
            size: size.0,
            position: 0,
            sectors: BTreeMap::new(),
        }
    }

    /// How many of `wanted` bytes are left before the end of the disk.
    fn left(&self, wanted: usize) -> usize {
        let left = self.size.saturating_sub(self.position);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }

    /// The sectors that were written, neighbours joined to one piece. Zeros that were written belong to it too: they are
    /// part of a structure.
    pub(crate) fn into_image(self) -> SparseImage {
        let mut image = SparseImage::empty(Bytes(self.size));
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (number, sector) in self.sectors {
            let offset = number * SECTOR;
            if run.0 + run.1.len() as u64 != offset {
                image.put(run.0, std::mem::take(&mut run.1));
                run.0 = offset;
            }
            run.1.extend_from_slice(&sector);
        }
        image.put(run.0, run.1);
        image
    }
}

/// The sectors that `length` bytes from `offset` touch: number, first byte within it, range of the bytes.
fn chunks(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let position = offset + done as u64;
        let within = (position % SECTOR) as usize;
        let end = length.min(done + SECTOR_LENGTH - within);
        let range = done..end;
        done = end;
        Some((position / SECTOR, within, range))
    })
}

impl Read for ScratchDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.left(buffer.len());
        for (number, within, range) in chunks(self.position, length) {
            match self.sectors.get(&number) {
                Some(sector) => {
                    let length = range.len();
                    buffer[range].copy_from_slice(&sector[within..within + length]);
                }
                None => buffer[range].fill(0),
            }
        }
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for ScratchDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.left(bytes.len());
        for (number, within, range) in chunks(self.position, length) {
            let part = &bytes[range];
            let sector = self.sectors.entry(number).or_insert([0; SECTOR_LENGTH]);
            sector[within..within + part.len()].copy_from_slice(part);
        }
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for ScratchDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
