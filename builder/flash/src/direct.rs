//! Bytes to the card and from it, not to the page cache and from it: what was written is on the card when this says so, and
//! what is read back comes from there. `O_DIRECT` does it. Where a file system has none, each write is waited for, and the
//! cache is emptied before each read.

use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use crate::device::Target;

/// Bytes that are read, hashed and written at once. Cards erase whole units of up to 4 MiB: less would have them copy the rest of
/// one. A write takes so long that nothing is won by having more on the way, and so short (a fifth of a second at 20 MB/s)
/// that the progress is the card's and an error names a place.
pub(crate) const CHUNK: u64 = 4 << 20;

/// What `O_DIRECT` wants memory, offsets and lengths to be multiples of; no disk has larger sectors.
const ALIGNMENT: u64 = 4096;

/// At most [`CHUNK`] bytes, where a disk can have them from and put them.
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// No bytes.
    pub(crate) fn new() -> Self {
        // A read from any place begins and ends up to an alignment further out.
        let memory = vec![0; (CHUNK + 3 * ALIGNMENT) as usize];
        Self {
            start: memory.as_ptr().align_offset(ALIGNMENT as usize),
            memory,
            length: 0,
        }
    }

    /// A copy of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut buffer = Self::new();
        buffer.add(bytes.len() as u64).copy_from_slice(bytes);
        buffer
    }

    /// Room for `length` bytes more, which are zeros where they were not used before.
    pub(crate) fn add(&mut self, length: u64) -> &mut [u8] {
        let from = self.start + self.length;
        self.length += length as usize;
        &mut self.memory[from..][..length as usize]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..][..self.length]
    }
}

impl Target {
    /// Writes `bytes`; returns when the card has them.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_aligned = bytes.as_ptr().align_offset(ALIGNMENT as usize) == 0
            && offset.is_multiple_of(ALIGNMENT)
            && (bytes.len() as u64).is_multiple_of(ALIGNMENT);
        if let Some(direct) = self.direct.as_ref().filter(|_| is_aligned) {
            match direct.write_all_at(bytes, offset) {
                // A file system that wants larger multiples.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                result => return result,
            }
        }
        self.file.write_all_at(bytes, offset)?;
        self.file.sync_data()
    }

    /// Reads `length` bytes, at most [`CHUNK`], into `buffer`.
    pub(crate) fn read<'b>(&self, buffer: &'b mut Buffer, offset: u64, length: u64) -> io::Result<&'b [u8]> {
        let memory = &mut buffer.memory[buffer.start..];
        let start = offset % ALIGNMENT;
        let range = start as usize..(start + length) as usize;
        match &self.direct {
            Some(direct) => {
                let wanted = (start + length).next_multiple_of(ALIGNMENT);
                let mut done = 0;
                // The last read before the end of the card may return less than asked for.
                while done < start + length {
                    match direct
                        .read_at(&mut memory[done as usize..wanted as usize], offset - start + done)?
                    {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        count => done += count as u64,
                    }
                }
            }
            None => {
                fadvise(&self.file, offset, NonZeroU64::new(length), Advice::DontNeed)?;
                self.file.read_exact_at(&mut memory[range.clone()], offset)?;
            }
        }
        Ok(&memory[range])
    }

    /// What `error` says of the card.
    pub(crate) fn fate(&self, error: &io::Error) -> Fate {
        let Some(disk) = &self.disk else {
            return Fate::Unknown;
        };
        // A reader whose card was pulled out stays, with no size.
        let is_there = fs::read_to_string(disk.join("size")).is_ok_and(|size| size.trim() != "0");
        match Errno::from_io_error(error) {
            _ if !is_there => Fate::Gone,
            Some(Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM) => Fate::Gone,
            Some(Errno::NOSPC) => Fate::Smaller,
            Some(Errno::IO) => Fate::Failing,
            _ => Fate::Unknown,
        }
    }
}

/// What became of a card that could not be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not there any more.
    Gone,
    /// It does not do what it is asked to. That is also how some readers tell that it was pulled out.
    Failing,
    /// It says now that it ends before that.
    Smaller,
    /// The error tells all.
    Unknown,
}

/// As the end of an error.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => ": the card went away; put it in again and flash it anew",
            Self::Failing => {
                ": the card fails or was pulled out; flash it anew, and if that fails, another one"
            }
            Self::Smaller => ": the card holds less than it said when it was opened; throw it away",
            Self::Unknown => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;

    use formats::units::Bytes;

    use super::*;

    #[test]
    fn what_became_of_a_card_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let mut target = Target {
            path: PathBuf::from("/dev/sdb"),
            file: tempfile::tempfile().unwrap(),
            direct: None,
            size: Bytes(0),
            disk: Some(disk.clone()),
        };
        let failed = |error: Errno| io::Error::from(error);
        assert_eq!(target.fate(&failed(Errno::IO)), Fate::Gone);
        fs::create_dir(&disk).unwrap();
        for (size, error, fate) in [
            ("0\n", Errno::IO, Fate::Gone),
            ("100\n", Errno::IO, Fate::Failing),
            ("100\n", Errno::NOMEDIUM, Fate::Gone),
            ("100\n", Errno::NODEV, Fate::Gone),
            ("100\n", Errno::NOSPC, Fate::Smaller),
            ("100\n", Errno::NOMEM, Fate::Unknown),
        ] {
            fs::write(disk.join("size"), size).unwrap();
            assert_eq!(target.fate(&failed(error)), fate, "{size}{error}");
        }
        // The disk that a file is on may be full.
        target.disk = None;
        assert_eq!(target.fate(&failed(Errno::NOSPC)), Fate::Unknown);
    }

    #[test]
    fn any_place_of_a_file_is_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        fs::write(&path, vec![1; 100_000]).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let direct = crate::device::open_direct(&open()).unwrap();
        for direct in [direct, None] {
            let target = Target {
                path: path.clone(),
                file: open(),
                direct,
                size: Bytes(100_000),
                disk: None,
            };
            let mut buffer = Buffer::new();
            for (offset, length) in [(0, 4096), (4096, 8192), (1, 4096), (95_000, 5000), (99_999, 1)] {
                let bytes: Vec<u8> = (0..length).map(|number| (number + offset) as u8).collect();
                target.write(&Buffer::of(&bytes), offset).unwrap();
                assert!(
                    target.read(&mut buffer, offset, length).unwrap() == bytes,
                    "{offset}"
                );
            }
            let error = target.read(&mut buffer, 99_000, 1001).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
