//! What the cookbook shows is what a fleet may say.

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
overlays = ["common"]

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

/// The indented blocks of a document that are TOML, each below its heading.
fn examples(document: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let (mut heading, mut block) = (String::new(), String::new());
    for line in document.lines().chain(["end"]) {
        match line.strip_prefix("    ") {
            Some(code) => block += &format!("{code}\n"),
            // Within a block.
            None if line.is_empty() && !block.is_empty() => block.push('\n'),
            None => {
                if block.starts_with('[') {
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

#[test]
fn every_example_is_a_fleet_without_faults() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(here.join("../../docs/cookbook.md")).unwrap();
    let examples = examples(&document);
    let headings = document.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(examples.len(), headings, "each section has one example");
    for (heading, example) in examples {
        let root = tempfile::tempdir().unwrap();
        copy(&here.join("tests/good"), root.path());
        fs::write(
            root.path().join("images/fleet.toml"),
            format!("{FLEET}\n{example}"),
        )
        .unwrap();
        if let Err(findings) = Project::load(root.path()) {
            panic!("{heading}: {findings}");
        }
    }
}
