//! How boot loaders lie in an image of any origin, and the first stage in front of the package.

use std::io;

use super::super::area::FIP_SECTOR;
use super::super::bl1::{
    BL1_SIZE, BL2_SIZE, CARD_HEADER, EMMC_HEADER, NONCE_SIZE, SIGNATURE_END, check_signature,
};
use super::super::error::Fault;
use super::super::header::{AmlHeader, HEADER_SIZE};
use super::super::toc::NAME;
use super::{FoundPart, PartName, not_zero, prefix, short};
use crate::mbr::SIGNATURE_OFFSET;
use crate::source::ReadAt;
use crate::units::SECTOR;

/// How boot loaders lie in what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packaging {
    /// A card: a BL1 that its vendor signed around the partition table, the package from sector 97 on.
    Card,
    /// A card as the vendor's signer writes it (`u-boot.bin.sd.bin`): the first stage from sector 1 on, the package from
    /// sector 97 on. Sector 0 is none of it: random in the signer's file, the partition table's alone on a card.
    SignedCard,
    /// For a card and an eMMC: a BL2 with a header for each around the partition table, the package from sector 96 on.
    CardAndEmmc,
    /// For USB or an eMMC, as the vendor's signer writes it (`u-boot.bin`): a signed BL2, the package right behind.
    Usb,
    /// The package alone.
    Package,
}

/// The first byte of a package behind sector 96.
const LATE: u64 = FIP_SECTOR.0 * SECTOR;

/// The first byte of a package right behind a BL2.
const EARLY: u64 = BL2_SIZE as u64;

impl Packaging {
    /// How boot loaders lie in `source`; `None` where there are none. Of a form one mark is enough: others may be what is
    /// damaged.
    pub(super) fn find(source: &dyn ReadAt) -> io::Result<Option<Self>> {
        let name = NAME.to_le_bytes();
        let package_at = |place| Ok::<_, io::Error>(prefix(source, place, name.len() as u64)? == name);
        let header_at = |place: usize| {
            Ok::<_, io::Error>(AmlHeader::read(&prefix(
                source,
                place as u64,
                HEADER_SIZE as u64,
            )?))
        };
        let (early, late) = (package_at(EARLY)?, package_at(LATE)?);
        // Later SoCs have the same header before a larger first stage, and all else otherwise.
        let fits = |place: usize, header: &AmlHeader| {
            early || late || place as u64 + u64::from(header.total_size.get()) <= LATE
        };
        let card = header_at(CARD_HEADER)?.filter(|header| fits(CARD_HEADER, header));
        let emmc = header_at(EMMC_HEADER)?.filter(|header| fits(EMMC_HEADER, header));
        // The package follows what the header for a card tells of.
        let ends_early =
            card.is_some_and(|header| CARD_HEADER as u64 + u64::from(header.total_size.get()) == EARLY);
        let is_late = match (early, late) {
            (false, true) => true,
            (true, false) => false,
            (true, true) => !ends_early,
            (false, false) => card.is_some() && !ends_early,
        };
        Ok(if is_late {
            Some(
                match emmc.is_some() || is_first_sector(&prefix(source, 0, SIGNATURE_OFFSET)?) {
                    true => Self::Card,
                    false => Self::SignedCard,
                },
            )
        } else if card.is_some() || emmc.is_some_and(leaves_table) {
            Some(Self::CardAndEmmc)
        } else if early || emmc.is_some() {
            Some(Self::Usb)
        } else if package_at(0)? {
            Some(Self::Package)
        } else {
            None
        })
    }

    /// Whether boot ROM and partition table share a card's first sectors.
    pub fn is_on_card(self) -> bool {
        matches!(self, Self::Card | Self::SignedCard | Self::CardAndEmmc)
    }

    /// The first byte of the package.
    pub(super) fn package(self) -> u64 {
        match self {
            Self::Card | Self::SignedCard => LATE,
            Self::CardAndEmmc | Self::Usb => EARLY,
            Self::Package => 0,
        }
    }

    /// The first stage; `None` where the package is alone.
    pub(super) fn first_stage(self, source: &dyn ReadAt) -> io::Result<Option<FoundPart>> {
        Ok(match self {
            Self::Card => Some(around_table(source, PartName::Bl1, BL1_SIZE)?),
            Self::CardAndEmmc => Some(around_table(source, PartName::Bl2, BL2_SIZE)?),
            Self::SignedCard => Some(in_one_piece(source, SECTOR)?),
            Self::Usb => Some(in_one_piece(source, 0)?),
            Self::Package => None,
        })
    }
}

/// Whether `sector`, the bytes of sector 0 before the disk signature, may be a first stage's whose header for an eMMC is
/// damaged: nothing else has zeros behind a signature.
fn is_first_sector(sector: &[u8]) -> bool {
    let is_zero = |byte: &u8| *byte == 0;
    let (signature, behind) = sector.split_at(SIGNATURE_END.min(sector.len()));
    behind.iter().all(is_zero) && !signature.iter().all(is_zero)
}

/// Whether the header for an eMMC covers nothing of sector 0 behind itself.
fn leaves_table(header: AmlHeader) -> bool {
    EMMC_HEADER as u64 + u64::from(header.hashed_offset.get()) == SECTOR
}

/// A first stage of `size` bytes that begins in sector 0, with a header for a card and one for an eMMC.
fn around_table(source: &dyn ReadAt, name: PartName, size: usize) -> io::Result<FoundPart> {
    let mut content = prefix(source, 0, size as u64)?;
    // What is between is the partition table's, and zero in the file that it was.
    let table = (SIGNATURE_OFFSET as usize).min(content.len())..(SECTOR as usize).min(content.len());
    content[table.clone()].fill(0);
    let mut faults = short(&content, size);
    for header in [CARD_HEADER, EMMC_HEADER] {
        faults.extend(check_signature(&content, header).err());
    }
    faults.extend(not_zero(&content, SIGNATURE_END..table.start));
    Ok(FoundPart {
        name,
        range: 0..content.len() as u64,
        content,
        faults,
    })
}

/// A first stage with one header, from byte `start` on.
fn in_one_piece(source: &dyn ReadAt, start: u64) -> io::Result<FoundPart> {
    let content = prefix(source, start, BL2_SIZE as u64)?;
    let mut faults: Vec<Fault> = short(&content, BL2_SIZE);
    faults.extend(check_signature(&content, NONCE_SIZE).err());
    Ok(FoundPart {
        name: PartName::Bl2,
        range: start..start + content.len() as u64,
        content,
        faults,
    })
}
