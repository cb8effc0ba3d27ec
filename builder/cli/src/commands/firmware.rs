//! `portadc firmware`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use formats::fip::Loader;
use formats::units::Lba;
use model::sources::Sources;
use serde_json::json;
use stages::firmware::{
    FirmwareReport, Ids, Known, Medium, PackFiles, PackagingReport, PartReport, firmware_report, pack,
};

use crate::arguments::{Common, FirmwareCommand, PackArguments};
use crate::output::{VERIFICATION_FAILED, print, print_json, table};
use crate::workplace;

/// Packs or shows boot loaders.
pub fn run(common: &Common, command: &FirmwareCommand) -> Result<ExitCode> {
    match command {
        FirmwareCommand::Pack(arguments) => run_pack(common, arguments),
        FirmwareCommand::Inspect { image } => inspect(common, &workplace::image_file(common, image)?),
    }
}

fn run_pack(common: &Common, arguments: &PackArguments) -> Result<ExitCode> {
    let entries = [
        (Loader::Bl30, Some(&arguments.bl30)),
        (Loader::Bl301, arguments.bl301.as_ref()),
        (Loader::Bl31, Some(&arguments.bl31)),
        (Loader::Bl33, Some(&arguments.bl33)),
    ];
    let files = PackFiles {
        bl1: arguments.bl1.clone(),
        bl2: arguments.bl2.clone(),
        entries: entries
            .into_iter()
            .filter_map(|(loader, path)| Some((loader, path?.clone())))
            .collect(),
    };
    let medium = match arguments.usb {
        true => Medium::Usb,
        false => Medium::Card(Lba(arguments.partition_1.into())),
    };
    let ids = Ids {
        nonce: arguments.nonce,
        entries: arguments.ids.clone(),
    };
    let packed = pack(&files, medium, &ids, &arguments.output)?;
    if common.json {
        let parts: Vec<_> = packed
            .parts
            .iter()
            .map(|part| {
                json!({ "name": part.name, "offset": part.offset, "size": part.size, "sha256": part.sha256 })
            })
            .collect();
        print_json(&json!({ "parts": parts, "size": packed.size.0, "sha256": packed.sha256 }))?;
    } else if !common.quiet {
        let mut rows = vec![
            ["part", "offset", "size", "made of sha256"]
                .map(String::from)
                .to_vec(),
        ];
        rows.extend(packed.parts.iter().map(|part| {
            vec![
                part.name.clone(),
                format!("{:#x}", part.offset),
                format!("{:#x}", part.size),
                part.sha256.clone(),
            ]
        }));
        print(&format!(
            "{}{}: {} bytes, sha256 {}\n",
            table(&rows, &[1, 2]),
            arguments.output.display(),
            packed.size.0,
            packed.sha256
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(common: &Common, path: &Path) -> Result<ExitCode> {
    let Some(report) = firmware_report(path, &known(common))? else {
        bail!("{} has no boot loaders of an Amlogic S905", path.display());
    };
    if common.json {
        print_json(&serde_json::to_value(&report)?)?;
    } else {
        print(&text(&report))?;
    }
    Ok(match report.is_valid() {
        true => ExitCode::SUCCESS,
        false => VERIFICATION_FAILED.into(),
    })
}

/// Blobs that are known by name: to this program, and to the project if there is one.
fn known(common: &Common) -> Vec<Known> {
    let mut known = Known::built_in();
    // An image is shown whatever state a project is in.
    let sources = workplace::project_folder(common)
        .ok()
        .map(|folder| Sources::load(&folder));
    if let Some(Ok(sources)) = sources {
        known.extend(Known::of(&sources));
    }
    known
}

fn text(report: &FirmwareReport) -> String {
    let what = match report.form {
        PackagingReport::Card => {
            "a card's boot area: a vendor's bl1 around the partition table, the FIP from sector 97 on"
        }
        PackagingReport::SignedCard => {
            "a card's boot area as the vendor's signer writes it (.sd.bin): bl2 from sector 1 on, the FIP from sector 97 on"
        }
        PackagingReport::CardAndEmmc => {
            "a boot area for a card or an eMMC: bl2 around the partition table, the FIP from sector 96 on"
        }
        PackagingReport::Usb => {
            "a boot area for USB or an eMMC, not for a card, as the vendor's signer writes it (u-boot.bin): bl2 from sector \
             0 on, the FIP from sector 96 on"
        }
        PackagingReport::Fip => "a firmware image package (FIP) alone",
    };
    let heading = ["part", "offset", "size", "signature", "made of", "sha256"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(report.parts.iter().map(row));
    let mut text = format!("{what}\n{}", table(&rows, &[1, 2, 4]));
    for part in &report.parts {
        if let Some(known) = &part.known {
            text += &format!("{} is {known}\n", part.name);
        }
        if let Some(version) = &part.version {
            text += &format!("{} is {version}\n", part.name);
        }
        for fault in &part.faults {
            text += &format!("{}: {fault}\n", part.name);
        }
    }
    text
}

fn row(part: &PartReport) -> Vec<String> {
    let has_signature = part.name != "fip table";
    let signature = match (part.valid, has_signature) {
        (true, true) => "valid",
        (false, true) => "NOT VALID",
        (true, false) => "-",
        (false, false) => "DAMAGED",
    };
    vec![
        part.name.clone(),
        format!("{:#x}", part.offset),
        format!("{:#x}", part.size),
        signature.to_owned(),
        part.content.to_string(),
        part.sha256.clone(),
    ]
}
