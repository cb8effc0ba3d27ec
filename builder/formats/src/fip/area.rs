//! First stage and package together: around the partition table of a card, or as one file for USB.

use super::bl1::FirstStage;
use super::error::FipError;
use super::toc::Package;
use crate::sparse::SparseImage;
use crate::units::{Bytes, Lba, SECTOR};

/// The sector that BL2 reads the package from.
pub const FIP_SECTOR: Lba = Lba(97);

/// The boot area of a card, which has to end at `limit`, where `next` (`partition 1`) starts. It covers no byte from the
/// disk signature to the end of sector 0.
pub fn boot_area(
    first: &FirstStage,
    package: &Package,
    limit: Lba,
    next: &str,
) -> Result<SparseImage, FipError> {
    let start = FIP_SECTOR.to_bytes().0;
    let end = start + package.bytes.len() as u64;
    let limit = limit.to_bytes().0;
    if let Some(last) = package.entries.last()
        && end > limit
    {
        return Err(FipError::Reaches {
            start,
            end,
            limit,
            next: next.to_owned(),
            loader: last.loader,
            size: last.payload,
            fitting: package.fitting(limit.saturating_sub(start)),
        });
    }
    let mut image = SparseImage::empty(Bytes(end));
    image.put(0, first.code.clone());
    image.put(SECTOR, first.sectors.clone());
    image.put(start, package.bytes.clone());
    Ok(image)
}

/// What the boot ROM takes over USB: a signed BL2 and the package behind it.
pub fn usb_image(bl2: &FirstStage, package: &Package) -> SparseImage {
    let start = bl2.sectors.len() as u64;
    let mut image = SparseImage::empty(Bytes(start + package.bytes.len() as u64));
    image.put(0, bl2.sectors.clone());
    image.put(start, package.bytes.clone());
    image
}
