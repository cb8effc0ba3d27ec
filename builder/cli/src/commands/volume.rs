//! `portadc volume`

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Result, anyhow};
use formats::btrfs::Profile;
use formats::layer::{Compression, ZstdLevel};
use model::size::parse_size;
use serde_json::json;
use stages::volume::{Input, VolumeRequest, volume_from_tar};

use crate::arguments::{Common, Metadata, VolumeArguments};
use crate::output::{Coded, USAGE, print, print_json};
use crate::workplace;

/// Makes a volume and says how full it is.
pub fn run(common: &Common, arguments: &VolumeArguments) -> Result<()> {
    let usage = |message: String| anyhow!(Coded { code: USAGE, message });
    let size = arguments.size.as_deref().map(parse_size).transpose();
    let subvolumes = arguments
        .subvolumes
        .iter()
        .map(|text| text.parse())
        .collect::<Result<Vec<_>>>();
    let compression = match arguments.zstd {
        0 => Compression::None,
        level => Compression::Zstd(ZstdLevel::new(level).unwrap_or(ZstdLevel::DEFAULT)),
    };
    let report = volume_from_tar(&VolumeRequest {
        tar: if arguments.tar == Path::new("-") {
            Input::Standard
        } else {
            Input::File(arguments.tar.clone())
        },
        output: arguments.output.clone(),
        compression,
        subvolumes: subvolumes.map_err(|error| usage(error.to_string()))?,
        size: size.map_err(|(message, hint)| usage(format!("--size: {message}: {hint}")))?,
        label: arguments.label.clone(),
        metadata: match arguments.metadata {
            Metadata::Dup => Profile::Dup,
            Metadata::Single => Profile::Single,
        },
        jobs: NonZeroUsize::new(workplace::jobs(common)).unwrap_or(NonZeroUsize::MIN),
    })?;
    let figures = report.figures;
    if common.json {
        return print_json(&json!({
            "entries": report.entries,
            "fsid": report.fsid.to_string(),
            "size": report.written.size.0,
            "mapped": report.written.mapped.0,
            "data": figures.data.0,
            "metadata": figures.metadata.0,
        }));
    }
    if common.quiet {
        return Ok(());
    }
    print(&format!(
        "{}: {} entries, {} of data and {} of metadata in a volume of {}\n",
        arguments.output.display(),
        report.entries,
        figures.data,
        figures.metadata,
        report.written.size
    ))
}
