//! What boot loaders there are, on a card's image or in a file of any origin. Everything is read by where the format has
//! it, so that damage of one part does not hide the others.

mod packaging;

use std::fmt;
use std::io;
use std::ops::{Range, RangeInclusive};

use uuid::Uuid;
use zerocopy::FromBytes;

use super::Loader;
use super::entry::{self, PAYLOAD_UNIT};
use super::error::Fault;
use super::header::{AmlHeader, HEADER_SIZE};
use super::load;
use super::toc::{FIRST_SLOT, NAME, SERIAL, SLOT, TocHeader, TocRecord};
use crate::source::ReadAt;

pub use packaging::Packaging;

/// Most bytes of a package that are read: entries together are far smaller.
const MOST: u64 = 64 << 20;

/// What was found.
#[derive(Debug, Clone)]
pub struct FoundFirmware {
    /// How it lies there.
    pub packaging: Packaging,
    /// Its parts, in order.
    pub parts: Vec<FoundPart>,
}

/// Whose a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartName {
    /// A first stage that its vendor signed for a card that has a partition table.
    Bl1,
    /// Any other first stage.
    Bl2,
    /// The table of contents.
    Table,
    /// An entry.
    Loader(Loader),
    /// An entry for nothing that is known.
    Unknown(Uuid),
}

/// A part.
#[derive(Debug, Clone)]
pub struct FoundPart {
    /// Whose it is.
    pub name: PartName,
    /// Where it lies, in bytes; of an entry, the signature too.
    pub range: Range<u64>,
    /// What it was made of: BL1 as its file has it, the payload of an entry with the zeros that fill it up; of anything
    /// else, its bytes.
    pub content: Vec<u8>,
    /// What is wrong with it; nothing where its signature and everything else is right.
    pub faults: Vec<Fault>,
}

/// The boot loaders in `source`; `None` where there are none.
pub fn read(source: &dyn ReadAt) -> io::Result<Option<FoundFirmware>> {
    let Some(packaging) = Packaging::find(source)? else {
        return Ok(None);
    };
    let start = packaging.package();
    let mut parts: Vec<_> = packaging.first_stage(source)?.into_iter().collect();
    // A first stage may be there alone.
    if source.size() > start {
        PackageReader {
            source,
            start,
            left: MOST,
            tries: MOST,
            table: Vec::new(),
            entries: Vec::new(),
        }
        .read(&mut parts)?;
    }
    Ok(Some(FoundFirmware { packaging, parts }))
}

/// The bytes from `start` on, `length` of them or as many as there are.
pub(super) fn prefix(source: &dyn ReadAt, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = length.min(source.size().saturating_sub(start));
    let mut bytes = vec![0; length as usize];
    if length > 0 {
        source.read_exact_at(&mut bytes, start)?;
    }
    Ok(bytes)
}

/// The first byte of `bytes[range]` that is not zero. `range` is cut to what there is.
pub(super) fn not_zero(bytes: &[u8], range: Range<usize>) -> Option<Fault> {
    let end = range.end.min(bytes.len());
    let start = range.start.min(end);
    let at = (start..end).find(|at| bytes[*at] != 0)?;
    Some(Fault::NotZero {
        at: at as u64,
        start: start as u64,
        end: end as u64,
    })
}

/// The fault of a part that the image ends in.
pub(super) fn short(content: &[u8], expected: usize) -> Vec<Fault> {
    let is_short = content.len() < expected;
    let fault = Fault::Beyond {
        end: expected as u64,
        size: content.len() as u64,
    };
    is_short.then_some(fault).into_iter().collect()
}

/// Reads a package record by record.
struct PackageReader<'a> {
    source: &'a dyn ReadAt,
    /// Where the package starts.
    start: u64,
    /// Bytes of entries that may still be read.
    left: u64,
    /// Bytes that may still be read to try what a header says: a table may name one header many times.
    tries: u64,
    /// What is wrong with the table.
    table: Vec<Fault>,
    entries: Vec<FoundPart>,
}

