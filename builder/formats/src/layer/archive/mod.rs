//! A tar as a stream of members, read strictly: every header's checksum, every length, the end mark and what comes
//! after it are looked at, so that an archive that is cut, spliced or made up does not pass.
//!
//! | module | owns |
//! |---|---|
//! | `header` | the 512-byte header |
//! | `pax` | extended headers |
//! | `sparse` | maps of sparse files |
//! | `error` | what can be wrong |

mod error;
mod header;
mod pax;
mod sparse;

pub use error::{ArchiveError, Fault};

use std::io::{self, BufRead, Read};

use self::header::{BLOCK, Dialect, Header, integer, text};
use self::pax::{Pax, Scope};
use self::sparse::check_regions;
use super::Xattrs;
pub use super::packer::Region;
use super::places::Place;
use super::refusal::MAX_FILE;
use crate::units::Time;
use crate::unpack::{UnpackError, unpack};

/// Most bytes of extended headers and long names of one member: they are in memory as a whole.
const MAX_EXTENSION: u64 = 1 << 20;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an earlier member, its target.
    Hardlink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One member of an archive.
#[derive(Debug)]
pub struct Member {
    /// Its name as the archive gives it, without a NUL byte; nothing else of it was checked.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions, 12 bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Name of the owner; empty where the archive has none.
    pub user: Vec<u8>,
    /// Name of the group; empty where the archive has none.
    pub group: Vec<u8>,
    /// Last change of the content.
    pub mtime: Time,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Target of a link, verbatim.
    pub target: Vec<u8>,
    /// Driver of a device.
    pub devmajor: u32,
    /// Instance of a device.
    pub devminor: u32,
    /// Bytes in the file, holes included.
    pub size: u64,
    /// Where the file has data: in order, disjoint, within `size`.
    pub regions: Vec<Region>,
}

/// Reads members one after the other.
pub struct Archive<'a> {
    input: Box<dyn BufRead + 'a>,
    /// Bytes read.
    offset: u64,
    /// Most bytes that may be read.
    limit: u64,
    /// Bytes of data of the current member that are left.
    data: u64,
    /// Zeros behind them.
    padding: u64,
    /// Name of the current member.
    name: Vec<u8>,
    global: Pax,
}

impl<'a> Archive<'a> {
    /// Opens an archive, compressed or not, that may have up to `limit` bytes when unpacked.
    pub fn open(input: impl Read + 'a, limit: u64) -> Result<Self, ArchiveError> {
        let (_, input) = unpack(input).map_err(|error| match error {
            UnpackError::Empty => ArchiveError::Empty,
            UnpackError::Unsupported(compression) => ArchiveError::Compression(compression),
            UnpackError::Read(source) => ArchiveError::Read { offset: 0, source },
        })?;
        Ok(Self::plain(input, limit))
    }

    /// An archive that is not compressed and may have up to `limit` bytes.
    pub fn plain(input: impl BufRead + 'a, limit: u64) -> Self {
        Self {
            input: Box::new(input),
            offset: 0,
            limit,
            data: 0,
            padding: 0,
            name: Vec::new(),
            global: Pax::default(),
        }
    }

