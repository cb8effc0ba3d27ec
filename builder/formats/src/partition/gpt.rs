//! UEFI's partition table: a header and 128 entries behind sector 0, a copy of both at the end of the disk, and in
//! sector 0 an MBR that shows the whole disk as taken.
//!
//! ```text
//! sector 0     1        2..34     34 ...                n-33..n-1   n-1
//!        | MBR | header | entries | partitions ....... | entries | header copy |
//! ```
//!
//! The first 440 bytes of sector 0 are left to the boot loader: no piece covers them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use ::gpt::mbr::ProtectiveMBR;
use ::gpt::partition::PartitionAttributes;
use ::gpt::partition_types;
use ::gpt::{GptConfig, GptError};
use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::mbr::{self, SIGNATURE_OFFSET};
use crate::partition::{
    FoundKind, FoundPartition, FoundTable, Limits, Partition, PartitionKind, Promise, ReadTableError,
    TableError, TableId,
};
use crate::scratch::ScratchDisk;
use crate::source::ReadAt;
use crate::sparse::SparseImage;
use crate::units::{Bytes, Lba, SECTOR, Sectors};

/// Entries of the table.
pub const ENTRIES: usize = 128;

/// First sector that partitions may use.
pub const FIRST_USABLE: u64 = 34;

/// Sectors at the end of the disk that hold the copy.
pub const BACKUP_SECTORS: u64 = 33;

/// Name of the table in errors.
const TABLE: &str = "a GPT";

/// Both copies of the table and the protective MBR as pieces of an image of `disk` size.
pub fn lay_out(disk: Bytes, disk_guid: Uuid, partitions: &[Partition]) -> Result<SparseImage, TableError> {
    let sectors = disk.0 / SECTOR;
    if sectors <= FIRST_USABLE + BACKUP_SECTORS {
        return Err(TableError::DiskTooSmall {
            disk: sectors,
            table: TABLE,
            needed: FIRST_USABLE + BACKUP_SECTORS,
        });
    }
    let limits = Limits {
        table: TABLE,
        entries: ENTRIES,
        usable: Sectors {
            first: Lba(FIRST_USABLE),
            count: sectors - FIRST_USABLE - BACKUP_SECTORS,
        },
    };
    limits.check(partitions)?;
    check_names(partitions)?;

    let scratch = write(sectors, disk_guid, partitions).map_err(|error| TableError::Encode {
        table: TABLE,
        message: error.to_string(),
    })?;
    let mut image = scratch.into_image();
    image.size = disk;
    leave_boot_code(&mut image);
    Ok(image)
}

/// Takes the first bytes of sector 0 out of the image: as with an MBR, they belong to the boot loader.
fn leave_boot_code(image: &mut SparseImage) {
    for piece in &mut image.pieces {
        let left = SIGNATURE_OFFSET.saturating_sub(piece.offset);
        piece.offset += left;
        piece.blob_offset += left;
        piece.length -= left;
    }
}

/// Refuses labels that are too long and GUIDs that are not unique.
fn check_names(partitions: &[Partition]) -> Result<(), TableError> {
    let mut seen = BTreeSet::from([Uuid::nil()]);
    for (at, partition) in partitions.iter().enumerate() {
        let units = partition.label.encode_utf16().count();
        if units > 36 {
            return Err(TableError::LabelTooLong {
                number: at + 1,
                label: partition.label.clone(),
                units,
            });
        }
        if !seen.insert(partition.guid) {
            return Err(TableError::Guid {
                number: at + 1,
                guid: partition.guid,
            });
        }
    }
    Ok(())
}

/// Lets the crate write to a disk in memory. Its functions that add a partition draw the GUID at random, so the whole
/// map of partitions is handed over instead.
fn write(sectors: u64, disk_guid: Uuid, partitions: &[Partition]) -> Result<ScratchDisk, GptError> {
    let mut scratch = ScratchDisk::new(Bytes(sectors * SECTOR));
    // The protective entry has 32 bits; a larger disk is shown as the largest number.
    let protective = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    scratch.write_all(&protective.to_bytes())?;

    let entries: BTreeMap<u32, _> = (1..).zip(partitions.iter().map(encode)).collect();
    let mut table = GptConfig::new()
        .writable(true)
        .create_from_device(scratch, Some(disk_guid))?;
    table.update_partitions(entries)?;
    table.write()
}

