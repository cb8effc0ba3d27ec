//! `images/layouts/<name>.toml` as written.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::finding::SourceFile;
use crate::written::{At, Origin};

/// What the origin of a container image is called.
pub(crate) const CONTAINER_IMAGE: &str = "layout.container-image";

/// What the origin of any other subvolume is called.
pub(crate) const SUBVOLUME: &str = "layout.subvolume";

/// What a card holds. The layout's name is that of its file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "portadc layout")]
pub struct LayoutToml {
    /// Another layout, without `.toml`, that this one is like but for what is said here; it is based on none itself.
    pub based_on: Option<At<String>>,
    /// Subvolumes of that layout that this one has not: "@lxc".
    #[serde(default)]
    pub without: Vec<At<String>>,
    /// Partitions in the order of the card: one FAT for booting, one btrfs for the root, and root is the last.
    pub partitions: Option<Vec<At<PartitionToml>>>,
}

/// One partition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PartitionToml {
    /// Its name: GPT partition name and file-system label.
    pub label: At<String>,
    /// What it holds.
    pub file_system: At<FileSystemToml>,
    /// First sector of 512 bytes, a multiple of 2048. Left out: behind what precedes it, aligned to 1 MiB.
    pub start: Option<At<u64>>,
    /// Its whole size: "128 MiB". Either this or `free`.
    pub size: Option<At<String>>,
    /// Free space beside its content: "96 MiB". Either this or `size`.
    pub free: Option<At<String>>,
    /// zstd level of a btrfs, 1 to 15; 0 stores everything raw. Default: 3.
    pub zstd: Option<At<u8>>,
    /// Subvolumes of a btrfs; one is mounted at "/", and one may be the container image.
    pub subvolumes: Option<Vec<SubvolumeToml>>,
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystemToml {
    /// FAT: the boot partition, which U-Boot reads.
    Fat,
    /// btrfs: the root file system.
    Btrfs,
}

/// A subvolume, child of the top level.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SubvolumeToml {
    /// Its name: "@lxc".
    pub name: At<String>,
    /// Where a node mounts it: "/var/lib/lxc". A container image is mounted nowhere.
    pub mount: Option<At<String>>,
    /// Whether it is the read-only image of containers: the base with the overlays that `container-image` of the role names.
    #[serde(default)]
    pub container_image: bool,
    /// Whether it holds data alone: it is mounted without devices and without programs that run as another user (nodev, nosuid).
    #[serde(default)]
    pub data: bool,
}

impl LayoutToml {
    /// Where each of its values was written.
    pub(crate) fn origins(&self, file: &Arc<SourceFile>) -> Vec<Origin> {
        let mut origins = Vec::new();
        for partition in self.partitions.iter().flatten() {
            let kind = match partition.file_system.value {
                FileSystemToml::Fat => "fat",
                FileSystemToml::Btrfs => "btrfs",
            };
            let size = match (&partition.size, &partition.free) {
                (Some(size), _) => size.value.clone(),
                (None, Some(free)) => format!("content + {} free", free.value),
                (None, None) => String::new(),
            };
            let value = format!("{}: {kind}, {size}", partition.label.value);
            origins.push(Origin::new(
                file,
                &partition.label.span,
                "layout.partition",
                value,
                None,
            ));
            for subvolume in partition.subvolumes.iter().flatten() {
                let name = &subvolume.name;
                let (what, value) = match &subvolume.mount {
                    Some(mount) => (SUBVOLUME, format!("{} at {}", name.value, mount.value)),
                    None => (CONTAINER_IMAGE, name.value.clone()),
                };
                origins.push(Origin::new(file, &name.span, what, value, None));
            }
        }
        origins
    }
}
