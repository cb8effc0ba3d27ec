//! FAT and btrfs volumes compared file by file.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;

use anyhow::Result;
use formats::btrfs::read::{self as btrfs, Found, Inode, InodeKind, Part, Stored, Subvolume, View, Walk};
use formats::fat::read as fat;
use formats::layer::shown;
use formats::source::{ReadAt, Window};

use super::{Aspect, Findings, blocks, subvolume_name};

/// Compares two FAT volumes.
pub fn compare_fat(findings: &mut Findings, one: &dyn ReadAt, other: &dyn ReadAt) -> Result<()> {
    let (reader, other_reader) = (fat::Reader::open(one)?, fat::Reader::open(other)?);
    let (summary, other_summary) = (reader.summary(), other_reader.summary());
    let id = |summary: &fat::Summary| format!("{:08X}", summary.volume_id);
    findings.compare(Aspect::Id, "", "FAT id", id(&summary), id(&other_summary));
    findings.compare(
        Aspect::Layout,
        "",
        "FAT label",
        summary.label,
        other_summary.label,
    );
    findings.compare(Aspect::Layout, "", "FAT size", summary.size, other_summary.size);
    findings.compare(
        Aspect::Layout,
        "",
        "cluster size",
        summary.cluster,
        other_summary.cluster,
    );
    let by_path = |entries: Vec<fat::Entry>| -> BTreeMap<String, fat::Entry> {
        let entries = entries.into_iter();
        entries.map(|entry| (entry.path.clone(), entry)).collect()
    };
    let (entries, mut others) = (by_path(reader.walk()?), by_path(other_reader.walk()?));
    for (path, entry) in &entries {
        let Some(other) = others.remove(path) else {
            findings.push(Aspect::File, path, "only on the first image".to_owned());
            continue;
        };
        if entry.is_directory != other.is_directory {
            findings.push(
                Aspect::File,
                path,
                "a file on one, a directory on the other".to_owned(),
            );
            continue;
        }
        findings.compare(Aspect::Content, path, "length", entry.length, other.length);
        let parts = reader.parts(entry).map(|part| Ok(Part::Bytes(part?)));
        let other_parts = other_reader.parts(&other).map(|part| Ok(Part::Bytes(part?)));
        if let Some(place) = first_difference(parts, other_parts)? {
            findings.push(Aspect::Content, path, format!("content from byte {place} on"));
        }
    }
    for path in others.keys() {
        findings.push(Aspect::File, path, "only on the second image".to_owned());
    }
    Ok(())
}

