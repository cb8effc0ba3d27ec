//! Whether a card holds all that it claims, and how fast it is: everything behind the image is filled, then read back, as f3 does.
//! A card that wears out, or has bad places between those that [`crate::probe`] tries, is found out by this alone.

use std::iter::successors;
use std::time::{Duration, Instant};

use formats::units::Bytes;

use crate::device::Target;
use crate::direct::{Buffer, CHUNK};
use crate::image::Image;
use crate::probe::{BLOCK, false_card, pattern, seed};
use crate::verify::get;
use crate::write::{put, sync};
use crate::{FlashError, Step};

/// How fast a card is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Bytes that it takes in a second.
    pub write: Bytes,
    /// Bytes that it gives in a second.
    pub read: Bytes,
}

/// Fills the space behind `image` and reads it back. What was there is gone.
pub(crate) fn probe(
    image: &Image,
    target: &Target,
    progress: &mut dyn FnMut(Step, Bytes, Bytes),
) -> Result<Speed, FlashError> {
    let seed = seed(image, target);
    let (first, end) = (
        image.size.0.next_multiple_of(BLOCK),
        target.size.0 / BLOCK * BLOCK,
    );
    let total = end.saturating_sub(first);
    // A chunk ends where its unit of the card does.
    let end_of = |chunk: u64| end.min((chunk + 1).next_multiple_of(CHUNK));
    let chunks = || successors(Some(first), |chunk| Some(end_of(*chunk))).take_while(|chunk| *chunk < end);
    let blocks = |chunk: u64| {
        (chunk..end_of(chunk))
            .step_by(BLOCK as usize)
            .map(|offset| (offset, pattern(&seed, offset)))
    };

    let mut took = Duration::ZERO;
    for chunk in chunks() {
        let mut bytes = Buffer::new();
        for (_, block) in blocks(chunk) {
            bytes.add(BLOCK).copy_from_slice(&block);
        }
        let began = Instant::now();
        put(target, &bytes, chunk)?;
        took += began.elapsed();
        progress(
            Step::Fill,
            Bytes(chunk + bytes.len() as u64 - first),
            Bytes(total),
        );
    }
    let began = Instant::now();
    sync(target)?;
    let write = rate(total, took + began.elapsed());

    let (mut buffer, mut took) = (Buffer::new(), Duration::ZERO);
    for chunk in chunks() {
        let length = end_of(chunk) - chunk;
        let began = Instant::now();
        let found = get(target, &mut buffer, chunk, length)?;
        took += began.elapsed();
        for ((offset, expected), found) in blocks(chunk).zip(found.chunks(BLOCK as usize)) {
            if found != expected {
                return Err(false_card(target, &seed, offset, found).into());
            }
        }
        progress(Step::ReadBack, Bytes(chunk + length - first), Bytes(total));
    }
    let read = rate(total, took);
    Ok(Speed { write, read })
}

fn rate(bytes: u64, took: Duration) -> Bytes {
    // In a nanosecond at least, so that nothing is divided by zero.
    let nanoseconds = took.as_nanos().max(1);
    Bytes((u128::from(bytes) * 1_000_000_000 / nanoseconds) as u64)
}
