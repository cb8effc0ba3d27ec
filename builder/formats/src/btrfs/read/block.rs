//! One block of a tree, checked in itself.

use zerocopy::FromBytes;

use crate::btrfs::disk::{Header, ItemHead, Key, KeyPointer};

/// What a reference says of the block that it leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// The tree, for messages.
    pub tree: u64,
    /// Logical address.
    pub address: u64,
    /// 0 for a leaf.
    pub level: u8,
    /// The transaction that wrote it.
    pub generation: u64,
    /// Its first key; a root's is not known.
    pub first: Option<Key>,
}

/// A block whose checksum, place and bounds are right.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// 0 for a leaf.
    level: u8,
    generation: u64,
    /// Items of a leaf, children of a node.
    count: usize,
}

/// Bytes of a block's header.
const HEADER: usize = size_of::<Header>();

impl Block {
    /// The block in `bytes`, which were read at `address` of the volume with this `metadata_uuid`.
    pub fn parse(bytes: Vec<u8>, address: u64, metadata_uuid: &[u8; 16]) -> Result<Self, String> {
        let (header, _) = Header::ref_from_prefix(&bytes).map_err(|_| "is too short".to_owned())?;
        let (stored, summed) = bytes.split_at(header.checksum.len());
        if stored[..4] != crc32c::crc32c(summed).to_le_bytes() {
            return Err("its checksum is wrong".to_owned());
        }
        if header.fsid != *metadata_uuid {
            return Err("it belongs to another volume".to_owned());
        }
        if header.address.get() != address {
            return Err(format!("it says to be block {:#x}", header.address.get()));
        }
        let (level, generation) = (header.level, header.generation.get());
        let room = bytes.len() - HEADER;
        let head = if level == 0 {
            size_of::<ItemHead>()
        } else {
            size_of::<KeyPointer>()
        };
        let count = header.items.get() as usize;
        if count > room / head {
            return Err(format!("it has {count} entries, more than it has room for"));
        }
        let block = Self {
            bytes,
            level,
            generation,
            count,
        };
        block.check_entries(room)?;
        Ok(block)
    }

    fn check_entries(&self, room: usize) -> Result<(), String> {
        if self.level > 0 && self.count == 0 {
            return Err("it is a node without children".to_owned());
        }
        let mut previous = None;
        for slot in 0..self.count {
            let key = self.key(slot);
            if previous >= Some(key) {
                return Err(format!("its entry {slot} is not in order"));
            }
            previous = Some(key);
            if self.level == 0 {
                let head = self.item_head(slot);
                let (start, size) = (head.offset.get() as usize, head.size.get() as usize);
                let behind_heads = start >= self.count * size_of::<ItemHead>();
                if !behind_heads || start.checked_add(size).is_none_or(|end| end > room) {
                    return Err(format!("the data of its item {slot} is out of bounds"));
                }
            }
        }
        Ok(())
    }

    /// Whether this is the block that `reference` leads to.
    pub fn check(&self, reference: &Reference) -> Result<(), String> {
        if self.level != reference.level {
            return Err(format!("it has level {}, not {}", self.level, reference.level));
        }
        if self.generation != reference.generation {
            return Err(format!(
                "it is of transaction {}, not {}",
                self.generation, reference.generation
            ));
        }
        let first = (self.count > 0).then(|| self.key(0));
        if reference.first.is_some() && first != reference.first {
            return Err("it does not start with the key that its parent says".to_owned());
        }
        Ok(())
    }

    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Items of a leaf, children of a node.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The key of an entry. Slots are below [`Block::count`].
    pub fn key(&self, slot: usize) -> Key {
        if self.level == 0 {
            self.item_head(slot).key.into()
        } else {
            self.pointer(slot).key.into()
        }
    }

    /// The last key, if there is one.
    pub fn last_key(&self) -> Option<Key> {
        self.count.checked_sub(1).map(|slot| self.key(slot))
    }

    /// How many entries have keys that are at most `key`.
    pub fn up_to(&self, key: Key) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The data of an item of a leaf.
    pub fn data(&self, slot: usize) -> &[u8] {
        let head = self.item_head(slot);
        let start = HEADER + head.offset.get() as usize;
        &self.bytes[start..start + head.size.get() as usize]
    }

    /// The reference to a child of a node of `tree`.
    pub fn child(&self, slot: usize, tree: u64) -> Reference {
        let pointer = self.pointer(slot);
        Reference {
            tree,
            address: pointer.address.get(),
            level: self.level.saturating_sub(1),
            generation: pointer.generation.get(),
            first: Some(pointer.key.into()),
        }
    }

    fn item_head(&self, slot: usize) -> &ItemHead {
        entry(&self.bytes, slot)
    }

    fn pointer(&self, slot: usize) -> &KeyPointer {
        entry(&self.bytes, slot)
    }
}

/// Entry `slot` behind the header; there are as many as were counted.
fn entry<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned>(
    bytes: &[u8],
    slot: usize,
) -> &T {
    let start = HEADER + slot * size_of::<T>();
    match T::ref_from_bytes(&bytes[start..start + size_of::<T>()]) {
        Ok(entry) => entry,
        Err(_) => unreachable!("the slice has the size of the type, which has no alignment"),
    }
}
