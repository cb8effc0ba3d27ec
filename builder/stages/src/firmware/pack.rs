//! A boot area from files that the user names.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use files::emit::{Readers, check_output, write_image};
use formats::digest::hex;
use formats::fip::{self, FirstStage, Id, Loader, NONCE_SIZE, Nonce};
use formats::units::{Bytes, Lba};
use sha2::{Digest as _, Sha256};

use super::blobs::read;
use crate::card::digest::of_range;

/// The files of a boot area.
#[derive(Debug)]
pub struct PackFiles {
    /// The first stage that its vendor signed, for a card.
    pub bl1: Option<PathBuf>,
    /// The first stage that is to be signed, for USB.
    pub bl2: Option<PathBuf>,
    /// The entries of the FIP, in order.
    pub entries: Vec<(Loader, PathBuf)>,
}

/// What is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// The boot area of a card whose first partition starts at this sector.
    Card(Lba),
    /// What the boot ROM takes over USB.
    Usb,
}

/// Numbers that the vendor's tool draws at random; what is not given is derived from the files.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    /// In front of a signed BL2.
    pub nonce: Option<Nonce>,
    /// One for each entry.
    pub entries: Option<Vec<Id>>,
}

/// A boot area that was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its parts, in order.
    pub parts: Vec<PackedPart>,
    /// Its bytes.
    pub size: Bytes,
    /// SHA-256 in hexadecimal of all of it.
    pub sha256: String,
}

/// A part that was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedPart {
    /// `bl1`, `bl30` ...
    pub name: String,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes there.
    pub size: u64,
    /// SHA-256 in hexadecimal of what it was made of.
    pub sha256: String,
}

/// Writes the boot area of `files` to `output`.
pub fn pack(files: &PackFiles, medium: Medium, ids: &Ids, output: &Path) -> Result<Packed> {
    let entries = files.entries.iter().map(|(_, path)| path);
    let inputs: Vec<_> = entries
        .chain(&files.bl1)
        .chain(&files.bl2)
        .map(PathBuf::as_path)
        .collect();
    check_output(output, &inputs)?;
    let mut payloads = Vec::with_capacity(files.entries.len());
    for (loader, path) in &files.entries {
        payloads.push((*loader, read(path)?));
    }
    let given = match &ids.entries {
        Some(given) if given.len() != payloads.len() => bail!(
            "{} ids were given for {} entries: {}",
            given.len(),
            payloads.len(),
            payloads
                .iter()
                .map(|(loader, _)| loader.name())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        given => given,
    };
    let signed: Vec<_> = payloads
        .iter()
        .enumerate()
        .map(|(place, (loader, payload))| {
            let id = match given {
                Some(given) => given[place],
                None => fip::derived_id(payload),
            };
            (*loader, &payload[..], id)
        })
        .collect();
    let package = fip::package(&signed)?;
    // Whichever form is made, a file that was named has to be right.
    let bl1 = files
        .bl1
        .as_deref()
        .map(|path| first_stage(path, FirstStage::vendor_signed));
    let bl1 = bl1.transpose()?;
    let bl2 = files.bl2.as_deref().map(|path| {
        first_stage(path, |bytes| {
            let nonce = ids.nonce.unwrap_or_else(|| fip::derived_nonce(bytes));
            FirstStage::sign(bytes, nonce)
        })
    });
    let bl2 = bl2.transpose()?;
    let (name, digest, mut image) = match medium {
        Medium::Card(partition) => {
            let (digest, first) = bl1.context("a card starts with a BL1: name it with --bl1")?;
            let image = fip::boot_area(&first, &package, partition, "partition 1")?;
            ("bl1", digest, image)
        }
        Medium::Usb => {
            let (digest, first) = bl2.context("USB starts with a BL2: name it with --bl2")?;
            ("bl2", digest, fip::usb_image(&first, &package))
        }
    };
    image.sort()?;
    let start = image.size.0 - package.bytes.len() as u64;
    let mut parts = vec![PackedPart {
        name: name.to_owned(),
        offset: 0,
        size: start,
        sha256: digest,
    }];
    parts.extend(
        package
            .entries
            .iter()
            .zip(&payloads)
            .map(|(entry, (loader, payload))| PackedPart {
                name: loader.name().to_owned(),
                offset: start + entry.offset,
                size: entry.size,
                sha256: hex(&Sha256::digest(payload)),
            }),
    );
    write_image(&image, output, Readers::Anybody)?;
    Ok(Packed {
        parts,
        size: image.size,
        sha256: hex(&of_range(&image, 0, image.size.0)?),
    })
}

/// A first stage and the SHA-256 of its file.
fn first_stage(
    path: &Path,
    make: impl FnOnce(&[u8]) -> Result<FirstStage, fip::FipError>,
) -> Result<(String, FirstStage)> {
    let bytes = read(path)?;
    let stage = make(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
    Ok((hex(&Sha256::digest(&bytes)), stage))
}

/// A nonce: 32 hexadecimal digits, its bytes as they stand in the file.
pub fn parse_nonce(text: &str) -> Result<Nonce, String> {
    bytes::<NONCE_SIZE>(text).ok_or_else(|| "a nonce is 16 bytes: 32 hexadecimal digits".to_owned())
}

/// The id of an entry: 8 hexadecimal digits, its bytes as they stand in the file.
pub fn parse_id(text: &str) -> Result<Id, String> {
    bytes::<4>(text).ok_or_else(|| "an id is 4 bytes: 8 hexadecimal digits".to_owned())
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    pairs.try_into().ok().filter(|_| digits.len() == 2 * N)
}
