//! A node's card: partition table, boot area, FAT boot partition and btrfs root, as one image.
//!
//! | module | owns |
//! |---|---|
//! | [`ids`] | the identifiers of a card, all from the names of fleet and node |
//! | [`extlinux`] | the boot loader's configuration |
//! | [`digest`] | SHA-256 of parts of an image |
//! | [`manifest`] | what an image is, as data; `SHA256SUMS` |

pub mod digest;
pub mod extlinux;
pub mod ids;
pub mod manifest;

use anyhow::{Context, Result, anyhow, ensure};
use formats::fat::{self, FatFile, FatOptions, FatType, FatVolume};
use formats::partition::{Partition, PartitionKind};
use formats::sparse::SparseImage;
use formats::units::{Bytes, Lba, SECTOR, Sectors, Time};
use formats::{gpt, mbr};
use model::board::{Board, PartitionTable};
use model::layout::{FileSystem, Layout, PartitionSize};
use model::placement::{self, Wanted};

use ids::CardIds;

/// Path of the boot loader's configuration on the boot partition.
const EXTLINUX: &str = "extlinux/extlinux.conf";

/// What a card is made of.
#[derive(Debug)]
pub struct CardRequest<'a> {
    /// The fleet's name.
    pub fleet: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// The board it runs on.
    pub board: &'a Board,
    /// The layout of its card.
    pub layout: &'a Layout,
    /// The files of the boot partition, in the order in which they lie there: `Image`, `dtbs/...`.
    /// `extlinux/extlinux.conf` is added.
    pub boot_files: Vec<FatFile>,
    /// What the kernel's command line has besides root, consoles and network names.
    pub kernel_arguments: &'a [String],
    /// The board's firmware as an image from sector 0 of the card on, which may cover the first 440 bytes and the
    /// regions of the boot area; `None` where there is none.
    pub firmware: Option<SparseImage>,
    /// The root file system, as large as it is to be on the card.
    pub root: SparseImage,
    /// Time of the files on the boot partition.
    pub time: Time,
    /// Size of the image; `None` is as small as the partitions allow.
    pub size: Option<Bytes>,
}

/// A finished card.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its bytes; the pieces are in order.
    pub image: SparseImage,
    /// Its partitions, in the order of their numbers, which start at 1.
    pub partitions: Vec<PlacedPartition>,
    /// Its identifiers.
    pub ids: CardIds,
    /// What holds the board's firmware: `None` where the board needs none on the card.
    pub firmware: Option<PlacedFirmware>,
}

/// A partition of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPartition {
    /// Its name in the layout.
    pub label: String,
    /// Where it lies.
    pub sectors: Sectors,
    /// What Linux calls it: `PARTUUID=`.
    pub part_uuid: String,
    /// What is on it.
    pub content: Content,
}

/// What is on a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The boot files.
    Boot(FatType),
    /// The root file system.
    Root,
}

/// The boot area of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedFirmware {
    /// From sector 0 to the last sector of the boot area.
    pub sectors: Sectors,
    /// Whether the firmware is there.
    pub present: bool,
}

/// Makes the card of a node.
pub fn assemble(request: CardRequest<'_>) -> Result<Card> {
    let node = request.node;
    assemble_inner(request).with_context(|| format!("cannot make the card of {node}"))
}

fn assemble_inner(request: CardRequest<'_>) -> Result<Card> {
    let CardRequest { board, layout, .. } = request;
    let ids = CardIds::derive(request.fleet, request.node);
    let table = board.partition_table;

    let mut boot_files = request.boot_files;
    boot_files.push(extlinux_conf(board, layout, &ids, request.kernel_arguments)?);
    let sizes = layout
        .partitions
        .iter()
        .map(|partition| match (&partition.file_system, partition.size) {
            (FileSystem::Fat, PartitionSize::Exact(size)) => Ok(size),
            (FileSystem::Fat, PartitionSize::Free(free)) => Ok(fat::size_for(&boot_files, free)?),
            (FileSystem::Btrfs(_), PartitionSize::Exact(size)) => root_fits(&request.root, size),
            (FileSystem::Btrfs(_), PartitionSize::Free(_)) => Ok(request.root.size.round_up(SECTOR)),
        });
    let sizes: Vec<Bytes> = sizes.collect::<Result<_>>()?;
    let wanted: Vec<_> = layout
        .partitions
        .iter()
        .zip(&sizes)
        .map(|(partition, size)| Wanted {
            label: &partition.label,
            start: partition.start,
            size: *size,
        })
        .collect();
    let placement = placement::place(board, &wanted, request.size)?;

    let mut image = SparseImage::empty(placement.size);
    let mut partitions = Vec::with_capacity(layout.partitions.len());
    let mut root = Some(request.root);
    for ((number, partition), sectors) in (1..).zip(&layout.partitions).zip(&placement.partitions) {
        let (content, volume) = match partition.file_system {
            FileSystem::Fat => {
                let volume = boot_volume(&boot_files, &partition.label, sectors.size(), &ids, request.time)?;
                (Content::Boot(volume.fat_type), volume.image)
            }
            FileSystem::Btrfs(_) => (
                Content::Root,
                root.take().context("the layout has two root partitions")?,
            ),
        };
        image.place(sectors.first.to_bytes().0, volume);
        partitions.push(PlacedPartition {
            label: partition.label.clone(),
            sectors: *sectors,
            part_uuid: ids.part_uuid(table, number, &partition.label),
            content,
        });
    }
    let table = match table {
        PartitionTable::Mbr => mbr::lay_out(image.size, ids.disk_signature, &entries(&partitions, &ids)),
        PartitionTable::Gpt => gpt::lay_out(image.size, ids.disk_guid, &entries(&partitions, &ids)),
    };
    image.place(0, table?);
    let firmware = firmware_area(board).map(|sectors| PlacedFirmware {
        sectors,
        present: request.firmware.is_some(),
    });
    if let Some(firmware) = request.firmware {
        check_firmware(board, &firmware)?;
        image.place(0, firmware);
    }
    image.sort()?;
    Ok(Card {
        image,
        partitions,
        ids,
        firmware,
    })
}

