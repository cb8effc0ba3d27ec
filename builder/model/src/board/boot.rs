//! The rules of what is put into the boot area.

use formats::fip::{BL2_SIZE, FIP_SECTOR, Loader};
use formats::units::{Bytes, SECTOR};

use super::toml::{BoardToml, BootFileToml, BootRegionToml, BootSignerToml, LoaderToml};
use super::{BootContent, BootFile, BootSigner};
use crate::check::Check;
use crate::names::quoted;

/// Sectors of a first stage, from sector 1 on.
const FIRST_STAGE: u64 = BL2_SIZE as u64 / SECTOR;

/// Largest size that a file may be filled up to; what is larger does not fit into a boot area.
const MOST: u64 = 64 << 20;

/// What is put into a region; `None` where nothing is, or where what is written cannot be meant.
pub fn content(check: &mut Check<'_>, region: &BootRegionToml) -> Option<BootContent> {
    let Some(first) = region.files.first() else {
        if let Some(signer) = &region.signer {
            check
                .found(
                    &signer.span,
                    format!("region {} has nothing to sign", quoted(&region.name)),
                )
                .hint("name the files that lie there: files = [{ loader = \"bl30\", file = \"bl30.bin\" }]");
        }
        return None;
    };
    let files: Vec<_> = region.files.iter().map(|file| boot_file(check, file)).collect();
    let kind = kind(first.loader.value);
    if let Some(other) = region
        .files
        .iter()
        .find(|file| self::kind(file.loader.value) != kind)
    {
        check
            .found(
                &other.loader.span,
                format!(
                    "{} and {} do not share a region",
                    other.loader.value.name(),
                    first.loader.value.name()
                ),
            )
            .related(&first.loader.span, "the region starts with this")
            .hint("a region holds one bl1, or a bl2, or the entries of a FIP");
        return None;
    }
    let (sector, sectors) = match kind {
        Kind::Signed | Kind::First => (1, FIRST_STAGE),
        Kind::Fip => (FIP_SECTOR.0, 1),
    };
    let count = region
        .last
        .value
        .saturating_sub(region.first.value)
        .saturating_add(1);
    if region.first.value != sector || count < sectors {
        check
            .found(
                &region.first.span,
                format!(
                    "region {} has sectors {} to {}, {} lies in {}",
                    quoted(&region.name),
                    region.first.value,
                    region.last.value,
                    first.loader.value.name(),
                    match kind {
                        Kind::Fip => format!("sector {sector} and those behind it"),
                        _ => format!("sectors {sector} to {}", sector + sectors - 1),
                    }
                ),
            )
            .hint("that is where boot ROM and BL2 of this kind of SoC read it");
    }
    if kind == Kind::Signed {
        return signed(check, region, files);
    }
    let Some(signer) = &region.signer else {
        check
            .found(
                &region.name.span,
                format!("region {} says not how it is signed", quoted(&region.name)),
            )
            .hint("nothing unsigned starts: signer = \"gxbb\"");
        return None;
    };
    let signer = match signer.value {
        BootSignerToml::Gxbb => BootSigner::Gxbb,
    };
    Some(match kind {
        Kind::Fip => BootContent::Fip {
            signer,
            entries: entries(check, region, files),
        },
        _ => BootContent::Bl2 { signer, files },
    })
}

/// What a region holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed,
    First,
    Fip,
}

fn kind(loader: LoaderToml) -> Kind {
    match loader {
        LoaderToml::Bl1 => Kind::Signed,
        LoaderToml::Bl2 => Kind::First,
        _ => Kind::Fip,
    }
}

/// A first stage that its vendor signed.
fn signed(check: &mut Check<'_>, region: &BootRegionToml, files: Vec<BootFile>) -> Option<BootContent> {
    if let Some(signer) = &region.signer {
        check
            .found(&signer.span, "a bl1 is not signed again")
            .hint("its vendor did; remove `signer`, or sign a bl2 instead");
    }
    if let Some(second) = region.files.get(1) {
        check
            .found(&second.loader.span, "a bl1 is one file")
            .hint("its signature covers all of it, so nothing can be joined to it");
    }
    if let Some(size) = region.files.first().and_then(|file| file.size.as_ref()) {
        check
            .found(&size.span, "a bl1 is not filled up")
            .hint("its signature covers all of it; remove `size`");
    }
    files.into_iter().next().map(BootContent::Bl1)
}

