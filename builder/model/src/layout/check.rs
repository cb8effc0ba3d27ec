//! The rules of a layout.

use std::sync::Arc;

use formats::units::{Bytes, Lba, SECTOR};

use super::toml::{FileSystemToml, LayoutToml, PartitionToml, SubvolumeToml};
use super::{Btrfs, FileSystem, Layout, Partition, PartitionSize, Subvolume};
use crate::check::Check;
use crate::finding::{Findings, SourceFile};
use crate::names::quoted;
use crate::placement::ALIGNMENT;
use crate::size::parse_size;
use crate::written::At;

/// Sectors that a partition's start is a multiple of.
const STEP: u64 = ALIGNMENT.0 / SECTOR;

/// zstd level of a btrfs that does not say.
const ZSTD: u8 = 3;

/// Highest zstd level that the kernel's btrfs takes.
const MOST_ZSTD: u8 = 15;

/// What stays in the root subvolume: the system starts without an initrd, so nothing else is mounted when these are needed.
const ROOT_ONLY: [&str; 6] = ["/bin", "/etc", "/lib", "/sbin", "/usr", "/dev"];

/// Mount points that others fill: the kernel, systemd and the boot partition.
const TAKEN: [&str; 5] = ["/boot", "/proc", "/run", "/sys", "/tmp"];

/// Holds `written` against every rule. The layout that comes back is true only if nothing was found.
pub fn check_layout(
    name: &str,
    file: &Arc<SourceFile>,
    written: &LayoutToml,
    findings: &mut Findings,
) -> Layout {
    let check = &mut Check { file, findings };
    for subvolume in &written.without {
        check
            .found(&subvolume.span, "there is no layout to leave this out of")
            .hint("add `based-on` with its name, or leave it out of `partitions`");
    }
    let Some(partitions) = &written.partitions else {
        check
            .found(&(0..0), "missing key `partitions`")
            .hint("add [[partitions]], or `based-on` with the name of a layout that this one is like");
        return Layout {
            name: name.to_owned(),
            partitions: Vec::new(),
        };
    };
    check_kinds(check, partitions);
    check_labels(check, partitions);
    check_starts(check, partitions);
    Layout {
        name: name.to_owned(),
        partitions: partitions
            .iter()
            .filter_map(|written| partition(check, written))
            .collect(),
    }
}

/// Exactly one FAT, exactly one btrfs, and the btrfs last.
fn check_kinds(check: &mut Check<'_>, partitions: &[At<PartitionToml>]) {
    for (kind, what, example) in [
        (
            FileSystemToml::Fat,
            "boot",
            "file-system = \"fat\", which U-Boot reads the kernel from",
        ),
        (
            FileSystemToml::Btrfs,
            "root",
            "file-system = \"btrfs\", which holds the system",
        ),
    ] {
        let mut all = partitions
            .iter()
            .filter(|partition| partition.file_system.value == kind);
        let Some(first) = all.next() else {
            check
                .found(&(0..0), format!("the layout has no {what} partition"))
                .hint(format!("add [[partitions]] with {example}"));
            continue;
        };
        for other in all {
            check
                .found(
                    &other.file_system.span,
                    format!("the layout has a second {what} partition"),
                )
                .related(&first.file_system.span, "the first")
                .hint("a card has one boot (fat) and one root (btrfs) partition");
        }
    }
    let root = partitions
        .iter()
        .rposition(|partition| partition.file_system.value == FileSystemToml::Btrfs);
    if let (Some(root), Some(last)) = (root, partitions.last())
        && root + 1 < partitions.len()
    {
        check
            .found(
                &partitions[root].file_system.span,
                "the root partition is not the last",
            )
            .related(&last.label.span, "this one is")
            .hint("a node grows its root to the card's end, so nothing may lie behind it");
    }
}

/// Labels: distinct, and short enough for their file system.
fn check_labels(check: &mut Check<'_>, partitions: &[At<PartitionToml>]) {
    for partition in partitions {
        // FAT: 11 bytes of a directory entry. btrfs: 255 bytes, but a GPT partition's name has 36 characters.
        let most = match partition.file_system.value {
            FileSystemToml::Fat => 11,
            FileSystemToml::Btrfs => 36,
        };
        let label = &partition.label;
        let fault = if label.is_empty() {
            "is empty".to_owned()
        } else if label.len() > most {
            format!("has {} characters, the limit is {most}", label.chars().count())
        } else if label
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            continue;
        } else {
            "has characters other than letters, digits, - and _".to_owned()
        };
        check
            .found(&label.span, format!("label {} {fault}", quoted(label)))
            .hint("a FAT label has at most 11 characters, a GPT name 36");
    }
    check.distinct(partitions.iter().map(|partition| &partition.label), "label");
}

