//! What the cookbook shows is what a fleet, and an overlay, may say.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use model::project::Project;
use testkit::folder::copy;

/// What each example is added to.
const FLEET: &str = r#"name = "attic"

[defaults]
network = "lan"
role = "node"
board = "plain"
layout = "card"

[networks.lan]
subnet = "192.168.1.0/24"
gateway = "192.168.1.1"
name-servers = ["192.168.1.1"]

[roles.node]
overlays = ["common"OVERLAYS]

[roles.host]
overlays = ["common"]
containers = true

[clusters.attic]
slots = "1-2"
address = "192.168.1.1{slot}"

[[allow]]
from = ["nodes"]
to = ["nodes"]
tcp = [22]
"#;

/// The indented blocks of a document that are TOML or another file of a project, each below its heading. A file starts with a comment
/// that says where it lies.
fn examples(document: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let (mut heading, mut block) = (String::new(), String::new());
    for line in document.lines().chain(["end"]) {
        match line.strip_prefix("    ") {
            Some(code) => block += &format!("{code}\n"),
            // Within a block.
            None if line.is_empty() && !block.is_empty() => block.push('\n'),
            None => {
                if block.starts_with('[') || path_of(&block).is_some() {
                    examples.push((heading.clone(), block.clone()));
                }
                block.clear();
                if let Some(text) = line.strip_prefix("## ") {
                    heading = text.to_owned();
                }
            }
        }
    }
    examples
}

/// Where a block says that it lies.
fn path_of(block: &str) -> Option<&str> {
    let path = block.lines().next()?.strip_prefix("# ")?;
    path.starts_with("overlays/").then_some(path)
}

#[test]
fn every_example_is_a_fleet_without_faults() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(here.join("../../docs/cookbook.md")).unwrap();
    let examples = examples(&document);
    let headings = document.lines().filter_map(|line| line.strip_prefix("## "));
    for heading in headings {
        let root = tempfile::tempdir().unwrap();
        copy(&here.join("tests/good"), root.path());
        let (mut fleet, mut overlays) = (FLEET.to_owned(), String::new());
        let own = examples.iter().filter(|(section, _)| section == heading);
        let mut count = 0;
        for (_, example) in own {
            count += 1;
            match path_of(example) {
                Some(path) => {
                    let file = root.path().join(path);
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(file, example).unwrap();
                    if let Some((name, "overlay.toml")) = path["overlays/".len()..].split_once('/') {
                        overlays += &format!(", \"{name}\"");
                    }
                }
                None => fleet += &format!("\n{example}"),
            }
        }
        assert!(count > 0, "{heading} has no example");
        let fleet = fleet.replace("OVERLAYS", &overlays);
        fs::write(root.path().join("images/fleet.toml"), fleet).unwrap();
        match Project::load(root.path()) {
            Ok(project) => assert!(project.warnings.0.is_empty(), "{heading}: {}", project.warnings),
            Err(findings) => panic!("{heading}: {findings}"),
        }
    }
}