/// The entries of a FIP: files of one loader that follow each other are one.
fn entries(
    check: &mut Check<'_>,
    region: &BootRegionToml,
    files: Vec<BootFile>,
) -> Vec<(Loader, Vec<BootFile>)> {
    let mut entries: Vec<(Loader, Vec<BootFile>)> = Vec::new();
    for (written, file) in region.files.iter().zip(files) {
        let Some(loader) = written.loader.value.in_fip() else {
            continue;
        };
        match entries.last_mut() {
            Some((last, files)) if *last == loader => files.push(file),
            _ => {
                if entries.iter().any(|(other, _)| *other == loader) {
                    check
                        .found(&written.loader.span, format!("{loader} has two entries"))
                        .hint("files of one loader are joined where they follow each other");
                }
                entries.push((loader, vec![file]));
            }
        }
    }
    for loader in [Loader::Bl30, Loader::Bl31, Loader::Bl33] {
        if !entries.iter().any(|(other, _)| *other == loader) {
            check
                .found(
                    &region.name.span,
                    format!("region {} has no {loader}", quoted(&region.name)),
                )
                .hint("a FIP of this kind of SoC has bl30, bl31 and bl33 at least");
        }
    }
    entries
}

/// A first stage needs a FIP, and the other way round.
pub fn check_chain(check: &mut Check<'_>, written: &BoardToml) {
    let contents = || {
        let regions = written.boot_area.iter();
        regions.filter_map(|region| Some(kind(region.files.first()?.loader.value)))
    };
    let packages = contents().filter(|kind| *kind == Kind::Fip).count();
    let first_stages = contents().count() - packages;
    let Some(place) = written.boot_area.iter().find(|region| !region.files.is_empty()) else {
        return;
    };
    if (packages, first_stages) == (1, 0) || (packages, first_stages) == (0, 1) {
        let (there, lacking) = match packages {
            0 => ("a first stage", "a region with the entries of a FIP"),
            _ => ("a FIP", "a region with a bl1 or bl2"),
        };
        check
            .found(
                &place.name.span,
                format!("the boot area has {there} only, which starts nothing"),
            )
            .hint(format!("add {lacking}"));
    }
}

fn boot_file(check: &mut Check<'_>, written: &BootFileToml) -> BootFile {
    let name = written.file.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
        check
            .found(
                &written.file.span,
                format!("{} is no name of a file", quoted(name)),
            )
            .hint("letters, digits and - _ + . only, a letter or digit first");
    }
    if let Some(size) = &written.size
        && !(1..=MOST).contains(&size.value)
    {
        check
            .found(
                &size.span,
                format!("a size of {} bytes cannot be meant", size.value),
            )
            .hint("the number of bytes that zeros fill the file up to, 64 MiB at most");
    }
    BootFile {
        name: name.to_owned(),
        size: written.size.as_ref().map(|size| Bytes(size.value)),
    }
}

impl LoaderToml {
    /// Its name: `bl30`.
    fn name(self) -> &'static str {
        match self {
            Self::Bl1 => "bl1",
            Self::Bl2 => "bl2",
            Self::Bl30 => Loader::Bl30.name(),
            Self::Bl301 => Loader::Bl301.name(),
            Self::Bl31 => Loader::Bl31.name(),
            Self::Bl32 => Loader::Bl32.name(),
            Self::Bl33 => Loader::Bl33.name(),
        }
    }

    /// The loader as a FIP has it; `None` for a first stage.
    fn in_fip(self) -> Option<Loader> {
        match self {
            Self::Bl1 | Self::Bl2 => None,
            Self::Bl30 => Some(Loader::Bl30),
            Self::Bl301 => Some(Loader::Bl301),
            Self::Bl31 => Some(Loader::Bl31),
            Self::Bl32 => Some(Loader::Bl32),
            Self::Bl33 => Some(Loader::Bl33),
        }
    }
}
