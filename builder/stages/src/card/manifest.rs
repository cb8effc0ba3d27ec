//! The manifest of a card, and the list of checksums of many.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use formats::fat::FatType;
use formats::manifest::{FORMAT, Firmware, Image, Input, Installed, Manifest, Partition, Table, TableKind};
use formats::units::{Bytes, SECTOR};
use model::board::{Board, PartitionTable};
use model::layout::Layout;

use super::digest::{hex, of_range};
use super::{Card, Content};

/// What a manifest says besides the card itself.
#[derive(Debug)]
pub struct ManifestRequest<'a> {
    /// The fleet's name.
    pub fleet: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// The board.
    pub board: &'a Board,
    /// The layout.
    pub layout: &'a Layout,
    /// The set of sources that was used.
    pub sources: &'a str,
    /// What the image was made of, in any order.
    pub inputs: Vec<Input>,
    /// What became of packages that were installed over the base.
    pub installed: Option<Installed>,
    /// The name of the image's file.
    pub file: &'a str,
    /// Bytes that its block map has.
    pub mapped: Bytes,
    /// SHA-256 of its block map.
    pub map_sha256: [u8; 32],
}

/// The manifest of a card. Reads its boot area, to hash it.
pub fn manifest(card: &Card, request: ManifestRequest<'_>) -> Result<Manifest> {
    let ManifestRequest {
        board, mut inputs, ..
    } = request;
    inputs.sort();
    let (kind, id) = match board.partition_table {
        PartitionTable::Mbr => (TableKind::Mbr, format!("{:08x}", card.ids.disk_signature)),
        PartitionTable::Gpt => (TableKind::Gpt, card.ids.disk_guid.to_string()),
    };
    let partitions = (1..).zip(&card.partitions).map(|(number, partition)| {
        let (file_system, uuid) = match partition.content {
            Content::Boot(FatType::Fat16) => ("fat16", card.ids.fat_uuid()),
            Content::Boot(FatType::Fat32) => ("fat32", card.ids.fat_uuid()),
            Content::Root => ("btrfs", card.ids.root_uuid.to_string()),
        };
        Partition {
            number,
            label: partition.label.clone(),
            first_sector: partition.sectors.first,
            sectors: partition.sectors.count,
            part_uuid: partition.part_uuid.clone(),
            file_system: file_system.to_owned(),
            uuid,
        }
    });
    let (firmware, firmware_sha256, firmware_advice) = firmware(card, board)?;
    Ok(Manifest {
        format: FORMAT,
        fleet: request.fleet.to_owned(),
        node: request.node.to_owned(),
        board: board.name.clone(),
        layout: request.layout.name.clone(),
        sources: request.sources.to_owned(),
        inputs,
        installed: request.installed,
        firmware,
        firmware_sha256,
        firmware_advice,
        partition_table: Table { kind, id },
        partitions: partitions.collect(),
        image: Image {
            file: request.file.to_owned(),
            size: card.image.size,
            mapped: request.mapped,
            map_sha256: hex(&request.map_sha256),
        },
    })
}

/// Whether the firmware is on the card, what it hashes to, and what to do where it is not. Sector 0, most of which is the
/// partition table's, is not hashed.
fn firmware(card: &Card, board: &Board) -> Result<(Firmware, Option<String>, Option<String>)> {
    let Some(firmware) = card.firmware else {
        return Ok((Firmware::NotNeeded, None, None));
    };
    let end = firmware.sectors.end();
    if firmware.present {
        let digest = of_range(&card.image, SECTOR, end.to_bytes().0)?;
        return Ok((Firmware::Present, Some(hex(&digest)), None));
    }
    let advice = format!(
        "the image starts in QEMU, not on {}: accept the licence of its boot loaders in sources.toml or name a folder that \
         has them with --blob-dir, and build again; or write a boot area to the sectors before {} of the card yourself",
        board.name, end.0
    );
    Ok((Firmware::Absent, None, Some(advice)))
}

/// The manifest as JSON.
pub fn to_json(manifest: &Manifest) -> Result<String> {
    let mut text = serde_json::to_string_pretty(manifest)?;
    text.push('\n');
    Ok(text)
}

/// `SHA256SUMS` for files by name, in the form that `sha256sum --check` reads, sorted by name.
pub fn sha256sums(digests: &BTreeMap<String, String>) -> Result<String> {
    let mut text = String::new();
    for (name, digest) in digests {
        ensure!(
            digest.len() == 64 && digest.bytes().all(|c| c.is_ascii_hexdigit()),
            "{digest:?} of {name:?} is no SHA-256"
        );
        ensure!(
            !name.contains(['\n', '\r', '\\']),
            "{name:?} cannot be listed: sha256sum would read another name"
        );
        text.push_str(&format!("{digest}  {name}\n"));
    }
    Ok(text)
}
