//! The table of contents of a FIP, and whole packages. Trusted Firmware-A, "Firmware Image Package"; slots of 16 KiB are
//! the vendor's.

use uuid::Uuid;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Loader;
use super::entry::{self, Id};
use super::error::FipError;
use super::header::SIGNATURE_SIZE;
use super::load;

/// The first size of BL33 that BL2 does not load.
pub const MAX_BL33: u64 = 4 << 20;

/// `TOC_HEADER_NAME` of Trusted Firmware-A.
pub const NAME: u32 = 0xaa64_0001;

/// The serial number that the vendor's tools write.
pub const SERIAL: u32 = 0x1234_5678;

/// Where the first entry starts, and what every entry's space is a multiple of.
pub const SLOT: usize = 0x4000;

/// Where the first entry starts, in bytes from the package's first.
pub const FIRST_SLOT: u64 = SLOT as u64;

/// What every table starts with, 16 bytes on disk.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TocHeader {
    /// [`NAME`].
    pub name: U32,
    /// [`SERIAL`].
    pub serial: U32,
    /// 0.
    pub flags: U64,
}
const _: () = assert!(size_of::<TocHeader>() == 16);

/// One record of the table, 40 bytes on disk. The last one has no UUID and says where the package ends.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TocRecord {
    /// [`Loader::uuid`], its first three fields little-endian.
    pub uuid: [u8; 16],
    /// Where the entry starts, from the package's first byte.
    pub offset: U64,
    /// Its bytes, signature included.
    pub size: U64,
    /// 0.
    pub flags: U64,
}
const _: () = assert!(size_of::<TocRecord>() == 40);

/// A firmware image package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its bytes, a multiple of 16 KiB.
    pub bytes: Vec<u8>,
    /// Its entries, in order.
    pub entries: Vec<PackageEntry>,
}

/// An entry of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageEntry {
    /// Whose it is.
    pub loader: Loader,
    /// Where it starts, from the package's first byte.
    pub offset: u64,
    /// Its bytes, signature included.
    pub size: u64,
    /// Bytes of what it was made of.
    pub payload: u64,
}

/// The package of signed `payloads`, each with the id of its header. BL30, BL31 and BL33 have to be among them.
pub fn package(payloads: &[(Loader, &[u8], Id)]) -> Result<Package, FipError> {
    for loader in [Loader::Bl30, Loader::Bl31, Loader::Bl33] {
        if !payloads.iter().any(|(other, ..)| *other == loader) {
            return Err(FipError::Missing { loader });
        }
    }
    let mut records = Vec::with_capacity(payloads.len() + 1);
    let mut entries = Vec::with_capacity(payloads.len());
    let mut bytes = vec![0; SLOT];
    for (number, (loader, payload, id)) in payloads.iter().enumerate() {
        let (loader, length) = (*loader, payload.len() as u64);
        if payloads[..number].iter().any(|(other, ..)| *other == loader) {
            return Err(FipError::Twice { loader });
        }
        if payload.is_empty() {
            return Err(FipError::Empty { loader });
        }
        if loader == Loader::Bl33 && length >= MAX_BL33 {
            return Err(FipError::Bl33TooLarge {
                size: length,
                limit: MAX_BL33,
            });
        }
        if loader == Loader::Bl31 && load::has_header(payload) {
            return Err(FipError::Bl31Header);
        }
        let signed = entry::sign(payload, *id).ok_or(FipError::TooLarge { loader, size: length })?;
        let (offset, size) = (bytes.len() as u64, signed.len() as u64);
        records.push(record(loader.uuid(), offset, size));
        entries.push(PackageEntry {
            loader,
            offset,
            size,
            payload: length,
        });
        bytes.extend_from_slice(&signed);
        bytes.resize(bytes.len().next_multiple_of(SLOT), 0);
    }
    records.push(record(Uuid::nil(), bytes.len() as u64, 0));
    let header = TocHeader {
        name: NAME.into(),
        serial: SERIAL.into(),
        flags: 0.into(),
    };
    let table = [header.as_bytes(), records.as_bytes()].concat();
    bytes[..table.len()].copy_from_slice(&table);
    Ok(Package { bytes, entries })
}

fn record(uuid: Uuid, offset: u64, size: u64) -> TocRecord {
    TocRecord {
        uuid: uuid.to_bytes_le(),
        offset: offset.into(),
        size: size.into(),
        flags: 0.into(),
    }
}

impl Package {
    /// How many bytes the last entry could be made of if the package had to end at `size` bytes.
    pub(super) fn fitting(&self, size: u64) -> u64 {
        let last = self.entries.last().map_or(0, |entry| entry.offset);
        let slots = size.saturating_sub(last) / FIRST_SLOT;
        (slots * FIRST_SLOT).saturating_sub(SIGNATURE_SIZE as u64)
    }
}
