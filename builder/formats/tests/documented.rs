//! docs/formats.md shows the layouts as the modules that write them say them, and their versions.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("../..").join(path)).unwrap()
}

/// The first drawing in what a module says of itself, as the manual indents it.
fn drawing(module: &str) -> String {
    let text = read(&format!("builder/formats/src/{module}"));
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.skip_while(|line| line.trim() != "```text").skip(1);
    let lines = lines.take_while(|line| line.trim() != "```");
    lines.map(|line| format!("   {line}\n")).collect()
}

#[test]
fn the_manual_draws_what_the_sources_draw() {
    let manual = read("docs/formats.md");
    for module in ["seekable/mod.rs", "pack.rs", "delta.rs", "layer/index.rs"] {
        let drawing = drawing(module);
        assert!(drawing.lines().count() > 3, "{module} draws nothing");
        assert!(
            manual.contains(&drawing),
            "docs/formats.md lacks what {module} draws:\n{drawing}"
        );
    }
}

#[test]
fn the_manual_has_every_key_of_the_manifest_and_of_the_index() {
    let manual = read("docs/formats.md");
    assert!(manual.contains(&format!("| `format` | {} |", formats::manifest::FORMAT)));
    let index = format!(
        "`format` ({}; {} with",
        formats::pack::FORMAT,
        formats::pack::ENCRYPTED_FORMAT
    );
    assert!(manual.contains(&index));
    for (module, structs) in [
        ("manifest.rs", &["Manifest"][..]),
        ("pack.rs", &["Index", "PackedBase", "Node"][..]),
    ] {
        let text = read(&format!("builder/formats/src/{module}"));
        for name in structs {
            let start = text.find(&format!("pub struct {name} {{")).unwrap();
            let body = &text[start..start + text[start..].find("\n}").unwrap()];
            let fields = body
                .lines()
                .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
            for (field, _) in fields {
                assert!(
                    manual.contains(&format!("`{field}`")),
                    "docs/formats.md lacks `{field}` of {name}"
                );
            }
        }
    }
}
