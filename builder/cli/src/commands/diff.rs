//! `portadc diff`

use std::process::ExitCode;

use anyhow::Result;
use stages::diff::{FleetDiff, differences, fleet_differences};
use stages::inspect::Image;

use super::identities;
use crate::arguments::{Common, Decryption};
use crate::output::{DIFFERENT, print, print_json, table};
use crate::workplace;

/// Faults of one node that are listed.
const SHOWN: usize = 20;

/// Shows in what two images differ.
pub fn images(common: &Common, first: &str, second: &str, decryption: &Decryption) -> Result<ExitCode> {
    let identities = identities(decryption)?;
    let first = Image::open_with(&workplace::image_file(common, first)?, identities.clone())?;
    let second = Image::open_with(&workplace::image_file(common, second)?, identities)?;
    let found = differences(&first, &second)?;
    if common.json {
        print_json(&serde_json::to_value(&found)?)?;
    } else if !common.quiet {
        let lines: String = found.iter().map(|difference| format!("{difference}\n")).collect();
        print(&lines)?;
    }
    Ok(code(found.is_empty()))
}

/// Shows in what the images of a fleet differ, and whether any of it must not.
pub fn fleet(common: &Common) -> Result<ExitCode> {
    let project = workplace::project(common)?;
    let images = workplace::output_folder(common, &project.root).join("images");
    let diff = fleet_differences(&project, &images, workplace::jobs(common))?;
    if common.json {
        print_json(&serde_json::to_value(&diff)?)?;
    } else {
        print(&text(&diff, common.quiet))?;
    }
    Ok(code(diff.is_clean()))
}

fn code(is_same: bool) -> ExitCode {
    match is_same {
        true => ExitCode::SUCCESS,
        false => DIFFERENT.into(),
    }
}

fn text(diff: &FleetDiff, is_quiet: bool) -> String {
    let mut text = String::new();
    for node in diff.nodes.iter().filter(|node| !node.faults.is_empty()) {
        let count = node.faults.len();
        text += &format!("{} and {} must not differ in:\n", node.node, node.reference);
        for fault in node.faults.iter().take(SHOWN) {
            text += &format!("  {fault}\n");
        }
        if count > SHOWN {
            text += &format!("  and {} more\n", count - SHOWN);
        }
    }
    if is_quiet {
        return text;
    }
    let mut rows = vec![["own file", "images"].map(String::from).to_vec()];
    rows.extend(
        diff.own_files
            .iter()
            .map(|(path, images)| vec![path.clone(), images.to_string()]),
    );
    text += &table(&rows, &[1]);
    let most = |value: fn(&stages::diff::NodeDiff) -> u64| diff.nodes.iter().map(value).max().unwrap_or(0);
    let wrong = diff.nodes.iter().filter(|node| !node.faults.is_empty()).count();
    text += &format!(
        "{} images compared with the first of their kind ({} kinds): at most {} blocks of 4 KiB differ, {} of them of trees; {}\n",
        diff.compared,
        diff.kinds,
        most(|node| node.blocks),
        most(|node| node.tree_blocks),
        match wrong {
            0 => "only what is a node's own".to_owned(),
            _ => format!("{wrong} differ in more than what is a node's own"),
        }
    );
    text
}
