//! All checksums of an image.

use anyhow::Result;
use formats::btrfs::read as btrfs;
use formats::fat::read as fat;
use formats::gpt;
use formats::partition::TableId;
use formats::source::ReadAt;
use formats::units::{Bytes, SECTOR};
use serde::Serialize;

use super::{Image, Kind, boot_area};

/// What verifying an image found.
#[derive(Debug, Default, Serialize)]
pub struct Verified {
    /// Tree blocks of btrfs volumes that were read, each copy counted.
    pub tree_blocks: u64,
    /// Bytes of data that were compared with their checksums.
    pub data: Bytes,
    /// Files of FAT volumes whose chains were followed to the end.
    pub boot_files: u64,
    /// What is wrong, by partition; nothing for a sound image.
    pub faults: Vec<String>,
}

/// Reads everything on `image` that has a checksum, and all that can be followed.
pub fn verify(image: &Image) -> Result<Verified> {
    let mut verified = Verified::default();
    if let Some(table) = &image.table
        && let TableId::Gpt(_) = table.id
    {
        // Both copies have to be right, and to say the same.
        for sector in [1, (image.source.size() / SECTOR).saturating_sub(1)] {
            match gpt::read_at(&image.source, sector) {
                Ok(copy) if copy == *table => {}
                Ok(_) => verified
                    .faults
                    .push(format!("the GPT at sector {sector} differs from the other copy")),
                Err(error) => verified.faults.push(error.to_string()),
            }
        }
    }
    for area in boot_area(image)? {
        let faults = area.faults.iter();
        verified
            .faults
            .extend(faults.map(|fault| format!("boot area, {}: {fault}", area.what)));
    }
    for part in image.parts() {
        let place = match part.number {
            0 => String::new(),
            number => format!("partition {number}: "),
        };
        let window = match image.window(&part) {
            Ok(window) => window,
            Err(error) => {
                verified.faults.push(error.to_string());
                continue;
            }
        };
        let found = match part.kind {
            Kind::Fat => verify_fat(&window, &mut verified),
            Kind::Btrfs => verify_btrfs(&window, &mut verified),
            Kind::Unknown => Ok(Vec::new()),
        };
        let found = found.unwrap_or_else(|error| vec![format!("{error:#}")]);
        verified
            .faults
            .extend(found.into_iter().map(|fault| format!("{place}{fault}")));
    }
    Ok(verified)
}

fn verify_fat(window: &dyn ReadAt, verified: &mut Verified) -> Result<Vec<String>> {
    let reader = fat::Reader::open(window)?;
    let mut faults = Vec::new();
    if !reader.tables_agree()? {
        faults.push("the two file allocation tables differ".to_owned());
    }
    for entry in reader.walk()? {
        match reader.parts(&entry).find_map(Result::err) {
            Some(error) => faults.push(error.to_string()),
            None => verified.boot_files += u64::from(!entry.is_directory),
        }
    }
    Ok(faults)
}

fn verify_btrfs(window: &dyn ReadAt, verified: &mut Verified) -> Result<Vec<String>> {
    let found = btrfs::Reader::open(window)?.verify();
    verified.tree_blocks += found.tree_blocks;
    verified.data = verified.data + found.data;
    Ok(found.faults.iter().map(ToString::to_string).collect())
}
