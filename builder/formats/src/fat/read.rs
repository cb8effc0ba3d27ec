//! Reading a volume, ours or another's, without mounting it. Nothing that is read is trusted: chains end, directories
//! come once, names are names.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::ops::Range;

use thiserror::Error;
use zerocopy::FromBytes;

use super::FatType;
use super::disk::{BACKUP_SECTOR, Boot, LongEntry, ShortEntry, parse_boot_sector};
use super::geometry::{ENTRY, FIRST_CLUSTER};
use crate::source::ReadAt;
use crate::units::{Bytes, SECTOR};

/// Largest directory in bytes (the specification's limit).
const MAX_DIRECTORY: u64 = 65_536 * ENTRY;

/// Most directories above a file.
const MAX_DEPTH: usize = 64;

/// Most bytes of a file that come at once.
const MAX_PART: u64 = 256 * 1024;

/// Bytes of a table that are kept.
const TABLE_PAGE: u64 = 4096;

/// Why a volume cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The bytes themselves cannot be had.
    #[error("cannot read {length} bytes at byte {offset} of the FAT volume: {source}")]
    Io {
        /// Where in the volume.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// What failed.
        source: io::Error,
    },
    /// There is no boot sector to start from.
    #[error("the boot sector is none of a FAT volume: {0}")]
    Boot(&'static str),
    /// A chain of clusters does not lead through what it belongs to.
    #[error("the chain of {path:?} {reason} at cluster {cluster}")]
    Chain {
        /// The file or directory.
        path: String,
        /// What is wrong.
        reason: &'static str,
        /// Where.
        cluster: u32,
    },
    /// A directory that cannot be one.
    #[error("directory {path:?} {reason}")]
    Directory {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What the boot sector says of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Width of the table's entries.
    pub fat_type: FatType,
    /// Its label; empty where it has none.
    pub label: String,
    /// Volume serial number.
    pub volume_id: u32,
    /// Its size.
    pub size: Bytes,
    /// Bytes per cluster.
    pub cluster: Bytes,
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, components joined by `/`.
    pub path: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of a file; 0 for a directory.
    pub length: u64,
    first_cluster: u32,
}

/// A volume that is read.
pub struct Reader<'s> {
    source: &'s dyn ReadAt,
    boot: Boot,
    /// A piece of the first table, and where it starts.
    page: RefCell<(u64, Vec<u8>)>,
}

impl<'s> Reader<'s> {
    /// Opens the volume that `source` is.
    pub fn open(source: &'s dyn ReadAt) -> Result<Self, ReadError> {
        let mut sector = [0; SECTOR as usize];
        read(source, &mut sector, 0)?;
        let boot = parse_boot_sector(&sector, source.size()).map_err(ReadError::Boot)?;
        Ok(Self {
            source,
            boot,
            page: RefCell::default(),
        })
    }

    /// What the boot sector says.
    pub fn summary(&self) -> Summary {
        let geometry = &self.boot.geometry;
        Summary {
            fat_type: geometry.fat_type,
            label: String::from_utf8_lossy(&self.boot.label).trim_end().to_owned(),
            volume_id: self.boot.volume_id,
            size: Bytes(geometry.sectors * SECTOR),
            cluster: Bytes(geometry.cluster()),
        }
    }

