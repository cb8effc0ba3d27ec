//! A partition as both kinds of table take it, what keeps a list of them from being written, and tables as they are read.

pub mod gpt;
pub mod mbr;

use std::{fmt, io};

use thiserror::Error;
use uuid::Uuid;

use crate::source::ReadAt;
use crate::units::Sectors;

/// One entry of a partition table. Its number is its place in the list, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Where it lies; at least one sector.
    pub sectors: Sectors,
    /// What the partition holds.
    pub kind: PartitionKind,
    /// Whether firmware looks for a boot loader's files here: MBR's active flag, GPT's legacy-boot attribute.
    pub active: bool,
    /// Name, at most 36 UTF-16 units. An MBR has no place for it.
    pub label: String,
    /// The partition's own identity. An MBR has no place for it: there it is the disk signature and the number.
    pub guid: Uuid,
}

/// What a partition holds, as its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// A FAT16 boot file system. MBR: 0x0e; GPT: extended boot loader partition (Boot Loader Specification).
    BootFat16,
    /// A FAT32 boot file system. MBR: 0x0c; GPT: as [`PartitionKind::BootFat16`].
    BootFat32,
    /// A Linux file system. MBR: 0x83; GPT: Linux file system data.
    Linux,
}

/// A list of partitions that the table cannot hold. Partitions are numbered from 1.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TableError {
    /// More partitions than entries.
    #[error("{count} partitions do not fit in {table} of {limit} entries")]
    TooMany {
        /// Partitions in the list.
        count: usize,
        /// The kind of table.
        table: &'static str,
        /// Entries of the table.
        limit: usize,
    },
    /// A partition without sectors.
    #[error("partition {number} has no sectors")]
    Empty {
        /// The partition.
        number: usize,
    },
    /// A partition reaches into the table or behind the last sector that partitions may use.
    #[error("partition {number} ({sectors}) is not within {usable}, which {table} has for partitions here")]
    Outside {
        /// The partition.
        number: usize,
        /// Where it lies.
        sectors: Sectors,
        /// What partitions may use.
        usable: Sectors,
        /// The kind of table.
        table: &'static str,
    },
    /// Two partitions share sectors.
    #[error("partitions {} ({}) and {} ({}) overlap", first.0, first.1, second.0, second.1)]
    Overlap {
        /// The lower partition and where it lies.
        first: (usize, Sectors),
        /// The upper partition and where it lies.
        second: (usize, Sectors),
    },
    /// A label that a GPT entry has no room for.
    #[error("label {label:?} of partition {number} has {units} UTF-16 units; GPT holds 36")]
    LabelTooLong {
        /// The partition.
        number: usize,
        /// Its label.
        label: String,
        /// UTF-16 units in the label.
        units: usize,
    },
    /// Two partitions of a GPT carry one GUID, or one is all zeros.
    #[error("GUID {guid} of partition {number} is zero or another partition's")]
    Guid {
        /// The partition.
        number: usize,
        /// Its GUID.
        guid: Uuid,
    },
    /// The disk is smaller than the table itself.
    #[error("a disk of {disk} sectors is too small for {table}, which takes {needed} itself")]
    DiskTooSmall {
        /// Sectors of the disk.
        disk: u64,
        /// The kind of table.
        table: &'static str,
        /// Sectors that the table takes.
        needed: u64,
    },
    /// The crate that encodes the table refused it.
    #[error("{table} was not encoded: {message}")]
    Encode {
        /// The kind of table.
        table: &'static str,
        /// What the crate says.
        message: String,
    },
}

/// A partition table that was read, ours or another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// Which kind it is, and which disk's.
    pub id: TableId,
    /// The entries in use, by number.
    pub partitions: Vec<FoundPartition>,
}

/// The identity of a disk, which says what kind of table it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableId {
    /// An MBR's signature.
    Mbr(u32),
    /// A GPT's GUID.
    Gpt(Uuid),
}

