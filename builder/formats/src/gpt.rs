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

use crate::mbr::SIGNATURE_OFFSET;
use crate::partition::{Limits, Partition, PartitionKind, TableError};
use crate::scratch::ScratchDisk;
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
