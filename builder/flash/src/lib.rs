//! Writes an image to a card, safely, and reads it back.
//!
//! | module | owns |
//! |---|---|
//! | [`device`] | what may be written to: nothing that is in use, no fixed disk without a word |
//! | [`unpacked`] | the bytes of an image, however it is compressed |
//! | [`image`] | the image, its manifest, and which of its bytes matter |
//! | [`direct`] | bytes to and from the card, past the page cache |
//! | `chunks` | the image as it goes to the card, read ahead |
//! | `table` | a GPT on a card larger than its image; what the kernel shows of it |
//! | [`write`] | the order of writing: a card that is not finished does not start |
//! | [`probe`] | whether the card holds as much as it claims |
//! | [`verify`] | reading back |

mod chunks;
pub mod device;
pub mod direct;
pub mod image;
pub mod probe;
mod table;
pub mod unpacked;
pub mod verify;
pub mod write;

use std::path::Path;

use formats::manifest::Firmware;
use formats::units::Bytes;
use thiserror::Error;

use device::{DeviceError, FixedDisks, System, Target};
use image::{Image, ImageError};
use verify::VerifyError;
use write::WriteError;

/// What is written where.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The node that the card is for.
    pub node: &'a str,
    /// Its image; the manifest lies beside it.
    pub image: &'a Path,
    /// The card: a block device, or a file that stands for one.
    pub target: &'a Path,
    /// Whether an image may lack the firmware that its board starts from.
    pub missing_firmware: MissingFirmware,
    /// Whether the card may be a disk that is not known to be one.
    pub fixed_disks: FixedDisks,
}

/// What to do with an image that lacks the firmware of its board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFirmware {
    /// The board would not start: refuse.
    Refuse,
    /// The user knows.
    Accept,
}

/// What is being done, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The image, which others compressed, goes to a file of its own.
    Unpack,
    /// The image goes to the card.
    Write,
    /// The card is read and compared.
    Verify,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The node whose card it is now.
    pub node: String,
    /// Size of the image.
    pub image: Bytes,
    /// Size of the card.
    pub card: Bytes,
    /// Bytes that were written and read back.
    pub written: Bytes,
    /// Why the kernel still shows the partitions that were there before, where it does. The card is right all the same.
    pub not_shown: Option<String>,
}

/// Why a card was not made.
#[derive(Debug, Error)]
pub enum FlashError {
    /// The card must not be written to. Nothing was.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The image cannot be used. The card may have lost what was on it; it does not start.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Writing failed. The card does not start.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The card holds something else than was written to it. It does not start.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Writes an image to a card and reads it back. `progress` is told how many bytes of how many a step has done; the first
/// MiB, which comes last, is not counted.
pub fn flash(
    request: &Request<'_>,
    progress: &mut dyn FnMut(Step, Bytes, Bytes),
) -> Result<Report, FlashError> {
    let image = Image::open(request.image, request.node, &mut |done, total| {
        progress(Step::Unpack, done, total)
    })?;
    if image.manifest.firmware == Firmware::Absent && request.missing_firmware == MissingFirmware::Refuse {
        return Err(ImageError::NoFirmware {
            path: request.image.to_owned(),
            board: image.manifest.board.clone(),
            advice: image.manifest.firmware_advice.clone().unwrap_or_default(),
        }
        .into());
    }
    let target = Target::open(request.target, request.fixed_disks, &System::host())?;
    target.check_room(&image)?;
    table::Place::of(&image, &target).check(&image, &target)?;
    let written = write_and_verify(&image, &target, progress).inspect_err(|_| {
        // What the user has to hear of is the first error, not that the card takes no zeros either.
        let _ = write::erase_ends(&target);
    })?;
    Ok(Report {
        node: image.manifest.node.clone(),
        image: image.size,
        card: target.size,
        written,
        not_shown: table::reread(&target).err().map(|error| error.to_string()),
    })
}

/// Puts the image on the card, its head not before everything else was read back; returns the bytes that were.
fn write_and_verify(
    image: &Image,
    target: &Target,
    progress: &mut dyn FnMut(Step, Bytes, Bytes),
) -> Result<Bytes, FlashError> {
    let body = write::write_body(image, target, &mut |done, total| {
        progress(Step::Write, done, total)
    })?;
    if target.disk.is_some() {
        probe::probe(image, target)?;
    }
    verify::verify(target, &body.chunks, &mut |done, total| {
        progress(Step::Verify, done, total)
    })?;
    let ends = write::write_ends(&body, target)?;
    verify::verify(target, &ends, &mut |_, _| {})?;
    let chunks = body.chunks.iter().chain(&ends);
    Ok(chunks.map(|chunk| Bytes(chunk.length)).sum())
}
