//! Where the partitions of a card lie: the layout engine.
//!
//! ```text
//! sector 0        1..                 aligned to 1 MiB                                   end of the image
//!      | MBR    | boot area         | partition 1 | gap | partition 2 .......... | gap |
//!      | MBR    | GPT |             | partition 1 | gap | partition 2 .......... | gap | GPT copy |
//! ```
//!
//! A partition without a start follows the boot area and the partition before it. Nothing is moved or cut to fit:
//! whatever claims sectors that something else has is an error that names both.

mod error;
#[cfg(test)]
mod tests;

use formats::units::{Bytes, Lba, SECTOR, Sectors};
use formats::{gpt, mbr};

pub use self::error::PlacementError;
use crate::board::{Board, BootRegion, PartitionTable};

/// Partitions start, and the image ends, on a multiple of this: flash erases in such steps.
pub const ALIGNMENT: Bytes = Bytes::mib(1);

/// Sectors in the largest file that Linux has (2^63 bytes).
const MAX_SECTORS: u64 = 1 << 54;

/// A partition whose size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its name, for errors.
    pub label: &'a str,
    /// Its first sector; `None` puts it behind what precedes it.
    pub start: Option<Lba>,
    /// Its size: whole sectors.
    pub size: Bytes,
}

/// A card divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The partitions in the order of the card.
    pub partitions: Vec<Sectors>,
    /// The size of the image: a multiple of [`ALIGNMENT`] unless a size was given.
    pub size: Bytes,
}

/// What a kind of table takes of a card and how much it can describe.
struct Table {
    name: &'static str,
    entries: usize,
    /// Its sectors at the start of the card.
    sectors: Sectors,
    /// Its sectors at the end.
    backup: u64,
    /// Sectors that it can count.
    limit: u64,
}

impl Table {
    fn of(kind: PartitionTable) -> Self {
        let first = Lba(0);
        match kind {
            PartitionTable::Mbr => Self {
                name: "MBR",
                entries: mbr::ENTRIES,
                sectors: Sectors { first, count: 1 },
                backup: 0,
                limit: mbr::MAX_SECTORS,
            },
            PartitionTable::Gpt => Self {
                name: "GPT",
                entries: gpt::ENTRIES,
                sectors: Sectors {
                    first,
                    count: gpt::FIRST_USABLE,
                },
                backup: gpt::BACKUP_SECTORS,
                limit: MAX_SECTORS,
            },
        }
    }
}

