//! `portadc inspect`

use std::io::{BufWriter, ErrorKind, Write, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use formats::units::{Lba, Sectors};
use stages::inspect::{
    Content, Detail, Image, PartitionReport, PathReport, Report, SubvolumeReport, cat, report, tar, verify,
};

use super::identities;
use crate::arguments::{Common, InspectArguments};
use crate::output::{VERIFICATION_FAILED, print, print_json, table, warn};
use crate::workplace;

/// Shows an image, or what of it was asked for.
pub fn run(common: &Common, arguments: &InspectArguments) -> Result<ExitCode> {
    let file = workplace::image_file(common, &arguments.image)?;
    let image = Image::open_with(&file, identities(&arguments.decryption)?)?;
    if let Some(path) = &arguments.cat {
        stream(|output| cat(&image, path, output))?;
    } else if arguments.tar {
        let left = stream(|output| tar(&image, output))?;
        for socket in left.map(|left| left.sockets).unwrap_or_default() {
            warn(&format!("{socket} is a socket, which a tar cannot hold"));
        }
    } else if arguments.verify {
        return run_verify(common, &image);
    } else {
        let detail = match arguments.files {
            true => Detail::Files,
            false => Detail::Counts,
        };
        let report = report(&image, detail)?;
        if common.json {
            print_json(&serde_json::to_value(&report)?)?;
        } else {
            print(&text(&report))?;
        }
        if report.is_damaged() {
            return Ok(VERIFICATION_FAILED.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets `write` write to standard output. A reader that went away is not an error, but gets nothing more.
fn stream<T>(write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<Option<T>> {
    let mut output = BufWriter::with_capacity(1 << 20, stdout().lock());
    let result = write(&mut output).and_then(|value| {
        output.flush().context("cannot write to standard output")?;
        Ok(value)
    });
    match result {
        Err(error) => {
            let io = error.downcast_ref::<std::io::Error>();
            match io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) {
                true => Ok(None),
                false => Err(error),
            }
        }
        Ok(value) => Ok(Some(value)),
    }
}

fn run_verify(common: &Common, image: &Image) -> Result<ExitCode> {
    let verified = verify(image)?;
    if common.json {
        print_json(&serde_json::to_value(&verified)?)?;
    } else {
        let faults: String = verified.faults.iter().map(|fault| format!("{fault}\n")).collect();
        print(&format!(
            "{faults}{}: {} tree blocks, {} of data and {} boot files read, {}: {}\n",
            image.path.display(),
            verified.tree_blocks,
            verified.data,
            verified.boot_files,
            match verified.mapped {
                Some(mapped) => format!("{mapped} compared with its block map"),
                None => "no block map beside it".to_owned(),
            },
            match verified.faults.len() {
                0 => "nothing wrong".to_owned(),
                1 => "1 fault".to_owned(),
                count => format!("{count} faults"),
            }
        ))?;
    }
    Ok(match verified.faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => VERIFICATION_FAILED.into(),
    })
}

fn text(report: &Report) -> String {
    let mut text = match &report.id {
        Some(id) => format!("{}, {} {id}\n", report.size, report.table),
        None => format!("{}, no partition table\n", report.size),
    };
    text += &boot_area_text(report);
    for partition in &report.partitions {
        text += &partition_text(partition);
    }
    text
}

fn boot_area_text(report: &Report) -> String {
    let mut text = String::new();
    for area in &report.boot_area {
        text += &format!(
            "\nboot area, {}: {}, sha256 {}\n",
            area.place(),
            area.what,
            &area.sha256[..16]
        );
        for fault in &area.faults {
            text += &format!("  {fault}\n");
        }
    }
    if report.boot_area.is_empty() && report.id.is_some() {
        text += "\nboot area: empty\n";
    }
    text
}

fn partition_text(partition: &PartitionReport) -> String {
    let sectors = Sectors {
        first: Lba(partition.first_sector),
        count: partition.sectors,
    };
    let mut text = match partition.number {
        0 => String::from("\n"),
        number => format!(
            "\npartition {number}, {sectors}, {}: type {}{}, PARTUUID {}\n",
            partition.size(),
            partition.kind,
            if partition.active { ", active" } else { "" },
            partition.part_uuid
        ),
    };
    match &partition.content {
        Content::Fat {
            bits,
            label,
            uuid,
            cluster,
            files,
        } => {
            text += &format!("FAT{bits} {label:?}, {uuid}, clusters of {cluster}\n");
            let rows: Vec<_> = files
                .iter()
                .map(|(path, length)| vec![format!("  {length}"), shown(path)])
                .collect();
            text += &table(&rows, &[0]);
        }
        Content::Btrfs {
            label,
            uuid,
            size,
            used,
            generation,
            has_log,
            subvolumes,
            ..
        } => {
            text += &format!(
                "btrfs {label:?}, {uuid}: {used} of {size} used, transaction {generation}{}\n",
                if *has_log {
                    ", a log waits to be replayed"
                } else {
                    ""
                }
            );
            text += &subvolumes_text(subvolumes);
        }
        Content::Damaged { error } => text += &format!("damaged: {error}\n"),
        Content::Unknown => text += "unknown content\n",
    }
    text
}

fn subvolumes_text(subvolumes: &[SubvolumeReport]) -> String {
    let heading = [
        "  id",
        "subvolume",
        "mounted at",
        "files",
        "folders",
        "others",
        "bytes",
        "",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(subvolumes.iter().map(|subvolume| {
        let marks = [(subvolume.default, "default"), (subvolume.read_only, "read-only")];
        let marks: Vec<_> = marks
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, mark)| *mark)
            .collect();
        vec![
            format!("  {}", subvolume.id),
            shown(&subvolume.path),
            shown(subvolume.mount.as_deref().unwrap_or("-")),
            subvolume.files.to_string(),
            subvolume.directories.to_string(),
            subvolume.others.to_string(),
            subvolume.bytes.to_string(),
            marks.join(", "),
        ]
    }));
    let mut text = table(&rows, &[0, 3, 4, 5, 6]);
    for subvolume in subvolumes.iter().filter(|subvolume| !subvolume.paths.is_empty()) {
        text += &format!("\n{}\n", shown(&subvolume.path));
        let rows: Vec<_> = subvolume.paths.iter().map(path_row).collect();
        text += &table(&rows, &[1, 2]);
    }
    text
}

fn path_row(path: &PathReport) -> Vec<String> {
    let name = match &path.target {
        Some(target) => format!("{} -> {}", shown(&path.path), shown(target)),
        None => shown(&path.path),
    };
    vec![
        format!("  {}{:04o}", path.kind, path.mode),
        format!("{}:{}", path.uid, path.gid),
        path.size.to_string(),
        name,
    ]
}

/// A name that cannot write to the terminal.
fn shown(name: &str) -> String {
    name.chars()
        .flat_map(|character| {
            let is_control = character.is_control();
            let escaped = is_control.then(|| character.escape_default());
            escaped
                .into_iter()
                .flatten()
                .chain((!is_control).then_some(character))
        })
        .collect()
}
