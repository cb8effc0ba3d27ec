//! `boards/<name>/board.toml` as written.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::finding::SourceFile;
use crate::fleet::Origin;
use crate::written::At;

/// A kind of computer that a card is made for. Its name is that of its folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "portadc board")]
pub struct BoardToml {
    /// What it is, for people.
    pub description: At<String>,
    /// Partition table that its firmware can live with.
    pub partition_table: At<PartitionTableToml>,
    /// Kernel consoles in order, as the kernel's `console=` takes them; the last one becomes `/dev/console`.
    pub consoles: Vec<At<String>>,
    /// Device tree to compile and install; left out where the firmware brings its own.
    pub device_tree: Option<DeviceTreeToml>,
    /// Raw sectors of the card that belong to the firmware; left out where it needs none.
    #[serde(default)]
    pub boot_area: Vec<BootRegionToml>,
}

/// A kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionTableToml {
    /// Four primary partitions in sector 0.
    Mbr,
    /// UEFI's: sectors 1 to 33, with a copy at the end of the card.
    Gpt,
}

/// A device tree.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeviceTreeToml {
    /// Source file (`.dts`) in the board's folder.
    pub source: At<String>,
    /// Path below `dtbs/` of the boot partition: the one that U-Boot asks for (`fdtfile`).
    pub install: At<String>,
    /// SHA-256 of each bl301.bin that is known to offer the clocks which `scpi_clocks` lets Linux set. Where `source`
    /// enables that node, no other one is put on a card.
    #[serde(default)]
    pub scpi_firmware: Vec<At<String>>,
}

/// Raw sectors of 512 bytes that belong to the firmware.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootRegionToml {
    /// What lies there, such as "bl1".
    pub name: At<String>,
    /// First sector, counted from 0; sector 0 is the partition table's.
    pub first: At<u64>,
    /// Last sector; it belongs to the region.
    pub last: At<u64>,
    /// Why nothing else may lie there, as errors quote it.
    pub reason: At<String>,
    /// How what lies there is signed; left out where its vendor did.
    pub signer: Option<At<BootSignerToml>>,
    /// What is put there, in order; left out where it is yours to fill. One bl1, or a bl2, or the entries of a FIP. Files
    /// of the same loader that follow each other are joined.
    #[serde(default)]
    pub files: Vec<BootFileToml>,
}

/// How boot loaders are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootSignerToml {
    /// As Amlogic's S905 wants it: SHA-256, no key.
    Gxbb,
}

/// A file that goes into a region of the boot area.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootFileToml {
    /// The boot loader that it is, or is a part of.
    pub loader: At<LoaderToml>,
    /// Its name in the folder of blobs.
    pub file: At<String>,
    /// Bytes that zeros fill it up to; left out where it goes in as it is.
    pub size: Option<At<u64>>,
}

/// A boot loader of the chain from the boot ROM to Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoaderToml {
    /// The first stage, signed by its vendor for a card that has a partition table.
    Bl1,
    /// The first stage, to be signed.
    Bl2,
    /// Firmware of the system control processor.
    Bl30,
    /// What the board adds to it.
    Bl301,
    /// The secure monitor.
    Bl31,
    /// A trusted operating system.
    Bl32,
    /// U-Boot.
    Bl33,
}

impl BoardToml {
    /// Where each of its values was written.
    pub(crate) fn origins(&self, file: &Arc<SourceFile>) -> Vec<Origin> {
        let origin =
            |span, name: &str, value: &dyn ToString| Origin::new(file, span, name, value.to_string(), None);
        let table = match self.partition_table.value {
            PartitionTableToml::Mbr => "mbr",
            PartitionTableToml::Gpt => "gpt",
        };
        let mut origins = vec![
            origin(
                &self.description.span,
                "board.description",
                &self.description.value,
            ),
            origin(&self.partition_table.span, "board.partition-table", &table),
        ];
        for console in &self.consoles {
            origins.push(origin(&console.span, "board.console", &console.value));
        }
        if let Some(tree) = &self.device_tree {
            origins.push(origin(
                &tree.source.span,
                "board.device-tree.source",
                &tree.source.value,
            ));
            origins.push(origin(
                &tree.install.span,
                "board.device-tree.install",
                &tree.install.value,
            ));
        }
        for region in &self.boot_area {
            let sectors = format!(
                "{}: sectors {} to {}",
                region.name.value, region.first.value, region.last.value
            );
            origins.push(origin(&region.name.span, "board.boot-area", &sectors));
            for file in &region.files {
                origins.push(origin(&file.file.span, "board.boot-area.file", &file.file.value));
            }
        }
        origins
    }
}
