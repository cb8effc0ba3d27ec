//! FAT's structures on disk: Microsoft, "FAT32 File System Specification" 1.03, sections 3 to 7.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::FatType;
use super::geometry::{ENTRY, FIRST_CLUSTER, Geometry, TABLES};
use crate::units::SECTOR;

/// Byte 510 of the boot sector.
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Sector of [`FsInfo`]; the copy of the first sectors keeps the distance.
pub(super) const FS_INFO_SECTOR: u64 = 1;

/// Sector of the copy of the boot sector (FAT32).
pub(super) const BACKUP_SECTOR: u64 = 6;

/// What both kinds of boot sector begin with, 36 bytes: section 3.1.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Parameters {
    /// A jump over the parameters. There is no code; some drivers look at the first byte.
    jump: [u8; 3],
    oem_name: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    /// Sectors before the first table.
    reserved_sectors: U16,
    tables: u8,
    /// 0 on FAT32.
    root_entries: U16,
    /// 0 where the number needs 32 bits.
    sectors_16: U16,
    /// 0xf8: a fixed disk. The first table entry repeats it.
    media: u8,
    /// 0 on FAT32.
    sectors_per_table_16: U16,
    /// Geometry for BIOS calls nobody makes.
    sectors_per_track: U16,
    heads: U16,
    /// Sectors before the partition, for the same calls.
    hidden_sectors: U32,
    /// 0 where `sectors_16` is not.
    sectors_32: U32,
}
const _: () = assert!(size_of::<Parameters>() == 36);

/// What only FAT32 has, 28 bytes at 36: section 3.3.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Parameters32 {
    sectors_per_table: U32,
    /// 0: both tables are kept alike.
    flags: U16,
    version: U16,
    root_cluster: U32,
    fs_info_sector: U16,
    backup_sector: U16,
    reserved: [u8; 12],
}
const _: () = assert!(size_of::<Parameters32>() == 28);

/// What both kinds end with, 26 bytes at 36 (FAT16) or 64 (FAT32): sections 3.2 and 3.3.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Identity {
    /// 0x80: first fixed disk.
    drive: u8,
    /// Drivers keep "was not unmounted" here.
    reserved: u8,
    /// 0x29: the three fields that follow are there.
    signature: u8,
    volume_id: U32,
    label: [u8; 11],
    /// For people; drivers count clusters.
    fat_type: [u8; 8],
}
const _: () = assert!(size_of::<Identity>() == 26);

/// Free clusters, so that no driver has to count them: section 5. 512 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FsInfo {
    lead_signature: U32,
    reserved_1: [u8; 480],
    structure_signature: U32,
    free_clusters: U32,
    /// Where to look for a free one first; [`NOT_KNOWN`] where there is none.
    next_free: U32,
    reserved_2: [u8; 12],
    trail_signature: U32,
}
const _: () = assert!(size_of::<FsInfo>() == SECTOR as usize);

/// No hint: section 5.
const NOT_KNOWN: u32 = 0xffff_ffff;

/// A file's name of 8 + 3 characters and what else is known of it, 32 bytes: section 6.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ShortEntry {
    /// Padded with spaces.
    pub(super) name: [u8; 11],
    pub(super) attributes: u8,
    /// Lower case by flag, which not every driver reads: 0.
    pub(super) case: u8,
    /// Hundredths of a second to add to `created_time`: 0..=199.
    pub(super) created_hundredths: u8,
    pub(super) created_time: U16,
    pub(super) created_date: U16,
    pub(super) accessed_date: U16,
    pub(super) cluster_high: U16,
    pub(super) modified_time: U16,
    pub(super) modified_date: U16,
    pub(super) cluster_low: U16,
    /// Bytes; 0 for a directory.
    pub(super) size: U32,
}
const _: () = assert!(size_of::<ShortEntry>() == 32);

/// 13 UTF-16 units of a long name, 32 bytes: section 7. They precede the short entry, last part first.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LongEntry {
    /// Counted from 1; the last part has [`LongEntry::LAST`] set.
    pub(super) number: u8,
    pub(super) units_1: [U16; 5],
    pub(super) attributes: u8,
    pub(super) kind: u8,
    /// [`ShortEntry::checksum`] of the name it belongs to.
    pub(super) checksum: u8,
    pub(super) units_2: [U16; 6],
    pub(super) cluster: U16,
    pub(super) units_3: [U16; 2],
}
const _: () = assert!(size_of::<LongEntry>() == 32);

