//! The partition table on a card that is larger than its image. A GPT has its copy in the last sectors of the disk, wherever the
//! image ends: without it a board's firmware or a partitioning program takes the table for a damaged one.

use std::ops::Range;

use formats::gpt;
use formats::manifest::TableKind;
use formats::units::SECTOR;

use crate::chunks::{HEAD, read};
use crate::device::Target;
use crate::image::{Image, ImageError};

/// What is done with the table of an image on one card.
pub(crate) enum Place {
    /// It is right as it is.
    AsInImage,
    /// It is a GPT, and the card ends behind the image.
    Moved,
}

impl Place {
    pub(crate) fn of(image: &Image, target: &Target) -> Self {
        let is_larger = target.size.0 / SECTOR > image.size.0 / SECTOR;
        match image.manifest.partition_table.kind {
            TableKind::Gpt if is_larger => Self::Moved,
            _ => Self::AsInImage,
        }
    }

    /// Refuses an image whose table cannot be moved where it has to be. Nothing is written yet.
    pub(crate) fn check(&self, image: &Image, target: &Target) -> Result<(), ImageError> {
        let mut head = vec![0; HEAD.min(image.size.0) as usize];
        read(image, &mut head, 0)?;
        self.adapt(image, target, &mut head).map(|_| ())
    }

    /// Where the image has the copy that is another place's on the card.
    pub(crate) fn stale(&self, image: &Image) -> Range<u64> {
        match self {
            Self::AsInImage => 0..0,
            Self::Moved => image.size.0.saturating_sub(gpt::BACKUP_SECTORS * SECTOR)..image.size.0,
        }
    }

    /// Makes the image's `head` the card's. Returns what belongs to the end of the card, and its place.
    pub(crate) fn adapt(
        &self,
        image: &Image,
        target: &Target,
        head: &mut [u8],
    ) -> Result<Option<(u64, Vec<u8>)>, ImageError> {
        match self {
            Self::AsInImage => Ok(None),
            Self::Moved => {
                let copy = gpt::move_to(head, target.size).map_err(|source| ImageError::Table {
                    path: image.path.clone(),
                    source,
                })?;
                // A card on which the table fits is larger than the copy.
                let end = target.size.0 / SECTOR * SECTOR;
                Ok(Some((end - copy.len() as u64, copy)))
            }
        }
    }
}
