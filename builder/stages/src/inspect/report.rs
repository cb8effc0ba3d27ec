//! What there is on an image, as data.

use std::collections::BTreeMap;

use anyhow::Result;
use formats::btrfs::read::{self as btrfs, InodeKind, View};
use formats::fat::FatType;
use formats::fat::read as fat;
use formats::partition::TableId;
use formats::source::ReadAt;
use formats::units::{Bytes, SECTOR};
use serde::Serialize;

use super::root::path_text;
use super::{BootArea, Image, Kind, boot_area, root_view};

/// Whether files are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only counted, except on the boot partition.
    Counts,
    /// Every path of every subvolume.
    Files,
}

/// What there is on an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Bytes of the image.
    pub size: Bytes,
    /// `mbr` or `gpt`; `none` on a bare volume.
    pub table: &'static str,
    /// The disk's signature or GUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is before the first partition.
    pub boot_area: Vec<BootArea>,
    /// The partitions, or the one volume.
    pub partitions: Vec<PartitionReport>,
}

/// A partition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionReport {
    /// From 1; 0 for a bare volume.
    pub number: usize,
    /// Its name in a GPT.
    pub label: String,
    /// Its first sector.
    pub first_sector: u64,
    /// How many it has.
    pub sectors: u64,
    /// The type as the table has it.
    pub kind: String,
    /// Whether firmware looks for a boot loader's files there.
    pub active: bool,
    /// What Linux calls it.
    pub part_uuid: String,
    /// What is on it.
    pub content: Content,
}

/// What is on a partition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "file-system")]
pub enum Content {
    /// A FAT volume.
    #[serde(rename_all = "kebab-case")]
    Fat {
        /// 16 or 32.
        bits: u8,
        /// Its label.
        label: String,
        /// As `blkid` shows it.
        uuid: String,
        /// Bytes of a cluster.
        cluster: Bytes,
        /// Its files by path, with their lengths.
        files: BTreeMap<String, u64>,
    },
    /// A btrfs volume.
    #[serde(rename_all = "kebab-case")]
    Btrfs {
        /// Its label.
        label: String,
        /// As `blkid` shows it.
        uuid: String,
        /// What its blocks call it.
        metadata_uuid: String,
        /// Its size.
        size: Bytes,
        /// Bytes in use, copies counted once.
        used: Bytes,
        /// Its last transaction.
        generation: u64,
        /// Whether the last changes before a crash wait in its log, which is not read.
        has_log: bool,
        /// Its subvolumes by id.
        subvolumes: Vec<SubvolumeReport>,
    },
    /// Something that cannot be read, and why.
    Damaged {
        /// What is wrong.
        error: String,
    },
    /// Something else, or nothing.
    Unknown,
}

/// A subvolume.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubvolumeReport {
    /// Its id.
    pub id: u64,
    /// Where it hangs; `/` is the top level.
    pub path: String,
    /// Where the node mounts it, as far as its fstab says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Its UUID.
    pub uuid: String,
    /// Whether nothing in it can be changed.
    pub read_only: bool,
    /// Whether it is mounted where no other is asked for.
    pub default: bool,
    /// Names of directories, its root counted.
    pub directories: u64,
    /// Names of regular files.
    pub files: u64,
    /// Names of anything else.
    pub others: u64,
    /// Bytes of its files as they are read, each inode once.
    pub bytes: Bytes,
    /// Its paths, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathReport>,
}

/// A path of a subvolume.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PathReport {
    /// From the subvolume's root; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// What it is, as `ls` shows it: `-`, `d`, `l`, `c`, `b`, `p`, `s`.
    pub kind: char,
    /// Permissions, 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file.
    pub size: u64,
    /// Last change of the content, in seconds since 1970.
    pub mtime: i64,
    /// Target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Names of its extended attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
}

/// Reads `image` through. Damage of one partition does not hide the others.
pub fn report(image: &Image, detail: Detail) -> Result<Report> {
    let partition = |part: &super::Part| {
        let content = image.window(part).and_then(|window| match part.kind {
            Kind::Fat => fat_content(&window),
            Kind::Btrfs => btrfs_content(&window, detail),
            Kind::Unknown => Ok(Content::Unknown),
        });
        let entry = part.entry.as_ref();
        PartitionReport {
            number: part.number,
            label: entry.map(|entry| entry.label.clone()).unwrap_or_default(),
            first_sector: part.sectors.first.0,
            sectors: part.sectors.count,
            kind: entry.map(|entry| entry.kind.to_string()).unwrap_or_default(),
            active: entry.is_some_and(|entry| entry.active),
            part_uuid: entry.map(|entry| entry.part_uuid.clone()).unwrap_or_default(),
            content: content.unwrap_or_else(|error| Content::Damaged {
                error: format!("{error:#}"),
            }),
        }
    };
    let id = image.table.as_ref().map(|table| table.id);
    Ok(Report {
        size: Bytes(image.source.size()),
        table: match id {
            Some(TableId::Mbr(_)) => "mbr",
            Some(TableId::Gpt(_)) => "gpt",
            None => "none",
        },
        id: id.map(|id| id.to_string()),
        boot_area: boot_area(image)?,
        partitions: image.parts().iter().map(partition).collect(),
    })
}

