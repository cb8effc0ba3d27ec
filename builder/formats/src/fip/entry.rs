//! One entry of a FIP: a payload, filled with zeros to a multiple of 16 bytes, behind its signature.
//!
//! The signature takes the place of the payload's first 96 bytes, which stand at the end instead: BL2 checks the entry
//! where it was loaded and then copies them back. The digest is that of the payload as it will run, not as it is stored.

use zerocopy::IntoBytes;

use super::error::Fault;
use super::header::{AmlHeader, DIGEST_OFFSET, DIGEST_SIZE, SIGNATURE_SIZE};
use crate::ids;

/// The header's id of an entry, as its bytes stand there. Random in the vendor's tool; nothing reads it.
pub type Id = [u8; 4];

/// Payloads are filled to a multiple of this.
pub const PAYLOAD_UNIT: usize = 16;

/// The id of an entry whose `payload` is all that is known of it.
pub fn derived_id(payload: &[u8]) -> Id {
    let [a, b, c, d, ..] = ids::digest("id of a FIP entry", &[payload]);
    [a, b, c, d]
}

/// The entry of `payload`, which is not empty and below 4 GiB; `None` where it is not.
pub fn sign(payload: &[u8], id: Id) -> Option<Vec<u8>> {
    let size = payload.len().checked_next_multiple_of(PAYLOAD_UNIT)?;
    let total = u32::try_from(size.checked_add(SIGNATURE_SIZE)?).ok()?;
    if payload.is_empty() {
        return None;
    }
    let mut padded = payload.to_vec();
    padded.resize(size, 0);
    let header = AmlHeader {
        id,
        hashed_size: (size as u32).into(),
        payload_size: (size as u32).into(),
        ..AmlHeader::new(total)
    };
    let (front, rest) = padded.split_at(size.min(SIGNATURE_SIZE));
    let mut entry = Vec::with_capacity(size + SIGNATURE_SIZE);
    entry.extend_from_slice(header.as_bytes());
    entry.extend_from_slice(&header.digest(&padded));
    entry.extend_from_slice(rest);
    entry.extend_from_slice(front);
    Some(entry)
}

/// The payload of an entry, and whether its signature is right. The payload of a damaged entry is what stands where one
/// would be.
pub fn open(entry: &[u8]) -> (Vec<u8>, Result<(), Fault>) {
    let stored = entry.get(SIGNATURE_SIZE..).unwrap_or_default();
    let front = stored.len().saturating_sub(SIGNATURE_SIZE);
    let (rest, front) = stored.split_at(front);
    let payload = [front, rest].concat();
    let checked = check(entry, &payload);
    (payload, checked)
}

fn check(entry: &[u8], payload: &[u8]) -> Result<(), Fault> {
    let header = AmlHeader::read(entry).ok_or(Fault::NoHeader { at: 0 })?;
    let expected = [
        ("total size", header.total_size.get(), entry.len()),
        ("encryption", header.encrypted.get(), 0),
        ("digest offset", header.digest_offset.get(), DIGEST_OFFSET),
        ("digest size", header.digest_size.get(), DIGEST_SIZE),
        (
            "offset of hashed bytes",
            header.hashed_offset.get(),
            SIGNATURE_SIZE,
        ),
        ("number of hashed bytes", header.hashed_size.get(), payload.len()),
        ("payload offset", header.payload_offset.get(), SIGNATURE_SIZE),
        ("payload size", header.payload_size.get(), payload.len()),
    ];
    for (field, found, expected) in expected {
        if found as usize != expected {
            return Err(Fault::Header {
                field,
                found: found.into(),
                expected: expected as u64,
            });
        }
    }
    // Behind the header, since the total size is right.
    if entry[DIGEST_OFFSET..SIGNATURE_SIZE] == header.digest(payload) {
        Ok(())
    } else {
        Err(Fault::Digest { at: 0 })
    }
}
