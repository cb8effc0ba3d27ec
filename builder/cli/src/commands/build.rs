//! `portadc build`

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use formats::units::Bytes;
use model::finding::Findings;
use serde_json::json;
use stages::build::{self, BuildReport, BuildRequest, Output, Sums};
use stages::delta_base::ImageFormat;
use stages::pack::Recipients;

use super::network;
use crate::arguments::{Common, LockedSourceOptions, OutputFormat, OutputOptions};
use crate::output::{Coded, USAGE, print, print_json, table, warn};
use crate::workplace;

/// Builds the images of `nodes`, or of every node, and lists them.
pub fn run(
    common: &Common,
    nodes: &[String],
    all: bool,
    options: &OutputOptions,
    sources: &LockedSourceOptions,
    blob_dir: Option<&Path>,
) -> Result<()> {
    let started = Instant::now();
    let project = workplace::checked_project(common)?;
    let chosen = if all {
        project.fleet.nodes.iter().collect()
    } else if nodes.is_empty() {
        let names: Vec<&str> = project
            .fleet
            .nodes
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        let message = format!("name the nodes to build, or give --all: {}", names.join(", "));
        return Err(Coded { code: USAGE, message }.into());
    } else {
        nodes
            .iter()
            .map(|name| project.node(name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Findings::from)?
    };
    let set = workplace::source_set(&project.sources, &sources.from)?;
    let sums = if options.sums { Sums::Compute } else { Sums::Skip };
    if options.format != OutputFormat::Pack && !options.encrypt_secrets.is_empty() {
        let message = "images are not encrypted: --encrypt-secrets goes with --format pack".to_owned();
        return Err(Coded { code: USAGE, message }.into());
    }
    let (output, name) = match options.format {
        OutputFormat::Img => (Output::Images(ImageFormat::Plain, sums), "images"),
        OutputFormat::Zst => (Output::Images(ImageFormat::Compressed, sums), "images"),
        OutputFormat::Pack if options.sums => {
            let message = "a pack holds no whole images: --sums goes with --format img and zst".to_owned();
            return Err(Coded { code: USAGE, message }.into());
        }
        OutputFormat::Pack => {
            let recipients = options.encrypt_secrets.iter().map(String::as_str);
            (Output::Pack(Recipients::parse(recipients)?), "pack")
        }
    };
    let engine = workplace::engine(common, &project.root)?;
    let report = build::build(
        &engine,
        &BuildRequest {
            project: &project,
            nodes: chosen,
            set,
            mirror: sources.from.mirror.as_deref(),
            network: network(&sources.from),
            locked: sources.locked,
            blob_dir: blob_dir.map(Path::to_owned),
            output,
            folder: workplace::output_folder(common, &project.root).join(name),
        },
    )?;
    if common.json {
        let images: Vec<_> = report
            .images
            .iter()
            .map(|image| {
                json!({
                    "node": image.node,
                    "image": image.path,
                    "written": image.written,
                    "size": image.figures.size,
                    "mapped": image.figures.mapped,
                    "root-used": image.figures.root_used,
                    "map-sha256": image.figures.map_sha256,
                    "sha256": image.sha256,
                })
            })
            .collect();
        return print_json(&json!({ "images": images, "warnings": report.warnings }));
    }
    if !common.quiet {
        print(&listing(&report))?;
        let written = report.images.iter().filter(|image| image.written).count();
        print(&format!(
            "{} images in {}: {written} written, {} unchanged; {:.1} s\n",
            report.images.len(),
            report.folder.display(),
            report.images.len() - written,
            started.elapsed().as_secs_f64()
        ))?;
    }
    for warning in &report.warnings {
        warn(warning);
    }
    Ok(())
}

fn listing(report: &BuildReport) -> String {
    let heading = ["node", "address", "card", "mapped", "root used", "map sha256"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(report.images.iter().map(|image| {
        vec![
            image.node.clone(),
            image.address.clone(),
            Bytes(image.figures.size).to_string(),
            Bytes(image.figures.mapped).to_string(),
            Bytes(image.figures.root_used).to_string(),
            image.figures.map_sha256[..16].to_owned(),
        ]
    }));
    table(&rows, &[2, 3, 4])
}
