//! In what two images differ, by partition, file and meaning.
//!
//! | module | owns |
//! |---|---|
//! | `volumes` | FAT and btrfs volumes compared file by file |
//! | `fleet` | the images of a fleet: nodes of a kind differ only in what is their own |
//! | `blocks` | images compared byte by byte, against the places that may differ |

mod blocks;
mod fleet;
mod volumes;

pub use fleet::{FleetDiff, NodeDiff, fleet_differences, node_difference};

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use formats::source::ReadAt;
use serde::Serialize;

use crate::inspect::{Image, Kind, Part, boot_area};

/// One thing in which two images differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The partition; 0 is the image itself.
    pub partition: usize,
    /// What kind of thing it is.
    pub aspect: Aspect,
    /// The file, where it is one: `@/etc/hostname`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// In what: `mode 0644 -> 0600`.
    pub what: String,
}

/// What kind of thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// An identifier.
    Id,
    /// How something is laid out: sizes, places, types, labels.
    Layout,
    /// What is before the first partition.
    BootArea,
    /// What is there under a name, and its attributes.
    File,
    /// The bytes of a file that is on both.
    Content,
    /// Bytes that no file has.
    Bytes,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            0 => f.write_str("image")?,
            number => write!(f, "partition {number}")?,
        }
        match &self.path[..] {
            "" => write!(f, ": {}", self.what),
            path => write!(f, ": {path}: {}", self.what),
        }
    }
}

/// Collects what differs in one partition.
pub(crate) struct Findings {
    partition: usize,
    found: Vec<Difference>,
}

impl Findings {
    fn new(partition: usize) -> Self {
        Self {
            partition,
            found: Vec::new(),
        }
    }

    fn push(&mut self, aspect: Aspect, path: &str, what: String) {
        self.found.push(Difference {
            partition: self.partition,
            aspect,
            path: path.to_owned(),
            what,
        });
    }

    /// Notes values that are not the same.
    fn compare<T: PartialEq + fmt::Display>(
        &mut self,
        aspect: Aspect,
        path: &str,
        name: &str,
        one: T,
        other: T,
    ) {
        if one != other {
            self.push(aspect, path, format!("{name} {one} -> {other}"));
        }
    }
}

/// Everything in which `other` differs from `one`.
pub fn differences(one: &Image, other: &Image) -> Result<Vec<Difference>> {
    let mut findings = Findings::new(0);
    findings.compare(Aspect::Layout, "", "size", one.source.size(), other.source.size());
    let id = |image: &Image| match &image.table {
        Some(table) => table.id.to_string(),
        None => "none".to_owned(),
    };
    findings.compare(Aspect::Id, "", "disk id", id(one), id(other));
    compare_boot_areas(&mut findings, one, other)?;
    let mut found = findings.found;

    let numbered = |image: &Image| -> BTreeMap<usize, Part> {
        let parts = image.parts().into_iter();
        parts.map(|part| (part.number, part)).collect()
    };
    let (parts, mut others) = (numbered(one), numbered(other));
    for (number, part) in parts {
        let mut findings = Findings::new(number);
        match others.remove(&number) {
            None => findings.push(Aspect::Layout, "", "only on the first image".to_owned()),
            Some(other_part) => {
                compare_entries(&mut findings, &part, &other_part);
                compare_parts(&mut findings, one, &part, other, &other_part)?;
            }
        }
        found.extend(findings.found);
    }
    for number in others.into_keys() {
        let mut findings = Findings::new(number);
        findings.push(Aspect::Layout, "", "only on the second image".to_owned());
        found.extend(findings.found);
    }
    Ok(found)
}

fn compare_boot_areas(findings: &mut Findings, one: &Image, other: &Image) -> Result<()> {
    let (areas, others) = (boot_area(one)?, boot_area(other)?);
    let text = |area: &crate::inspect::BootArea| format!("{} ({})", area.place(), area.what);
    for area in areas.iter().filter(|area| !others.contains(area)) {
        let what = format!("{} not the same on the second image", text(area));
        findings.push(Aspect::BootArea, "", what);
    }
    for area in others.iter().filter(|area| !areas.contains(area)) {
        let what = format!("{} not the same on the first image", text(area));
        findings.push(Aspect::BootArea, "", what);
    }
    Ok(())
}

fn compare_entries(findings: &mut Findings, part: &Part, other: &Part) {
    findings.compare(Aspect::Layout, "", "place", part.sectors, other.sectors);
    let (Some(entry), Some(other)) = (&part.entry, &other.entry) else {
        return;
    };
    findings.compare(Aspect::Layout, "", "type", entry.kind, other.kind);
    findings.compare(Aspect::Layout, "", "active", entry.active, other.active);
    findings.compare(Aspect::Layout, "", "label", &entry.label, &other.label);
    findings.compare(Aspect::Id, "", "PARTUUID", &entry.part_uuid, &other.part_uuid);
}

fn compare_parts(
    findings: &mut Findings,
    one: &Image,
    part: &Part,
    other: &Image,
    other_part: &Part,
) -> Result<()> {
    let (one, other) = (one.window(part)?, other.window(other_part)?);
    match (part.kind, other_part.kind) {
        (Kind::Fat, Kind::Fat) => volumes::compare_fat(findings, &one, &other),
        (Kind::Btrfs, Kind::Btrfs) => volumes::compare_btrfs(findings, &one, &other),
        (Kind::Unknown, Kind::Unknown) => {
            if let Some(place) = blocks::first_difference(&one, &other)? {
                findings.push(Aspect::Bytes, "", format!("bytes from {place} on"));
            }
            Ok(())
        }
        _ => {
            findings.push(Aspect::Layout, "", "another file system".to_owned());
            Ok(())
        }
    }
}

/// A subvolume's name as paths begin with it; nothing for the top level.
fn subvolume_name(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
