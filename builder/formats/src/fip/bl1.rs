//! The first stage, which the boot ROM reads from fixed sectors and accepts by its signature.

use zerocopy::IntoBytes;

use super::error::{Fault, FipError};
use super::header::{AmlHeader, DIGEST_SIZE, SIGNATURE_SIZE};
use crate::ids;
use crate::mbr::SIGNATURE_OFFSET;
use crate::units::SECTOR;

/// Bytes of a BL1 that its vendor signed (`bl1.bin.hardkernel`): sectors 0 to 96.
pub const BL1_SIZE: usize = BL2_SIZE + SECTOR as usize;

/// Bytes of a BL2, before and after it is signed.
pub const BL2_SIZE: usize = 0xc000;

/// Bytes in front of a first stage's header.
pub const NONCE_SIZE: usize = 16;

/// What stands in front of a first stage's header. Random in the vendor's tool; nothing reads it, no signature covers it.
pub type Nonce = [u8; NONCE_SIZE];

/// Where a signature of a first stage ends that starts at its first byte.
pub const SIGNATURE_END: usize = NONCE_SIZE + SIGNATURE_SIZE;

/// BL1's header for an eMMC.
pub const EMMC_HEADER: usize = NONCE_SIZE;

/// BL1's header for a card.
pub const CARD_HEADER: usize = SECTOR as usize + NONCE_SIZE;

/// Bytes of the payload that a signed BL2 takes over; its last 4 KiB make room for the signature.
const PAYLOAD_SIZE: usize = 0xb000;

/// Bytes that are set aside for the digest of a BL2.
const DIGEST_SPACE: u32 = 0x200;

/// Where the payload of a BL2 starts, counted from its header.
const PAYLOAD_OFFSET: u32 = 0xff0;

/// A first stage as it lies on a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstStage {
    /// What stands before the disk signature in sector 0; empty where sector 0 is the partition table's alone.
    pub code: Vec<u8>,
    /// [`BL2_SIZE`] bytes from sector 1 on.
    pub sectors: Vec<u8>,
}

impl FirstStage {
    /// The first stage that its vendor signed: all of `bl1`, which has to be as the boot ROM wants it and to leave room for
    /// a partition table.
    pub fn vendor_signed(bl1: &[u8]) -> Result<Self, FipError> {
        if bl1.len() != BL1_SIZE {
            return Err(FipError::Bl1Size {
                size: bl1.len() as u64,
                expected: BL1_SIZE as u64,
            });
        }
        for header in [CARD_HEADER, EMMC_HEADER] {
            check_signature(bl1, header).map_err(FipError::Bl1)?;
        }
        let (first, sectors) = bl1.split_at(SECTOR as usize);
        if let Some(at) = (SIGNATURE_END..)
            .zip(&first[SIGNATURE_END..])
            .find(|(_, byte)| **byte != 0)
        {
            return Err(FipError::Bl1OverTable { at: at.0 as u64 });
        }
        Ok(Self {
            code: first[..SIGNATURE_OFFSET as usize].to_vec(),
            sectors: sectors.to_vec(),
        })
    }

    /// The first stage that `package` (`bl2.package`) becomes by a signature.
    pub fn sign(package: &[u8], nonce: Nonce) -> Result<Self, FipError> {
        let payload = match package.get(..PAYLOAD_SIZE) {
            Some(payload) if package.len() == BL2_SIZE => payload,
            _ => {
                return Err(FipError::Bl2Size {
                    size: package.len() as u64,
                    expected: BL2_SIZE as u64,
                });
            }
        };
        let padding_offset = SIGNATURE_SIZE as u32 - DIGEST_SIZE as u32 + DIGEST_SPACE;
        let header = AmlHeader {
            digest_size: DIGEST_SPACE.into(),
            padding_offset: padding_offset.into(),
            padding_size: (PAYLOAD_OFFSET - padding_offset).into(),
            hashed_size: ((BL2_SIZE - SIGNATURE_END) as u32).into(),
            payload_offset: PAYLOAD_OFFSET.into(),
            payload_size: (PAYLOAD_SIZE as u32).into(),
            ..AmlHeader::new((BL2_SIZE - NONCE_SIZE) as u32)
        };
        let mut hashed = vec![0; BL2_SIZE - SIGNATURE_END - PAYLOAD_SIZE];
        hashed.extend_from_slice(payload);
        let mut sectors = Vec::with_capacity(BL2_SIZE);
        sectors.extend_from_slice(&nonce);
        sectors.extend_from_slice(header.as_bytes());
        sectors.extend_from_slice(&header.digest(&hashed));
        sectors.append(&mut hashed);
        Ok(Self {
            code: Vec::new(),
            sectors,
        })
    }
}

/// The nonce of a BL2 of which `package` is all that is known.
pub fn derived_nonce(package: &[u8]) -> Nonce {
    let mut nonce = [0; NONCE_SIZE];
    nonce.copy_from_slice(&ids::digest("nonce of a BL2", &[package])[..NONCE_SIZE]);
    nonce
}

/// Checks the signature of the header at byte `at` of a first stage, over whatever the header says that it covers.
pub fn check_signature(stage: &[u8], at: usize) -> Result<(), Fault> {
    let place = at as u64;
    let signed = stage.get(at..).unwrap_or_default();
    let header = AmlHeader::read(signed).ok_or(Fault::NoHeader { at: place })?;
    let part = |offset: u32, size: usize| {
        let start = offset as usize;
        signed.get(start..start.checked_add(size)?)
    };
    let (hashed_offset, hashed_size) = (header.hashed_offset.get(), header.hashed_size.get());
    let hashed = part(hashed_offset, hashed_size as usize).ok_or_else(|| {
        let start = place + u64::from(hashed_offset);
        Fault::HashedRange {
            at: place,
            start,
            end: start + u64::from(hashed_size),
            size: stage.len() as u64,
        }
    })?;
    match part(header.digest_offset.get(), DIGEST_SIZE) {
        Some(digest) if *digest == header.digest(hashed) => Ok(()),
        _ => Err(Fault::Digest { at: place }),
    }
}
