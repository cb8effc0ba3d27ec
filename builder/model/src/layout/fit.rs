//! A layout on a board: whether the layout engine can place it there. What it refuses when a card is made is found
//! here, before anything is built, as far as sizes are known.

use formats::units::Bytes;

use super::{Layout, PartitionSize};
use crate::board::Board;
use crate::finding::{Finding, Findings, Place};
use crate::placement::{ALIGNMENT, PlacementError, Wanted, place};

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
        if let Err(error @ PlacementError::TooMany { limit, .. }) = self.place()
            && let Some(place) = self.places.get(limit)
        {
            let hint = "merge partitions; subvolumes of the root often do the same job";
            findings.push(self.finding(place, &error).hint(hint));
        }
    }

    /// Finds a partition that covers the board's boot area, its partition table or another partition. For layouts
    /// without faults of their own.
    pub fn check_room(&self, findings: &mut Findings) {
        let (error, label) = match self.place() {
            Ok(_) | Err(PlacementError::TooMany { .. }) => return,
            Err(error) => {
                let label = label(&error).map(str::to_owned);
                (error, label)
            }
        };
        let partitions = self.layout.partitions.iter().zip(self.places);
        let place = partitions
            .filter(|(partition, _)| Some(&partition.label) == label.as_ref())
            .map(|(_, place)| place)
            .next();
        // What concerns no partition concerns the board, which was found in its own file.
        if let Some(place) = place {
            let hint = "without `start` a partition follows the boot area and the partition before it";
            findings.push(self.finding(place, &error).hint(hint));
        }
    }

    /// Places the layout with partitions as small as they can be.
    fn place(&self) -> Result<(), PlacementError> {
        let wanted: Vec<_> = self
            .layout
            .partitions
            .iter()
            .map(|partition| {
                let (PartitionSize::Exact(size) | PartitionSize::Free(size)) = partition.size;
                Wanted {
                    label: &partition.label,
                    start: partition.start,
                    size: Bytes(size.0.max(1)).round_up(ALIGNMENT.0),
                }
            })
            .collect();
        place(self.board, &wanted, None).map(|_| ())
    }

    fn finding(&self, place: &Place, error: &PlacementError) -> Finding {
        let (layout, board) = (&self.layout.name, &self.board.name);
        Finding::new(format!("layout `{layout}` does not fit board `{board}`: {error}"))
            .at(place.clone())
            .related(self.chosen.clone(), "the two meet here")
    }
}

/// The partition that an error is about.
fn label(error: &PlacementError) -> Option<&str> {
    match error {
        PlacementError::OnBootArea { label, .. }
        | PlacementError::OnTable { label, .. }
        | PlacementError::Partitions { second: label, .. }
        | PlacementError::Order { second: label, .. }
        | PlacementError::Size { label, .. }
        | PlacementError::Unaligned { label, .. }
        | PlacementError::TooFar { label, .. }
        | PlacementError::Beyond { label, .. } => Some(label),
        PlacementError::GptOnBootArea { .. }
        | PlacementError::Regions { .. }
        | PlacementError::RegionOutside { .. }
        | PlacementError::TooMany { .. }
        | PlacementError::Image { .. } => None,
    }
}
