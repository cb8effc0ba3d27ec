//! All checksums of an image, and what has to be there to have any.

use anyhow::Result;
use formats::btrfs::read as btrfs;
use formats::fat::read as fat;
use formats::gpt;
use formats::partition::{Promise, TableId};
use formats::source::ReadAt;
use formats::units::{Bytes, SECTOR};
use serde::Serialize;

use super::{Image, Kind, Part, block_map, boot_area};

/// What verifying an image found.
#[derive(Debug, Default, Serialize)]
pub struct Verified {
    /// Tree blocks of btrfs volumes that were read, each copy counted.
    pub tree_blocks: u64,
    /// Bytes of data that were compared with their checksums.
    pub data: Bytes,
    /// Files of FAT volumes whose chains were followed to the end.
    pub boot_files: u64,
    /// Bytes that were compared with the block map beside the image, if there is one.
    pub mapped: Option<Bytes>,
    /// What is wrong, by partition; nothing for a sound image.
    pub faults: Vec<String>,
}

/// Reads everything on `image` that has a checksum, in it or in the block map beside it, and all that can be followed.
/// Where nothing of it can be verified, that is a fault.
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
    let parts = image.parts();
    for part in &parts {
        let place = match part.number {
            0 => String::new(),
            number => format!("partition {number}: "),
        };
        let window = match image.window(part) {
            Ok(window) => window,
            Err(error) => {
                verified.faults.push(error.to_string());
                continue;
            }
        };
        let found = match part.kind {
            Kind::Fat => verify_fat(&window, &mut verified),
            Kind::Btrfs => verify_btrfs(&window, &mut verified),
            Kind::Unknown => Ok(missing(part).into_iter().collect()),
        };
        let found = found.unwrap_or_else(|error| vec![format!("{error:#}")]);
        verified
            .faults
            .extend(found.into_iter().map(|fault| format!("{place}{fault}")));
    }
    let is_empty = parts.iter().all(|part| part.kind == Kind::Unknown);
    if is_empty && verified.faults.is_empty() {
        verified.faults.push(match image.table {
            None => "no partition table and no volume: nothing to verify".to_owned(),
            Some(_) => "no partition holds FAT or btrfs: nothing to verify".to_owned(),
        });
    }
    if let Some(compared) = block_map::compare(image)? {
        verified.mapped = Some(compared.mapped);
        verified.faults.extend(compared.faults);
    }
    Ok(verified)
}

/// What a partition lacks that holds neither FAT nor btrfs, if its type promises a file system.
fn missing(part: &Part) -> Option<String> {
    let kind = part.entry.as_ref()?.kind;
    let promised = match kind.promise()? {
        Promise::Fat => "FAT file system",
        Promise::Linux => "btrfs, and no other file system of Linux can be verified",
    };
    Some(format!("it is of type {kind} but has no {promised}"))
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
