//! A kind of computer that a card is made for.

use std::path::PathBuf;
use std::sync::Arc;

use formats::fip::Loader;
use formats::units::{Bytes, Lba};

use crate::finding::SourceFile;
use crate::kernel::fragment::Request;

pub use check::check_board;
pub(crate) use device_tree::load_source;
pub(crate) use firmware::load_fragment;
pub(crate) use kernel::load_kernel_fragment;
pub use toml::BoardToml;

mod boot;
mod check;
mod device_tree;
mod firmware;
mod kernel;
mod raw;
mod toml;

/// A board: `boards/<name>/board.toml`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// The name of its folder.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// How much memory it has; `None` where that is not the board's to say.
    pub memory: Option<Bytes>,
    /// Kernel consoles in order; the last one becomes `/dev/console` (`ttyAML0,115200n8`).
    pub consoles: Vec<String>,
    /// Device tree to compile and install; `None` where the firmware brings its own.
    pub device_tree: Option<DeviceTree>,
    /// U-Boot as it is built for the board; `None` where nothing builds one.
    pub u_boot: Option<UBoot>,
    /// Where its firmware puts what it reads from the card; `None` where that sets no limit.
    pub load: Option<LoadMap>,
    /// The partition table its firmware can live with.
    pub partition_table: PartitionTable,
    /// Sectors that belong to the firmware, in order; empty where it needs none.
    pub boot_area: Vec<BootRegion>,
}

/// A device tree of a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTree {
    /// Its source.
    pub source: Arc<SourceFile>,
    /// Name below `dtbs/` of the boot partition: the one that U-Boot asks for.
    pub install: String,
    /// What has to be in it once it is compiled.
    pub expect: Vec<Expectation>,
    /// SHA-256 of each BL301 that offers the clocks which `scpi_clocks` lets Linux set.
    pub scpi_firmware: Vec<[u8; 32]>,
}

/// What a compiled device tree has to say about a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Path of the node, from `/`.
    pub node: String,
    /// Name of the property.
    pub property: String,
    /// What of it.
    pub state: PropertyState,
}

/// What a property is expected to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyState {
    /// There, whatever its value.
    Present,
    /// Not there.
    Absent,
    /// One text.
    Text(String),
}

/// U-Boot as it is built for a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UBoot {
    /// The make target that the fragment builds on: `odroid-c2_defconfig`.
    pub defconfig: String,
    /// File of the lines on top of it, as messages show it.
    pub fragment: PathBuf,
    /// What the fragment asks for; no two lines contradict each other, none is for some versions only.
    pub requests: Vec<Request>,
}

/// Where a board's firmware puts what it reads from the card. The windows do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadMap {
    /// The device tree's place.
    pub device_tree: Window,
    /// The kernel's.
    pub kernel: Window,
}

/// A range of memory addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first byte.
    pub at: u64,
    /// The first byte behind it.
    pub below: u64,
}

impl Window {
    /// How much fits into it.
    pub fn size(self) -> Bytes {
        Bytes(self.below - self.at)
    }
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
    /// What is put there; `None` where it is the user's to fill.
    pub content: Option<BootContent>,
}

/// What is put into a region of the boot area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootContent {
    /// The file of the first stage, as its vendor signed it, from sector 0 on around the partition table.
    Bl1(String),
    /// A firmware image package, whose entries are signed here.
    Fip {
        /// How.
        signer: BootSigner,
        /// Its entries in order, each with its file.
        entries: Vec<(Loader, String)>,
    },
    /// A file that is put there as it is.
    Raw(RawFile),
}

/// A file that is put on a card as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// Its name.
    pub file: String,
    /// The sector that its first byte is for, which is not behind the first of the region.
    pub first_sector: Lba,
    /// The bytes that it has at least.
    pub at_least: Bytes,
    /// What it has to have at this byte.
    pub magic: Option<(u64, String)>,
}

/// How boot loaders are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootSigner {
    /// As Amlogic's S905 wants it: SHA-256, no key.
    Gxbb,
}

impl Board {
    /// What is put into the regions of the boot area.
    pub fn boot_contents(&self) -> impl Iterator<Item = &BootContent> {
        self.boot_area.iter().filter_map(|region| region.content.as_ref())
    }
}

impl BootContent {
    /// Every file that it is made of, with the name of the boot loader that it is.
    pub fn files(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Bl1(file) => vec![("bl1", file)],
            Self::Fip { entries, .. } => entries
                .iter()
                .map(|(loader, file)| (loader.name(), file.as_str()))
                .collect(),
            Self::Raw(raw) => vec![("raw", &raw.file)],
        }
    }
}
