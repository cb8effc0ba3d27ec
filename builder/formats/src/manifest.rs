//! The manifest of an image, `<node>.manifest.json`: what the image is, what it was made of, and what every part of it
//! hashes to. Written by the build, read by whoever flashes or audits a card. Everything in it follows from the inputs
//! of the build; there is no time and no place of making.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Lba};

/// Version of this format. Readers refuse others.
pub const FORMAT: u32 = 3;

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The fleet that the node belongs to.
    pub fleet: String,
    /// The node that the image is for.
    pub node: String,
    /// The board that it runs on.
    pub board: String,
    /// The layout of the card.
    pub layout: String,
    /// The set of sources that was used.
    pub sources: String,
    /// What the image was made of, sorted by name.
    pub inputs: Vec<Input>,
    /// What became of packages that were installed over the base, where any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
    /// Whether the board's firmware is on the image.
    pub firmware: Firmware,
    /// Where it is: SHA-256 in hexadecimal of the image from sector 1 to the end of the boot area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_sha256: Option<String>,
    /// Where it is not: what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_advice: Option<String>,
    /// The partition table.
    pub partition_table: Table,
    /// The partitions, in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// The image as a file.
    pub image: Image,
}

/// Something that an image was made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it is: `kernel source`, `base`, `overlay common`.
    pub name: String,
    /// Its version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// SHA-256 in hexadecimal of what was read.
    pub sha256: String,
}

/// What became of packages that were installed over the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Installed {
    /// What packages would do when they are installed, and nobody did: phases by package.
    pub unhandled_phases: BTreeMap<String, Vec<String>>,
    /// Protected files that packages brought anew beside the old ones.
    pub protected: Vec<String>,
    /// What base and packages have with everything that is left out.
    pub before: FileTotal,
    /// What they have without it.
    pub after: FileTotal,
}

/// Files, and bytes in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTotal {
    /// How many.
    pub files: u64,
    /// Bytes in all of them.
    pub bytes: Bytes,
}

/// Whether the board's firmware is on the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// The board brings its own.
    NotNeeded,
    /// It is.
    Present,
    /// It is not: the board does not start from the card.
    Absent,
}

/// The partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its kind.
    pub kind: TableKind,
    /// MBR: the disk signature as 8 hexadecimal digits; GPT: the disk's GUID.
    pub id: String,
}

/// A kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// Four entries in sector 0.
    Mbr,
    /// UEFI's.
    Gpt,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its name in the layout.
    pub label: String,
    /// Its first sector of 512 bytes.
    pub first_sector: Lba,
    /// How many it has.
    pub sectors: u64,
    /// What Linux calls it: `PARTUUID=`.
    pub part_uuid: String,
    /// The kind of its file system: `fat16`, `fat32`, `btrfs`.
    pub file_system: String,
    /// The file system's identity, as `blkid` shows it.
    pub uuid: String,
}

/// The image as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name, beside the manifest.
    pub file: String,
    /// Its size in bytes.
    pub size: Bytes,
    /// Bytes that its block map has.
    pub mapped: Bytes,
    /// SHA-256 in hexadecimal of its block map, `<file>.bmap`, which has that of every stretch of the image. Images have
    /// most of these in common, so they are computed once for all, as a SHA-256 of each whole image could not be.
    pub map_sha256: String,
}
