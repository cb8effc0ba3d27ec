//! The `@AML` header and what its signature covers.

use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a header starts with.
pub const MAGIC: [u8; 4] = *b"@AML";

/// Bytes of the header.
pub const HEADER_SIZE: usize = 0x40;

/// Where the digest starts, counted like all offsets from the header's first byte.
pub const DIGEST_OFFSET: usize = HEADER_SIZE;

/// Bytes of the digest.
pub const DIGEST_SIZE: usize = 32;

/// Bytes of header and digest.
pub const SIGNATURE_SIZE: usize = DIGEST_OFFSET + DIGEST_SIZE;

/// The header of everything that is signed, 64 bytes on disk. Offsets count from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct AmlHeader {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// Bytes from the header's first to the last that belongs to it.
    pub total_size: U32,
    /// [`HEADER_SIZE`].
    pub header_size: U16,
    /// 1.
    pub version: U16,
    /// Any number in an entry of a FIP, 0 in a first stage.
    pub id: [u8; 4],
    /// 0: nothing is encrypted.
    pub encrypted: U32,
    /// Where the digest starts: [`DIGEST_OFFSET`].
    pub digest_offset: U32,
    /// Bytes that are set aside for it; more than it has in a first stage.
    pub digest_size: U32,
    /// Where the hashed bytes start that follow the header.
    pub hashed_offset: U32,
    /// 0.
    pub unused_32: U32,
    /// Where zeros start that fill the space before the payload.
    pub padding_offset: U32,
    /// How many.
    pub padding_size: U32,
    /// Bytes that are hashed behind the header.
    pub hashed_size: U32,
    /// 0.
    pub unused_48: U32,
    /// Where the payload starts.
    pub payload_offset: U32,
    /// Bytes of the payload.
    pub payload_size: U32,
    /// 0.
    pub unused_60: U32,
}
const _: () = assert!(size_of::<AmlHeader>() == HEADER_SIZE);

impl AmlHeader {
    /// A header of `total_size` with what all headers have in common; the hashed bytes follow the digest.
    pub fn new(total_size: u32) -> Self {
        Self {
            magic: MAGIC,
            total_size: total_size.into(),
            header_size: (HEADER_SIZE as u16).into(),
            version: 1.into(),
            id: [0; 4],
            encrypted: 0.into(),
            digest_offset: (DIGEST_OFFSET as u32).into(),
            digest_size: (DIGEST_SIZE as u32).into(),
            hashed_offset: (SIGNATURE_SIZE as u32).into(),
            unused_32: 0.into(),
            padding_offset: (SIGNATURE_SIZE as u32).into(),
            padding_size: 0.into(),
            hashed_size: 0.into(),
            unused_48: 0.into(),
            payload_offset: (SIGNATURE_SIZE as u32).into(),
            payload_size: 0.into(),
            unused_60: 0.into(),
        }
    }

    /// The header at the start of `bytes`, if one is there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(bytes).ok()?;
        (header.magic == MAGIC).then_some(header)
    }

    /// The signature: SHA-256 of the header and of what is hashed behind it.
    pub fn digest(&self, hashed: &[u8]) -> [u8; DIGEST_SIZE] {
        Sha256::new()
            .chain_update(self.as_bytes())
            .chain_update(hashed)
            .finalize()
            .into()
    }
}
