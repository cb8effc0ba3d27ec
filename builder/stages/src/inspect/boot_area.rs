//! What lies between the partition table and the first partition: where a board's ROM looks for its boot loader.

use anyhow::{Context, Result};
use formats::digest::hex;
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

/// Magic number of a firmware image package (Trusted Firmware-A: `TOC_HEADER_NAME`).
const FIP: [u8; 4] = 0xaa64_0001_u32.to_le_bytes();

/// A run of sectors before the first partition that are not all zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootArea {
    /// The first sector.
    pub first_sector: u64,
    /// How many sectors.
    pub sectors: u64,
    /// What it is, where its first bytes say so.
    pub what: &'static str,
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
    let mut found = Vec::new();
    let mut code = vec![0; SIGNATURE_OFFSET as usize];
    read(image, &mut code, 0)?;
    if code.iter().any(|byte| *byte != 0) {
        found.push(described(0, 1, &code));
    }
    let mut run: Option<(u64, Vec<u8>)> = None;
    let mut sector = vec![0; SECTOR as usize];
    for number in own..end {
        read(image, &mut sector, number * SECTOR)?;
        if sector.iter().any(|byte| *byte != 0) {
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
    Ok(found)
}

fn read(image: &Image, buffer: &mut [u8], offset: u64) -> Result<()> {
    image
        .source
        .read_exact_at(buffer, offset)
        .with_context(|| format!("cannot read byte {offset} of {}", image.path.display()))
}

fn described(first_sector: u64, sectors: u64, bytes: &[u8]) -> BootArea {
    let what = if bytes.starts_with(&FIP) {
        "firmware image package (FIP)"
    } else if bytes.get(16..20) == Some(b"@AML") {
        "Amlogic boot loader"
    } else if first_sector == 0 {
        "boot code"
    } else {
        "unknown"
    };
    BootArea {
        first_sector,
        sectors,
        what,
        sha256: hex(&Sha256::digest(bytes)),
    }
}
