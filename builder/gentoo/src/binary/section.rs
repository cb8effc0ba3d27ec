//! A part of a file as a stream of its own, which shares no position with any other.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Some bytes of a file, one after the other. A file that ends before them just ends.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl<'a> Section<'a> {
    /// The `length` bytes from `offset` on.
    pub fn new(file: &'a File, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            left: length,
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left.min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
