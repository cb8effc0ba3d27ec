//! An image against the block map beside it: what has no checksum of its own, as a FAT, has one there.

use anyhow::{Context, Result};
use flash::image::map_beside;
use formats::source::ReadAt;
use formats::units::{Bytes, SECTOR};

use super::Image;
use crate::block_map::faults;

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
    let ranges = map.ranges.iter().map(|range| range.range());
    let readable = ranges.filter(|range| range.end <= image.source.size());
    let faults =
        faults(&image.source, &map).with_context(|| format!("cannot read {}", image.path.display()))?;
    Ok(Some(Compared {
        mapped: Bytes(readable.map(|range| range.end - range.start).sum()),
        faults: faults
            .into_iter()
            .map(|fault| fault.offset.map(|byte| place(image, byte)).unwrap_or_default() + &fault.said)
            .collect(),
    }))
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
