//! docs/overlays.md says what the sources say: which variables templates have, and which overlays there are. Each overlay says what it
//! is for itself, too.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use model::project::Project;
use serde_json::Value;
use stages::build::partition_ids;
use stages::rootfs::variables;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn manual() -> String {
    fs::read_to_string(root().join("docs/overlays.md")).unwrap()
}

/// The lines of the tables in what the modules say of themselves.
fn tables() -> Vec<String> {
    let rootfs = root().join("builder/stages/src/rootfs");
    let features = root().join("builder/model/src/fleet/features");
    let mut modules = vec![
        rootfs.join("context.rs"),
        rootfs.join("network.rs"),
        features.join("moves.rs"),
    ];
    let folders = fs::read_dir(features).unwrap();
    let contexts = folders.map(|folder| folder.unwrap().path().join("context.rs"));
    modules.extend(contexts.filter(|context| context.is_file()));
    assert!(modules.len() > 7, "{modules:?}");
    let rows = |module: &PathBuf| {
        let text = fs::read_to_string(module).unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("//! |"));
        rows.map(|row| format!("|{row}")).collect::<Vec<_>>()
    };
    modules.iter().flat_map(rows).collect()
}

#[test]
fn the_manual_has_the_tables_of_the_sources() {
    let manual = manual();
    for row in tables() {
        assert!(
            manual.contains(&format!("{row}\n")),
            "docs/overlays.md lacks: {row}"
        );
    }
}

#[test]
fn every_variable_is_in_the_tables() {
    let project = Project::load(root()).unwrap();
    let known = tables().concat();
    for node in &project.fleet.nodes {
        let variables = variables(&project, node, &partition_ids(&project, node)).unwrap();
        let mut names = Vec::new();
        collect(&variables, &mut names);
        for name in names {
            assert!(
                known.contains(&format!("`{name}`")),
                "no table of variables names `{name}`"
            );
        }
    }
}

/// The names of all fields. Those of `networks` and `vars` are the fleet's own.
fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                match (name.as_str(), value) {
                    ("networks", Value::Object(networks)) => {
                        networks.values().for_each(|network| collect(network, names));
                    }
                    ("vars", _) => {}
                    _ => collect(value, names),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}

#[test]
fn every_stock_overlay_is_listed() {
    let manual = manual();
    let project = Project::load(root()).unwrap();
    for overlay in project.overlays.values() {
        let row = format!("| `{}` | {} |\n", overlay.name, overlay.description);
        assert!(manual.contains(&row), "docs/overlays.md lacks: {row}");
    }
}

/// What each README tells of its overlay, beside what it is for.
const TOLD: [&str; 4] = ["\n- Reads: ", "\n- Puts: ", "\n- Needs: ", "\nTo try it:\n\n    "];

#[test]
fn every_stock_overlay_has_a_readme_which_no_image_has() {
    let project = Project::load(root()).unwrap();
    for overlay in project.overlays.values() {
        let path = root().join("overlays").join(&overlay.name).join("README.md");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.starts_with(&format!("# {}\n\n", overlay.name)), "{text}");
        for told in TOLD {
            assert!(text.contains(told), "{} lacks {told:?}", path.display());
        }
        assert!(
            overlay
                .entries
                .keys()
                .all(|path| !path.to_string().ends_with("README.md"))
        );
    }
}
