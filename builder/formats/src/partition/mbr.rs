//! The PC's partition table: four entries at the end of sector 0.
//!
//! ```text
//! byte 0    440                 446                                  510
//!      |    | disk signature, 0 | 4 entries of 16 bytes              | 55 AA |
//!      '-- left to the boot loader: no piece covers it
//! ```
//!
//! The ODROID-C2's ROM takes its first-stage loader from around the table, so the code area is never written here.

use std::io::Cursor;

use mbrman::{BOOT_ACTIVE, BOOT_INACTIVE, CHS, MBRHeader, MBRPartitionEntry};

use crate::partition::{
    FoundKind, FoundPartition, FoundTable, Limits, Partition, PartitionKind, ReadTableError, TableError,
    TableId,
};
use crate::source::ReadAt;
use crate::sparse::SparseImage;
use crate::units::{Bytes, Lba, SECTOR, Sectors};

/// First byte of the disk signature; everything before belongs to the boot loader.
pub const SIGNATURE_OFFSET: u64 = 440;

/// Entries of the table.
pub const ENTRIES: usize = 4;

/// Where the first of them is.
const FIRST_ENTRY: usize = 446;

/// Bytes of an entry.
const ENTRY: usize = 16;

/// Sectors that starts and lengths of 32 bits can name: 2 TiB, however large the disk.
pub const MAX_SECTORS: u64 = 1 << 32;

/// Type of the protective entry of a GPT.
pub const PROTECTIVE: FoundKind = FoundKind::Mbr(0xee);

/// Name of the table in errors.
const TABLE: &str = "an MBR";

/// A table as the piece of sector 0 behind the boot loader's bytes, in an image of `disk` size.
///
/// `signature` is what `PARTUUID=` of Linux begins with: `<signature as 8 hex digits>-<number as 2>`.
pub fn lay_out(disk: Bytes, signature: u32, partitions: &[Partition]) -> Result<SparseImage, TableError> {
    let sectors = disk.0 / SECTOR;
    let Some(behind_table) = sectors.checked_sub(1) else {
        return Err(TableError::DiskTooSmall {
            disk: sectors,
            table: TABLE,
            needed: 1,
        });
    };
    let limits = Limits {
        table: TABLE,
        entries: ENTRIES,
        usable: Sectors {
            first: Lba(1),
            count: behind_table.min(MAX_SECTORS - 1),
        },
    };
    limits.check(partitions)?;

    let mut header = MBRHeader::new(signature.to_le_bytes());
    for ((_, entry), partition) in header.iter_mut().zip(partitions) {
        *entry = encode(partition)?;
    }
    let mut sector = Cursor::new(Vec::new());
    header
        .write_into(&mut sector)
        .map_err(|error| not_encoded(&error))?;
    let sector = sector.into_inner();

    let mut image = SparseImage::empty(disk);
    image.put(SIGNATURE_OFFSET, sector[SIGNATURE_OFFSET as usize..].to_vec());
    Ok(image)
}

/// `PARTUUID` of partition `number` (from 1), as the Linux kernel spells it.
pub fn part_uuid(signature: u32, number: usize) -> String {
    format!("{signature:08x}-{number:02x}")
}

/// The table in sector 0 of `disk`; `None` where there is none. Partitions inside an extended one are not read.
pub fn read(disk: &dyn ReadAt) -> Result<Option<FoundTable>, ReadTableError> {
    let mut sector = [0; SECTOR as usize];
    if disk.size() < SECTOR {
        return Ok(None);
    }
    disk.read_exact_at(&mut sector, 0)
        .map_err(|source| ReadTableError::Io { sector: 0, source })?;
    let word = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
    let signature = word(SIGNATURE_OFFSET as usize);
    let starts = (0..ENTRIES).map(|number| FIRST_ENTRY + ENTRY * number);
    // Code of a boot sector stands in the same place; a table has one of two values there.
    let is_table = starts
        .clone()
        .all(|start| matches!(sector[start], BOOT_ACTIVE | BOOT_INACTIVE));
    if sector[510..] != [0x55, 0xaa] || !is_table {
        return Ok(None);
    }
    let entry = |(number, start): (usize, usize)| FoundPartition {
        number,
        sectors: Sectors {
            first: Lba(word(start + 8).into()),
            count: word(start + 12).into(),
        },
        kind: FoundKind::Mbr(sector[start + 4]),
        active: sector[start] == BOOT_ACTIVE,
        label: String::new(),
        part_uuid: part_uuid(signature, number),
    };
    let partitions = (1..).zip(starts).map(entry);
    Ok(Some(FoundTable {
        id: TableId::Mbr(signature),
        partitions: partitions
            .filter(|entry| entry.kind != FoundKind::Mbr(0) && entry.sectors.count > 0)
            .collect(),
    }))
}

/// Has the protective entry of a GPT reach to the sector `last`, or as far as it can. `sector` is sector 0.
pub(crate) fn resize_protective(sector: &mut [u8], last: u64) {
    let (entries, _) = sector[FIRST_ENTRY..].as_chunks_mut::<ENTRY>();
    for entry in entries.iter_mut().take(ENTRIES) {
        if FoundKind::Mbr(entry[4]) == PROTECTIVE {
            let start = u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]);
            let sectors = (last + 1).saturating_sub(start.into());
            entry[12..].copy_from_slice(&u32::try_from(sectors).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
}

/// The entry of a partition that [`Limits::check`] accepted.
fn encode(partition: &Partition) -> Result<MBRPartitionEntry, TableError> {
    let narrow = |sectors: u64| u32::try_from(sectors).map_err(|error| not_encoded(&error));
    let starting_lba = narrow(partition.sectors.first.0)?;
    let sectors = narrow(partition.sectors.count)?;
    Ok(MBRPartitionEntry {
        boot: if partition.active {
            BOOT_ACTIVE
        } else {
            BOOT_INACTIVE
        },
        first_chs: chs(starting_lba),
        sys: match partition.kind {
            PartitionKind::BootFat16 => 0x0e,
            PartitionKind::BootFat32 => 0x0c,
            PartitionKind::Linux => 0x83,
        },
        last_chs: chs(starting_lba + (sectors - 1)),
        starting_lba,
        sectors,
    })
}

/// The address in cylinders of 255 heads and 63 sectors, as fdisk writes it; the highest one for sectors behind it.
fn chs(sector: u32) -> CHS {
    CHS::from_lba_exact(sector, 1023, 255, 63).unwrap_or(CHS::new(1023, 254, 63))
}

fn not_encoded(error: &dyn std::error::Error) -> TableError {
    TableError::Encode {
        table: TABLE,
        message: error.to_string(),
    }
}
