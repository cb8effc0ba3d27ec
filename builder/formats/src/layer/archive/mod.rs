//! A tar as a stream of members, read strictly: every header's checksum, every length, the end mark and what comes
//! after it are looked at, so that an archive that is cut, spliced or made up does not pass.
//!
//! | module | owns |
//! |---|---|
//! | `unpack` | gzip, xz and zstd |
//! | `header` | the 512-byte header |
//! | `pax` | extended headers |

mod header;
mod pax;
mod unpack;

use std::io::{self, BufRead, Read};

use thiserror::Error;

use self::header::{BLOCK, Dialect, Header, SparseBlock, SparseSlot, integer, text};
use self::pax::{Pax, Scope, decimal};
use super::Xattrs;
use super::builder::MAX_FILE;
use super::packer::Region;
use super::path::shown;
use crate::units::Time;

/// Largest extended header or long name, in bytes: it has to be in memory as a whole.
const MAX_EXTENSION: u64 = 1 << 20;

/// Most regions of a sparse file.
const MAX_REGIONS: usize = 1 << 18;

/// Why an archive cannot be read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The file is empty.
    #[error("the archive is empty")]
    Empty,
    /// The file is compressed in a way that is not read.
    #[error("the archive is compressed with {0}, which is not supported: gzip, xz and zstd are")]
    Compression(&'static str),
    /// Reading or decompressing failed.
    #[error("cannot read the archive behind byte {offset} of the unpacked tar")]
    Read {
        /// Bytes of the tar that were read before.
        offset: u64,
        /// What failed.
        source: io::Error,
    },
    /// The archive ends within a member.
    #[error("the archive is cut short: it ends at byte {offset}, within {}", shown(name))]
    Truncated {
        /// Where the tar ends.
        offset: u64,
        /// The member.
        name: Vec<u8>,
    },
    /// The archive ends without its end mark, so members may be missing.
    #[error("the archive is cut short: it ends at byte {offset} without two blocks of zeros")]
    NoEnd {
        /// Where the tar ends.
        offset: u64,
    },
    /// Something follows the end mark.
    #[error("the archive goes on after its end mark, at byte {offset}")]
    AfterEnd {
        /// Where the first byte is that is not zero.
        offset: u64,
    },
    /// A block is no header.
    #[error("the block at byte {offset} is no tar header: its checksum is wrong")]
    Checksum {
        /// Where the block is in the tar.
        offset: u64,
    },
    /// The archive is longer than allowed.
    #[error("the archive unpacks to more than the limit of {limit} bytes")]
    Long {
        /// Most bytes allowed.
        limit: u64,
    },
    /// A member's header is wrong.
    #[error("entry {} with its header at byte {offset} is refused: {fault}", shown(name))]
    Member {
        /// The member, as far as its name is known.
        name: Vec<u8>,
        /// Where its header is in the tar.
        offset: u64,
        /// What is wrong.
        fault: Fault,
    },
}

