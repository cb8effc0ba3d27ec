//! The directories of a volume and their entries.

use std::collections::{BTreeMap, BTreeSet};

use zerocopy::IntoBytes;

use super::disk::{LongEntry, ShortEntry};
use super::geometry::{ENTRY, Geometry};
use super::time::Stamp;
use super::{FatError, FatFile, names};

/// Most entries of a directory: drivers read 2 MiB of it, section 6.
const MAX_ENTRIES: u64 = 65_536;

/// A directory: the root is the first of its list, parents precede children.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Its parent, by place in the list; the root is its own.
    parent: usize,
    /// What it holds, in order.
    children: Vec<Child>,
}

/// An entry of a directory besides `.`, `..` and the volume label.
#[derive(Debug)]
struct Child {
    /// The name as given; written as a long name where the short one differs.
    name: String,
    /// The name of 8 + 3 characters.
    short: [u8; 11],
    target: Target,
}

/// What a name stands for, by place in the list of its kind.
#[derive(Debug, Clone, Copy)]
enum Target {
    Directory(usize),
    File(usize),
}

/// Where things lie: first cluster of every directory and file, 0 for what has none.
pub(super) struct Places {
    pub(super) directories: Vec<u32>,
    pub(super) files: Vec<u32>,
}

/// The directories for a list of files: the root first, the others as they are first met.
pub(super) fn tree(files: &[FatFile]) -> Result<Vec<Directory>, FatError> {
    let paths = names::directories(files.iter().map(|file| file.path.as_str()))?;
    let places: BTreeMap<&str, usize> = paths
        .iter()
        .map(String::as_str)
        .zip(1..)
        .chain([("", 0)])
        .collect();
    let mut directories: Vec<Directory> = Vec::new();
    directories.resize_with(places.len(), Directory::default);

    let inner = paths
        .iter()
        .zip(1..)
        .map(|(path, at)| (path, Target::Directory(at)));
    let leaves = files
        .iter()
        .enumerate()
        .map(|(at, file)| (&file.path, Target::File(at)));
    let mut taken: BTreeSet<(usize, [u8; 11])> = BTreeSet::new();
    for (path, target) in inner.chain(leaves) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        // `names::directories` returned every parent of every path.
        let parent = places[parent];
        if let Target::Directory(at) = target {
            directories[at].parent = parent;
        }
        let short = names::short(name, |short| taken.insert((parent, *short)));
        directories[parent].children.push(Child {
            name: name.to_owned(),
            short,
            target,
        });
    }
    let paths = std::iter::once("/").chain(paths.iter().map(String::as_str));
    for (at, (path, directory)) in paths.zip(&directories).enumerate() {
        let needed = directory.entries(at == 0);
        if needed > MAX_ENTRIES {
            return Err(FatError::DirectoryFull {
                path: path.to_owned(),
                needed,
                limit: MAX_ENTRIES,
            });
        }
    }
    Ok(directories)
}

impl Directory {
    /// Entries of 32 bytes it takes.
    pub(super) fn entries(&self, is_root: bool) -> u64 {
        // The root has the volume label, the others `.` and `..`.
        let own = if is_root { 1 } else { 2 };
        own + self
            .children
            .iter()
            .map(|child| 1 + child.long_entries() as u64)
            .sum::<u64>()
    }

    /// Clusters it takes; none for the root of FAT16, which has its own place.
    pub(super) fn clusters(&self, is_root: bool, geometry: &Geometry) -> u64 {
        if is_root && geometry.root_entries > 0 {
            0
        } else {
            geometry.clusters_for(self.entries(is_root) * ENTRY)
        }
    }

    /// Its bytes. `this` is its place in the list of directories.
    pub(super) fn encode(
        &self,
        this: usize,
        label: [u8; 11],
        files: &[FatFile],
        places: &Places,
        stamp: Stamp,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |name, attributes, cluster, size| {
            bytes.extend_from_slice(short_entry(name, attributes, cluster, size, stamp).as_bytes());
        };
        if this == 0 {
            put(label, ShortEntry::LABEL, 0, 0);
        } else {
            // The root is cluster 0 to its children, wherever it lies.
            let parent = if self.parent == 0 {
                0
            } else {
                places.directories[self.parent]
            };
            put(
                *b".          ",
                ShortEntry::DIRECTORY,
                places.directories[this],
                0,
            );
            put(*b"..         ", ShortEntry::DIRECTORY, parent, 0);
        }
        for child in &self.children {
            for entry in child.encode_long() {
                bytes.extend_from_slice(entry.as_bytes());
            }
            let entry = match child.target {
                Target::Directory(at) => (ShortEntry::DIRECTORY, places.directories[at], 0),
                // Longer files were refused.
                Target::File(at) => (ShortEntry::ARCHIVE, places.files[at], files[at].length as u32),
            };
            let entry = short_entry(child.short, entry.0, entry.1, entry.2, stamp);
            bytes.extend_from_slice(entry.as_bytes());
        }
        bytes
    }
}

impl Child {
    /// Entries that its long name takes: none where the short name says it all.
    fn long_entries(&self) -> usize {
        if names::expand(&self.short) == self.name {
            0
        } else {
            self.name.encode_utf16().count().div_ceil(LongEntry::UNITS)
        }
    }

    /// The parts of its long name, last first.
    fn encode_long(&self) -> Vec<LongEntry> {
        let count = self.long_entries();
        let mut units: Vec<u16> = self.name.encode_utf16().collect();
        // A name that does not fill its last part is ended by one zero; the rest is 0xffff.
        if units.len() < count * LongEntry::UNITS {
            units.push(0);
        }
        let checksum = ShortEntry::checksum(&self.short);
        let part = |number: usize| {
            let unit = |at: usize| {
                units
                    .get((number - 1) * LongEntry::UNITS + at)
                    .copied()
                    .unwrap_or(0xffff)
            };
            LongEntry {
                // At most 20 parts: names have at most 255 units.
                number: number as u8 | if number == count { LongEntry::LAST } else { 0 },
                units_1: std::array::from_fn(|at| unit(at).into()),
                attributes: LongEntry::ATTRIBUTES,
                kind: 0,
                checksum,
                units_2: std::array::from_fn(|at| unit(5 + at).into()),
                cluster: 0.into(),
                units_3: std::array::from_fn(|at| unit(11 + at).into()),
            }
        };
        (1..=count).rev().map(part).collect()
    }
}

fn short_entry(name: [u8; 11], attributes: u8, cluster: u32, size: u32, stamp: Stamp) -> ShortEntry {
    ShortEntry {
        name,
        attributes,
        case: 0,
        created_hundredths: 0,
        created_time: stamp.time.into(),
        created_date: stamp.date.into(),
        accessed_date: stamp.date.into(),
        cluster_high: ((cluster >> 16) as u16).into(),
        modified_time: stamp.time.into(),
        modified_date: stamp.date.into(),
        cluster_low: (cluster as u16).into(),
        size: size.into(),
    }
}
