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
        }
        origins
    }
}
