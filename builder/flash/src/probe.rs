//! Whether a card holds as much as it claims. A false one writes what lies behind its true end over what lies before, at the
//! same place modulo a power of two, or drops it. So the powers of two behind the image, the last block and some between
//! get bytes of their own, and are read back. The image is read back after that: what was written over it
//! shows then.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::FlashError;
use crate::device::Target;
use crate::direct::Buffer;
use crate::image::Image;
use crate::verify::{VerifyError, get};
use crate::write::{put, sync};

/// Bytes of a place that is tried: no card has larger sectors.
const BLOCK: u64 = 4096;

/// Places between the powers of two: cards that drop what they have no room for keep none of these.
const BETWEEN: u64 = 16;

/// A place behind the image.
struct Place {
    offset: u64,
    /// What was there.
    before: Vec<u8>,
}

/// Tries the space behind `image`, which is on the card but for its head, and leaves there what was there before.
pub fn probe(image: &Image, target: &Target) -> Result<(), FlashError> {
    let seed = Sha256::digest(format!("{} {}", image.manifest.image.map_sha256, target.size.0)).into();
    let mut buffer = Buffer::new();
    let mut read = |offset: u64| get(target, &mut buffer, offset, BLOCK).map(<[u8]>::to_vec);
    let mut places = Vec::new();
    for offset in places_behind(image.size.0, target.size.0, &seed) {
        let before = read(offset)?;
        places.push(Place { offset, before });
    }
    for place in &places {
        put(target, &Buffer::of(&pattern(&seed, place.offset)), place.offset)?;
    }
    sync(target)?;
    // The first of all: what lies behind it is not there either.
    for place in &places {
        if read(place.offset)? != pattern(&seed, place.offset) {
            return Err(VerifyError::Capacity {
                path: target.path.clone(),
                claimed: target.size,
                offset: place.offset,
            }
            .into());
        }
    }
    for place in &places {
        put(target, &Buffer::of(&place.before), place.offset)?;
    }
    sync(target)?;
    Ok(())
}

/// The places that are tried on a card of `size` bytes, behind its first `end` bytes.
fn places_behind(end: u64, size: u64, seed: &[u8; 32]) -> BTreeSet<u64> {
    let first = end.div_ceil(BLOCK);
    // Whole blocks that the card has.
    let all = size / BLOCK;
    if first >= all {
        return BTreeSet::new();
    }
    let powers = (0..u64::BITS)
        .map(|bit| 1_u64 << bit)
        .filter(|block| (first..all).contains(block));
    let between = (0..BETWEEN).map(|number| first + number_of(seed, number) % (all - first));
    powers
        .chain([all - 1])
        .chain(between)
        .map(|block| block * BLOCK)
        .collect()
}

/// What goes to a place: nothing that is there already, and nothing that another place has.
fn pattern(seed: &[u8; 32], offset: u64) -> Vec<u8> {
    let parts =
        (0..BLOCK / 32).map(|part| Sha256::digest([&seed[..], &(offset + part).to_le_bytes()].concat()));
    parts.flatten().collect()
}

/// A number that follows from the seed.
fn number_of(seed: &[u8; 32], number: u64) -> u64 {
    let digest: [u8; 32] = Sha256::digest([&seed[..], &number.to_be_bytes()].concat()).into();
    digest[..8]
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn every_power_of_two_behind_the_image_and_the_last_block_are_tried() {
        let places = places_behind(12 * MIB, 80 * MIB + 512, &[7; 32]);
        for offset in [16 * MIB, 32 * MIB, 64 * MIB, 80 * MIB - 4096] {
            assert!(places.contains(&offset), "{places:?}");
        }
        assert!(places.len() > 12 && places.iter().all(|offset| (12 * MIB..80 * MIB).contains(offset)));
        assert!(places.iter().all(|offset| offset % BLOCK == 0));
    }

    #[test]
    fn a_card_without_room_behind_the_image_is_not_tried() {
        for size in [0, 4095, MIB, MIB + 4095] {
            assert!(places_behind(MIB, size, &[0; 32]).is_empty());
        }
        assert_eq!(places_behind(MIB, MIB + 4096, &[0; 32]), BTreeSet::from([MIB]));
    }

    #[test]
    fn no_two_places_get_the_same() {
        let seed = [1; 32];
        assert_eq!(pattern(&seed, 0).len() as u64, BLOCK);
        assert_ne!(pattern(&seed, 0), pattern(&seed, BLOCK));
        assert_ne!(pattern(&seed, 0), pattern(&[2; 32], 0));
    }
}
