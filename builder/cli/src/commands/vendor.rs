//! `portadc vendor`

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use stages::vendor::{VendorRequest, vendor};

use super::network;
use crate::arguments::{Common, SourceOptions};
use crate::output::{print, print_json, warn};
use crate::workplace;

/// Puts what the lock pins of a source set into a folder.
pub fn run(common: &Common, folder: &Path, options: &SourceOptions) -> Result<()> {
    let project = workplace::checked_project(common)?;
    let set = workplace::source_set(&project.sources, options)?;
    let engine = workplace::engine(common, &project.root)?;
    let vendored = vendor(
        &engine,
        &VendorRequest {
            project: &project,
            set,
            mirror: options.mirror.as_deref(),
            network: &network(options),
            folder,
        },
    )?;
    for warning in &vendored.warnings {
        warn(warning);
    }
    if common.json {
        return print_json(&json!({
            "folder": vendored.folder,
            "files": vendored.files,
            "bytes": vendored.bytes.0,
            "written": vendored.written,
            "warnings": vendored.warnings,
        }));
    }
    if !common.quiet {
        print(&format!(
            "{} files of the source set `{}` ({}) in {}: {} written, {} were there\n",
            vendored.files,
            set.name,
            vendored.bytes,
            vendored.folder.display(),
            vendored.written,
            vendored.files - vendored.written
        ))?;
    }
    Ok(())
}