impl LongEntry {
    /// Marks the last part of a name.
    pub(super) const LAST: u8 = 0x40;
    /// Attributes of a part: no old driver shows such a file.
    pub(super) const ATTRIBUTES: u8 = 0x0f;
    /// UTF-16 units of a part.
    pub(super) const UNITS: usize = 13;
}

impl ShortEntry {
    /// Volume label.
    pub(super) const LABEL: u8 = 0x08;
    /// Directory.
    pub(super) const DIRECTORY: u8 = 0x10;
    /// Bits of `case`: the base is lower case, the extension is.
    pub(super) const LOWER_BASE: u8 = 0x08;
    pub(super) const LOWER_EXTENSION: u8 = 0x10;
    /// Changed since the last archive: what every new file has.
    pub(super) const ARCHIVE: u8 = 0x20;

    /// Ties the parts of a long name to this entry.
    pub(super) fn checksum(name: &[u8; 11]) -> u8 {
        name.iter()
            .fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
    }
}

/// The boot sector, 512 bytes.
pub(super) fn boot_sector(geometry: &Geometry, volume_id: u32, label: [u8; 11]) -> Vec<u8> {
    let fat32 = geometry.fat_type == FatType::Fat32;
    // All numbers were limited when the volume was divided: sectors to 32 bits, tables of FAT16 to 256 sectors.
    let sectors_16 = u16::try_from(geometry.sectors)
        .ok()
        .filter(|_| !fat32)
        .unwrap_or(0);
    let parameters = Parameters {
        jump: [0xeb, if fat32 { 0x58 } else { 0x3c }, 0x90],
        oem_name: *b"portadc ",
        bytes_per_sector: (SECTOR as u16).into(),
        sectors_per_cluster: geometry.sectors_per_cluster as u8,
        reserved_sectors: (geometry.reserved as u16).into(),
        tables: TABLES as u8,
        root_entries: (geometry.root_entries as u16).into(),
        sectors_16: sectors_16.into(),
        media: 0xf8,
        sectors_per_table_16: if fat32 {
            0.into()
        } else {
            (geometry.table as u16).into()
        },
        sectors_per_track: 63.into(),
        heads: 255.into(),
        hidden_sectors: 0.into(),
        sectors_32: if sectors_16 == 0 {
            (geometry.sectors as u32).into()
        } else {
            0.into()
        },
    };
    let identity = Identity {
        drive: 0x80,
        reserved: 0,
        signature: 0x29,
        volume_id: volume_id.into(),
        label,
        fat_type: if fat32 { *b"FAT32   " } else { *b"FAT16   " },
    };
    let mut sector = parameters.as_bytes().to_vec();
    if fat32 {
        let parameters = Parameters32 {
            sectors_per_table: (geometry.table as u32).into(),
            flags: 0.into(),
            version: 0.into(),
            root_cluster: FIRST_CLUSTER.into(),
            fs_info_sector: (FS_INFO_SECTOR as u16).into(),
            backup_sector: (BACKUP_SECTOR as u16).into(),
            reserved: [0; 12],
        };
        sector.extend_from_slice(parameters.as_bytes());
    }
    sector.extend_from_slice(identity.as_bytes());
    sector.resize(SECTOR as usize - BOOT_SIGNATURE.len(), 0);
    sector.extend_from_slice(&BOOT_SIGNATURE);
    sector
}

/// What a boot sector says.
pub(super) struct Boot {
    pub(super) geometry: Geometry,
    pub(super) tables: u64,
    /// First cluster of the root directory; 0 on FAT16.
    pub(super) root_cluster: u32,
    pub(super) volume_id: u32,
    pub(super) label: [u8; 11],
}