/// Explicit starts: aligned, not sector 0, ascending.
fn check_starts(check: &mut Check<'_>, partitions: &[At<PartitionToml>]) {
    let mut before: Option<&At<u64>> = None;
    for start in partitions.iter().filter_map(|partition| partition.start.as_ref()) {
        if start.value == 0 || !start.value.is_multiple_of(STEP) {
            check
                .found(
                    &start.span,
                    format!("a partition cannot start at sector {}", start.value),
                )
                .hint(format!(
                    "a start is a multiple of {STEP} sectors ({ALIGNMENT}), {STEP} at least"
                ));
        }
        if let Some(before) = before.filter(|before| before.value >= start.value) {
            check
                .found(&start.span, "the partition starts before the one above it")
                .related(&before.span, format!("starts at sector {}", before.value))
                .hint("write partitions in the order of the card");
        }
        before = Some(start);
    }
}

fn partition(check: &mut Check<'_>, written: &At<PartitionToml>) -> Option<Partition> {
    let size = partition_size(check, written);
    let file_system = match written.file_system.value {
        FileSystemToml::Fat => {
            let span = written
                .zstd
                .as_ref()
                .map(|zstd| zstd.span.clone())
                .or_else(|| Some(written.subvolumes.as_ref()?.first()?.name.span.clone()));
            if let Some(span) = span {
                check
                    .found(&span, "a FAT partition has neither compression nor subvolumes")
                    .hint("`zstd` and `subvolumes` belong to a btrfs partition");
            }
            FileSystem::Fat
        }
        FileSystemToml::Btrfs => FileSystem::Btrfs(btrfs(check, written)),
    };
    Some(Partition {
        label: written.label.value.clone(),
        start: written.start.as_ref().map(|start| Lba(start.value)),
        size: size?,
        file_system,
    })
}

/// Either `size` or `free`.
fn partition_size(check: &mut Check<'_>, written: &At<PartitionToml>) -> Option<PartitionSize> {
    match (&written.size, &written.free) {
        (Some(size), Some(free)) => {
            check
                .found(
                    &free.span,
                    format!("partition {} has both `size` and `free`", quoted(&written.label)),
                )
                .related(&size.span, "the size")
                .hint("`size` is the whole partition, `free` is room beside its content: keep one");
            None
        }
        (None, None) => {
            check
                .found(&written.label.span, format!("partition {} has no size", quoted(&written.label)))
                .hint("add `size = \"128 MiB\"` for the whole, or `free = \"96 MiB\"` for room beside its content");
            None
        }
        (Some(written), None) => {
            let size = bytes(check, written)?;
            if size < ALIGNMENT {
                check
                    .found(&written.span, format!("a partition of {size} is too small"))
                    .hint(format!(
                        "{ALIGNMENT} is the least; a boot partition with a kernel needs 64 MiB or more"
                    ));
            }
            Some(PartitionSize::Exact(size))
        }
        (None, Some(free)) => Some(PartitionSize::Free(bytes(check, free)?)),
    }
}

fn bytes(check: &mut Check<'_>, written: &At<String>) -> Option<Bytes> {
    parse_size(written)
        .map_err(|(fault, hint)| {
            check.found(&written.span, fault).hint(hint);
        })
        .ok()
}

