//! What a card holds: partitions, file systems, subvolumes.

use formats::units::{Bytes, Lba};

pub(crate) use based::{CheckedLayout, check_layouts};
pub use check::check_layout;
pub(crate) use check::{check_mount, check_subvolume_name};
pub use fit::Card;
pub use toml::LayoutToml;
pub(crate) use toml::{CONTAINER_IMAGE, SUBVOLUME};

mod based;
mod check;
mod fit;
mod toml;

/// A layout: `images/layouts/<name>.toml`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The name of its file, without `.toml`.
    pub name: String,
    /// Partitions in the order of the card. Exactly one is [`FileSystem::Fat`] (boot) and one [`FileSystem::Btrfs`] (root), and
    /// root is the last: the node grows it to the card's size.
    pub partitions: Vec<Partition>,
}

impl Layout {
    /// The layout with these subvolumes of the root beside its own; one that it has is not added.
    pub fn with<'s>(&self, subvolumes: impl IntoIterator<Item = &'s Subvolume>) -> Self {
        let mut layout = self.clone();
        if let Some(root) = layout.root_mut() {
            for subvolume in subvolumes {
                if root.subvolumes.iter().all(|other| other.name != subvolume.name) {
                    root.subvolumes.push(subvolume.clone());
                }
            }
        }
        layout
    }

    /// The root file system; `None` only in a layout that no check has seen.
    pub fn root(&self) -> Option<&Btrfs> {
        self.partitions
            .iter()
            .find_map(|partition| match &partition.file_system {
                FileSystem::Btrfs(btrfs) => Some(btrfs),
                FileSystem::Fat => None,
            })
    }

    fn root_mut(&mut self) -> Option<&mut Btrfs> {
        self.partitions
            .iter_mut()
            .find_map(|partition| match &mut partition.file_system {
                FileSystem::Btrfs(btrfs) => Some(btrfs),
                FileSystem::Fat => None,
            })
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name: GPT partition name and file-system label.
    pub label: String,
    /// First sector; `None` puts it behind what precedes it, aligned to 1 MiB.
    pub start: Option<Lba>,
    /// How large it is.
    pub size: PartitionSize,
    /// What it holds.
    pub file_system: FileSystem,
}

/// How large a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionSize {
    /// Exactly this.
    Exact(Bytes),
    /// What its content needs and this much free space.
    Free(Bytes),
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystem {
    /// The boot partition: `Image`, `dtbs/`, `extlinux/extlinux.conf`.
    Fat,
    /// The root file system.
    Btrfs(Btrfs),
}

/// A btrfs root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Btrfs {
    /// zstd level of the image and of the mounted file system; 0 stores everything raw.
    pub zstd: u8,
    /// Mounted subvolumes, all children of the top level. Exactly one is mounted at `/`: the default subvolume.
    pub subvolumes: Vec<Subvolume>,
    /// Name of the read-only subvolume beside them that containers are made from as snapshots; it is mounted nowhere. What
    /// it holds is up to the role: [`crate::fleet::Role::container_image`].
    pub container_image: Option<String>,
}

/// A subvolume that a node mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its name below the top level (`@lxc`).
    pub name: String,
    /// Where a node mounts it (`/var/lib/lxc`), absolute.
    pub mount: String,
    /// Whether it holds data alone, and is mounted with `nodev` and `nosuid`.
    pub data: bool,
}