/// Two btrfs volumes.
struct Pair<'r, 's> {
    one: &'r btrfs::Reader<'s>,
    other: &'r btrfs::Reader<'s>,
    /// Their bytes.
    sources: [&'s dyn ReadAt; 2],
}

/// Compares two btrfs volumes.
pub fn compare_btrfs(findings: &mut Findings, one: &dyn ReadAt, other: &dyn ReadAt) -> Result<()> {
    let (reader, other_reader) = (btrfs::Reader::open(one)?, btrfs::Reader::open(other)?);
    let (summary, other_summary) = (reader.summary(), other_reader.summary());
    findings.compare(Aspect::Id, "", "UUID", summary.fsid, other_summary.fsid);
    let metadata = [summary.metadata_uuid, other_summary.metadata_uuid];
    findings.compare(Aspect::Id, "", "metadata UUID", metadata[0], metadata[1]);
    findings.compare(Aspect::Layout, "", "label", summary.label, other_summary.label);
    findings.compare(Aspect::Layout, "", "size", summary.size, other_summary.size);
    let pair = Pair {
        one: &reader,
        other: &other_reader,
        sources: [one, other],
    };
    let by_path = |subvolumes: Vec<Subvolume>| -> BTreeMap<Vec<u8>, Subvolume> {
        let subvolumes = subvolumes.into_iter();
        subvolumes
            .map(|subvolume| (subvolume.path.clone(), subvolume))
            .collect()
    };
    let (subvolumes, mut others) = (by_path(reader.subvolumes()?), by_path(other_reader.subvolumes()?));
    for (path, subvolume) in subvolumes {
        let name = subvolume_name(&path);
        let Some(other) = others.remove(&path) else {
            findings.push(
                Aspect::File,
                &name,
                "subvolume only on the first image".to_owned(),
            );
            continue;
        };
        findings.compare(Aspect::Id, &name, "subvolume UUID", subvolume.uuid, other.uuid);
        findings.compare(
            Aspect::File,
            &name,
            "read-only",
            subvolume.read_only,
            other.read_only,
        );
        findings.compare(
            Aspect::File,
            &name,
            "default",
            subvolume.is_default,
            other.is_default,
        );
        pair.walk(findings, &name, &View::of(subvolume), &View::of(other))?;
    }
    for path in others.keys() {
        let what = "subvolume only on the second image".to_owned();
        findings.push(Aspect::File, &subvolume_name(path), what);
    }
    Ok(())
}

impl Pair<'_, '_> {
    fn walk(&self, findings: &mut Findings, subvolume: &str, view: &View, other: &View) -> Result<()> {
        let (mut left, mut right) = (self.one.walk(view).peekable(), self.other.walk(other).peekable());
        while let Some(order) = next_order(&mut left, &mut right) {
            let found = (order != Ordering::Greater)
                .then(|| left.next())
                .flatten()
                .transpose()?;
            let other = (order != Ordering::Less)
                .then(|| right.next())
                .flatten()
                .transpose()?;
            let path = |found: &Found<'_>| file_name(subvolume, &found.path);
            match (found, other) {
                (Some(found), Some(other)) => self.compare(findings, &path(&found), &found, &other)?,
                (Some(found), None) => {
                    let what = format!("{} only on the first image", found.inode.kind.what());
                    findings.push(Aspect::File, &path(&found), what);
                }
                (None, Some(other)) => {
                    let what = format!("{} only on the second image", other.inode.kind.what());
                    findings.push(Aspect::File, &path(&other), what);
                }
                (None, None) => break,
            }
        }
        Ok(())
    }

    fn compare(&self, findings: &mut Findings, path: &str, one: &Found<'_>, other: &Found<'_>) -> Result<()> {
        let (inode, other_inode) = (&one.inode, &other.inode);
        let octal = |inode: &Inode| format!("{:04o}", inode.attributes.mode);
        findings.compare(Aspect::File, path, "mode", octal(inode), octal(other_inode));
        let owner = |inode: &Inode| format!("{}:{}", inode.attributes.uid, inode.attributes.gid);
        findings.compare(Aspect::File, path, "owner", owner(inode), owner(other_inode));
        let time = |inode: &Inode| {
            let time = inode.attributes.mtime;
            format!("{}.{:09}", time.seconds, time.nanoseconds)
        };
        findings.compare(Aspect::File, path, "time", time(inode), time(other_inode));
        findings.compare(Aspect::File, path, "links", inode.links, other_inode.links);
        let (xattrs, others) = (&inode.attributes.xattrs, &other_inode.attributes.xattrs);
        for name in xattrs
            .keys()
            .chain(others.keys().filter(|name| !xattrs.contains_key(*name)))
        {
            if xattrs.get(name) != others.get(name) {
                let what = format!("extended attribute {}", shown(name));
                findings.push(Aspect::File, path, what);
            }
        }
        match (&inode.kind, &other_inode.kind) {
            (InodeKind::File(size), InodeKind::File(other_size)) => {
                findings.compare(Aspect::Content, path, "length", size, other_size);
                if let Some(place) = self.content(one, other)? {
                    findings.push(Aspect::Content, path, format!("content from byte {place} on"));
                }
            }
            (InodeKind::Symlink(target), InodeKind::Symlink(other)) => {
                findings.compare(Aspect::File, path, "target", shown(target), shown(other));
            }
            (kind, other) if kind != other => {
                let what = match kind.what() == other.what() {
                    true => "device number".to_owned(),
                    false => format!("{} -> {}", kind.what(), other.what()),
                };
                findings.push(Aspect::File, path, what);
            }
            _ => {}
        }
        Ok(())
    }

