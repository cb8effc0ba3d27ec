//! What lies between the partition table and the first partition: where a board's ROM looks for its boot loader.

use std::ops::Range;

use anyhow::{Context, Result};
use formats::digest::hex;
use formats::fip;
use formats::gpt;
use formats::mbr::SIGNATURE_OFFSET;
use formats::partition::TableId;
use formats::source::ReadAt;
use formats::units::{Lba, SECTOR, Sectors};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Image;

/// Most bytes that are looked at: more than any board's boot area.
const MOST: u64 = 64 << 20;

/// A boot loader, or a run of sectors before the first partition that are not all zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootArea {
    /// The first sector.
    pub first_sector: u64,
    /// How many sectors.
    pub sectors: u64,
    /// What it is, as far as can be told.
    pub what: String,
    /// What is wrong with it, where it says of itself what it has to be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// SHA-256 in hexadecimal of its bytes. Of sector 0, only those before the partition table.
    pub sha256: String,
}

impl BootArea {
    /// Where it is.
    pub fn place(&self) -> Sectors {
        Sectors {
            first: Lba(self.first_sector),
            count: self.sectors,
        }
    }

    /// Its sectors as numbers.
    fn range(&self) -> Range<u64> {
        self.first_sector..self.first_sector + self.sectors
    }
}

/// What is before the first partition; nothing on an image without a partition table.
pub fn boot_area(image: &Image) -> Result<Vec<BootArea>> {
    let Some(table) = &image.table else {
        return Ok(Vec::new());
    };
    let partitions = table.partitions.iter();
    let first = partitions.map(|partition| partition.sectors.first.0).min();
    let limit = MOST.min(image.source.size()) / SECTOR;
    let end = first.unwrap_or(limit).min(limit);
    let own = match table.id {
        TableId::Mbr(_) => 1,
        TableId::Gpt(_) => gpt::FIRST_USABLE,
    };
    let mut found = boot_loaders(image, end)?;
    let taken: Vec<_> = found.iter().map(BootArea::range).collect();
    let is_taken = |sector: u64| taken.iter().any(|range| range.contains(&sector));
    let mut code = vec![0; SIGNATURE_OFFSET as usize];
    read(image, &mut code, 0)?;
    if code.iter().any(|byte| *byte != 0) && !is_taken(0) {
        found.push(described(0, 1, &code));
    }
    let mut run: Option<(u64, Vec<u8>)> = None;
    let mut sector = vec![0; SECTOR as usize];
    for number in own..end {
        read(image, &mut sector, number * SECTOR)?;
        if sector.iter().any(|byte| *byte != 0) && !is_taken(number) {
            run.get_or_insert((number, Vec::new()))
                .1
                .extend_from_slice(&sector);
        } else if let Some((first, bytes)) = run.take() {
            found.push(described(first, number - first, &bytes));
        }
    }
    if let Some((first, bytes)) = run {
        found.push(described(first, bytes.len() as u64 / SECTOR, &bytes));
    }
    found.sort_by_key(|area| area.first_sector);
    Ok(found)
}

/// The boot loaders of a card of the S905, as far as they are before sector `end`.
fn boot_loaders(image: &Image, end: u64) -> Result<Vec<BootArea>> {
    let found = fip::read(&image.source).with_context(|| format!("cannot read {}", image.path.display()))?;
    let found = found.filter(|found| found.packaging.is_on_card());
    let parts = found.into_iter().flat_map(|found| found.parts);
    let area = |part: fip::FoundPart| -> Result<BootArea> {
        let first_sector = part.range.start / SECTOR;
        let mut bytes = vec![0; (part.range.end - part.range.start) as usize];
        read(image, &mut bytes, part.range.start)?;
        if first_sector == 0 {
            // The partition table's.
            bytes[SIGNATURE_OFFSET as usize..SECTOR as usize].fill(0);
        }
        Ok(BootArea {
            first_sector,
            sectors: part.range.end.div_ceil(SECTOR) - first_sector,
            what: part.name.to_string(),
            faults: part.faults.iter().map(ToString::to_string).collect(),
            sha256: hex(&Sha256::digest(&bytes)),
        })
    };
    parts
        // What a damaged table tells of need not be there, nor be as small as boot loaders are.
        .filter(|part| !part.content.is_empty() && part.range.start / SECTOR < end)
        .map(area)
        .collect()
}

fn read(image: &Image, buffer: &mut [u8], offset: u64) -> Result<()> {
    image
        .source
        .read_exact_at(buffer, offset)
        .with_context(|| format!("cannot read byte {offset} of {}", image.path.display()))
}

fn described(first_sector: u64, sectors: u64, bytes: &[u8]) -> BootArea {
    let what = match first_sector {
        0 => "boot code",
        _ => "unknown",
    };
    BootArea {
        first_sector,
        sectors,
        what: what.to_owned(),
        faults: Vec::new(),
        sha256: hex(&Sha256::digest(bytes)),
    }
}