/// What a partition of the type `guid` has to hold.
pub(crate) fn promise(guid: Uuid) -> Option<Promise> {
    let is = |kind: &partition_types::Type| kind.guid == guid;
    if is(&partition_types::FREEDESK_BOOT) || is(&partition_types::EFI) {
        Some(Promise::Fat)
    } else if is(&partition_types::LINUX_FS) {
        Some(Promise::Linux)
    } else {
        None
    }
}

fn encode(partition: &Partition) -> gpt::partition::Partition {
    gpt::partition::Partition {
        part_type_guid: match partition.kind {
            PartitionKind::BootFat16 | PartitionKind::BootFat32 => partition_types::FREEDESK_BOOT,
            PartitionKind::Linux => partition_types::LINUX_FS,
        },
        part_guid: partition.guid,
        first_lba: partition.sectors.first.0,
        last_lba: partition.sectors.end().0 - 1,
        flags: if partition.active {
            PartitionAttributes::BOOTABLE.bits()
        } else {
            0
        },
        name: partition.label.clone(),
    }
}

/// What a table opens with, 92 bytes (UEFI 2.10, 5.3.2).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 8],
    revision: U32,
    /// Bytes of the header.
    size: U32,
    /// CRC-32 of the header with zeros here.
    checksum: U32,
    reserved: U32,
    /// The sector of this header.
    sector: U64,
    /// The sector of the other one.
    other: U64,
    first_usable: U64,
    last_usable: U64,
    guid: [u8; 16],
    /// First sector of the entries.
    entries: U64,
    /// How many entries.
    count: U32,
    /// Bytes of an entry.
    entry_size: U32,
    /// CRC-32 of the entries.
    entries_checksum: U32,
}
const _: () = assert!(size_of::<Header>() == 92);

/// A partition, 128 bytes (UEFI 2.10, 5.3.3).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    /// Zeros: not in use.
    kind: [u8; 16],
    guid: [u8; 16],
    first: U64,
    last: U64,
    attributes: U64,
    name: [U16; 36],
}
const _: () = assert!(size_of::<Entry>() == 128);

/// The table of `disk`: the first one, or its copy at the end of the disk where the first one is damaged.
pub fn read(disk: &dyn ReadAt) -> Result<FoundTable, ReadTableError> {
    read_at(disk, 1).or_else(|error| {
        let last = (disk.size() / SECTOR).saturating_sub(1);
        read_at(disk, last).map_err(|_| error)
    })
}

