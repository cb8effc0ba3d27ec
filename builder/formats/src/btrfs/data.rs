//! Where the files' data lies: every extent once, in the order of the blobs, so that a run of a blob stays one run of
//! the volume. First comes what the role has in the volume's tree, then what only templates have, then the nodes' own:
//! a template moves no data of the role.

use std::collections::HashMap;

use super::chunks::{Chunk, DataArea, Device};
use super::error::VolumeError;
use super::namespace::{Body, Subvolume};
use crate::blob::Blob;
use crate::layer::{Content, Data, Encoding, Extent, MAX_COMPRESSED, MAX_INLINE, SECTOR};
use crate::sparse::SparseImage;
use crate::tree::{InodeKind, Share};

/// Longest extent that is not compressed (`BTRFS_MAX_EXTENT_SIZE`).
const MAX_RAW: u64 = 128 << 20;

/// Largest file: what the kernel's file offsets reach.
const MAX_FILE: u64 = i64::MAX as u64;

/// All data extents and the chunks they lie in.
#[derive(Debug)]
pub(super) struct DataPlan<'a> {
    /// In order of their addresses.
    pub extents: Vec<DataExtent<'a>>,
    /// The data chunks.
    pub chunks: Vec<Chunk>,
    /// Whether anything is compressed with zstd, inline data too.
    pub zstd: bool,
    blobs: Blobs<'a>,
    /// From what an extent is to its position in `extents`.
    positions: HashMap<Place, usize>,
    /// Bytes of the last chunk that are the role's.
    pub shared: u64,
}

/// One data extent.
#[derive(Debug)]
pub(super) struct DataExtent<'a> {
    /// Logical address.
    pub address: u64,
    /// Blob, encoding, lengths and checksums, as the first file has them.
    pub source: &'a Extent,
    /// Whose data it is: the role's as soon as one of the role's files has it.
    pub share: Share,
    /// The files that have it.
    pub references: Vec<Reference>,
    blob: usize,
}

/// A file's use of an extent. It is always the whole extent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// Id of the subvolume.
    pub root: u64,
    /// Inode number.
    pub inode: u64,
    /// Where in the file.
    pub offset: u64,
    /// Who has the inode.
    pub share: Share,
}

/// What makes two extents the same: their bytes and what the bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Place {
    blob: usize,
    offset: u64,
    stored_length: u64,
    length: u64,
    zstd: bool,
}

/// In which part of the data an extent lies: the first that one of its files asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A file of the role in the volume's tree has it.
    Role,
    /// Templates alone have it.
    Template,
    /// A node's own.
    Node,
}

/// The blobs, numbered as they are met.
#[derive(Debug, Default)]
struct Blobs<'a> {
    numbers: HashMap<usize, usize>,
    blobs: Vec<&'a Blob>,
}

impl<'a> Blobs<'a> {
    /// The number of a blob. Clones of a blob are the same blob.
    fn number(&mut self, blob: &'a Blob) -> usize {
        let next = self.blobs.len();
        let number = *self.numbers.entry(blob.address()).or_insert(next);
        if number == next {
            self.blobs.push(blob);
        }
        number
    }

    /// The number of a blob that has one.
    fn find(&self, blob: &Blob) -> Option<usize> {
        self.numbers.get(&blob.address()).copied()
    }
}

impl Place {
    fn of(blob: usize, extent: &Extent) -> Self {
        Self {
            blob,
            offset: extent.blob_offset,
            stored_length: extent.stored_length,
            length: extent.length,
            zstd: extent.encoding == Encoding::Zstd,
        }
    }
}

