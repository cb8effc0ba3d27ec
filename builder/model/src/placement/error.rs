//! What keeps a card from being divided as wanted.

use formats::units::{Bytes, Lba, SECTOR, Sectors};
use thiserror::Error;

use super::ALIGNMENT;

/// Why a card cannot be divided so.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlacementError {
    /// The board's firmware lies where a GPT has its header or entries.
    #[error(
        "board \"{board}\" cannot have a GPT: it takes {table}, and boot area region \"{region}\" ({sectors}) lies there: \
         {reason}; an MBR leaves them free"
    )]
    GptOnBootArea {
        /// The board.
        board: String,
        /// What the GPT takes.
        table: Sectors,
        /// The region.
        region: String,
        /// Where it lies.
        sectors: Sectors,
        /// Why it lies there.
        reason: String,
    },
    /// Two regions of the boot area share sectors.
    #[error("boot area regions \"{first}\" ({first_sectors}) and \"{second}\" ({second_sectors}) overlap")]
    Regions {
        /// A region.
        first: String,
        /// Where it lies.
        first_sectors: Sectors,
        /// Another region.
        second: String,
        /// Where it lies.
        second_sectors: Sectors,
    },
    /// A region of the boot area is not on the image, or is empty.
    #[error("boot area region \"{region}\" ({sectors}) does not lie on the image of {image} sectors")]
    RegionOutside {
        /// The region.
        region: String,
        /// Where it should lie.
        sectors: Sectors,
        /// Sectors of the image.
        image: u64,
    },
    /// A partition lies on the boot area.
    #[error(
        "boot area region \"{region}\" ({region_sectors}) and partition \"{label}\" ({sectors}) overlap: {reason}"
    )]
    OnBootArea {
        /// The region.
        region: String,
        /// Where it lies.
        region_sectors: Sectors,
        /// The partition.
        label: String,
        /// Where it should lie.
        sectors: Sectors,
        /// Why the region lies there.
        reason: String,
    },
    /// A partition lies on the partition table.
    #[error("the {table} ({table_sectors}) and partition \"{label}\" ({sectors}) overlap")]
    OnTable {
        /// The kind of table.
        table: &'static str,
        /// Where it lies.
        table_sectors: Sectors,
        /// The partition.
        label: String,
        /// Where it should lie.
        sectors: Sectors,
    },
    /// Two partitions share sectors.
    #[error("partitions \"{first}\" ({first_sectors}) and \"{second}\" ({second_sectors}) overlap")]
    Partitions {
        /// The partition named first in the layout.
        first: String,
        /// Where it lies.
        first_sectors: Sectors,
        /// The other.
        second: String,
        /// Where it should lie.
        second_sectors: Sectors,
    },
    /// A partition lies before one that the layout names earlier.
    #[error(
        "partition \"{second}\" ({second_sectors}) lies before \"{first}\" ({first_sectors}), which the layout names \
         first; name them in the order of the card"
    )]
    Order {
        /// The partition named first in the layout.
        first: String,
        /// Where it lies.
        first_sectors: Sectors,
        /// The other.
        second: String,
        /// Where it should lie.
        second_sectors: Sectors,
    },
    /// More partitions than the table holds.
    #[error("{count} partitions do not fit in the {table}, which has {limit} entries")]
    TooMany {
        /// Partitions of the layout.
        count: usize,
        /// The kind of table.
        table: &'static str,
        /// Its entries.
        limit: usize,
    },
    /// A partition without sectors, or that ends inside one.
    #[error("partition \"{label}\" cannot have {} bytes: a size is a multiple of {SECTOR} and not zero", size.0)]
    Size {
        /// The partition.
        label: String,
        /// The size wanted.
        size: Bytes,
    },
    /// A start that is not aligned.
    #[error("partition \"{label}\" cannot start at {start}: starts are multiples of {} sectors ({ALIGNMENT})", ALIGNMENT.0 / SECTOR)]
    Unaligned {
        /// The partition.
        label: String,
        /// The start wanted.
        start: Lba,
    },
    /// A partition ends where the table cannot count.
    #[error("partition \"{label}\" ({sectors}) ends behind sector {}, the last that the {table} can name", limit - 1)]
    TooFar {
        /// The partition.
        label: String,
        /// Where it should lie.
        sectors: Sectors,
        /// The kind of table.
        table: &'static str,
        /// Sectors that the table can count.
        limit: u64,
    },
    /// A partition ends behind the last sector that the image has for partitions.
    #[error(
        "partition \"{label}\" ({sectors}) ends behind the {usable} sectors that an image of {} bytes ({image}) has \
         before its end or the copy of its GPT", image.0
    )]
    Beyond {
        /// The partition.
        label: String,
        /// Where it should lie.
        sectors: Sectors,
        /// Sectors before the end or the copy of the table.
        usable: u64,
        /// The size of the image.
        image: Bytes,
    },
    /// The image is smaller than the sectors that its table takes, or does not end with a sector.
    #[error("an image cannot have {} bytes: the {table} needs whole sectors, at least {needed}", size.0)]
    Image {
        /// The size wanted.
        size: Bytes,
        /// The kind of table.
        table: &'static str,
        /// Sectors it takes.
        needed: u64,
    },
}