    /// The first byte in which two files differ.
    fn content(&self, one: &Found<'_>, other: &Found<'_>) -> Result<Option<u64>> {
        let stored = self.one.parts(one.subvolume, &one.inode)?.stored()?;
        let other_stored = self.other.parts(other.subvolume, &other.inode)?.stored()?;
        // What lies in the same place in the same way need not be decompressed.
        if one.inode.kind == other.inode.kind && stored == other_stored && self.same_bytes(&stored) {
            return Ok(None);
        }
        first_difference(
            self.one.parts(one.subvolume, &one.inode)?.map(|part| Ok(part?)),
            self.other
                .parts(other.subvolume, &other.inode)?
                .map(|part| Ok(part?)),
        )
    }

    /// Whether both volumes have the same bytes in the first place of each run.
    fn same_bytes(&self, stored: &[Stored]) -> bool {
        let mut places = stored.iter().filter_map(|run| run.places.first());
        places.all(|place| {
            let [one, other] = self
                .sources
                .map(|source| Window::new(source, place.start, place.end - place.start));
            match (one, other) {
                (Ok(one), Ok(other)) => matches!(blocks::first_difference(&one, &other), Ok(None)),
                _ => false,
            }
        })
    }
}

/// Where a file is, for people: `@/etc/hostname`.
fn file_name(subvolume: &str, path: &[u8]) -> String {
    let path = shown(path);
    format!("{subvolume}/{}", path.trim_matches('`').trim_start_matches('/'))
}

/// Which of two walks comes first: paths are in order of their components. Errors come at once.
fn next_order(
    left: &mut Peekable<Walk<'_, '_, '_>>,
    right: &mut Peekable<Walk<'_, '_, '_>>,
) -> Option<Ordering> {
    match (left.peek(), right.peek()) {
        (None, None) => None,
        (Some(Ok(one)), Some(Ok(other))) => {
            let components = |found: &Found<'_>| {
                let path = found.path.split(|byte| *byte == b'/');
                path.map(<[u8]>::to_vec).collect::<Vec<_>>()
            };
            Some(components(one).cmp(&components(other)))
        }
        (Some(Err(_)), _) | (Some(_), None) => Some(Ordering::Less),
        (_, Some(_)) => Some(Ordering::Greater),
    }
}

/// The first byte in which two files differ, one of which may be shorter.
fn first_difference(
    mut one: impl Iterator<Item = Result<Part>>,
    mut other: impl Iterator<Item = Result<Part>>,
) -> Result<Option<u64>> {
    let (mut left, mut right) = (Part::Zeros(0), Part::Zeros(0));
    let mut done = 0;
    loop {
        if left.length() == 0 {
            left = one.next().transpose()?.unwrap_or(Part::Zeros(0));
        }
        if right.length() == 0 {
            right = other.next().transpose()?.unwrap_or(Part::Zeros(0));
        }
        let step = left.length().min(right.length());
        if step == 0 {
            let is_longer = left.length() != right.length();
            return Ok(is_longer.then_some(done));
        }
        let (first, second) = (take(&mut left, step), take(&mut right, step));
        let differs = match (&first, &second) {
            (Part::Zeros(_), Part::Zeros(_)) => None,
            (Part::Bytes(bytes), Part::Zeros(_)) | (Part::Zeros(_), Part::Bytes(bytes)) => {
                bytes.iter().position(|byte| *byte != 0)
            }
            (Part::Bytes(one), Part::Bytes(other)) if one == other => None,
            (Part::Bytes(one), Part::Bytes(other)) => {
                one.iter().zip(other).position(|(one, other)| one != other)
            }
        };
        if let Some(at) = differs {
            return Ok(Some(done + at as u64));
        }
        done += step;
    }
}

/// Takes `length` bytes, at most as many as there are, from the start of a part.
fn take(part: &mut Part, length: u64) -> Part {
    match part {
        Part::Zeros(left) => {
            *left -= length;
            Part::Zeros(length)
        }
        Part::Bytes(bytes) => {
            let rest = bytes.split_off(length as usize);
            Part::Bytes(std::mem::replace(bytes, rest))
        }
    }
}
