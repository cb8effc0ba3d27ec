//! `boards/<name>/board.toml` as written.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::finding::SourceFile;
use crate::written::{At, Origin};

/// A kind of computer that a card is made for. Its name is that of its folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "portadc board")]
pub struct BoardToml {
    /// What it is, for people.
    pub description: At<String>,
    /// Partition table that its firmware can live with.
    pub partition_table: At<PartitionTableToml>,
    /// Its memory: "2 GiB". What the containers of a node may use is checked against it; left out where it is not known.
    pub memory: Option<At<String>>,
    /// Kernel consoles in order, as the kernel's `console=` takes them; the last one becomes `/dev/console`.
    pub consoles: Vec<At<String>>,
    /// Device tree to compile and install; left out where the firmware brings its own.
    pub device_tree: Option<DeviceTreeToml>,
    /// File in the board's folder (`.config`) of what its kernel needs beside the fragments of kernel.toml.
    pub kernel_fragment: Option<At<String>>,
    /// U-Boot as it is built for the board; left out where nothing builds one.
    pub u_boot: Option<UBootToml>,
    /// Where its firmware puts what it reads from the card; left out where that sets no limit.
    pub load: Option<LoadToml>,
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
    /// What has to be in it once it is compiled: it is read back, as a kernel may call nodes and properties otherwise.
    #[serde(default)]
    pub expect: Vec<ExpectationToml>,
    /// SHA-256 of each bl301.bin that is known to offer the clocks which `scpi_clocks` lets Linux set. Where `source`
    /// enables that node, no other one is put on a card.
    #[serde(default)]
    pub scpi_firmware: Vec<At<String>>,
}

/// What a compiled device tree has to say about a property: its `value` or its `state`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExpectationToml {
    /// Path of the node, such as "/scpi/clocks".
    pub node: At<String>,
    /// Name of the property, such as "status".
    pub property: At<String>,
    /// The text that it has to be.
    pub value: Option<At<String>>,
    /// Whether it is there, where its value does not matter.
    pub state: Option<At<PropertyStateToml>>,
}

/// Whether a property is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PropertyStateToml {
    /// It is, whatever its value.
    Present,
    /// It is not.
    Absent,
}

/// U-Boot, built from the source that sources.toml names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UBootToml {
    /// The make target of U-Boot's for the board, such as "odroid-c2_defconfig".
    pub defconfig: At<String>,
    /// File of lines on top of it (`.config`) in the board's folder.
    pub fragment: At<String>,
}

/// Memory that the firmware reads files into.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LoadToml {
    /// Where the device tree goes (U-Boot's `fdt_addr_r`).
    pub device_tree: WindowToml,
    /// Where the kernel goes (U-Boot's `kernel_addr_r`).
    pub kernel: WindowToml,
}

/// A range of memory addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WindowToml {
    /// The first byte.
    pub at: At<u64>,
    /// The first byte that has to stay free.
    pub below: At<u64>,
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
    /// What is put there, in order; left out where it is yours to fill. A bl1, or the entries of a FIP.
    #[serde(default)]
    pub files: Vec<BootFileToml>,
    /// The one file that is put there as it is, in place of `files`.
    pub raw: Option<RawFileToml>,
}

/// A file that is put on the card as it is: all boot loaders of a board, signed by its vendor's tool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawFileToml {
    /// Its name in the folder of blobs.
    pub file: At<String>,
    /// The sector of the card that its first byte is for; left out where that is the first of the region. Of a file that starts
    /// with sector 0, the first 440 bytes go before the partition table, and nothing else before the region.
    pub first_sector: Option<At<u64>>,
    /// The size that it has at least, such as "80 KiB": a smaller one was cut off.
    pub at_least: Option<At<String>>,
    /// What it has to have at some place: another file is refused.
    pub magic: Option<MagicToml>,
}

/// A mark of a file's format.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MagicToml {
    /// Where it is, in bytes from the file's first.
    pub at: At<u64>,
    /// What it is, such as "@AML".
    pub text: At<String>,
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
    /// The boot loader that it is.
    pub loader: At<LoaderToml>,
    /// Its name in the folder of blobs.
    pub file: At<String>,
}

/// A boot loader of the chain from the boot ROM to Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoaderToml {
    /// The first stage, signed by its vendor for a card that has a partition table.
    Bl1,
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
        if let Some(memory) = &self.memory {
            origins.push(origin(&memory.span, "board.memory", &memory.value));
        }
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
        if let Some(fragment) = &self.kernel_fragment {
            origins.push(origin(&fragment.span, "board.kernel-fragment", &fragment.value));
        }
        if let Some(u_boot) = &self.u_boot {
            for (name, value) in [
                ("board.u-boot.defconfig", &u_boot.defconfig),
                ("board.u-boot.fragment", &u_boot.fragment),
            ] {
                origins.push(origin(&value.span, name, &value.value));
            }
        }
        if let Some(load) = &self.load {
            for (name, window) in [
                ("board.load.device-tree", &load.device_tree),
                ("board.load.kernel", &load.kernel),
            ] {
                let range = format!("{:#010x} to {:#010x}", window.at.value, window.below.value);
                origins.push(origin(&window.at.span, name, &range));
            }
        }
        for region in &self.boot_area {
            let sectors = format!(
                "{}: sectors {} to {}",
                region.name.value, region.first.value, region.last.value
            );
            origins.push(origin(&region.name.span, "board.boot-area", &sectors));
            let raw = region.raw.iter().map(|raw| &raw.file);
            for file in region.files.iter().map(|file| &file.file).chain(raw) {
                origins.push(origin(&file.span, "board.boot-area.file", &file.value));
            }
        }
        origins
    }
}
