//! Every checksum of a volume: all copies of all tree blocks, all copies of all data.

use std::collections::HashSet;
use std::ops::Range;

use super::block::Reference;
use super::content::check_sums;
use super::tree::Items;
use super::{ReadError, Reader, root_item, superblock_at};
use crate::btrfs::chunks::SUPERBLOCKS;
use crate::btrfs::disk::{Key, kind, object};
use crate::layer::SECTOR;
use crate::units::Bytes;

/// Faults that are listed; a volume of noise has no end of them.
const MAX_FAULTS: usize = 100;

/// Bytes of data that are read at once.
const BUFFER: u64 = 256 * 1024;

/// What verifying a volume found.
#[derive(Debug, Default)]
pub struct Verification {
    /// Superblocks that are right.
    pub superblocks: u64,
    /// Tree blocks that were read, each copy counted.
    pub tree_blocks: u64,
    /// Data that was compared with checksums, each copy counted.
    pub data: Bytes,
    /// What is wrong; a volume with nothing here is sound. At most 100 are listed.
    pub faults: Vec<ReadError>,
}

impl Verification {
    fn note<T>(&mut self, result: Result<T, ReadError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if self.faults.len() < MAX_FAULTS {
                    self.faults.push(error);
                }
                None
            }
        }
    }
}

impl Reader<'_> {
    /// Reads every copy of every tree block and of all data that has checksums.
    pub fn verify(&self) -> Verification {
        let mut verification = Verification::default();
        for place in self.superblocks() {
            let found = verification.note(superblock_at(self.source, place.start));
            verification.superblocks += u64::from(found.is_some());
        }
        let mut seen = HashSet::new();
        self.verify_tree(self.chunk_root(), &mut seen, &mut verification);
        self.verify_tree(self.root_root(), &mut seen, &mut verification);
        if let Some(roots) = verification.note(self.roots()) {
            for root in roots {
                self.verify_tree(root, &mut seen, &mut verification);
            }
        }
        let data = self.verify_data(&mut verification);
        verification.note(data);
        verification
    }

    /// Bytes of the volume that hold superblocks.
    pub fn superblocks(&self) -> impl Iterator<Item = Range<u64>> {
        let size = self.superblock.total_bytes.get();
        let places = SUPERBLOCKS.map(|offset| offset..offset + SECTOR);
        places.into_iter().filter(move |place| place.end < size)
    }

    /// Bytes of the volume that hold blocks of trees: every copy of every block.
    pub fn tree_blocks(&self) -> Result<Vec<Range<u64>>, ReadError> {
        let size = self.superblock.node_size.get().into();
        let mut open = self.roots()?;
        open.extend([self.chunk_root(), self.root_root()]);
        let mut seen = HashSet::new();
        let mut places = Vec::new();
        while let Some(reference) = open.pop() {
            if !seen.insert(reference.address) {
                continue;
            }
            let copies = self.chunks.copies(reference.address, size)?;
            places.extend(copies.map(|copy| copy..copy.saturating_add(size)));
            if reference.level > 0 {
                // Levels fall on the way down, so that it ends.
                let block = self.block(&reference)?;
                open.extend((0..block.count()).map(|slot| block.child(slot, reference.tree)));
            }
        }
        Ok(places)
    }

    /// The roots of all trees that the root tree lists.
    fn roots(&self) -> Result<Vec<Reference>, ReadError> {
        let mut roots = Vec::new();
        for item in Items::from(self, self.root_root(), Key::default())? {
            let item = item?;
            if item.key.kind == kind::ROOT_ITEM {
                let root = root_item(&item)?;
                if root.references.get() > 0 {
                    roots.push(super::reference(item.key.object, &root));
                }
            }
        }
        Ok(roots)
    }

    /// Every copy of every block of a tree. Snapshots share blocks, which are read once: `seen` holds their addresses.
    fn verify_tree(&self, root: Reference, seen: &mut HashSet<u64>, verification: &mut Verification) {
        let mut open = vec![root];
        while let Some(reference) = open.pop() {
            if !seen.insert(reference.address) {
                continue;
            }
            let size = self.superblock.node_size.get().into();
            let copies = self.chunks.copies(reference.address, size);
            let Some(copies) = verification.note(copies) else {
                continue;
            };
            let mut good = None;
            for offset in copies {
                if let Some(block) = verification.note(self.copy_of_block(&reference, offset)) {
                    verification.tree_blocks += 1;
                    good = Some(block);
                }
            }
            if let Some(block) = good.filter(|block| block.level() > 0) {
                // Levels fall on the way down, so that it ends.
                open.extend((0..block.count()).map(|slot| block.child(slot, reference.tree)));
            }
        }
        // Keys that belong to a neighbour show where items are walked through.
        let items = Items::from(self, root, Key::default());
        if let Some(items) = verification.note(items) {
            for item in items {
                if verification.note(item).is_none() {
                    break;
                }
            }
        }
    }

    /// Every copy of every sector that has a checksum.
    fn verify_data(&self, verification: &mut Verification) -> Result<(), ReadError> {
        let first = Key::new(object::EXTENT_CSUM, kind::EXTENT_CSUM, 0);
        let mut end = 0;
        for item in Items::from(self, self.root(object::CSUM_TREE)?, first)? {
            let item = item?;
            if item.key.kind != kind::EXTENT_CSUM {
                continue;
            }
            let length = item.data().len() as u64 / 4 * SECTOR;
            let start = item.key.offset;
            // No sector has two checksums, so that no more is read than there is.
            if start < end || !start.is_multiple_of(SECTOR) || start.checked_add(length).is_none() {
                return Err(item.wrong("overlaps the one before it"));
            }
            end = start + length;
            let sums: Vec<u32> = item
                .data()
                .chunks_exact(4)
                .map(|sum| u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]))
                .collect();
            let runs = sums.chunks((BUFFER / SECTOR) as usize);
            for (at, sums) in (0..).zip(runs) {
                let address = start + at * BUFFER;
                let length = sums.len() as u64 * SECTOR;
                let Some(copies) = verification.note(self.chunks.copies(address, length)) else {
                    continue;
                };
                for offset in copies {
                    let mut bytes = vec![0; length as usize];
                    let read = self.read(&mut bytes, offset);
                    let checked = read.and_then(|()| check_sums(&bytes, Some(sums), address));
                    if verification.note(checked).is_some() {
                        verification.data = verification.data + Bytes(length);
                    }
                }
            }
        }
        Ok(())
    }
}
