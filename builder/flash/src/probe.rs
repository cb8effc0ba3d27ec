//! Whether a card holds as much as it claims. A false one writes what lies behind its true end over what lies before, at the
//! same place modulo a power of two, or drops it. So the powers of two behind the image, the last block and some between
//! get bytes of their own, and are read back. The image is read back after that: what was written over it
//! shows then.

use std::collections::BTreeSet;

use formats::units::Bytes;
use sha2::{Digest as _, Sha256};

use crate::FlashError;
use crate::device::Target;
use crate::direct::Buffer;
use crate::image::Image;
use crate::verify::{VerifyError, get};
use crate::write::{put, sync};

/// Bytes of a place that is tried: no card has larger sectors.
pub(crate) const BLOCK: u64 = 4096;

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
    let seed = seed(image, target);
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
        let found = read(place.offset)?;
        if found != pattern(&seed, place.offset) {
            return Err(false_card(target, &seed, place.offset, &found).into());
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

/// What goes to a place: nothing that is there already, and nothing that another place has. It begins with the place, so that
/// whoever finds it elsewhere knows where it was written.
pub(crate) fn pattern(seed: &[u8; 32], offset: u64) -> Vec<u8> {
    let parts =
        (0..BLOCK / 32).map(|part| Sha256::digest([&seed[..], &(offset + part).to_le_bytes()].concat()));
    let mut bytes: Vec<u8> = parts.flatten().collect();
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    bytes
}

/// The error of a card that has `found` at `offset`, and not the pattern of that place. The card is written to once more, to see where
/// it begins at its start again.
pub(crate) fn false_card(target: &Target, seed: &[u8; 32], offset: u64, found: &[u8]) -> VerifyError {
    let written_at = found.first_chunk().map(|place| u64::from_le_bytes(*place));
    let written_at = written_at.filter(|place| *place > offset && found == pattern(seed, *place));
    let most = written_at.map(|place| size_of_wrap(target, seed, offset, place - offset));
    VerifyError::Capacity {
        path: target.path.clone(),
        claimed: target.size,
        offset,
        most: Bytes(most.unwrap_or(offset)),
    }
}

/// The least distance at which what is written behind `offset` lies at `offset`, where that at `distance` does: it holds so much.
fn size_of_wrap(target: &Target, seed: &[u8; 32], offset: u64, distance: u64) -> u64 {
    let mut buffer = Buffer::new();
    let mut lies_at_offset = |step: &u64| {
        let bytes = pattern(seed, offset + step);
        let written = target.write(&Buffer::of(&bytes), offset + step);
        written.is_ok()
            && target
                .read(&mut buffer, offset, BLOCK)
                .is_ok_and(|found| found == bytes)
    };
    // One distance is a multiple of the other. That which is known is the last to be tried.
    let steps = divisors(distance / BLOCK)
        .into_iter()
        .map(|blocks| blocks * BLOCK);
    steps
        .filter(|step| *step < distance)
        .find(|step| lies_at_offset(step))
        .unwrap_or(distance)
}

/// What divides `number`, ascending.
fn divisors(number: u64) -> BTreeSet<u64> {
    let small = (1..=number.isqrt()).filter(|divisor| number.is_multiple_of(*divisor));
    small.flat_map(|divisor| [divisor, number / divisor]).collect()
}

/// The seed of the patterns of one card with one image.
pub(crate) fn seed(image: &Image, target: &Target) -> [u8; 32] {
    Sha256::digest(format!("{} {}", image.manifest.image.map_sha256, target.size.0)).into()
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
    fn all_divisors_are_found() {
        assert_eq!(divisors(1), BTreeSet::from([1]));
        assert_eq!(divisors(12), BTreeSet::from([1, 2, 3, 4, 6, 12]));
        assert_eq!(divisors(49), BTreeSet::from([1, 7, 49]));
    }

    #[test]
    fn no_two_places_get_the_same() {
        let seed = [1; 32];
        assert_eq!(pattern(&seed, 0).len() as u64, BLOCK);
        assert_ne!(pattern(&seed, 0), pattern(&seed, BLOCK));
        assert_ne!(pattern(&seed, 0), pattern(&[2; 32], 0));
    }
}