impl<'a> DataPlan<'a> {
    /// Checks all files' data, finds every extent's place on `device` and the files that refer to it.
    pub fn new(subvolumes: &[Subvolume<'a>], device: Device) -> Result<(Self, Device), VolumeError> {
        let mut plan = Self::collect(subvolumes)?;
        let mut area = DataArea::new(device);
        let shared = plan.extents.partition_point(|extent| extent.share == Share::Role);
        let (role, node) = plan.extents.split_at_mut(shared);
        for extent in role {
            extent.address = area.place(extent.source.stored_length);
        }
        plan.shared = area.end_shared();
        for extent in node {
            extent.address = area.place(extent.source.stored_length);
        }
        let (chunks, device) = area.finish();
        plan.chunks = chunks;
        Ok((plan, device))
    }

    /// The data of `subvolumes`, whose files are a node's own, behind the role's data in the last of a base's
    /// `chunks`, of which `shared` bytes are the role's.
    pub fn behind(subvolumes: &[Subvolume<'a>], chunks: &[Chunk], shared: u64) -> Result<Self, VolumeError> {
        let mut plan = Self::collect(subvolumes)?;
        let mut area = DataArea::behind(chunks, shared);
        for extent in &mut plan.extents {
            if area.room() < extent.source.stored_length {
                return Err(VolumeError::BeyondBase);
            }
            extent.address = area.place(extent.source.stored_length);
        }
        plan.chunks = area.into_chunks();
        Ok(plan)
    }

    /// Checks all files' data and finds the files that refer to each extent, in the order in which extents are placed.
    fn collect(subvolumes: &[Subvolume<'a>]) -> Result<Self, VolumeError> {
        let mut blobs = Blobs::default();
        let mut positions = HashMap::new();
        let mut zstd = false;
        let mut extents: Vec<((Part, Place), DataExtent<'a>)> = Vec::new();
        // Templates come last, so that they number no blob of the volume's tree.
        let of = |template| {
            subvolumes
                .iter()
                .filter(move |subvolume| subvolume.is_template() == template)
        };
        for subvolume in of(false).chain(of(true)) {
            for (position, inode) in subvolume.inodes.iter().enumerate() {
                let Body::Other(InodeKind::File(content, blob)) = inode.body else {
                    continue;
                };
                check(content, || subvolume.path(position))?;
                let of_file = match &content.data {
                    Data::Inline { encoding, .. } => {
                        zstd |= *encoding == Encoding::Zstd;
                        continue;
                    }
                    Data::Extents(extents) => extents,
                };
                for source in of_file {
                    let number = blobs.number(blob);
                    let part = match inode.share {
                        Share::Node => Part::Node,
                        Share::Role if subvolume.is_template() => Part::Template,
                        Share::Role => Part::Role,
                    };
                    let place = Place::of(number, source);
                    zstd |= place.zstd;
                    let position = *positions.entry(place).or_insert_with(|| {
                        let references = Vec::with_capacity(1);
                        let share = Share::Node;
                        let extent = DataExtent {
                            address: 0,
                            source,
                            share,
                            references,
                            blob: number,
                        };
                        extents.push(((Part::Node, place), extent));
                        extents.len() - 1
                    });
                    let ((part_of_extent, _), extent) = &mut extents[position];
                    *part_of_extent = part.min(*part_of_extent);
                    extent.share = extent.share.min(inode.share);
                    extent.references.push(Reference {
                        root: subvolume.id,
                        inode: inode.number,
                        offset: source.file_offset,
                        share: inode.share,
                    });
                }
            }
        }
        extents.sort_by_key(|(order, _)| *order);
        for (position, ((_, place), _)) in extents.iter().enumerate() {
            positions.insert(*place, position);
        }
        let extents = extents.into_iter().map(|(_, extent)| extent).collect();
        Ok(Self {
            extents,
            chunks: Vec::new(),
            zstd,
            blobs,
            positions,
            shared: 0,
        })
    }

    /// The address of an extent of a file whose blob is `blob`. `None` only for a file that was not planned.
    pub fn address(&self, blob: &Blob, extent: &Extent) -> Option<u64> {
        let place = Place::of(self.blobs.find(blob)?, extent);
        self.positions
            .get(&place)
            .map(|&position| self.extents[position].address)
    }

    /// Bytes of data on the device.
    pub fn used(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.used).sum()
    }

    /// Puts the data of `share` into `image`, neighbours of one blob as one piece.
    pub fn put(&self, image: &mut SparseImage, share: Share) {
        let extents = self.extents.iter().filter(|extent| extent.share == share);
        let mut extents = extents.peekable();
        while let Some(first) = extents.next() {
            let start = first.source.blob_offset;
            let mut length = first.source.stored_length;
            while let Some(next) = extents.peek()
                && next.blob == first.blob
                && next.address == first.address + length
                && next.source.blob_offset == start + length
            {
                length += next.source.stored_length;
                extents.next();
            }
            image.put_blob(first.address, length, self.blobs.blobs[first.blob].clone(), start);
        }
    }
}

/// Refuses data that contradicts itself or exceeds what the format allows.
fn check(content: &Content, path: impl Fn() -> String) -> Result<(), VolumeError> {
    if content.size > MAX_FILE {
        let (value, limit) = (content.size, MAX_FILE);
        return Err(VolumeError::Attribute {
            path: path(),
            attribute: "file size",
            value,
            limit,
        });
    }
    let refuse = |offset, reason| {
        Err(VolumeError::Extent {
            path: path(),
            offset,
            reason,
        })
    };
    match &content.data {
        Data::Inline { encoding, stored } => match encoding {
            _ if content.size == 0 || stored.is_empty() => refuse(0, "is inline, but has no data"),
            _ if stored.len() as u64 > MAX_INLINE || content.size >= SECTOR => refuse(
                0,
                "is inline, but larger than 2048 bytes stored or 4095 bytes of the file",
            ),
            Encoding::Raw if stored.len() as u64 != content.size => {
                refuse(0, "is inline and raw, but has another length than the file")
            }
            _ => Ok(()),
        },
        Data::Extents(extents) => {
            let mut end = 0;
            for extent in extents {
                if let Some(reason) = fault(extent, end, content.size.next_multiple_of(SECTOR)) {
                    return refuse(extent.file_offset, reason);
                }
                end = extent.file_offset + extent.length;
            }
            Ok(())
        }
    }
}

/// What is wrong with an extent that follows data up to `previous_end` in a file of `size` bytes.
fn fault(extent: &Extent, previous_end: u64, size: u64) -> Option<&'static str> {
    let parts = [
        extent.file_offset,
        extent.length,
        extent.blob_offset,
        extent.stored_length,
    ];
    let raw = extent.encoding == Encoding::Raw;
    let end = extent.file_offset.checked_add(extent.length);
    let faults = [
        (
            parts.iter().any(|part| !part.is_multiple_of(SECTOR)),
            "is not made of whole sectors",
        ),
        (extent.length == 0 || extent.stored_length == 0, "is empty"),
        (extent.file_offset < previous_end, "overlaps the one before"),
        (
            end.is_none_or(|end| end > size),
            "reaches beyond the end of the file",
        ),
        (
            extent.blob_offset.checked_add(extent.stored_length).is_none(),
            "reaches beyond the end of any blob",
        ),
        (
            raw && extent.stored_length != extent.length,
            "is raw, but stored in another length",
        ),
        (raw && extent.length > MAX_RAW, "is longer than 128 MiB"),
        (
            !raw && extent.length > MAX_COMPRESSED,
            "is compressed and longer than 128 KiB",
        ),
        (
            !raw && extent.stored_length > MAX_COMPRESSED,
            "is larger compressed than 128 KiB",
        ),
        (
            extent.checksums.len() as u64 != extent.stored_length / SECTOR,
            "has not one checksum for each stored sector",
        ),
    ];
    faults
        .into_iter()
        .find(|(is_fault, _)| *is_fault)
        .map(|(_, reason)| reason)
}
