//! An image against the block map beside it: what has no checksum of its own, as a FAT, has one there.

use anyhow::{Context, Result};
use flash::image::map_beside;
use formats::bmap::{BlockMap, MappedRange};
use formats::source::ReadAt;
use formats::units::{Bytes, SECTOR};
use sha2::{Digest as _, Sha256};

use super::Image;

/// Bytes that are read and hashed at once.
const BUFFER: u64 = 1 << 20;

/// What came of comparing an image with its block map.
pub(super) struct Compared {
    /// Bytes that the map vouches for.
    pub(super) mapped: Bytes,
    /// What is not as the map says, or what is wrong with the map.
    pub(super) faults: Vec<String>,
}

/// Compares `image` with the block map beside it; `None` where there is none.
pub(super) fn compare(image: &Image) -> Result<Option<Compared>> {
    let map = match map_beside(&image.path) {
        Ok(Some(map)) => map,
        Ok(None) => return Ok(None),
        Err(error) => {
            return Ok(Some(Compared {
                mapped: Bytes(0),
                faults: vec![format!("{:#}", anyhow::Error::new(error))],
            }));
        }
    };
    let mut compared = Compared {
        mapped: Bytes(0),
        faults: Vec::new(),
    };
    let size = image.source.size();
    if size != map.image_size.0 {
        compared.faults.push(format!(
            "the image has {size} bytes, its block map says {}",
            map.image_size.0
        ));
    }
    for range in readable(&map, size) {
        compared.mapped = compared.mapped + Bytes(range.length);
        if digest(image, range)? != range.sha256 {
            compared.faults.push(format!(
                "{}bytes {}..{} of the image are not what its block map says",
                place(image, range.offset),
                range.offset,
                range.range().end
            ));
        }
    }
    Ok(Some(compared))
}

/// The ranges that an image of `size` bytes has as a whole.
fn readable(map: &BlockMap, size: u64) -> impl Iterator<Item = &MappedRange> {
    map.ranges.iter().filter(move |range| range.range().end <= size)
}

fn digest(image: &Image, range: &MappedRange) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER.min(range.length) as usize];
    let mut done = 0;
    while done < range.length {
        let length = BUFFER.min(range.length - done);
        let bytes = &mut buffer[..length as usize];
        let offset = range.offset + done;
        image
            .source
            .read_exact_at(bytes, offset)
            .with_context(|| format!("cannot read byte {offset} of {}", image.path.display()))?;
        hash.update(&*bytes);
        done += length;
    }
    Ok(hash.finalize().into())
}

/// The partition that a byte of the image is in, as faults name it.
fn place(image: &Image, byte: u64) -> String {
    let sector = byte / SECTOR;
    let partitions = image.table.iter().flat_map(|table| &table.partitions);
    let mut holding =
        partitions.filter(|entry| (entry.sectors.first.0..entry.sectors.end().0).contains(&sector));
    match holding.next() {
        Some(entry) => format!("partition {}: ", entry.number),
        None => String::new(),
    }
}
