//! A layout on a board: whether the firmware's sectors and the partition table leave it room.

use formats::units::{Lba, SECTOR};

use super::check::ALIGNMENT;
use super::{Layout, Partition, PartitionSize};
use crate::board::{Board, GPT_LAST, PartitionTable};
use crate::finding::{Finding, Findings, Place};

/// Primary partitions that fit into an MBR.
const MBR_PARTITIONS: usize = 4;

/// Sectors that the 32-bit fields of an MBR can address.
const MBR_SECTORS: u64 = 1 << 32;

/// A layout and the board that some node brings it together with.
#[derive(Debug)]
pub struct Card<'a> {
    /// The layout.
    pub layout: &'a Layout,
    /// Where its partitions were written, in the same order.
    pub places: &'a [Place],
    /// The board.
    pub board: &'a Board,
    /// Where the node chose the board.
    pub chosen: &'a Place,
}

impl Card<'_> {
    /// Finds a partition too many for the board's partition table. Holds for layouts with other faults as well.
    pub fn check_count(&self, findings: &mut Findings) {
        if self.board.partition_table == PartitionTable::Mbr
            && let Some(place) = self.places.get(MBR_PARTITIONS)
        {
            let count = self.places.len();
            let fault = format!("it has {count} partitions, an MBR holds {MBR_PARTITIONS}");
            let hint = "merge partitions; subvolumes of the root often do the same job";
            findings.push(self.finding(place, fault, hint));
        }
    }

    /// Finds partitions that cover the board's boot area, its partition table or each other, as far as sizes are known
    /// before anything is built. For layouts without faults of their own.
    pub fn check_room(&self, findings: &mut Findings) {
        let area = self
            .board
            .boot_area
            .iter()
            .map(|region| region.first.0 + region.sectors)
            .max()
            .unwrap_or(0);
        let mut end = match self.board.partition_table {
            PartitionTable::Mbr => 1,
            PartitionTable::Gpt => GPT_LAST + 1,
        };
        let mut before = "the partition table".to_owned();
        for (partition, place) in self.layout.partitions.iter().zip(self.places) {
            let label = &partition.label;
            let start = match partition.start {
                Some(Lba(start)) => start,
                None => end.max(area).next_multiple_of(ALIGNMENT),
            };
            if start < end {
                let fault = format!(
                    "`{label}` starts at sector {start}, but {before} ends at {}",
                    end - 1
                );
                let hint = "leave `start` out: the partition then follows what precedes it";
                findings.push(self.finding(place, fault, hint));
            }
            end = start + least_sectors(partition);
            self.check_boot_area(label, start..end, place, findings);
            before = format!("`{label}`");
            if self.board.partition_table == PartitionTable::Mbr && end > MBR_SECTORS {
                let fault = format!("`{label}` ends behind sector {MBR_SECTORS}");
                findings.push(self.finding(place, fault, "an MBR describes the first 2 TiB of a card"));
                break;
            }
        }
    }

    /// Finds the boot region that `sectors` of a partition cover.
    fn check_boot_area(
        &self,
        label: &str,
        sectors: std::ops::Range<u64>,
        place: &Place,
        findings: &mut Findings,
    ) {
        let covered =
            self.board.boot_area.iter().find(|region| {
                sectors.start < region.first.0 + region.sectors && sectors.end > region.first.0
            });
        if let Some(region) = covered {
            let fault = format!(
                "`{label}` from sector {} covers `{}`, sectors {} to {}: {}",
                sectors.start,
                region.name,
                region.first.0,
                region.first.0 + region.sectors - 1,
                region.reason
            );
            let hint = "leave `start` out: the partition then follows the boot area";
            findings.push(self.finding(place, fault, hint));
        }
    }

    fn finding(&self, place: &Place, fault: String, hint: &str) -> Finding {
        let (layout, board) = (&self.layout.name, &self.board.name);
        Finding::new(format!("layout `{layout}` does not fit board `{board}`: {fault}"))
            .at(place.clone())
            .related(self.chosen.clone(), "the two meet here")
            .hint(hint)
    }
}

/// Sectors that a partition has at least.
fn least_sectors(partition: &Partition) -> u64 {
    let (PartitionSize::Exact(size) | PartitionSize::Free(size)) = partition.size;
    size.0.div_ceil(SECTOR).max(1)
}
