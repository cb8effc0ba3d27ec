//! Makes the checksums of a btrfs volume right: those of the data first, which lie in tree blocks, then those of the blocks.

use formats::source::ReadAt;

use crate::image::{Image, PAGE};

/// Where superblocks are.
const SUPERBLOCKS: [u64; 2] = [64 << 10, 64 << 20];

/// Bytes of a block's or superblock's checksum.
const CHECKSUM: usize = 32;

// Places in a superblock, a header and an item's head; see `formats::btrfs`.
const FSID: std::ops::Range<usize> = 32..48;
const METADATA_UUID: std::ops::Range<usize> = 571..587;
const NODE_SIZE: usize = 148;
const ITEMS: usize = 96;
const LEVEL: usize = 100;
const HEADER: usize = 101;
const ITEM: usize = 25;

/// Type of an item with checksums of data.
const EXTENT_CSUM: u8 = 128;

const SECTOR: u64 = 4096;

/// Makes all checksums right. Addresses are taken for bytes of the device, as in all volumes that our writer makes.
pub fn fix(image: &mut Image) {
    let Some(superblock) = image.read(SUPERBLOCKS[0], PAGE as usize) else {
        return;
    };
    let uuids = [&superblock[FSID], &superblock[METADATA_UUID]];
    let node_size = match number(&superblock, NODE_SIZE) {
        size @ (4096 | 8192 | 16384 | 32768 | 65536) => size as usize,
        _ => 16384,
    };
    for start in image.pages() {
        if SUPERBLOCKS.contains(&start) {
            let bytes = image.read(start, PAGE as usize);
            write_summed(image, start, bytes);
            continue;
        }
        let Some(mut block) = image.read(start, node_size) else {
            continue;
        };
        if uuids.contains(&&block[FSID]) {
            fix_data(image, &mut block);
            write_summed(image, start, Some(block));
        }
    }
}

/// Makes the checksums right that are in the items of a leaf.
fn fix_data(image: &Image, leaf: &mut [u8]) {
    if leaf[LEVEL] != 0 {
        return;
    }
    for item in 0..number(leaf, ITEMS) as usize {
        let head = HEADER + item * ITEM;
        if leaf.len() < head + ITEM {
            return;
        }
        let kind = leaf[head + 8];
        let address = u64::from_le_bytes(leaf[head + 9..][..8].try_into().unwrap_or_default());
        let (start, size) = (number(leaf, head + 17) as usize, number(leaf, head + 21) as usize);
        let sums = leaf.get_mut(HEADER + start..(HEADER + start).saturating_add(size));
        let Some(sums) = sums.filter(|_| kind == EXTENT_CSUM) else {
            continue;
        };
        for (sector, sum) in (0..).zip(sums.chunks_exact_mut(4)) {
            let place = address.saturating_add(sector * SECTOR);
            let mut bytes = [0; SECTOR as usize];
            if image.read_exact_at(&mut bytes, place).is_ok() {
                sum.copy_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            }
        }
    }
}

fn write_summed(image: &mut Image, start: u64, bytes: Option<Vec<u8>>) {
    let Some(mut bytes) = bytes else {
        return;
    };
    let sum = crc32c::crc32c(&bytes[CHECKSUM..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    image.write(start, &bytes);
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