/// Divides a card of `board` among `wanted`, which are in the order of the card. `image` is the size of the image;
/// `None` makes it as small as the partitions allow.
pub fn place(
    board: &Board,
    wanted: &[Wanted<'_>],
    image: Option<Bytes>,
) -> Result<Placement, PlacementError> {
    let table = Table::of(board.partition_table);
    check_boot_area(board, &table)?;
    if wanted.len() > table.entries {
        return Err(PlacementError::TooMany {
            count: wanted.len(),
            table: table.name,
            limit: table.entries,
        });
    }
    let mut partitions: Vec<Sectors> = Vec::with_capacity(wanted.len());
    for partition in wanted {
        let sectors = start(board, &table, partition, partitions.last())?;
        check_alone(board, &table, partition, sectors)?;
        for (before, earlier) in wanted.iter().zip(&partitions) {
            check_pair((before.label, *earlier), (partition.label, sectors))?;
        }
        partitions.push(sectors);
    }
    let size = image_size(board, &table, wanted, &partitions, image)?;
    Ok(Placement { partitions, size })
}

/// Refuses regions of the boot area that lie on each other or on a GPT. Sector 0 is shared: the tables leave its first
/// 440 bytes to the firmware.
fn check_boot_area(board: &Board, table: &Table) -> Result<(), PlacementError> {
    let behind_mbr = Sectors {
        first: Lba(1),
        count: table.sectors.count - 1,
    };
    for (at, region) in board.boot_area.iter().enumerate() {
        let sectors = sectors_of(region);
        if sectors.count == 0 || sectors.end().0 > MAX_SECTORS {
            return Err(PlacementError::RegionOutside {
                region: region.name.clone(),
                sectors,
                image: MAX_SECTORS,
            });
        }
        if sectors.overlaps(behind_mbr) {
            return Err(PlacementError::GptOnBootArea {
                board: board.name.clone(),
                table: behind_mbr,
                region: region.name.clone(),
                sectors,
                reason: region.reason.clone(),
            });
        }
        let other = board.boot_area[..at]
            .iter()
            .find(|other| sectors_of(other).overlaps(sectors));
        if let Some(other) = other {
            return Err(PlacementError::Regions {
                first: other.name.clone(),
                first_sectors: sectors_of(other),
                second: region.name.clone(),
                second_sectors: sectors,
            });
        }
    }
    Ok(())
}

/// Where a partition lies: where it says, or behind the boot area and the partition `before`, aligned.
fn start(
    board: &Board,
    table: &Table,
    partition: &Wanted<'_>,
    before: Option<&Sectors>,
) -> Result<Sectors, PlacementError> {
    let step = ALIGNMENT.0 / SECTOR;
    let first = match partition.start {
        Some(start) if !start.0.is_multiple_of(step) => {
            return Err(PlacementError::Unaligned {
                label: partition.label.to_owned(),
                start,
            });
        }
        Some(start) => start,
        None => {
            let regions = board.boot_area.iter().map(|region| sectors_of(region).end());
            let ends = regions
                .chain([table.sectors.end()])
                .chain(before.map(|sectors| sectors.end()));
            // Every end is far below 2^64: regions and partitions were checked against their limits.
            Lba(ends.map(|end| end.0.next_multiple_of(step)).max().unwrap_or(step))
        }
    };
    match partition.size.0 {
        size if size > 0 && size.is_multiple_of(SECTOR) => Ok(Sectors {
            first,
            count: size / SECTOR,
        }),
        _ => Err(PlacementError::Size {
            label: partition.label.to_owned(),
            size: partition.size,
        }),
    }
}

/// Refuses a partition that lies on the table, on the boot area, or too far behind.
fn check_alone(
    board: &Board,
    table: &Table,
    partition: &Wanted<'_>,
    sectors: Sectors,
) -> Result<(), PlacementError> {
    let label = partition.label.to_owned();
    if sectors.end().0 > table.limit {
        return Err(PlacementError::TooFar {
            label,
            sectors,
            table: table.name,
            limit: table.limit,
        });
    }
    if let Some(region) = board
        .boot_area
        .iter()
        .find(|region| sectors_of(region).overlaps(sectors))
    {
        return Err(PlacementError::OnBootArea {
            region: region.name.clone(),
            region_sectors: sectors_of(region),
            label,
            sectors,
            reason: region.reason.clone(),
        });
    }
    if sectors.overlaps(table.sectors) {
        return Err(PlacementError::OnTable {
            table: table.name,
            table_sectors: table.sectors,
            label,
            sectors,
        });
    }
    Ok(())
}

/// Refuses a partition that lies on or before one that is named earlier.
fn check_pair(earlier: (&str, Sectors), later: (&str, Sectors)) -> Result<(), PlacementError> {
    let ((first, first_sectors), (second, second_sectors)) = (earlier, later);
    let (first, second) = (first.to_owned(), second.to_owned());
    if first_sectors.overlaps(second_sectors) {
        Err(PlacementError::Partitions {
            first,
            first_sectors,
            second,
            second_sectors,
        })
    } else if second_sectors.first < first_sectors.first {
        Err(PlacementError::Order {
            first,
            first_sectors,
            second,
            second_sectors,
        })
    } else {
        Ok(())
    }
}

/// The size of the image, after checking that everything is on it.
fn image_size(
    board: &Board,
    table: &Table,
    wanted: &[Wanted<'_>],
    partitions: &[Sectors],
    image: Option<Bytes>,
) -> Result<Bytes, PlacementError> {
    let regions = board.boot_area.iter().map(|region| sectors_of(region).end().0);
    let last = regions
        .chain(partitions.iter().map(|sectors| sectors.end().0))
        .max()
        .unwrap_or(0);
    // Below 2^63 bytes and a little.
    let least = Lba(last.max(table.sectors.count) + table.backup)
        .to_bytes()
        .round_up(ALIGNMENT.0);
    let size = image.unwrap_or(least);
    let sectors = size.0 / SECTOR;
    if !size.0.is_multiple_of(SECTOR) || sectors < table.sectors.count + table.backup {
        return Err(PlacementError::Image {
            size,
            table: table.name,
            needed: table.sectors.count + table.backup,
        });
    }
    let usable = sectors - table.backup;
    for region in &board.boot_area {
        if sectors_of(region).end().0 > usable {
            return Err(PlacementError::RegionOutside {
                region: region.name.clone(),
                sectors: sectors_of(region),
                image: usable,
            });
        }
    }
    for (partition, sectors) in wanted.iter().zip(partitions) {
        if sectors.end().0 > usable {
            return Err(PlacementError::Beyond {
                label: partition.label.to_owned(),
                sectors: *sectors,
                usable,
                image: size,
            });
        }
    }
    Ok(size)
}

fn sectors_of(region: &BootRegion) -> Sectors {
    Sectors {
        first: region.first,
        count: region.sectors,
    }
}