/// The table whose header is at `sector`: 1, or the last one of the disk.
pub fn read_at(disk: &dyn ReadAt, sector: u64) -> Result<FoundTable, ReadTableError> {
    let wrong = |reason| ReadTableError::Gpt { sector, reason };
    let mut bytes = [0; SECTOR as usize];
    read_sectors(disk, &mut bytes, sector)?;
    let (header, _) = Header::read_from_prefix(&bytes).map_err(|_| wrong("is too short"))?;
    if header.signature != *b"EFI PART" {
        return Err(wrong("is not there"));
    }
    let size = header.size.get() as usize;
    if !(size_of::<Header>()..=bytes.len()).contains(&size) {
        return Err(wrong("has a header of an impossible length"));
    }
    bytes[16..20].fill(0);
    if crc32(&bytes[..size]) != header.checksum.get() {
        return Err(wrong("has a wrong checksum"));
    }
    if header.sector.get() != sector {
        return Err(wrong("was made for another sector"));
    }
    if header.entry_size.get() as usize != size_of::<Entry>() || header.count.get() as usize > ENTRIES {
        return Err(wrong("has other than 128 entries of 128 bytes"));
    }
    let mut entries = vec![0; header.count.get() as usize * size_of::<Entry>()];
    read_sectors(disk, &mut entries, header.entries.get())?;
    if crc32(&entries) != header.entries_checksum.get() {
        return Err(wrong("has entries with a wrong checksum"));
    }
    let entries = <[Entry]>::ref_from_bytes(&entries).map_err(|_| wrong("is too short"))?;
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(entries).filter(|(_, entry)| entry.kind != [0; 16]) {
        let (first, last) = (entry.first.get(), entry.last.get());
        let count = last.checked_sub(first).and_then(|count| count.checked_add(1));
        let count = count.ok_or_else(|| wrong("has a partition that ends before it starts"))?;
        let name: Vec<u16> = entry.name.iter().map(|unit| unit.get()).collect();
        let name = name.split(|unit| *unit == 0).next().unwrap_or_default();
        partitions.push(FoundPartition {
            number,
            sectors: Sectors {
                first: Lba(first),
                count,
            },
            kind: FoundKind::Gpt(Uuid::from_bytes_le(entry.kind)),
            active: entry.attributes.get() & PartitionAttributes::BOOTABLE.bits() != 0,
            label: String::from_utf16_lossy(name),
            part_uuid: Uuid::from_bytes_le(entry.guid).to_string(),
        });
    }
    Ok(FoundTable {
        id: TableId::Gpt(Uuid::from_bytes_le(header.guid)),
        partitions,
    })
}

/// Moves the table that `head`, the first bytes of a disk, begins with to a disk of `disk` bytes. Returns the copy for the last
/// [`BACKUP_SECTORS`] of it.
pub fn move_to(head: &mut [u8], disk: Bytes) -> Result<Vec<u8>, ReadTableError> {
    const SECTOR_LENGTH: usize = SECTOR as usize;
    let wrong = |reason| ReadTableError::Gpt { sector: 1, reason };
    let table = read_at(&&*head, 1)?;
    let last = (disk.0 / SECTOR).saturating_sub(1);
    let last_usable = last.saturating_sub(BACKUP_SECTORS);
    let ends = table.partitions.iter().map(|entry| entry.sectors.end().0);
    if ends.chain([FIRST_USABLE]).any(|end| end > last_usable + 1) {
        return Err(wrong("has partitions that the disk has no room for"));
    }

    let (_, behind) = head.split_at_mut(SECTOR_LENGTH);
    let (first, _) = behind.split_at_mut(SECTOR_LENGTH);
    let (mut header, _) = Header::read_from_prefix(first).map_err(|_| wrong("is too short"))?;
    header.other = last.into();
    header.last_usable = last_usable.into();
    seal(&mut header, first);

    // Both were within `head` when it was read.
    let entries = header.entries.get() as usize * SECTOR_LENGTH;
    let length = header.count.get() as usize * size_of::<Entry>();
    let mut copy = head[entries..entries + length].to_vec();
    copy.resize((BACKUP_SECTORS as usize - 1) * SECTOR_LENGTH, 0);
    let mut sector = head[SECTOR_LENGTH..2 * SECTOR_LENGTH].to_vec();
    header.sector = last.into();
    header.other = 1.into();
    header.entries = (last_usable + 1).into();
    seal(&mut header, &mut sector);
    copy.append(&mut sector);
    mbr::resize_protective(&mut head[..SECTOR_LENGTH], last);
    Ok(copy)
}

/// Puts `header` into its sector, with its checksum.
fn seal(header: &mut Header, sector: &mut [u8]) {
    header.checksum = 0.into();
    sector[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    // At most a sector, as it was read.
    header.checksum = crc32(&sector[..header.size.get() as usize]).into();
    sector[..size_of::<Header>()].copy_from_slice(header.as_bytes());
}

fn read_sectors(disk: &dyn ReadAt, buffer: &mut [u8], sector: u64) -> Result<(), ReadTableError> {
    let offset = sector.saturating_mul(SECTOR);
    disk.read_exact_at(buffer, offset)
        .map_err(|source| ReadTableError::Io { sector, source })
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