impl Report {
    /// Whether anything on it cannot be read.
    pub fn is_damaged(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.any(|partition| matches!(partition.content, Content::Damaged { .. }))
    }
}

impl PartitionReport {
    /// Its size.
    pub fn size(&self) -> Bytes {
        Bytes(self.sectors.saturating_mul(SECTOR))
    }
}

fn fat_content(window: &dyn ReadAt) -> Result<Content> {
    let reader = fat::Reader::open(window)?;
    let summary = reader.summary();
    let files = reader.walk()?.into_iter().filter(|entry| !entry.is_directory);
    Ok(Content::Fat {
        bits: match summary.fat_type {
            FatType::Fat16 => 16,
            FatType::Fat32 => 32,
        },
        label: summary.label,
        uuid: format!(
            "{:04X}-{:04X}",
            summary.volume_id >> 16,
            summary.volume_id & 0xffff
        ),
        cluster: summary.cluster,
        files: files.map(|entry| (entry.path, entry.length)).collect(),
    })
}

fn btrfs_content(window: &dyn ReadAt, detail: Detail) -> Result<Content> {
    let reader = btrfs::Reader::open(window)?;
    let summary = reader.summary();
    let view = root_view(&reader)?;
    let subvolumes = reader.subvolumes()?.into_iter();
    let subvolumes = subvolumes.map(|subvolume| subvolume_report(&reader, subvolume, &view, detail));
    Ok(Content::Btrfs {
        label: summary.label,
        uuid: summary.fsid.to_string(),
        metadata_uuid: summary.metadata_uuid.to_string(),
        size: summary.size,
        used: summary.used,
        generation: summary.generation,
        has_log: summary.has_log,
        subvolumes: subvolumes.collect::<Result<_>>()?,
    })
}

fn subvolume_report(
    reader: &btrfs::Reader<'_>,
    subvolume: btrfs::Subvolume,
    root: &View,
    detail: Detail,
) -> Result<SubvolumeReport> {
    let mount = match subvolume.id == root.root.id {
        true => Some("/".to_owned()),
        false => root
            .mounts
            .iter()
            .find(|(_, mounted)| mounted.id == subvolume.id)
            .map(|(path, _)| format!("/{}", String::from_utf8_lossy(path))),
    };
    let mut report = SubvolumeReport {
        id: subvolume.id,
        path: path_text(&subvolume),
        mount,
        uuid: subvolume.uuid.to_string(),
        read_only: subvolume.read_only,
        default: subvolume.is_default,
        directories: 0,
        files: 0,
        others: 0,
        bytes: Bytes(0),
        paths: Vec::new(),
    };
    let mut seen = std::collections::HashSet::new();
    for found in reader.walk(&View::of(subvolume)) {
        let found = found?;
        match found.inode.kind {
            InodeKind::Directory => report.directories += 1,
            InodeKind::File(size) => {
                report.files += 1;
                if seen.insert(found.inode.number) {
                    report.bytes = Bytes(report.bytes.0.saturating_add(size));
                }
            }
            _ => report.others += 1,
        }
        if detail == Detail::Files {
            report.paths.push(path_report(&found));
        }
    }
    Ok(report)
}

fn path_report(found: &btrfs::Found<'_>) -> PathReport {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let attributes = &found.inode.attributes;
    let (mut size, mut target) = (0, None);
    let kind = match &found.inode.kind {
        InodeKind::Directory => 'd',
        InodeKind::File(bytes) => {
            size = *bytes;
            '-'
        }
        InodeKind::Symlink(path) => {
            target = Some(text(path));
            'l'
        }
        InodeKind::CharacterDevice(_) => 'c',
        InodeKind::BlockDevice(_) => 'b',
        InodeKind::Fifo => 'p',
        InodeKind::Socket => 's',
    };
    PathReport {
        path: format!("/{}", text(&found.path)),
        kind,
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        size,
        mtime: attributes.mtime.seconds,
        target,
        xattrs: attributes.xattrs.keys().map(|name| text(name)).collect(),
    }
}
