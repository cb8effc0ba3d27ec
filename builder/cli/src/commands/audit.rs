//! `portadc audit`

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use stages::audit::{Audit, AuditRequest, audit};

use super::network;
use crate::arguments::{Common, SourceOptions};
use crate::output::{OPEN, print, print_json, table};
use crate::workplace;

/// Lists what is open in the packages of a source set.
pub fn run(
    common: &Common,
    advisories: Option<&Path>,
    fixable: bool,
    options: &SourceOptions,
) -> Result<ExitCode> {
    let project = workplace::checked_project(common)?;
    let set = workplace::source_set(&project.sources, options)?;
    let engine = workplace::engine(common, &project.root)?;
    let mut found = audit(
        &engine,
        &AuditRequest {
            project: &project,
            set,
            mirror: options.mirror.as_deref(),
            network: &network(options),
            advisories,
        },
    )?;
    if fixable {
        found.open.retain(|open| open.mended.is_some());
    }
    if common.json {
        print_json(&serde_json::to_value(&found)?)?;
    } else {
        print(&text(&found, common.quiet))?;
    }
    Ok(match found.open.is_empty() {
        true => ExitCode::SUCCESS,
        false => OPEN.into(),
    })
}

fn text(found: &Audit, quiet: bool) -> String {
    let mut text = String::new();
    if !found.open.is_empty() {
        let heading = ["package", "installed", "advisory", "severity", "mended by"];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(found.open.iter().map(|open| {
            vec![
                open.package.clone(),
                open.installed.clone(),
                open.advisory.clone(),
                open.severity.to_string(),
                open.mended.clone().unwrap_or_else(|| "nothing yet".to_owned()),
            ]
        }));
        text += &table(&rows, &[]);
    }
    if quiet {
        return text;
    }
    let mended = found.open.iter().filter(|open| open.mended.is_some()).count();
    text += &format!(
        "{} packages of the source set `{}` against {}: {} open, {mended} of them mended by a newer version",
        found.packages,
        found.set,
        found.advisories,
        found.open.len()
    );
    if found.unclear > 0 {
        text += &format!(
            "; {} more are held for unimportant, or nobody knows yet whether they apply",
            found.unclear
        );
    }
    text + "\n"
}
