//! Chunks: which runs of the device hold what. A chunk's logical address is the place of its first copy, so that an
//! address of a tree is an offset of the image. No chunk reaches over a copy of the superblock.

use super::Profile;
use super::disk::{NODE_SIZE, object};

/// Where the superblock and its copies stand on the device, as far as it reaches.
pub(super) const SUPERBLOCKS: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];

/// Bytes from a superblock on that belong to it alone.
const SUPERBLOCK_ROOM: u64 = 64 << 10;

/// Chunks start on multiples of this. The first of them is left to boot loaders and the superblock.
const GRAIN: u64 = 1 << 20;

/// Last chunks end on multiples of this, so that small changes of the content move nothing behind them.
const STEP: u64 = 8 << 20;

/// Room for what is a node's own behind the last data of the role, in bytes. As long as it suffices, the volumes of a
/// role have all their chunks alike.
const NODE_DATA: u64 = 1 << 20;

/// Longest data chunk.
const MAX_DATA: u64 = 1 << 30;

/// Longest metadata chunk: what the kernel makes on volumes below 50 GB.
const MAX_METADATA: u64 = 256 << 20;

/// Bytes of the system chunk: what mkfs.btrfs and the kernel make.
pub(super) const SYSTEM: u64 = 8 << 20;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Data,
    System,
    Metadata,
}

/// A chunk, which is a block group too.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// What it holds.
    pub role: Role,
    /// Its logical address and the device byte of its first copy.
    pub start: u64,
    /// Logical bytes.
    pub length: u64,
    /// Device byte of its second copy.
    pub copy: Option<u64>,
    /// Bytes in use, from the start on without a gap.
    pub used: u64,
}

impl Chunk {
    /// `BTRFS_BLOCK_GROUP_*` of its role and profile.
    pub fn flags(&self) -> u64 {
        let role = match self.role {
            Role::Data => 1,
            Role::System => 2,
            Role::Metadata => 4,
        };
        role | if self.copy.is_some() { 1 << 5 } else { 0 }
    }

    /// The chunk's copies on the device, first one first.
    pub fn copies(&self) -> impl Iterator<Item = u64> {
        [Some(self.start), self.copy].into_iter().flatten()
    }

    /// First logical byte behind it.
    pub fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Object of the key of every chunk item.
    pub const OBJECT: u64 = object::CHUNKS;
}

/// Hands out the device from its start.
#[derive(Debug, Clone)]
pub(super) struct Device {
    next: u64,
}

impl Device {
    /// The whole device.
    pub fn new() -> Self {
        Self { next: GRAIN }
    }

    /// The first byte that was not handed out.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// The bytes from the next free one to the next superblock.
    fn room(&self) -> u64 {
        SUPERBLOCKS
            .into_iter()
            .find(|&mirror| mirror >= self.next)
            .map_or(u64::MAX, |mirror| mirror - self.next)
    }

    /// Goes behind the next superblock.
    fn skip_superblock(&mut self) {
        if let Some(mirror) = SUPERBLOCKS.into_iter().find(|&mirror| mirror >= self.next) {
            self.next = (mirror + SUPERBLOCK_ROOM).next_multiple_of(GRAIN);
        }
    }

    /// Takes `length` bytes, a multiple of [`GRAIN`].
    fn take(&mut self, length: u64) -> u64 {
        while self.room() < length {
            self.skip_superblock();
        }
        let start = self.next;
        self.next += length;
        start
    }

    /// Takes a chunk with the copies of `profile`.
    fn chunk(&mut self, role: Role, length: u64, profile: Profile) -> Chunk {
        let start = self.take(length);
        let copy = match profile {
            Profile::Single => None,
            Profile::Dup => Some(self.take(length)),
        };
        Chunk {
            role,
            start,
            length,
            copy,
            used: 0,
        }
    }

    /// Takes the chunk that the chunk tree lies in.
    pub fn system(&mut self, profile: Profile) -> Chunk {
        self.chunk(Role::System, SYSTEM, profile)
    }

    /// Takes chunks for `total` bytes of tree blocks, of which the first `shared` are the role's, and as much again
    /// as the kernel needs to change them: it never writes to a block in use.
    pub fn metadata(&mut self, shared: u64, total: u64, profile: Profile) -> Vec<Chunk> {
        let wanted = (shared + shared / 2 + STEP)
            .max(total + STEP / 2)
            .next_multiple_of(STEP)
            .max(2 * STEP);
        let mut chunks = Vec::new();
        let mut left = wanted;
        while left > 0 {
            let length = left.min(MAX_METADATA);
            chunks.push(self.chunk(Role::Metadata, length, profile));
            left -= length;
        }
        fill_metadata(&mut chunks, total);
        chunks
    }
}

/// Notes that the first `total` bytes of metadata chunks are in use.
pub(super) fn fill_metadata(chunks: &mut [Chunk], mut total: u64) {
    for chunk in chunks {
        chunk.used = total.min(chunk.length);
        total -= chunk.used;
    }
}

/// Whether [`Device::metadata`] makes no more of `chunks` for `total` bytes of tree blocks than it made for fewer.
pub(super) fn metadata_suffices(chunks: &[Chunk], total: u64) -> bool {
    total + STEP / 2 <= chunks.iter().map(|chunk| chunk.length).sum()
}