/// Reads a boot sector, anyone's. `size` is that of the whole volume.
pub(super) fn parse_boot_sector(sector: &[u8; SECTOR as usize], size: u64) -> Result<Boot, &'static str> {
    if sector[SECTOR as usize - BOOT_SIGNATURE.len()..] != BOOT_SIGNATURE {
        return Err("it lacks the signature 55 AA");
    }
    let short = |_| "it is too short";
    let (parameters, rest) = Parameters::ref_from_prefix(sector).map_err(|_| short(()))?;
    let (parameters_32, rest_32) = Parameters32::ref_from_prefix(rest).map_err(|_| short(()))?;
    let per_sector = u64::from(parameters.bytes_per_sector.get());
    if !matches!(per_sector, 512 | 1024 | 2048 | 4096) {
        return Err("its sectors have a size that no volume has");
    }
    // Places and lengths are kept in sectors of 512 bytes.
    let scale = per_sector / SECTOR;
    let sectors_per_cluster = u64::from(parameters.sectors_per_cluster);
    if !sectors_per_cluster.is_power_of_two() || !matches!(parameters.tables, 1 | 2) {
        return Err("it has no legal cluster size or number of tables");
    }
    let table_16 = u64::from(parameters.sectors_per_table_16.get());
    let is_fat32 = table_16 == 0;
    let table = if is_fat32 {
        u64::from(parameters_32.sectors_per_table.get())
    } else {
        table_16
    };
    let sectors = match parameters.sectors_16.get() {
        0 => u64::from(parameters.sectors_32.get()),
        sectors => u64::from(sectors),
    };
    let tables = u64::from(parameters.tables);
    let reserved = u64::from(parameters.reserved_sectors.get());
    let root_entries = u64::from(parameters.root_entries.get());
    let root = (root_entries * ENTRY).div_ceil(per_sector);
    // All of these have at most 32 bits.
    let data = reserved + tables * table + root;
    let clusters = sectors.saturating_sub(data) / sectors_per_cluster;
    if reserved == 0 || table == 0 || clusters == 0 || is_fat32 != (root_entries == 0) {
        return Err("its parts contradict each other");
    }
    if sectors * per_sector > size {
        return Err("the volume goes on behind the end of what holds it");
    }
    let (fat_type, width) = match is_fat32 {
        true => (FatType::Fat32, 4),
        false if clusters < 4_085 => return Err("it is FAT12, which is not supported"),
        false => (FatType::Fat16, 2),
    };
    if (clusters + u64::from(FIRST_CLUSTER)) * width > table * per_sector || clusters >= 1 << 28 {
        return Err("its tables are too short for its clusters");
    }
    let identity = if is_fat32 { rest_32 } else { rest };
    let (identity, _) = Identity::ref_from_prefix(identity).map_err(|_| short(()))?;
    let has_identity = identity.signature == 0x29;
    Ok(Boot {
        geometry: Geometry {
            fat_type,
            sectors: sectors * scale,
            reserved: reserved * scale,
            table: table * scale,
            root_entries,
            data: data * scale,
            sectors_per_cluster: sectors_per_cluster * scale,
            clusters,
        },
        tables,
        root_cluster: if is_fat32 {
            parameters_32.root_cluster.get()
        } else {
            0
        },
        volume_id: if has_identity { identity.volume_id.get() } else { 0 },
        label: if has_identity { identity.label } else { [b' '; 11] },
    })
}

/// The sector that counts free clusters (FAT32), 512 bytes. The first `used` clusters are taken.
pub(super) fn fs_info(geometry: &Geometry, used: u64) -> Vec<u8> {
    let next_free = if used < geometry.clusters {
        FIRST_CLUSTER + used as u32
    } else {
        NOT_KNOWN
    };
    let info = FsInfo {
        lead_signature: 0x4161_5252.into(),
        reserved_1: [0; 480],
        structure_signature: 0x6141_7272.into(),
        free_clusters: ((geometry.clusters - used) as u32).into(),
        next_free: next_free.into(),
        reserved_2: [0; 12],
        trail_signature: 0xaa55_0000.into(),
    };
    info.as_bytes().to_vec()
}

/// The table for chains of these lengths in clusters, one behind the other.
pub(super) fn table(geometry: &Geometry, chains: impl IntoIterator<Item = u64>) -> Vec<u8> {
    // The first entry repeats the media byte, the second says "cleanly unmounted, no errors".
    let mut entries: Vec<u32> = vec![0x0fff_fff8, 0x0fff_ffff];
    for length in chains {
        let first = entries.len() as u32;
        entries.extend((1..length as u32).map(|n| first + n));
        if length > 0 {
            entries.push(0x0fff_ffff);
        }
    }
    let mut bytes: Vec<u8> = match geometry.fat_type {
        FatType::Fat32 => entries.iter().flat_map(|entry| entry.to_le_bytes()).collect(),
        FatType::Fat16 => entries
            .iter()
            .flat_map(|entry| (*entry as u16).to_le_bytes())
            .collect(),
    };
    bytes.resize((geometry.table * SECTOR) as usize, 0);
    bytes
}
