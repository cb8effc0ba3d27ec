//! The rules of what is put into the boot area.

use formats::fip::{BL2_SIZE, FIP_SECTOR, Loader};
use formats::units::SECTOR;

use super::raw::{file_name, raw_file, starts_with_table};
use super::toml::{BoardToml, BootFileToml, BootRegionToml, BootSignerToml, LoaderToml};
use super::{BootContent, BootSigner};
use crate::check::Check;
use crate::names::quoted;

/// Sectors of a first stage, from sector 1 on.
const FIRST_STAGE: u64 = BL2_SIZE as u64 / SECTOR;

/// What is put into a region; `None` where nothing is, or where what is written cannot be meant.
pub fn content(check: &mut Check<'_>, region: &BootRegionToml) -> Option<BootContent> {
    if let Some(raw) = &region.raw {
        return Some(BootContent::Raw(raw_file(check, region, raw)));
    }
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
    let files = region.files.iter().map(|file| file_name(check, &file.file));
    let files: Vec<_> = files.collect();
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
            .hint("a region holds a bl1, or the entries of a FIP");
        return None;
    }
    let (sector, sectors) = match kind {
        Kind::Signed => (1, FIRST_STAGE),
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
                        Kind::Signed => format!("sectors {sector} to {}", sector + sectors - 1),
                    }
                ),
            )
            .hint("that is where boot ROM and BL1 of this kind of SoC read it");
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
    Some(BootContent::Fip {
        signer,
        entries: entries(check, region, files),
    })
}

/// What a region holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed,
    Fip,
}

fn kind(loader: LoaderToml) -> Kind {
    match loader {
        LoaderToml::Bl1 => Kind::Signed,
        _ => Kind::Fip,
    }
}

/// A first stage that its vendor signed.
fn signed(check: &mut Check<'_>, region: &BootRegionToml, files: Vec<String>) -> Option<BootContent> {
    if let Some(signer) = &region.signer {
        check
            .found(&signer.span, "a bl1 is not signed again")
            .hint("its vendor did; remove `signer`");
    }
    if let Some(second) = region.files.get(1) {
        check
            .found(&second.loader.span, "a bl1 is one file")
            .hint("its signature covers all of it, so nothing can be joined to it");
    }
    files.into_iter().next().map(BootContent::Bl1)
}

/// The entries of a FIP.
fn entries(check: &mut Check<'_>, region: &BootRegionToml, files: Vec<String>) -> Vec<(Loader, String)> {
    let mut entries: Vec<(Loader, String)> = Vec::new();
    for (written, file) in region.files.iter().zip(files) {
        let Some(loader) = written.loader.value.in_fip() else {
            continue;
        };
        if entries.iter().any(|(other, _)| *other == loader) {
            check
                .found(&written.loader.span, format!("{loader} has two entries"))
                .hint("a FIP has one for each boot loader");
        }
        entries.push((loader, file));
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

/// A first stage needs a FIP, and the other way round; the bytes before the partition table are one file's.
pub fn check_chain(check: &mut Check<'_>, written: &BoardToml) {
    let mut with_code = written.boot_area.iter().filter(|region| {
        let is_bl1 = |file: &BootFileToml| file.loader.value == LoaderToml::Bl1;
        region.raw.as_ref().is_some_and(starts_with_table) || region.files.first().is_some_and(is_bl1)
    });
    if let (Some(one), Some(other)) = (with_code.next(), with_code.next()) {
        check
            .found(
                &other.name.span,
                format!("region {} starts in sector 0", quoted(&other.name)),
            )
            .related(&one.name.span, format!("so does {}", quoted(&one.name)))
            .hint("the 440 bytes before the partition table have one file");
    }
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
            _ => ("a FIP", "a region with a bl1"),
        };
        check
            .found(
                &place.name.span,
                format!("the boot area has {there} only, which starts nothing"),
            )
            .hint(format!("add {lacking}"));
    }
}

impl LoaderToml {
    /// Its name: `bl30`.
    fn name(self) -> &'static str {
        match self {
            Self::Bl1 => "bl1",
            Self::Bl30 => Loader::Bl30.name(),
            Self::Bl301 => Loader::Bl301.name(),
            Self::Bl31 => Loader::Bl31.name(),
            Self::Bl32 => Loader::Bl32.name(),
            Self::Bl33 => Loader::Bl33.name(),
        }
    }

    /// The loader as a FIP has it; `None` for the first stage.
    fn in_fip(self) -> Option<Loader> {
        match self {
            Self::Bl1 => None,
            Self::Bl30 => Some(Loader::Bl30),
            Self::Bl301 => Some(Loader::Bl301),
            Self::Bl31 => Some(Loader::Bl31),
            Self::Bl32 => Some(Loader::Bl32),
            Self::Bl33 => Some(Loader::Bl33),
        }
    }
}
