//! What boards need of the kernel: one kernel serves the boards that a fleet has, and no others.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use model::project::Project;
use tempfile::TempDir;
use testkit::folder::copy;

/// The good project, whose fleet has the boards `raw` and `plain`, and another board that no node has.
fn project(shared: &str, boards: [(&str, &str); 3]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good"),
        root.path(),
    );
    copy(
        &root.path().join("boards/plain"),
        &root.path().join("boards/other"),
    );
    fs::write(root.path().join("kernel/fragments/base.config"), shared).unwrap();
    for (board, fragment) in boards {
        let folder = root.path().join("boards").join(board);
        let text = fs::read_to_string(folder.join("board.toml")).unwrap();
        let text = format!("kernel-fragment = \"kernel.config\"\n{text}");
        fs::write(folder.join("board.toml"), text).unwrap();
        fs::write(folder.join("kernel.config"), fragment).unwrap();
    }
    root
}

/// What the kernel of `series` is asked for.
fn asked(root: &TempDir, series: &str) -> Vec<String> {
    let project = Project::load(root.path()).unwrap_or_else(|findings| panic!("{findings}"));
    let requests = project.kernel.requests_for(series.parse().unwrap());
    requests.iter().map(ToString::to_string).collect()
}

const SHARED: &str = "CONFIG_A=y\nCONFIG_B=n\nCONFIG_C=n  # <6.6\nCONFIG_D=m\n";

#[test]
fn what_a_board_of_the_fleet_needs_goes_before_that_it_is_off() {
    let needed = [
        ("raw", "CONFIG_B=m  # >=6.6\nCONFIG_A=y\nCONFIG_E=y\n"),
        ("plain", "CONFIG_C=y\nCONFIG_E=y\n"),
        ("other", "CONFIG_D=y\nCONFIG_F=y\n"),
    ];
    let root = project(SHARED, needed);
    let off = "# CONFIG_B is not set";
    assert_eq!(
        asked(&root, "6.1"),
        ["CONFIG_A=y", off, "CONFIG_C=y", "CONFIG_D=m", "CONFIG_E=y"]
    );
    assert_eq!(
        asked(&root, "6.12"),
        [
            "CONFIG_A=y",
            "CONFIG_B=m",
            "CONFIG_D=m",
            "CONFIG_C=y",
            "CONFIG_E=y"
        ]
    );
}

#[test]
fn boards_without_needs_change_nothing() {
    let root = project(
        SHARED,
        [("raw", ""), ("plain", "# Nothing.\n"), ("other", "CONFIG_B=y\n")],
    );
    assert_eq!(
        asked(&root, "6.12"),
        ["CONFIG_A=y", "# CONFIG_B is not set", "CONFIG_D=m"]
    );
}

#[test]
fn boards_that_contradict_fragments_or_each_other_are_refused() {
    let needed = [
        ("raw", "CONFIG_D=y\nCONFIG_E=2\n"),
        ("plain", "CONFIG_E=1\n"),
        ("other", "CONFIG_G=y\nCONFIG_G=m\nCONFIG_A=n\nCONFIG_E=4\n"),
    ];
    let root = project("CONFIG_D=m\nCONFIG_E=3\n", needed);
    assert_snapshot!(Project::load(root.path()).unwrap_err());
}
