//! A kind of computer that a card is made for.

use std::path::PathBuf;

use formats::units::Lba;

pub use check::check_board;
pub use toml::BoardToml;

mod check;
mod toml;

/// A board: `boards/<name>/board.toml`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// The name of its folder.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Kernel consoles in order; the last one becomes `/dev/console` (`ttyAML0,115200n8`).
    pub consoles: Vec<String>,
    /// Device tree to compile and install; `None` where the firmware brings its own.
    pub device_tree: Option<DeviceTree>,
    /// The partition table its firmware can live with.
    pub partition_table: PartitionTable,
    /// Sectors that belong to the firmware, in order; empty where it needs none.
    pub boot_area: Vec<BootRegion>,
}

/// A device tree of a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTree {
    /// Source file, relative to the project's root.
    pub source: PathBuf,
    /// Name below `dtbs/` of the boot partition: the one that U-Boot asks for.
    pub install: String,
}

/// A kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionTable {
    /// Four primary partitions in sector 0.
    Mbr,
    /// UEFI's, with a copy at the end of the card.
    Gpt,
}

/// Raw sectors of a card that belong to the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRegion {
    /// What lies there (`bl1`, `fip`).
    pub name: String,
    /// First sector.
    pub first: Lba,
    /// Number of sectors.
    pub sectors: u64,
    /// Why nothing else may lie there, as errors quote it.
    pub reason: String,
}
