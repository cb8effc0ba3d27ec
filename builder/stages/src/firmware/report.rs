//! What boot loaders an image has, ours or another's, and whether each of them is as it was signed.

use std::path::Path;

use anyhow::{Context, Result};
use engine::VerificationFailed;
use formats::digest::{hex, parse_hex};
use formats::fip::{self, FoundPart, Loader, PartName};
use formats::manifest::{Firmware, Manifest};
use formats::source::ReadAt;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{INPUT, Known, known};
use crate::delta_base::ImageFormat;
use crate::inspect::open_source;
use crate::pack::DELTA;

/// What boot loaders there are.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FirmwareReport {
    /// How they lie there.
    pub form: PackagingReport,
    /// The parts, in order.
    pub parts: Vec<PartReport>,
}

/// How boot loaders lie in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackagingReport {
    /// [`fip::Packaging::Card`].
    Card,
    /// [`fip::Packaging::SignedCard`].
    SignedCard,
    /// [`fip::Packaging::CardAndEmmc`].
    CardAndEmmc,
    /// [`fip::Packaging::Usb`].
    Usb,
    /// [`fip::Packaging::Package`].
    Fip,
}

/// A boot loader, or the table of contents.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartReport {
    /// `bl1`, `bl2`, `fip table`, `bl30` ...
    pub name: String,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes; of an entry, the signature too.
    pub size: u64,
    /// Bytes of what it was made of, without the zeros that fill it up.
    pub content: u64,
    /// SHA-256 of what it was made of.
    pub sha256: String,
    /// Whether its signature is right and everything else about it.
    pub valid: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The blob that it was made of, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// What U-Boot says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl FirmwareReport {
    /// Whether nothing is wrong with any part.
    pub fn is_valid(&self) -> bool {
        self.parts.iter().all(|part| part.valid)
    }
}

/// The boot loaders of the image or file `path`; `None` where there are none. Where the manifest of an image lies beside
/// it, what the image was made of is compared with it too.
pub fn firmware_report(path: &Path, known: &[Known]) -> Result<Option<FirmwareReport>> {
    let context = || format!("cannot read {}", path.display());
    let source = open_source(path).with_context(context)?;
    let expected = expected(path)?;
    let Some(mut report) = of_source(&source, known, &expected.parts).with_context(context)? else {
        if expected.firmware == Some(Firmware::Present) && !expected.is_raw {
            let text = format!(
                "{}: its manifest says that it has boot loaders, but there are none",
                path.display()
            );
            return Err(VerificationFailed(text).into());
        }
        return Ok(None);
    };
    for (name, _) in &expected.parts {
        if !report.parts.iter().any(|part| part.name == *name) && !is_unsigned(name) {
            report.parts.push(PartReport {
                name: name.clone(),
                offset: 0,
                size: 0,
                content: 0,
                sha256: hex(&Sha256::digest([])),
                valid: false,
                faults: vec!["the manifest names it, but it is not there".to_owned()],
                known: None,
                version: None,
            });
        }
    }
    Ok(Some(report))
}

/// The boot loaders of `source`. `expected` is the SHA-256 of what each part has to be made of, as far as that is known.
pub fn of_source(
    source: &dyn ReadAt,
    known: &[Known],
    expected: &[(String, [u8; 32])],
) -> Result<Option<FirmwareReport>> {
    let Some(found) = fip::read(source)? else {
        return Ok(None);
    };
    let parts = found.parts.iter();
    Ok(Some(FirmwareReport {
        form: match found.packaging {
            fip::Packaging::Card => PackagingReport::Card,
            fip::Packaging::SignedCard => PackagingReport::SignedCard,
            fip::Packaging::CardAndEmmc => PackagingReport::CardAndEmmc,
            fip::Packaging::Usb => PackagingReport::Usb,
            fip::Packaging::Package => PackagingReport::Fip,
        },
        parts: parts.map(|part| part_report(part, known, expected)).collect(),
    }))
}

fn part_report(part: &FoundPart, known: &[Known], expected: &[(String, [u8; 32])]) -> PartReport {
    let name = part.name.to_string();
    let mut faults: Vec<_> = part.faults.iter().map(ToString::to_string).collect();
    let mut content = *part.lengths().start() as u64;
    let known = known.iter().find(|known| known.is(part));
    if let Some(known) = known {
        content = known.size;
    }
    let wanted = expected.iter().find(|(other, _)| *other == name);
    if let Some((_, digest)) = wanted.filter(|_| !is_unsigned(&name)) {
        match known::size_of(part, digest) {
            Some(size) => content = size,
            None => faults.push(format!(
                "it is not what the manifest names, whose sha256 is {}",
                hex(digest)
            )),
        }
    }
    // A length that the part has been found to have.
    let made_of = &part.content[..content as usize];
    PartReport {
        name,
        offset: part.range.start,
        size: part.range.end - part.range.start,
        content,
        sha256: hex(&Sha256::digest(made_of)),
        valid: faults.is_empty(),
        faults,
        known: known.map(|known| known.name.clone()),
        version: match part.name {
            PartName::Loader(Loader::Bl33) => fip::u_boot_version(&part.content),
            _ => None,
        },
    }
}

/// Whether a part of this name cannot be compared with what it was made of: signing cuts the end of a BL2 off.
fn is_unsigned(name: &str) -> bool {
    name == PartName::Bl2.to_string()
}

/// What an image was made of, as its manifest says.
#[derive(Default)]
struct Expected {
    firmware: Option<Firmware>,
    /// SHA-256 by the name of the part.
    parts: Vec<(String, [u8; 32])>,
    /// Whether all of it is files as their vendors' tools made them, whose form is not known here.
    is_raw: bool,
}

/// What the manifest beside the image `path` says; nothing where there is none.
fn expected(path: &Path) -> Result<Expected> {
    let Some(node) = node_of(path) else {
        return Ok(Expected::default());
    };
    let manifest = path.with_file_name(format!("{node}.manifest.json"));
    let text = match files::read(&manifest) {
        Ok(text) => text,
        Err(_) => return Ok(Expected::default()),
    };
    let named: Manifest = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no manifest that this version reads", manifest.display()))?;
    let parts = named.inputs.iter().filter_map(|input| {
        let name = input.name.strip_prefix(INPUT)?;
        Some((name.to_owned(), parse_hex(&input.sha256)?))
    });
    let (parts, raw): (Vec<_>, Vec<_>) = parts.partition(|(name, _)| is_loader(name));
    Ok(Expected {
        firmware: Some(named.firmware),
        is_raw: parts.is_empty() && !raw.is_empty(),
        parts,
    })
}

/// Whether this is the name of a part that is found by itself.
fn is_loader(name: &str) -> bool {
    let stages = [PartName::Bl1, PartName::Bl2];
    Loader::from_name(name).is_some() || stages.iter().any(|stage| stage.to_string() == name)
}

/// The node that an image is called after; `None` where it is called like no image.
fn node_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    [
        ImageFormat::Plain.suffix(),
        ImageFormat::Compressed.suffix(),
        DELTA,
    ]
    .into_iter()
    .find_map(|suffix| name.strip_suffix(suffix))
}
