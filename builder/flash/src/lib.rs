//! Writes an image to a card, safely, and reads it back.
//!
//! | module | owns |
//! |---|---|
//! | [`device`] | what may be written to: nothing that is in use, no fixed disk without a word |
//! | [`unpacked`] | the bytes of an image, however it is compressed |
//! | [`image`] | the image, its manifest, and which of its bytes matter |
//! | [`direct`] | bytes to and from the card, past the page cache |
//! | `chunks` | the image as it goes to the card, read ahead |
//! | `table` | a GPT on a card larger than its image |
//! | `disk` | what the kernel is asked of a disk as a whole |
//! | [`write`] | the order of writing: a card that is not finished does not start |
//! | [`probe`], [`fill`] | whether the card holds as much as it claims: at some places, or all of it |
//! | [`verify`] | reading back |

mod chunks;
pub mod device;
pub mod direct;
mod disk;
pub mod fill;
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
use fill::Speed;
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
    /// What of the image is written.
    pub writes: Writes,
    /// How the rest of the card is tried.
    pub probe: Probe,
}

impl<'a> Request<'a> {
    /// With what is right for most cards, and refuses all that needs a word.
    pub fn new(node: &'a str, image: &'a Path, target: &'a Path) -> Self {
        Self {
            node,
            image,
            target,
            missing_firmware: MissingFirmware::Refuse,
            fixed_disks: FixedDisks::Refuse,
            writes: Writes::All,
            probe: Probe::Places,
        }
    }
}

/// What of an image is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// All of it.
    All,
    /// What the card does not hold yet. All is read back in any case.
    Changed,
}

/// How the space behind the image is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// At places that tell a false card.
    Places,
    /// All of it, which takes as long as filling the card.
    Full,
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
    /// The rest of the card is filled.
    Fill,
    /// What it was filled with is read and compared.
    ReadBack,
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
    /// Bytes of the image that are on the card and were read back.
    pub written: Bytes,
    /// Those of them that were there before, and so were not written.
    pub unchanged: Bytes,
    /// How fast the card is, where all of it was tried.
    pub speed: Option<Speed>,
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
    let written = write_and_verify(request, &image, &target, progress).inspect_err(|_| {
        // What the user has to hear of is the first error, not that the card takes no zeros either.
        let _ = write::erase_ends(&target);
    })?;
    Ok(Report {
        node: image.manifest.node.clone(),
        image: image.size,
        card: target.size,
        written: written.bytes,
        unchanged: written.unchanged,
        speed: written.speed,
        not_shown: disk::reread(&target).err().map(|error| error.to_string()),
    })
}

/// What was done to the card.
struct Written {
    bytes: Bytes,
    unchanged: Bytes,
    speed: Option<Speed>,
}

/// Puts the image on the card, its head not before everything else was read back.
fn write_and_verify(
    request: &Request<'_>,
    image: &Image,
    target: &Target,
    progress: &mut dyn FnMut(Step, Bytes, Bytes),
) -> Result<Written, FlashError> {
    let behind = image.size.0..target.size.0;
    disk::discard(target, behind.clone());
    let body = write::write_body(image, target, request.writes, &mut |done, total| {
        progress(Step::Write, done, total)
    })?;
    let speed = match (request.probe, &target.disk) {
        (Probe::Full, _) => {
            let speed = fill::probe(image, target, progress)?;
            disk::discard(target, behind);
            Some(speed)
        }
        (Probe::Places, Some(_)) => {
            probe::probe(image, target)?;
            None
        }
        // A file holds what its file system gives it.
        (Probe::Places, None) => None,
    };
    verify::verify(target, &body.chunks, &mut |done, total| {
        progress(Step::Verify, done, total)
    })?;
    let ends = write::write_ends(&body, target)?;
    verify::verify(target, &ends, &mut |_, _| {})?;
    let chunks = body.chunks.iter().chain(&ends);
    Ok(Written {
        bytes: chunks.map(|chunk| Bytes(chunk.length)).sum(),
        unchanged: body.unchanged,
        speed,
    })
}