/// An entry of a partition table that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPartition {
    /// Its number, from 1.
    pub number: usize,
    /// Where it lies. Nothing says that the disk goes that far.
    pub sectors: Sectors,
    /// What it holds, as its type says.
    pub kind: FoundKind,
    /// See [`Partition::active`].
    pub active: bool,
    /// Its name; an MBR has none.
    pub label: String,
    /// What Linux calls it: `PARTUUID=`.
    pub part_uuid: String,
}

/// The type of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// Of an MBR.
    Mbr(u8),
    /// Of a GPT.
    Gpt(Uuid),
}

/// What the type of a partition promises to be on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A FAT.
    Fat,
    /// A file system of Linux, whichever.
    Linux,
}

impl FoundKind {
    /// What a partition of this type has to hold; `None` where it need not be a file system.
    pub fn promise(self) -> Option<Promise> {
        match self {
            // Of 12 bits, of 16 bits below and above 32 MiB, of 32 bits; the last two by LBA.
            Self::Mbr(0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e) => Some(Promise::Fat),
            Self::Mbr(0x83) => Some(Promise::Linux),
            Self::Mbr(_) => None,
            Self::Gpt(guid) => gpt::promise(guid),
        }
    }
}

/// Why a partition table cannot be read.
#[derive(Debug, Error)]
pub enum ReadTableError {
    /// The bytes themselves cannot be had.
    #[error("cannot read sector {sector}: {source}")]
    Io {
        /// Which.
        sector: u64,
        /// What failed.
        source: io::Error,
    },
    /// A GPT that is damaged, or not as any program writes it.
    #[error("the GPT at sector {sector} {reason}")]
    Gpt {
        /// Where its header is.
        sector: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr(signature) => write!(f, "{signature:08x}"),
            Self::Gpt(guid) => write!(f, "{guid}"),
        }
    }
}

impl fmt::Display for FoundKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr(kind) => write!(f, "{kind:#04x}"),
            Self::Gpt(guid) => write!(f, "{guid}"),
        }
    }
}

/// The partition table of `disk`; `None` where there is none, as on a bare volume.
pub fn read(disk: &dyn ReadAt) -> Result<Option<FoundTable>, ReadTableError> {
    match mbr::read(disk)? {
        Some(table) if table.partitions.iter().any(|entry| entry.kind == mbr::PROTECTIVE) => {
            gpt::read(disk).map(Some)
        }
        Some(table) if table.partitions.is_empty() => Ok(None),
        table => Ok(table),
    }
}

/// What a kind of table can take on a disk.
pub(crate) struct Limits {
    /// The kind of table, for errors.
    pub(crate) table: &'static str,
    /// Most partitions it holds.
    pub(crate) entries: usize,
    /// What partitions may use.
    pub(crate) usable: Sectors,
}

impl Limits {
    /// Refuses partitions that are too many, empty, outside, or overlap. Their order is free.
    pub(crate) fn check(&self, partitions: &[Partition]) -> Result<(), TableError> {
        if partitions.len() > self.entries {
            return Err(TableError::TooMany {
                count: partitions.len(),
                table: self.table,
                limit: self.entries,
            });
        }
        let mut order: Vec<_> = (1..)
            .zip(partitions.iter().map(|partition| partition.sectors))
            .collect();
        for &(number, sectors) in &order {
            if sectors.count == 0 {
                return Err(TableError::Empty { number });
            }
            if !sectors.is_within(self.usable) {
                return Err(TableError::Outside {
                    number,
                    sectors,
                    usable: self.usable,
                    table: self.table,
                });
            }
        }
        order.sort_by_key(|(_, sectors)| sectors.first);
        match order.windows(2).find(|pair| pair[0].1.overlaps(pair[1].1)) {
            Some(pair) => Err(TableError::Overlap {
                first: pair[0],
                second: pair[1],
            }),
            None => Ok(()),
        }
    }
}