    /// The next member, or `None` when the archive ended as it should. Unread data is skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>, ArchiveError> {
        self.skip(self.data + self.padding)?;
        (self.data, self.padding) = (0, 0);
        let mut extensions = Extensions {
            pax: self.global.clone(),
            ..Extensions::default()
        };
        loop {
            let offset = self.offset;
            self.name.clear();
            let Some(header) = self.header()? else {
                if extensions.size > 0 {
                    return Err(ArchiveError::Member {
                        name: Vec::new(),
                        offset,
                        fault: Fault::Dangling,
                    });
                }
                return Ok(None);
            };
            self.name = extensions.name.clone().unwrap_or_else(|| header.path());
            match self.member(header, &mut extensions) {
                Ok(None) => {}
                Ok(Some(member)) => return Ok(Some(member)),
                Err(Failure::Archive(error)) => return Err(error),
                Err(Failure::Fault(fault)) => {
                    return Err(ArchiveError::Member {
                        name: std::mem::take(&mut self.name),
                        offset,
                        fault,
                    });
                }
            }
        }
    }

    /// Bytes of the tar that were read: after [`Archive::next_member`] where the data of that member starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Fills `buffer` with the next data of the current member: what its regions hold, one after the other. It is an
    /// error to ask for more.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        if buffer.len() as u64 > self.data {
            return Err(self.truncated());
        }
        self.read(buffer)?;
        self.data -= buffer.len() as u64;
        Ok(())
    }

    /// The next header; `None` at the end mark, after which only zeros may come.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let offset = self.offset;
        let mut block = [0; BLOCK];
        if self.at_end()? {
            return Err(ArchiveError::NoEnd { offset });
        }
        self.read(&mut block)?;
        if block != [0; BLOCK] {
            return Header::parse(&block)
                .map(Some)
                .ok_or(ArchiveError::Checksum { offset });
        }
        if self.at_end()? {
            return Err(ArchiveError::NoEnd { offset: self.offset });
        }
        self.read(&mut block)?;
        self.zeros(&block)?;
        // Writers fill up their last record; what is longer than any record is not such filling.
        while !self.at_end()? {
            let filling = &mut block[..self.available()?.min(BLOCK)];
            self.read(filling)?;
            self.zeros(filling)?;
        }
        Ok(None)
    }

    /// What a header says: a member, or something about the next one.
    fn member(&mut self, header: Header, extensions: &mut Extensions) -> Result<Option<Member>, Failure> {
        let size: u64 = integer(&header.size, "size")?;
        match header.typeflag {
            b'L' => extensions.name = Some(self.long_name(size, extensions)?),
            b'K' => extensions.target = Some(self.long_name(size, extensions)?),
            b'x' => {
                let records = self.extension(size, extensions)?;
                extensions.pax.apply(&records, Scope::Member)?;
            }
            b'g' => {
                let records = self.extension(size, &mut Extensions::default())?;
                self.global.apply(&records, Scope::Global)?;
                extensions.pax.apply(&records, Scope::Global)?;
                return Ok(None);
            }
            _ => return self.entry(header, size, std::mem::take(extensions)).map(Some),
        }
        Ok(None)
    }

    /// The member that a header and all that came before it describe.
    fn entry(&mut self, header: Header, size: u64, extensions: Extensions) -> Result<Member, Failure> {
        let Extensions {
            name, target, pax, ..
        } = extensions;
        let name = pax
            .sparse
            .name
            .clone()
            .or(pax.path.clone())
            .or(name)
            .unwrap_or_else(|| header.path());
        self.name.clone_from(&name);
        let target = pax
            .linkpath
            .or(target)
            .unwrap_or_else(|| text(&header.linkname).to_vec());
        if name.contains(&0) || target.contains(&0) {
            return Err(Fault::Nul.into());
        }
        let kind = match header.typeflag {
            // Before there was a type for directories, they were files with a slash.
            0 | b'0' if header.dialect() == Dialect::V7 && name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            typeflag => return Err(Fault::Type { typeflag }.into()),
        };
        self.data = pax.size.unwrap_or(size);
        if self.data > MAX_FILE {
            return Err(Fault::Range { field: "size" }.into());
        }
        self.padding = self.data.next_multiple_of(BLOCK as u64) - self.data;
        let is_sparse = header.typeflag == b'S' || pax.sparse.is_any();
        if kind != Kind::File && (self.data > 0 || is_sparse) {
            return Err(Fault::Data {
                what: kind.what(),
                size: self.data,
            }
            .into());
        }
        let (size, regions) = if header.typeflag == b'S' {
            self.gnu_sparse(&header)?
        } else if is_sparse {
            self.pax_sparse(pax.sparse)?
        } else {
            (
                self.data,
                vec![Region {
                    offset: 0,
                    length: self.data,
                }],
            )
        };
        if is_sparse {
            check_regions(size, &regions, self.data)?;
        }
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let device = |given: Option<u32>, field: &[u8], name| match given {
            Some(number) => Ok(number),
            None if is_device => integer(field, name),
            None => Ok(0),
        };
        Ok(Member {
            name,
            kind,
            mode: integer::<u32>(&header.mode, "mode")? & 0o7777,
            uid: owner(pax.uid, &header.uid, "uid")?,
            gid: owner(pax.gid, &header.gid, "gid")?,
            user: pax.user.unwrap_or_else(|| header.user().to_vec()),
            group: pax.group.unwrap_or_else(|| header.group().to_vec()),
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time::from_seconds(integer(&header.mtime, "mtime")?),
            },
            xattrs: pax.xattrs,
            target,
            devmajor: device(pax.devmajor, &header.devmajor, "device number")?,
            devminor: device(pax.devminor, &header.devminor, "device number")?,
            size,
            regions,
        })
    }

    /// The data of a GNU long name, which ends with a NUL.
    fn long_name(&mut self, size: u64, extensions: &mut Extensions) -> Result<Vec<u8>, Failure> {
        let mut name = self.extension(size, extensions)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// The data of a header that is about the next member, which may have several.
    fn extension(&mut self, size: u64, extensions: &mut Extensions) -> Result<Vec<u8>, Failure> {
        // One more for the header, so that empty ones count too.
        extensions.size = extensions.size.saturating_add(size).saturating_add(1);
        if extensions.size > MAX_EXTENSION {
            return Err(Fault::ExtensionSize { size }.into());
        }
        let mut bytes = vec![0; (size as usize).next_multiple_of(BLOCK)];
        self.read(&mut bytes)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> Result<(), ArchiveError> {
        self.allow(count)?;
        let end = self.offset + count;
        while self.offset < end {
            let step = (end - self.offset).min(self.available()? as u64);
            if step == 0 {
                return Err(self.truncated());
            }
            self.input.consume(step as usize);
            self.offset += step;
        }
        Ok(())
    }

    fn read(&mut self, mut buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.allow(buffer.len() as u64)?;
        while !buffer.is_empty() {
            match self.input.read(buffer) {
                Ok(0) => return Err(self.truncated()),
                Ok(count) => {
                    self.offset += count as u64;
                    buffer = &mut buffer[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.read_error(source)),
            }
        }
        Ok(())
    }

    /// Refuses to read `count` more bytes than allowed: what makes a decompression bomb stop.
    fn allow(&self, count: u64) -> Result<(), ArchiveError> {
        match self.offset.checked_add(count) {
            Some(end) if end <= self.limit => Ok(()),
            _ => Err(ArchiveError::Long { limit: self.limit }),
        }
    }

    /// Bytes that can be read without waiting; 0 at the end of the file.
    fn available(&mut self) -> Result<usize, ArchiveError> {
        loop {
            match self.input.fill_buf() {
                Ok(available) => return Ok(available.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.read_error(source)),
            }
        }
    }

    fn at_end(&mut self) -> Result<bool, ArchiveError> {
        Ok(self.available()? == 0)
    }

    /// Accepts the bytes that were read last if they are zeros.
    fn zeros(&self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match bytes.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(position) => Err(ArchiveError::AfterEnd {
                offset: self.offset - bytes.len() as u64 + position as u64,
            }),
        }
    }

    pub(super) fn read_error(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Read {
            offset: self.offset,
            source,
        }
    }

    fn truncated(&self) -> ArchiveError {
        ArchiveError::Truncated {
            offset: self.offset,
            name: self.name.clone(),
        }
    }
}

/// What headers before a member say about it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    pax: Pax,
    /// Bytes in them, with one for each.
    size: u64,
}

/// Why a member could not be read: for its header, or for the whole archive.
enum Failure {
    Fault(Fault),
    Archive(ArchiveError),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl Place for Kind {
    fn is_directory(&self) -> bool {
        *self == Self::Directory
    }

    fn what(&self) -> &'static str {
        Self::what(*self)
    }
}

impl Kind {
    /// What it is, with its article, for messages.
    pub fn what(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Hardlink => "a hard link",
            Self::Symlink => "a symbolic link",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Directory => "a directory",
            Self::Fifo => "a named pipe",
        }
    }
}

/// A user or group number. The highest is the kernel's "none".
fn owner(given: Option<u32>, field: &[u8], name: &'static str) -> Result<u32, Fault> {
    let number = match given {
        Some(number) => number,
        None => integer(field, name)?,
    };
    if number == u32::MAX {
        Err(Fault::Range { field: name })
    } else {
        Ok(number)
    }
}
