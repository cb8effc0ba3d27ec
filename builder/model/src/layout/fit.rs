//! A layout on a board: whether the firmware's sectors and the partition table leave it room.

use formats::units::SECTOR;

use super::check::ALIGNMENT;
use super::{Layout, PartitionSize};
use crate::board::{Board, GPT_LAST, PartitionTable};
use crate::finding::{Finding, Findings, Place};

/// Primary partitions that fit into an MBR.
const MBR_PARTITIONS: usize = 4;

/// Sectors that the 32-bit fields of an MBR can address.
const MBR_SECTORS: u64 = 1 << 32;

/// Finds what keeps `layout` from a card of `board`. `places` are those of the partitions, `user` is where the two
/// were brought together.
pub fn check_fit(layout: &Layout, places: &[Place], board: &Board, user: &Place, findings: &mut Findings) {
    let pair = format!("layout `{}` does not fit board `{}`", layout.name, board.name);
    let mut found = |place: &Place, fault: String, hint: &str| {
        let finding = Finding::new(format!("{pair}: {fault}"))
            .at(place.clone())
            .related(user.clone(), "the two meet here")
            .hint(hint);
        findings.push(finding);
    };
    if board.partition_table == PartitionTable::Mbr
        && let Some(place) = places.get(MBR_PARTITIONS)
    {
        let fault = format!(
            "it has {} partitions, an MBR holds {MBR_PARTITIONS}",
            layout.partitions.len()
        );
        found(
            place,
            fault,
            "merge partitions; subvolumes of the root often do the same job",
        );
    }
    // What the partition's start must lie behind, as far as sizes are known before anything is built.
    let mut end = match board.partition_table {
        PartitionTable::Mbr => 1,
        PartitionTable::Gpt => GPT_LAST + 1,
    };
    let mut before = "the partition table".to_owned();
    for (partition, place) in layout.partitions.iter().zip(places) {
        let (PartitionSize::Exact(size) | PartitionSize::Free(size)) = partition.size;
        let sectors = size.0 / SECTOR;
        let Some(start) = partition.start.map(|start| start.0) else {
            let area = board
                .boot_area
                .iter()
                .map(|region| region.first.0 + region.sectors)
                .max();
            end = end.max(area.unwrap_or(0)).next_multiple_of(ALIGNMENT) + sectors;
            before = format!("`{}`", partition.label);
            continue;
        };
        if start < end {
            let fault = format!(
                "`{}` starts at sector {start}, but {before} ends at {}",
                partition.label,
                end - 1
            );
            found(
                place,
                fault,
                "leave `start` out: the partition then follows what precedes it",
            );
        }
        let region = board.boot_area.iter().find(|region| {
            start < region.first.0 + region.sectors && start + sectors.max(1) > region.first.0
        });
        if let Some(region) = region {
            let fault = format!(
                "`{}` from sector {start} covers `{}`, sectors {} to {}: {}",
                partition.label,
                region.name,
                region.first.0,
                region.first.0 + region.sectors - 1,
                region.reason
            );
            found(
                place,
                fault,
                "leave `start` out: the partition then follows the boot area",
            );
        }
        end = start + sectors;
        before = format!("`{}`", partition.label);
        if board.partition_table == PartitionTable::Mbr && end > MBR_SECTORS {
            let fault = format!(
                "`{}` ends at sector {end}, an MBR counts to {MBR_SECTORS}",
                partition.label
            );
            found(place, fault, "an MBR describes the first 2 TiB of a card");
        }
    }
}