impl PackageReader<'_> {
    fn read(mut self, parts: &mut Vec<FoundPart>) -> io::Result<()> {
        let table = prefix(self.source, self.start, FIRST_SLOT)?;
        self.table = short(&table, SLOT);
        let is_blank = table.iter().all(|byte| *byte == 0);
        let used = match TocHeader::ref_from_prefix(&table) {
            Ok((header, records)) => {
                self.header(header);
                // Where there is no table at all, that is all there is to say.
                match is_blank {
                    true => table.len(),
                    false => table.len() - records.len() + self.records(records)?,
                }
            }
            // Too short for anything, which is said already.
            Err(_) => table.len(),
        };
        let (load, fault) = load::find(&table);
        self.table.extend(fault);
        let mut at = used;
        for known in load {
            self.table.extend(not_zero(&table, at..known.start));
            at = known.end.max(at);
        }
        self.table.extend(not_zero(&table, at..table.len()));
        parts.push(FoundPart {
            name: PartName::Table,
            range: self.start..self.start + table.len() as u64,
            content: table,
            faults: self.table,
        });
        parts.append(&mut self.entries);
        Ok(())
    }

    fn header(&mut self, header: &TocHeader) {
        let fields = [
            ("magic number", u64::from(header.name.get()), u64::from(NAME)),
            ("serial number", header.serial.get().into(), SERIAL.into()),
            ("flag field", header.flags.get(), 0),
        ];
        for (field, found, expected) in fields {
            if found != expected {
                self.table.push(Fault::TableHeader {
                    field,
                    found,
                    expected,
                });
            }
        }
    }

    /// Reads records and their entries up to the last one; returns how many bytes of `records` that were.
    fn records(&mut self, records: &[u8]) -> io::Result<usize> {
        let mut expected = FIRST_SLOT;
        let mut used = 0;
        let mut seen: Vec<Loader> = Vec::new();
        let mut has_end = false;
        for (number, bytes) in records.chunks_exact(size_of::<TocRecord>()).enumerate() {
            let Ok(record) = TocRecord::read_from_bytes(bytes) else {
                break;
            };
            used += bytes.len();
            let uuid = Uuid::from_bytes_le(record.uuid);
            if record.flags.get() != 0 {
                self.table.push(Fault::Flags {
                    number,
                    flags: record.flags.get(),
                });
            }
            if uuid.is_nil() {
                self.end(number, &record, expected);
                has_end = true;
                break;
            }
            let name = match Loader::from_uuid(uuid) {
                Some(loader) => {
                    if seen.contains(&loader) {
                        self.table.push(Fault::Twice { number, loader });
                    }
                    seen.push(loader);
                    PartName::Loader(loader)
                }
                None => {
                    self.table.push(Fault::UnknownUuid { number, uuid });
                    PartName::Unknown(uuid)
                }
            };
            expected = self.entry(number, name, &record, expected)?;
        }
        if !has_end {
            self.table.push(Fault::NoEnd);
        }
        let needed = [Loader::Bl30, Loader::Bl31, Loader::Bl33];
        let lacks = needed.into_iter().filter(|loader| !seen.contains(loader));
        self.table.extend(lacks.map(Fault::Lacks));
        Ok(used)
    }

    /// The last record.
    fn end(&mut self, number: usize, record: &TocRecord, expected: u64) {
        if record.offset.get() != expected {
            self.table.push(Fault::Offset {
                number,
                found: record.offset.get(),
                expected,
            });
        }
        if record.size.get() != 0 {
            self.table.push(Fault::Size {
                number,
                found: record.size.get(),
                expected: 0,
            });
        }
    }

    /// Reads the entry of a record, which belongs to the slot `expected`; returns the slot behind it.
    fn entry(&mut self, number: usize, name: PartName, record: &TocRecord, expected: u64) -> io::Result<u64> {
        let listed = record.offset.get();
        let mut offset = listed;
        if listed != expected {
            self.table.push(Fault::Offset {
                number,
                found: listed,
                expected,
            });
            // One of the two is wrong: the entry, or only what the table says of it.
            if self.header_at(expected)?.is_some() {
                offset = expected;
            }
        }
        let mut size = record.size.get();
        if let Some(header) = self.header_at(offset)? {
            let total = header.total_size.get().into();
            if total != size
                && let Some(bytes) = self.bytes(offset, total, self.tries)?
            {
                self.tries -= total;
                if entry::open(&bytes).1.is_ok() {
                    self.table.push(Fault::Size {
                        number,
                        found: size,
                        expected: total,
                    });
                    size = total;
                }
            }
        }
        let start = self.start.saturating_add(offset);
        let range = start..start.saturating_add(size);
        let next = offset
            .checked_add(size)
            .and_then(|end| end.checked_next_multiple_of(FIRST_SLOT))
            .unwrap_or(u64::MAX);
        let (content, faults) = match self.bytes(offset, size, self.left)? {
            Some(bytes) => {
                self.left -= size;
                let (payload, checked) = entry::open(&bytes);
                let mut faults: Vec<_> = checked.err().into_iter().collect();
                if name == PartName::Loader(Loader::Bl31) && load::has_header(&payload) {
                    faults.push(Fault::Bl31Header);
                }
                let gap = prefix(self.source, range.end, next - offset - size)?;
                let behind = not_zero(&gap, 0..gap.len());
                faults.extend(behind.map(|fault| fault.shifted(size)));
                (payload, faults)
            }
            None => {
                let fault = Fault::Beyond {
                    end: range.end,
                    size: self.source.size(),
                };
                (Vec::new(), vec![fault])
            }
        };
        self.entries.push(FoundPart {
            name,
            range,
            content,
            faults,
        });
        Ok(next)
    }

    /// The header at `offset` of the package, if there is one.
    fn header_at(&self, offset: u64) -> io::Result<Option<AmlHeader>> {
        let Some(start) = self.start.checked_add(offset) else {
            return Ok(None);
        };
        let bytes = prefix(self.source, start, HEADER_SIZE as u64)?;
        Ok(AmlHeader::read(&bytes))
    }

    /// All of these bytes of the package; `None` where there are fewer, or more than `most`.
    fn bytes(&self, offset: u64, size: u64, most: u64) -> io::Result<Option<Vec<u8>>> {
        let end = self
            .start
            .checked_add(offset)
            .and_then(|start| start.checked_add(size));
        match end {
            Some(end) if end <= self.source.size() && size <= most => {
                prefix(self.source, end - size, size).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl FoundPart {
    /// How many bytes of the content it may have been made of: an entry ends with up to 15 zeros that were added.
    pub fn lengths(&self) -> RangeInclusive<usize> {
        let length = self.content.len();
        let is_filled = matches!(self.name, PartName::Loader(_) | PartName::Unknown(_));
        let most = if is_filled { PAYLOAD_UNIT - 1 } else { 0 };
        let zeros = self.content.iter().rev().take(most);
        let zeros = zeros.take_while(|byte| **byte == 0).count();
        length - zeros..=length
    }
}

/// What U-Boot says of itself (`U-Boot 2025.01 (Jan 06 2025 - 20:30:45 +0000)`), where `loader` has it.
pub fn u_boot_version(loader: &[u8]) -> Option<String> {
    const START: &[u8] = b"U-Boot 20";
    const LONGEST: usize = 120;
    let at = loader.windows(START.len()).position(|window| window == START)?;
    let text = loader[at..].iter().take(LONGEST);
    let text = text.take_while(|byte| matches!(byte, b' '..=b'~'));
    Some(text.map(|byte| char::from(*byte)).collect())
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bl1 => f.write_str("bl1"),
            Self::Bl2 => f.write_str("bl2"),
            Self::Table => f.write_str("fip table"),
            Self::Loader(loader) => loader.fmt(f),
            Self::Unknown(uuid) => uuid.fmt(f),
        }
    }
}