/// The boot loader's configuration, which finds the root partition by its number in the layout.
fn extlinux_conf(board: &Board, layout: &Layout, ids: &CardIds, arguments: &[String]) -> Result<FatFile> {
    let mut numbered = (1..).zip(&layout.partitions);
    let (number, root) = numbered
        .find(|(_, partition)| matches!(partition.file_system, FileSystem::Btrfs(_)))
        .with_context(|| format!("layout {} has no root partition", layout.name))?;
    let part_uuid = ids.part_uuid(board.partition_table, number, &root.label);
    let text = extlinux::render(&part_uuid, &board.consoles, arguments)?;
    Ok(FatFile::from_bytes(EXTLINUX, text.into_bytes()))
}

/// The size of a root partition, if the file system fits in it.
fn root_fits(root: &SparseImage, size: Bytes) -> Result<Bytes> {
    ensure!(
        root.size <= size,
        "the root file system has {} bytes, the layout gives its partition {}",
        root.size.0,
        size.0
    );
    Ok(size)
}

fn boot_volume(files: &[FatFile], label: &str, size: Bytes, ids: &CardIds, time: Time) -> Result<FatVolume> {
    let options = FatOptions {
        size,
        volume_id: ids.fat_volume_id,
        // FAT labels have no lower case.
        label: label.to_ascii_uppercase(),
        time,
    };
    fat::lay_out(files, &options).with_context(|| format!("cannot fill the boot partition {label:?}"))
}

/// The partitions as a table takes them.
fn entries(partitions: &[PlacedPartition], ids: &CardIds) -> Vec<Partition> {
    let entry = |partition: &PlacedPartition| Partition {
        sectors: partition.sectors,
        kind: match partition.content {
            Content::Boot(FatType::Fat16) => PartitionKind::BootFat16,
            Content::Boot(FatType::Fat32) => PartitionKind::BootFat32,
            Content::Root => PartitionKind::Linux,
        },
        // U-Boot looks for its configuration on active partitions only.
        active: matches!(partition.content, Content::Boot(_)),
        label: partition.label.clone(),
        guid: ids.partition_guid(&partition.label),
    };
    partitions.iter().map(entry).collect()
}

/// From sector 0 to the end of the boot area, where the board has one.
fn firmware_area(board: &Board) -> Option<Sectors> {
    let end = board
        .boot_area
        .iter()
        .map(|region| region.first.0 + region.sectors)
        .max()?;
    Some(Sectors {
        first: Lba(0),
        count: end,
    })
}

/// Refuses firmware that covers more than the first 440 bytes and the regions of the boot area.
fn check_firmware(board: &Board, firmware: &SparseImage) -> Result<()> {
    for piece in &firmware.pieces {
        let end = piece.offset.saturating_add(piece.length);
        let in_region = board.boot_area.iter().any(|region| {
            let start = region.first.to_bytes();
            piece.offset >= start.0 && end <= start.0 + region.sectors * SECTOR
        });
        if end > mbr::SIGNATURE_OFFSET && !in_region {
            let regions = board.boot_area.iter().map(|region| {
                let sectors = Sectors {
                    first: region.first,
                    count: region.sectors,
                };
                format!("\"{}\" ({sectors})", region.name)
            });
            let regions: Vec<_> = regions.collect();
            return Err(anyhow!(
                "the firmware writes bytes {}..{end}, which are neither before byte {} nor in one region of the boot area \
                 of board {}: {}",
                piece.offset,
                mbr::SIGNATURE_OFFSET,
                board.name,
                if regions.is_empty() {
                    "it has none".to_owned()
                } else {
                    regions.join(", ")
                },
            ));
        }
    }
    Ok(())
}