/// The logical addresses of tree blocks in `chunks`, which are multiples of a block, in order.
pub(super) fn block_addresses(chunks: &[Chunk]) -> impl Iterator<Item = u64> {
    chunks
        .iter()
        .flat_map(|chunk| (chunk.start..chunk.end()).step_by(NODE_SIZE))
}

/// Data chunks while extents are put into them.
#[derive(Debug)]
pub(super) struct DataArea {
    device: Device,
    chunks: Vec<Chunk>,
    /// Most bytes of the open chunk, the last of `chunks`.
    limit: u64,
    /// Bytes that the role uses of the open chunk.
    shared: u64,
}

impl DataArea {
    /// No data yet; chunks come from `device`.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            chunks: Vec::new(),
            limit: 0,
            shared: 0,
        }
    }

    /// The address of the next `length` bytes, at most [`MAX_DATA`], in one chunk.
    pub fn place(&mut self, length: u64) -> u64 {
        if self
            .chunks
            .last()
            .is_none_or(|open| self.limit - open.used < length)
        {
            self.open(length);
        }
        // `open` left a chunk behind.
        let last = self.chunks.len() - 1;
        let open = &mut self.chunks[last];
        let address = open.start + open.used;
        open.used += length;
        address
    }

    /// Notes that all of the role's data has its place, and that the nodes' own comes behind it in the same chunk.
    ///
    /// Tells how much of the chunk is the role's.
    pub fn end_shared(&mut self) -> u64 {
        if self
            .chunks
            .last()
            .is_none_or(|open| self.limit - open.used < NODE_DATA)
        {
            self.open(NODE_DATA);
        }
        self.shared = self.chunks.last().map_or(0, |open| open.used);
        self.shared
    }

    /// The data chunks of a base, in whose last one `shared` bytes are the role's, to be filled with a node's own
    /// data up to its end.
    pub fn behind(chunks: &[Chunk], shared: u64) -> Self {
        Self {
            // No chunk is opened: what does not fit is refused.
            device: Device { next: u64::MAX },
            limit: chunks.last().map_or(0, |open| open.length),
            chunks: chunks.to_vec(),
            shared,
        }
    }

    /// Bytes that the open chunk has left.
    pub fn room(&self) -> u64 {
        self.chunks.last().map_or(0, |open| self.limit - open.used)
    }

    /// The chunks as they are.
    pub fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// Ends the open chunk behind its data and opens one for at least `length` bytes.
    fn open(&mut self, length: u64) {
        if let Some(open) = self.chunks.last_mut() {
            open.length = open.used.next_multiple_of(GRAIN);
            self.device.next = open.end();
        }
        if self.device.room() < length {
            self.device.skip_superblock();
        }
        let start = self.device.next;
        self.chunks.push(Chunk {
            role: Role::Data,
            start,
            length: 0,
            copy: None,
            used: 0,
        });
        self.limit = self.device.room().min(MAX_DATA);
        self.shared = 0;
    }

    /// The chunks, of which there is at least one, and the device behind them.
    pub fn finish(mut self) -> (Vec<Chunk>, Device) {
        if let Some(open) = self.chunks.last_mut() {
            let wanted = (self.shared + NODE_DATA).max(open.used).next_multiple_of(STEP);
            open.length = wanted.min(self.limit);
            self.device.next = open.end();
        }
        (self.chunks, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every run that was handed out, against every superblock.
    fn assert_clear(chunks: &[Chunk]) {
        for chunk in chunks {
            for start in chunk.copies() {
                for mirror in SUPERBLOCKS {
                    assert!(
                        start + chunk.length <= mirror || start >= mirror + SUPERBLOCK_ROOM,
                        "{chunk:?} covers the superblock at {mirror}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_chunk_covers_a_superblock() {
        for metadata in [0, 20 << 20, 46 << 20, 300 << 20, 1 << 30] {
            for data in [0, 5 << 20, 46 << 20, 70 << 20, 255 << 30, 300 << 30] {
                let mut device = Device::new();
                let mut chunks = vec![device.system(Profile::Dup)];
                let mut area = DataArea::new(device);
                for _ in 0..data / (1 << 20) {
                    area.place(1 << 20);
                }
                area.end_shared();
                let (placed, mut device) = area.finish();
                chunks.extend(placed);
                chunks.extend(device.metadata(metadata, metadata, Profile::Dup));
                assert_clear(&chunks);
                let held: u64 = chunks
                    .iter()
                    .filter(|chunk| chunk.role == Role::Data)
                    .map(|chunk| chunk.used)
                    .sum();
                assert_eq!(held, data);
            }
        }
    }

    #[test]
    fn data_never_crosses_the_end_of_its_chunk() {
        let mut area = DataArea::new(Device::new());
        let addresses: Vec<u64> = (0..40).map(|_| area.place(100 << 20)).collect();
        let (chunks, _) = area.finish();
        assert!(chunks.len() > 1);
        for address in addresses {
            assert!(
                chunks
                    .iter()
                    .any(|chunk| chunk.start <= address && address + (100 << 20) <= chunk.end())
            );
        }
    }

    #[test]
    fn a_nodes_own_data_moves_no_chunk() {
        let ends = [0, 4096, 1 << 20].map(|own| {
            let mut area = DataArea::new(Device::new());
            area.place(7 << 20);
            area.end_shared();
            if own > 0 {
                area.place(own);
            }
            area.finish().1.end()
        });
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[0], ends[2]);
    }
}