/// What is wrong with a member's header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A number cannot be read.
    #[error("its {field} is no number")]
    Number {
        /// Which.
        field: &'static str,
    },
    /// A number is out of range.
    #[error("its {field} is out of range")]
    Range {
        /// Which.
        field: &'static str,
    },
    /// The type is not known.
    #[error("its type {} is not known", char::from(*typeflag).escape_default())]
    Type {
        /// The type's letter.
        typeflag: u8,
    },
    /// Something that is no file has data.
    #[error("it is {what} with {size} bytes of data")]
    Data {
        /// What it is.
        what: &'static str,
        /// Bytes of data.
        size: u64,
    },
    /// An extended header or long name is too large.
    #[error("its extended header of {size} bytes is above the limit of {MAX_EXTENSION}")]
    ExtensionSize {
        /// Bytes in it.
        size: u64,
    },
    /// An extended header cannot be read.
    #[error("its extended header is malformed")]
    PaxRecord,
    /// A global extended header sets what only one member can have.
    #[error("a global extended header sets {key}")]
    PaxGlobal {
        /// The record's key.
        key: String,
    },
    /// Extended headers or long names without the member they belong to.
    #[error("an extended header belongs to no entry")]
    Dangling,
    /// The map of a sparse file is wrong.
    #[error("its map of a sparse file is wrong: {0}")]
    SparseMap(&'static str),
    /// Something this program does not read, where leaving it out would change the entry.
    #[error("it has {0}, which is not supported")]
    Unsupported(&'static str),
    /// A name contains a NUL byte.
    #[error("its name or target contains a NUL byte")]
    Nul,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Hardlink,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One member of an archive.
#[derive(Debug)]
pub(super) struct Member {
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Permissions, 12 bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub xattrs: Xattrs,
    /// Target of a link.
    pub target: Vec<u8>,
    pub devmajor: u32,
    pub devminor: u32,
    /// Bytes in the file, holes included.
    pub size: u64,
    /// Where the file has data: in order, disjoint, within `size`.
    pub regions: Vec<Region>,
}

/// Reads members one after the other.
pub(super) struct Archive<'a> {
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
    pub(super) fn open(input: impl Read + 'a, limit: u64) -> Result<Self, ArchiveError> {
        Ok(Self {
            input: unpack::unpack(input)?,
            offset: 0,
            limit,
            data: 0,
            padding: 0,
            name: Vec::new(),
            global: Pax::default(),
        })
    }

    /// The next member, or `None` when the archive ended as it should. Unread data is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
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
                if extensions.any {
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

    /// Fills `buffer` with the next data of the current member.
    pub(super) fn read_data(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        debug_assert!(
            buffer.len() as u64 <= self.data,
            "regions have as many bytes as the member has data"
        );
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
        // Writers fill up their last record; what is longer than any record is no such filling.
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
            b'L' => extensions.name = Some(self.long_name(size)?),
            b'K' => extensions.target = Some(self.long_name(size)?),
            b'x' => {
                let records = self.extension(size)?;
                extensions.pax.apply(&records, Scope::Member)?;
            }
            b'g' => {
                let records = self.extension(size)?;
                self.global.apply(&records, Scope::Global)?;
                extensions.pax.apply(&records, Scope::Global)?;
                return Ok(None);
            }
            _ => return self.entry(header, size, std::mem::take(extensions)).map(Some),
        }
        extensions.any = true;
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
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Failure> {
        let mut name = self.extension(size)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// The data of a header that is about the next member.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Failure> {
        if size > MAX_EXTENSION {
            return Err(Fault::ExtensionSize { size }.into());
        }
        let mut bytes = vec![0; (size as usize).next_multiple_of(BLOCK)];
        self.read(&mut bytes)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// Size and map of a sparse file in GNU's own format: in the header and in blocks behind it.
    fn gnu_sparse(&mut self, header: &Header) -> Result<(u64, Vec<Region>), Failure> {
        if header.dialect() != Dialect::Gnu {
            return Err(Fault::SparseMap("the header is not GNU's").into());
        }
        let tail = header.gnu_tail();
        let mut regions = Vec::new();
        push_slots(&mut regions, &tail.sparse)?;
        let mut is_extended = tail.is_extended;
        while is_extended != 0 {
            let mut bytes = [0; BLOCK];
            self.read(&mut bytes)?;
            let block: SparseBlock = zerocopy::transmute!(bytes);
            push_slots(&mut regions, &block.sparse)?;
            is_extended = block.is_extended;
        }
        Ok((integer(&tail.real_size, "size")?, regions))
    }

    /// Size and map of a sparse file in PAX format: in records (0.0, 0.1) or at the start of the data (1.0).
    fn pax_sparse(&mut self, sparse: pax::PaxSparse) -> Result<(u64, Vec<Region>), Failure> {
        let real_size = sparse
            .real_size
            .ok_or(Fault::SparseMap("the size of the file is missing"))?;
        let numbers = match (sparse.major, sparse.minor, sparse.map) {
            (None | Some(0), _, Some(map)) => map,
            (Some(1), Some(0), None) => self.leading_map()?,
            _ => return Err(Fault::Unsupported("a sparse file of an unknown version").into()),
        };
        let (pairs, odd) = numbers.as_chunks::<2>();
        if !odd.is_empty() || pairs.len() > MAX_REGIONS {
            return Err(Fault::SparseMap("it has half a region, or too many").into());
        }
        let regions = pairs
            .iter()
            .map(|[offset, length]| Region {
                offset: *offset,
                length: *length,
            })
            .collect();
        Ok((real_size, regions))
    }

    /// The map at the start of the data: decimal lines, their number first, padded to a block.
    fn leading_map(&mut self) -> Result<Vec<u64>, Failure> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            if self.data < BLOCK as u64 {
                return Err(Fault::SparseMap("it is longer than the data").into());
            }
            self.read_data(&mut block)?;
            for byte in block {
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number: u64 = decimal(&line).ok_or(Fault::Number {
                    field: "map of a sparse file",
                })?;
                line.clear();
                match wanted {
                    None if number > MAX_REGIONS as u64 => {
                        return Err(Fault::SparseMap("it has too many regions").into());
                    }
                    None => wanted = Some(2 * number as usize),
                    Some(_) => numbers.push(number),
                }
            }
            if line.len() > 20 {
                return Err(Fault::Number {
                    field: "map of a sparse file",
                }
                .into());
            }
        }
        Ok(numbers)
    }

    fn skip(&mut self, count: u64) -> Result<(), ArchiveError> {
        let mut left = count;
        while left > 0 {
            let step = left.min(self.available()? as u64);
            if step == 0 {
                return Err(self.truncated());
            }
            self.advance(step)?;
            self.input.consume(step as usize);
            left -= step;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.advance(buffer.len() as u64)?;
        self.input
            .read_exact(buffer)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => self.truncated(),
                _ => self.read_error(source),
            })
    }

    /// Counts bytes that are about to be read: what makes a decompression bomb stop.
    fn advance(&mut self, count: u64) -> Result<(), ArchiveError> {
        self.offset = self.offset.saturating_add(count);
        if self.offset > self.limit {
            Err(ArchiveError::Long { limit: self.limit })
        } else {
            Ok(())
        }
    }

    /// Bytes that can be read without waiting; 0 at the end of the file.
    fn available(&mut self) -> Result<usize, ArchiveError> {
        match self.input.fill_buf() {
            Ok(available) => Ok(available.len()),
            Err(source) => Err(self.read_error(source)),
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

    fn read_error(&self, source: io::Error) -> ArchiveError {
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
    /// Whether there is one that needs a member.
    any: bool,
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

impl Kind {
    fn what(self) -> &'static str {
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

/// Adds the regions of a header or block; unused slots are empty.
fn push_slots(regions: &mut Vec<Region>, slots: &[SparseSlot]) -> Result<(), Fault> {
    for slot in slots
        .iter()
        .take_while(|slot| slot.offset[0] != 0 || slot.length[0] != 0)
    {
        regions.push(Region {
            offset: integer(&slot.offset, "map of a sparse file")?,
            length: integer(&slot.length, "map of a sparse file")?,
        });
    }
    if regions.len() > MAX_REGIONS {
        Err(Fault::SparseMap("it has too many regions"))
    } else {
        Ok(())
    }
}

/// Accepts regions in order, disjoint, within `size`, that have `data` bytes together.
fn check_regions(size: u64, regions: &[Region], data: u64) -> Result<(), Fault> {
    let (mut covered, mut total) = (0, 0);
    for region in regions {
        let end = region.offset.checked_add(region.length);
        match end {
            Some(end) if region.offset >= covered && end <= size => covered = end,
            _ => {
                return Err(Fault::SparseMap(
                    "its regions overlap or lie behind the end of the file",
                ));
            }
        }
        total += region.length;
    }
    if total != data {
        return Err(Fault::SparseMap("its regions have not as many bytes as the data"));
    }
    Ok(())
}
