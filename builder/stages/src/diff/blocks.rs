//! Images compared byte by byte, against the places that may differ.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use anyhow::{Context, Result};
use formats::btrfs::read::{self as btrfs, View};
use formats::fat::read as fat;
use formats::source::ReadAt;
use formats::units::SECTOR;

use super::subvolume_name;
use crate::inspect::{Image, Kind};

/// Bytes that are compared at once.
const BUFFER: u64 = 1 << 20;

/// Bytes that are told apart: a sector of btrfs.
const BLOCK: usize = 4096;

/// What lies in a place that nodes of a kind may have for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The partition table.
    Table,
    /// The boot sector of the boot partition, or its copy.
    BootSector,
    /// A file of the boot partition.
    BootFile,
    /// A superblock.
    Superblock,
    /// A block of a tree.
    TreeBlock,
    /// Data of a file of the root file system.
    Data,
}

/// Places of an image by their first byte.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<u64, (u64, Owner)>);

impl Places {
    fn add(&mut self, place: Range<u64>, owner: Owner) {
        let known = self.0.entry(place.start).or_insert((place.end, owner));
        known.0 = known.0.max(place.end);
    }

    /// Whose all of these bytes are.
    fn owner(&self, place: Range<u64>) -> Option<Owner> {
        let (_, (end, owner)) = self.0.range(..=place.start).next_back()?;
        (*end >= place.end).then_some(*owner)
    }
}

/// The places of `image` that nodes of a kind may have for themselves: identifiers, trees, and the files that `is_own`
/// accepts, as `boot:extlinux/extlinux.conf` or `@:etc/hostname`.
pub fn own_places(image: &Image, is_own: &dyn Fn(&str) -> bool) -> Result<Places> {
    let mut places = Places::default();
    let parts = image.parts();
    let first = parts.iter().map(|part| part.sectors.first.0).min().unwrap_or(0);
    // Code before an MBR is not its own.
    let size = image.source.size();
    if image.table.is_some() {
        places.add(440..SECTOR, Owner::Table);
        places.add(
            SECTOR..formats::gpt::FIRST_USABLE.min(first) * SECTOR,
            Owner::Table,
        );
        let backup = size.saturating_sub(formats::gpt::BACKUP_SECTORS * SECTOR);
        let last = parts.iter().map(|part| part.sectors.end().0).max().unwrap_or(0);
        if backup >= last.saturating_mul(SECTOR) {
            places.add(backup..size, Owner::Table);
        }
    }
    for part in &parts {
        let window = image.window(part)?;
        let start = part.sectors.first.0 * SECTOR;
        let mut add = |place: Range<u64>, owner| places.add(start + place.start..start + place.end, owner);
        match part.kind {
            Kind::Fat => {
                let reader = fat::Reader::open(&window)?;
                for sector in reader.boot_sectors() {
                    add(sector * SECTOR..(sector + 1) * SECTOR, Owner::BootSector);
                }
                for entry in reader.walk()? {
                    if is_own(&format!("boot:{}", entry.path)) {
                        for place in reader.places(&entry)? {
                            add(place, Owner::BootFile);
                        }
                    }
                }
            }
            Kind::Btrfs => {
                let reader = btrfs::Reader::open(&window)?;
                for place in reader.superblocks() {
                    add(place, Owner::Superblock);
                }
                for place in reader.tree_blocks()? {
                    add(place, Owner::TreeBlock);
                }
                for subvolume in reader.subvolumes()? {
                    let view = View::of(subvolume);
                    let name = subvolume_name(&view.root.path);
                    for found in reader.walk(&view) {
                        let found = found?;
                        if is_own(&format!("{name}:{}", String::from_utf8_lossy(&found.path))) {
                            for run in reader.parts(found.subvolume, &found.inode)?.stored()? {
                                run.places.into_iter().for_each(|place| add(place, Owner::Data));
                            }
                        }
                    }
                }
            }
            Kind::Unknown => {}
        }
    }
    Ok(places)
}

/// Blocks in which two images differ, by owner, and the places that nobody owns.
#[derive(Debug, Default)]
pub struct Differing {
    /// How many blocks of 4 KiB.
    pub blocks: BTreeMap<Owner, u64>,
    /// Bytes outside of all places, by their first and last block.
    pub unowned: Vec<Range<u64>>,
}

/// Compares two images byte by byte. A block may differ where either image has a place of its own.
pub fn differing(one: &Image, other: &Image, own: [&Places; 2]) -> Result<Differing> {
    let mut differing = Differing::default();
    let size = one.source.size().min(other.source.size());
    let (mut left, mut right) = (vec![0; BUFFER as usize], vec![0; BUFFER as usize]);
    for start in (0..size).step_by(BUFFER as usize) {
        let length = BUFFER.min(size - start) as usize;
        for (image, bytes) in [(one, &mut left), (other, &mut right)] {
            image
                .source
                .read_exact_at(&mut bytes[..length], start)
                .with_context(|| format!("cannot read byte {start} of {}", image.path.display()))?;
        }
        if left[..length] == right[..length] {
            continue;
        }
        let blocks = left[..length].chunks(BLOCK).zip(right[..length].chunks(BLOCK));
        for (number, (one, other)) in blocks.enumerate().filter(|(_, (one, other))| one != other) {
            let block = start + (number * BLOCK) as u64;
            let mut owners = Vec::new();
            // A table is not a whole block, and not a whole sector.
            for run in runs(one, other) {
                let place = block + run.start as u64..block + run.end as u64;
                match own.iter().find_map(|places| places.owner(place.clone())) {
                    Some(owner) => owners.push(owner),
                    None => unowned(&mut differing.unowned, place),
                }
            }
            owners.sort();
            owners.dedup();
            for owner in owners {
                *differing.blocks.entry(owner).or_default() += 1;
            }
        }
    }
    Ok(differing)
}

/// The runs of bytes in which two blocks differ, cut where sectors end.
fn runs(one: &[u8], other: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let pairs = one.iter().zip(other).enumerate();
    for (at, _) in pairs.filter(|(_, (one, other))| one != other) {
        match runs.last_mut() {
            Some(last) if last.end == at && !at.is_multiple_of(SECTOR as usize) => last.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// Adds a place to those before it, together with neighbours.
fn unowned(places: &mut Vec<Range<u64>>, place: Range<u64>) {
    match places.last_mut() {
        Some(last) if place.start < last.end + BLOCK as u64 => last.end = place.end,
        _ => places.push(place),
    }
}

/// The first byte in which two sources differ.
pub fn first_difference(one: &dyn ReadAt, other: &dyn ReadAt) -> io::Result<Option<u64>> {
    let size = one.size().min(other.size());
    let (mut left, mut right) = (vec![0; BUFFER as usize], vec![0; BUFFER as usize]);
    for start in (0..size).step_by(BUFFER as usize) {
        let length = BUFFER.min(size - start) as usize;
        one.read_exact_at(&mut left[..length], start)?;
        other.read_exact_at(&mut right[..length], start)?;
        let mut pairs = left[..length].iter().zip(&right[..length]);
        if let Some(at) = pairs.position(|(one, other)| one != other) {
            return Ok(Some(start + at as u64));
        }
    }
    Ok((one.size() != other.size()).then_some(size))
}
