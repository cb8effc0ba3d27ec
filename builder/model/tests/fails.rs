//! What a person can get wrong, and what is said about it. Each file below `fails/` stands for one file of the project
//! below `good/`; the snapshot beside it is the whole output.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use model::project::Project;
use testkit::folder::copy;

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// The good project with `file` in place of its own.
fn project_with(file: &Path, stands_for: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    copy(&tests().join("good"), root.path());
    fs::copy(file, root.path().join(stands_for)).unwrap();
    root
}

/// Loads the good project with each file of `fails/<kind>` in turn, and compares what is said.
fn check(kind: &str, stands_for: &str, at_least: usize) {
    let folder = tests().join("fails").join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(
        files.len() >= at_least,
        "{} of {at_least} files in {}",
        files.len(),
        folder.display()
    );
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let root = project_with(&file, stands_for);
        let Err(findings) = Project::load(root.path()) else {
            panic!("{name} has no findings");
        };
        for finding in &findings.0 {
            let place = finding
                .place
                .as_ref()
                .unwrap_or_else(|| panic!("{name}: {finding:?}"));
            assert_eq!(place.file.path, Path::new(stands_for), "{name}: {finding:?}");
        }
        insta::with_settings!({
            snapshot_path => folder.clone(),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(name, findings.to_string());
        });
    }
}

#[test]
fn the_good_project_has_no_findings() {
    let project = Project::load(&tests().join("good")).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(project.fleet.nodes.len(), 4);
}

#[test]
fn fleets() {
    check("fleet", "images/fleet.toml", 39);
}

#[test]
fn boards() {
    check("board", "boards/raw/board.toml", 26);
}

#[test]
fn layouts() {
    check("layout", "images/layouts/card.toml", 28);
}

#[test]
fn sources() {
    check("sources", "sources.toml", 6);
}