fn btrfs(check: &mut Check<'_>, written: &At<PartitionToml>) -> Btrfs {
    if let Some(zstd) = written.zstd.as_ref().filter(|zstd| zstd.value > MOST_ZSTD) {
        check
            .found(
                &zstd.span,
                format!("zstd level {} is above {MOST_ZSTD}", zstd.value),
            )
            .hint("the kernel's btrfs takes 1 to 15; 0 stores everything raw");
    }
    let subvolumes: &[SubvolumeToml] = written.subvolumes.as_deref().unwrap_or(&[]);
    for subvolume in subvolumes {
        check_subvolume(check, subvolume);
    }
    check.distinct(subvolumes.iter().map(|subvolume| &subvolume.name), "subvolume");
    let mounts = || subvolumes.iter().filter_map(|subvolume| subvolume.mount.as_ref());
    check.distinct(mounts(), "mount point");
    if !mounts().any(|mount| mount.value == "/") {
        check
            .found(
                &written.file_system.span,
                format!("no subvolume of {} is mounted at `/`", quoted(&written.label)),
            )
            .hint("add { name = \"@\", mount = \"/\" } to `subvolumes`");
    }
    Btrfs {
        zstd: written.zstd.as_ref().map_or(ZSTD, |zstd| zstd.value),
        subvolumes: subvolumes
            .iter()
            .filter_map(|subvolume| {
                Some(Subvolume {
                    name: subvolume.name.value.clone(),
                    mount: subvolume.mount.as_ref()?.value.clone(),
                    data: subvolume.data,
                })
            })
            .collect(),
        container_image: container_image(check, subvolumes),
    }
}

/// The one container image among `subvolumes`, if there is one.
fn container_image(check: &mut Check<'_>, subvolumes: &[SubvolumeToml]) -> Option<String> {
    let mut images = subvolumes.iter().filter(|subvolume| subvolume.container_image);
    let first = &images.next()?.name;
    for other in images {
        check
            .found(&other.name.span, "the layout has a second container image")
            .related(&first.span, "the first")
            .hint("a role's containers have one image: keep one of the two");
    }
    Some(first.value.clone())
}

/// Whether a subvolume's name or a mount point may have the character.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "@-_.".contains(c)
}

/// A subvolume's name: that of a file, of few characters.
pub(crate) fn check_subvolume_name(check: &mut Check<'_>, name: &At<String>) {
    if name.is_empty() || name.len() > 255 || !name.chars().all(plain) || matches!(name.as_str(), "." | "..")
    {
        check
            .found(&name.span, format!("{} cannot name a subvolume", quoted(name)))
            .hint("letters, digits, @, -, _ and dots: \"@lxc\"");
    }
}

fn check_subvolume(check: &mut Check<'_>, written: &SubvolumeToml) {
    let name = &written.name;
    check_subvolume_name(check, name);
    let is_root = written.mount.as_ref().is_some_and(|mount| mount.value == "/");
    if written.data && (is_root || written.container_image) {
        check
            .found(
                &name.span,
                format!("{} cannot hold data alone: a system starts from it", quoted(name)),
            )
            .hint("leave out `data = true`");
    }
    match (&written.mount, written.container_image) {
        (Some(mount), false) => check_mount(check, mount),
        (None, true) => {}
        (Some(mount), true) => {
            check
                .found(
                    &mount.span,
                    format!("{} is a container image, which is mounted nowhere", quoted(name)),
                )
                .hint("containers are snapshots of it: leave out `mount`, or `container-image = true`");
        }
        (None, false) => {
            check
                .found(
                    &name.span,
                    format!("subvolume {} is mounted nowhere", quoted(name)),
                )
                .hint("add `mount = \"/srv\"`, or `container-image = true` if containers are to be snapshots of it");
        }
    }
}

/// A mount point: an absolute path that nothing else needs.
pub(crate) fn check_mount(check: &mut Check<'_>, mount: &At<String>) {
    let parts = mount.strip_prefix('/').map(|rest| rest.split('/'));
    let holds = mount.value == "/"
        || parts.is_some_and(|mut parts| {
            parts.all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain))
        });
    if !holds {
        check
            .found(&mount.span, format!("{} is no mount point", quoted(mount)))
            .hint("an absolute path without `..`, `//` or a slash at its end: \"/var/lib/lxc\"");
        return;
    }
    let below = |top: &&&str| {
        mount
            .strip_prefix(**top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(top) = ROOT_ONLY.iter().find(below) {
        check
            .found(
                &mount.span,
                format!("{} cannot be a subvolume of its own", quoted(mount)),
            )
            .hint(format!(
                "the system starts without an initrd, so `{top}` is part of the root subvolume"
            ));
    } else if let Some(top) = TAKEN.iter().find(below) {
        check
            .found(&mount.span, format!("{} would hide another mount", quoted(mount)))
            .hint(format!(
                "`{top}` is mounted by the kernel, by systemd or from the boot partition"
            ));
    }
}
