//! Runs of files, as their items say them.

use zerocopy::FromBytes;

use super::ReadError;
use super::tree::Item;
use crate::btrfs::records::{FileExtent, FileExtentHead};
use crate::layer::{MAX_COMPRESSED, SECTOR};

/// Most bytes of a file in an item: more than the largest tree block.
const MAX_INLINE: u64 = 64 * 1024;

/// What an EXTENT_DATA item says of its run of a file.
pub(super) enum Run {
    /// All of the file.
    Inline(Vec<u8>),
    /// This many zeros.
    Zeros(u64),
    /// A part of a data extent.
    Extent(Extent),
}

/// A part of a data extent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Logical address of the whole extent.
    pub(super) address: u64,
    /// Bytes that it has on disk.
    pub(super) stored_length: u64,
    /// Bytes that it decodes to, where it is compressed.
    pub(super) decoded_length: Option<u64>,
    /// Where in the decoded extent the part starts.
    pub(super) offset: u64,
    /// Bytes of the part.
    pub(super) length: u64,
}

impl Run {
    /// The run that `item` describes.
    pub fn parse(item: &Item) -> Result<Self, ReadError> {
        let short = |_| item.wrong("is too short");
        let data = item.data();
        let (head, inline) = FileExtentHead::ref_from_prefix(data).map_err(|_| short(()))?;
        let decoded_length = match head.compression {
            FileExtentHead::RAW => None,
            FileExtentHead::ZSTD => Some(head.ram_bytes.get()),
            other => {
                return Err(ReadError::Unsupported {
                    what: format!(
                        "inode {} of tree {} is compressed with {}",
                        item.key.object,
                        item.tree,
                        match other {
                            1 => "zlib".to_owned(),
                            2 => "LZO".to_owned(),
                            other => format!("method {other}"),
                        }
                    ),
                });
            }
        };
        if head.encryption != 0 || head.other_encoding.get() != 0 {
            return Err(ReadError::Unsupported {
                what: format!("inode {} of tree {} is encrypted", item.key.object, item.tree),
            });
        }
        if head.form == FileExtentHead::INLINE {
            return match decoded_length {
                None => Ok(Self::Inline(inline.to_vec())),
                Some(length) if length <= MAX_INLINE => decompress(inline, length)
                    .map(Self::Inline)
                    .ok_or_else(|| item.wrong("holds no zstd frame of its length")),
                Some(_) => Err(item.wrong("has too much inline data")),
            };
        }
        let extent = FileExtent::read_from_bytes(data).map_err(|_| short(()))?;
        let length = extent.length.get();
        let end = item.key.offset.checked_add(length);
        if length == 0 || !length.is_multiple_of(SECTOR) || end.is_none() {
            return Err(item.wrong("has an impossible length"));
        }
        // A hole has an item where NO_HOLES is not set.
        if head.form == FileExtentHead::RESERVED || extent.address.get() == 0 {
            return Ok(Self::Zeros(length));
        }
        if head.form != FileExtentHead::REGULAR {
            return Err(item.wrong("has a form that does not exist"));
        }
        let extent = Extent {
            address: extent.address.get(),
            stored_length: extent.stored_length.get(),
            decoded_length,
            offset: extent.offset.get(),
            length,
        };
        let whole = decoded_length.unwrap_or(extent.stored_length);
        let places = [extent.address, extent.stored_length, extent.offset];
        let is_aligned = places.iter().all(|place| place.is_multiple_of(SECTOR));
        let is_within = extent.offset.checked_add(length).is_some_and(|end| end <= whole);
        let is_bounded =
            decoded_length.is_none_or(|length| length.max(extent.stored_length) <= MAX_COMPRESSED);
        match is_aligned && is_within && is_bounded {
            true => Ok(Self::Extent(extent)),
            false => Err(item.wrong("reaches beyond its extent")),
        }
    }
}

/// The frame at the start of `stored`, with zeros behind what it decodes to up to `length`. The kernel cuts the last
/// sector of a file where the file ends.
pub(super) fn decompress(stored: &[u8], length: u64) -> Option<Vec<u8>> {
    let frame = zstd::zstd_safe::find_frame_compressed_size(stored).ok()?;
    let length = usize::try_from(length).ok()?;
    let mut bytes = zstd::bulk::decompress(stored.get(..frame)?, length).ok()?;
    if bytes.len().next_multiple_of(SECTOR as usize) < length {
        return None;
    }
    bytes.resize(length, 0);
    Some(bytes)
}