    /// Whether both tables say the same.
    pub fn tables_agree(&self) -> Result<bool, ReadError> {
        let geometry = &self.boot.geometry;
        let length = geometry.table * SECTOR;
        let first = geometry.reserved * SECTOR;
        for start in (0..length)
            .step_by(TABLE_PAGE as usize)
            .filter(|_| self.boot.tables > 1)
        {
            let step = TABLE_PAGE.min(length - start) as usize;
            let (mut one, mut other) = (vec![0; step], vec![0; step]);
            read(self.source, &mut one, first + start)?;
            read(self.source, &mut other, first + length + start)?;
            if one != other {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All files and directories: a directory before what is in it, names in order.
    pub fn walk(&self) -> Result<Vec<Entry>, ReadError> {
        let mut found = Vec::new();
        // Clusters of directories: each belongs to one, or a walk would not end.
        let mut seen = HashSet::new();
        let mut clusters = 0;
        let root = Entry {
            path: String::new(),
            is_directory: true,
            length: 0,
            first_cluster: self.boot.root_cluster,
        };
        let mut open = vec![(root, 0)];
        while let Some((entry, depth)) = open.pop() {
            if entry.is_directory {
                let wrong = |reason| ReadError::Directory {
                    path: entry.path.clone(),
                    reason,
                };
                if depth > MAX_DEPTH {
                    return Err(wrong("lies deeper than any path"));
                }
                let mut below = self.directory(&entry, &mut seen)?;
                below.sort_by(|one, other| other.path.cmp(&one.path));
                let geometry = &self.boot.geometry;
                clusters += below
                    .iter()
                    .map(|child| geometry.clusters_for(child.length))
                    .sum::<u64>();
                if clusters > geometry.clusters {
                    return Err(wrong("has files that are longer than the volume"));
                }
                open.extend(below.into_iter().map(|child| (child, depth + 1)));
            }
            if depth > 0 {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// The file or directory at `path`; FAT does not tell cases apart.
    pub fn find(&self, path: &str) -> Result<Option<Entry>, ReadError> {
        let path = path.trim_matches('/').to_lowercase();
        let entries = self.walk()?;
        Ok(entries
            .into_iter()
            .find(|entry| entry.path.to_lowercase() == path))
    }

    /// The bytes of a file in runs, none of them empty.
    pub fn parts<'r>(&'r self, entry: &Entry) -> Parts<'r, 's> {
        Parts {
            reader: self,
            path: entry.path.clone(),
            next: entry.first_cluster,
            left: if entry.is_directory { 0 } else { entry.length },
        }
    }

    /// Bytes of the volume that hold a file's, in order.
    pub fn places(&self, entry: &Entry) -> Result<Vec<Range<u64>>, ReadError> {
        let mut parts = self.parts(entry);
        let mut places = Vec::new();
        while let Some(place) = parts.next_place()? {
            places.push(place);
        }
        Ok(places)
    }

    /// Sectors of the volume that hold the boot sector and its copy.
    pub fn boot_sectors(&self) -> impl Iterator<Item = u64> {
        let copy = (self.boot.geometry.fat_type == FatType::Fat32).then_some(BACKUP_SECTOR);
        std::iter::once(0).chain(copy)
    }

    /// What is in a directory.
    fn directory(&self, directory: &Entry, seen: &mut HashSet<u32>) -> Result<Vec<Entry>, ReadError> {
        let geometry = &self.boot.geometry;
        let wrong = |reason| ReadError::Directory {
            path: directory.path.clone(),
            reason,
        };
        let mut bytes = Vec::new();
        if directory.first_cluster == 0 && geometry.root_entries > 0 && directory.path.is_empty() {
            bytes.resize((geometry.root_entries * ENTRY) as usize, 0);
            let tables = self.boot.tables * geometry.table;
            read(self.source, &mut bytes, (geometry.reserved + tables) * SECTOR)?;
        } else {
            let mut cluster = Some(directory.first_cluster);
            while let Some(number) = cluster {
                if !seen.insert(number) {
                    return Err(wrong("shares clusters with another, or with itself"));
                }
                if bytes.len() as u64 + geometry.cluster() > MAX_DIRECTORY {
                    return Err(wrong("is longer than any can be"));
                }
                let start = bytes.len();
                let offset = self.offset_of(&directory.path, number)?;
                bytes.resize(start + geometry.cluster() as usize, 0);
                read(self.source, &mut bytes[start..], offset)?;
                cluster = self.next(&directory.path, number)?;
            }
        }
        entries(&directory.path, &bytes)
    }

    fn offset_of(&self, path: &str, cluster: u32) -> Result<u64, ReadError> {
        let behind = self.boot.geometry.clusters + u64::from(FIRST_CLUSTER);
        if cluster < FIRST_CLUSTER || u64::from(cluster) >= behind {
            return Err(ReadError::Chain {
                path: path.to_owned(),
                reason: "leaves the volume",
                cluster,
            });
        }
        Ok(self.boot.geometry.offset_of(cluster))
    }

    /// The cluster behind `cluster`, which is one of the volume; `None` behind the last.
    fn next(&self, path: &str, cluster: u32) -> Result<Option<u32>, ReadError> {
        let geometry = &self.boot.geometry;
        let (width, end) = match geometry.fat_type {
            FatType::Fat16 => (2, 0xfff8),
            FatType::Fat32 => (4, 0x0fff_fff8),
        };
        let offset = u64::from(cluster) * width;
        let start = offset - offset % TABLE_PAGE;
        let mut page = self.page.borrow_mut();
        if page.1.is_empty() || page.0 != start {
            let length = TABLE_PAGE.min(geometry.table * SECTOR - start);
            let mut bytes = vec![0; length as usize];
            read(self.source, &mut bytes, geometry.reserved * SECTOR + start)?;
            *page = (start, bytes);
        }
        // The table was found to be long enough for all clusters.
        let entry = &page.1[(offset - start) as usize..][..width as usize];
        let next = match *entry {
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) & 0x0fff_ffff,
            _ => 0,
        };
        if next >= end {
            return Ok(None);
        }
        self.offset_of(path, next)?;
        Ok(Some(next))
    }
}

/// The bytes of a file, as [`Reader::parts`] gives them. Ends for good after an error.
pub struct Parts<'r, 's> {
    reader: &'r Reader<'s>,
    path: String,
    next: u32,
    left: u64,
}

impl Parts<'_, '_> {
    /// Where the next bytes of the file are: at most [`MAX_PART`] or one cluster of them.
    fn next_place(&mut self) -> Result<Option<Range<u64>>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        let reader = self.reader;
        let cluster_bytes = reader.boot.geometry.cluster();
        let first = self.next;
        let offset = reader.offset_of(&self.path, first)?;
        // Neighbouring clusters at once.
        let mut last = first;
        let mut length = cluster_bytes;
        while length < self.left {
            let next = reader.next(&self.path, last)?.ok_or_else(|| ReadError::Chain {
                path: self.path.clone(),
                reason: "ends before the file",
                cluster: last,
            })?;
            self.next = next;
            if next != last + 1 || length + cluster_bytes > MAX_PART {
                break;
            }
            last = next;
            length += cluster_bytes;
        }
        let length = length.min(self.left);
        self.left -= length;
        Ok(Some(offset..offset + length))
    }

    fn advance(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(place) = self.next_place()? else {
            return Ok(None);
        };
        let mut bytes = vec![0; (place.end - place.start) as usize];
        read(self.reader.source, &mut bytes, place.start)?;
        Ok(Some(bytes))
    }
}

impl Iterator for Parts<'_, '_> {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.advance();
        if part.is_err() {
            self.left = 0;
        }
        part.transpose()
    }
}

fn read(source: &dyn ReadAt, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    let length = buffer.len() as u64;
    source
        .read_exact_at(buffer, offset)
        .map_err(|source| ReadError::Io {
            offset,
            length,
            source,
        })
}

/// The entries in the bytes of a directory, but for `.`, `..`, labels and what was deleted.
fn entries(directory: &str, bytes: &[u8]) -> Result<Vec<Entry>, ReadError> {
    let mut found = Vec::new();
    let mut long = LongName::default();
    for record in bytes.chunks_exact(ENTRY as usize) {
        match record[0] {
            0 => break,
            0xe5 => {
                long = LongName::default();
                continue;
            }
            _ => {}
        }
        let Ok(short) = ShortEntry::ref_from_bytes(record) else {
            break;
        };
        if short.attributes & 0x3f == LongEntry::ATTRIBUTES {
            if let Ok(part) = LongEntry::ref_from_bytes(record) {
                long.add(part);
            }
            continue;
        }
        let name = std::mem::take(&mut long)
            .of(short)
            .unwrap_or_else(|| short_name(short));
        if short.attributes & ShortEntry::LABEL != 0 || name == "." || name == ".." {
            continue;
        }
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(ReadError::Directory {
                path: directory.to_owned(),
                reason: "has a name that none can have",
            });
        }
        let path = match directory {
            "" => name,
            directory => format!("{directory}/{name}"),
        };
        found.push(Entry {
            path,
            is_directory: short.attributes & ShortEntry::DIRECTORY != 0,
            length: if short.attributes & ShortEntry::DIRECTORY == 0 {
                short.size.get().into()
            } else {
                0
            },
            first_cluster: u32::from(short.cluster_high.get()) << 16 | u32::from(short.cluster_low.get()),
        });
    }
    Ok(found)
}

/// The parts of a long name, last first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    /// Number of the part that came last; 1 when all are there.
    number: u8,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, part: &LongEntry) {
        let number = part.number & 0x1f;
        let is_last = part.number & LongEntry::LAST != 0;
        let follows = !is_last && number + 1 == self.number && part.checksum == self.checksum;
        if number == 0 || !(is_last || follows) {
            *self = Self::default();
            return;
        }
        let units = part.units_1.iter().chain(&part.units_2).chain(&part.units_3);
        let mut units: Vec<u16> = units.map(|unit| unit.get()).collect();
        if !is_last {
            units.append(&mut self.units);
        }
        *self = Self {
            units,
            number,
            checksum: part.checksum,
        };
    }

    /// The name, if it is whole and belongs to `short`.
    fn of(self, short: &ShortEntry) -> Option<String> {
        let is_whole = self.number == 1 && self.checksum == ShortEntry::checksum(&short.name);
        let end = self.units.iter().position(|unit| *unit == 0);
        let units = &self.units[..end.unwrap_or(self.units.len())];
        is_whole.then(|| String::from_utf16_lossy(units))
    }
}

/// A name of 8 + 3 characters as it is shown.
fn short_name(entry: &ShortEntry) -> String {
    let mut name = entry.name;
    // A first byte of 0xe5 would mark a deleted entry.
    if name[0] == 0x05 {
        name[0] = 0xe5;
    }
    let (base, extension) = name.split_at_mut(8);
    if entry.case & ShortEntry::LOWER_BASE != 0 {
        base.make_ascii_lowercase();
    }
    if entry.case & ShortEntry::LOWER_EXTENSION != 0 {
        extension.make_ascii_lowercase();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match (text(base), text(extension)) {
        (base, extension) if extension.is_empty() => base,
        (base, extension) => format!("{base}.{extension}"),
    }
}
