//! Which bytes of the device an address stands for.

use std::collections::BTreeMap;

use zerocopy::FromBytes;

use super::ReadError;
use crate::btrfs::disk::{DiskKey, Key, kind};
use crate::btrfs::records::{ChunkItem, Stripe};
use crate::layer::SECTOR;

/// `BTRFS_BLOCK_GROUP_DUP`: two copies on one device.
const DUP: u64 = 1 << 5;

/// Profiles that need more than one device (`BTRFS_BLOCK_GROUP_RAID*`).
const SEVERAL_DEVICES: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10;

/// A run of addresses and where it is on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    length: u64,
    copies: Vec<u64>,
}

/// All chunks by their first address.
#[derive(Debug, Default)]
pub(super) struct ChunkMap {
    chunks: BTreeMap<u64, Chunk>,
    device: u64,
}

impl ChunkMap {
    /// The system chunks that the superblock lists, on the device of this number.
    pub fn new(mut system_chunks: &[u8], device: u64) -> Result<Self, ReadError> {
        let mut map = Self {
            chunks: BTreeMap::new(),
            device,
        };
        while !system_chunks.is_empty() {
            let cut = |_| ReadError::Chunk {
                address: 0,
                reason: "is cut off in the superblock",
            };
            let (key, rest) = DiskKey::read_from_prefix(system_chunks).map_err(|_| cut(()))?;
            let (chunk, _) = ChunkItem::read_from_prefix(rest).map_err(|_| cut(()))?;
            let size = size_of::<ChunkItem>() + usize::from(chunk.stripes.get()) * size_of::<Stripe>();
            let (item, rest) = rest.split_at_checked(size).ok_or_else(|| cut(()))?;
            map.add(key.into(), item)?;
            system_chunks = rest;
        }
        Ok(map)
    }

    /// Adds the chunk of an item. One that is there already has to be the same.
    pub fn add(&mut self, key: Key, item: &[u8]) -> Result<(), ReadError> {
        let address = key.offset;
        let wrong = |reason| ReadError::Chunk { address, reason };
        if key.kind != kind::CHUNK_ITEM {
            return Err(wrong("has the key of something else"));
        }
        let (head, stripes) =
            ChunkItem::read_from_prefix(item).map_err(|_| wrong("has too short an item"))?;
        let stripes =
            <[Stripe]>::ref_from_bytes(stripes).map_err(|_| wrong("has an item of the wrong length"))?;
        let flags = head.flags.get();
        if flags & SEVERAL_DEVICES != 0 {
            return Err(ReadError::Unsupported {
                what: format!("the chunk at {address:#x} has a RAID profile (flags {flags:#x})"),
            });
        }
        let copies = if flags & DUP == 0 { 1 } else { 2 };
        if usize::from(head.stripes.get()) != stripes.len() || stripes.len() != copies {
            return Err(wrong("has not as many stripes as its profile asks for"));
        }
        let length = head.length.get();
        let end = address.checked_add(length);
        if length == 0 || !length.is_multiple_of(SECTOR) || end.is_none() {
            return Err(wrong("has an impossible length"));
        }
        for stripe in stripes {
            if stripe.device.get() != self.device {
                return Err(wrong("is on a device that is not here"));
            }
            if stripe.offset.get().checked_add(length).is_none() {
                return Err(wrong("lies behind the end of every device"));
            }
        }
        let chunk = Chunk {
            length,
            copies: stripes.iter().map(|stripe| stripe.offset.get()).collect(),
        };
        match self.chunks.range(..address.saturating_add(length)).next_back() {
            Some((&start, other)) if start == address && *other == chunk => return Ok(()),
            Some((&start, other)) if start.saturating_add(other.length) > address => {
                return Err(wrong("overlaps another"));
            }
            _ => {}
        }
        self.chunks.insert(address, chunk);
        Ok(())
    }

    /// The device bytes of each copy of `length` bytes at `address`.
    pub fn copies(&self, address: u64, length: u64) -> Result<impl Iterator<Item = u64>, ReadError> {
        let unmapped = || ReadError::Unmapped { address, length };
        let (start, chunk) = self.chunks.range(..=address).next_back().ok_or_else(unmapped)?;
        let within = address - start;
        let end = within.checked_add(length).ok_or_else(unmapped)?;
        if end > chunk.length {
            return Err(unmapped());
        }
        Ok(chunk.copies.iter().map(move |copy| copy + within))
    }
}
