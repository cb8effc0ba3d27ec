//! Files and folders that are not what they should be: each is one finding that names it.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use model::project::Project;
use tempfile::TempDir;

/// The smallest project: one of everything.
fn project() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for path in [
        "boards/plain/board.toml",
        "images/layouts/card.toml",
        "kernel/fragments/base.config",
        "kernel/kernel.toml",
        "overlays/common/overlay.toml",
        "sources.toml",
    ] {
        let good = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/good")).join(path);
        write(path, &fs::read_to_string(good).unwrap());
    }
    write("images/fleet.toml", FLEET);
    root
}

const FLEET: &str = r#"name = "test"
networks.lan.subnet = "10.0.0.0/24"
roles.node.overlays = ["common"]
defaults = { network = "lan", role = "node", board = "plain", layout = "card" }
clusters.a = { slots = "1", address = "10.0.0.{slot}" }
"#;

/// What loading `root` finds, with the temporary folder's name taken out.
fn findings(root: &TempDir) -> String {
    match Project::load(root.path()) {
        Ok(_) => "nothing".to_owned(),
        Err(findings) => findings
            .to_string()
            .replace(&root.path().display().to_string(), "ROOT"),
    }
}

#[test]
fn the_smallest_project_is_good() {
    assert_eq!(findings(&project()), "nothing");
}

#[test]
fn lines_of_a_u_boot_fragment_are_checked() {
    let root = project();
    let board = root.path().join("boards/plain");
    let text = fs::read_to_string(board.join("board.toml")).unwrap();
    let u_boot = "\n[u-boot]\ndefconfig = \"x_defconfig\"\nfragment = \"u-boot.config\"\n";
    fs::write(board.join("board.toml"), text + u_boot).unwrap();
    let with = |fragment: &str| {
        fs::write(board.join("u-boot.config"), fragment).unwrap();
        findings(&root)
    };
    assert_eq!(
        with("CONFIG_BOOTDELAY=2\n\n# Again.\nCONFIG_BOOTDELAY=2\n"),
        "nothing"
    );
    let project = Project::load(root.path()).unwrap();
    let (_, u_boot) = project.u_boot(Some("plain")).unwrap();
    assert_eq!(u_boot.requests.len(), 1, "{:?}", u_boot.requests);
    insta::assert_snapshot!(
        with("CONFIG_BOOTDELAY=2\nBOOTDELAY=2\nCONFIG_FIT=n  # >=6.18\n# CONFIG_BOOTDELAY is not set\n"),
        @r#"
        error: this is no line of a configuration
         --> boards/plain/u-boot.config:2:1
          |
        2 | BOOTDELAY=2
          | ^^^^^^^^^^^
          |
          = help: a line is `CONFIG_NAME=y`, `=m`, `=n`, `=123`, `="text"`, or `# CONFIG_NAME is not set`, and may end with `# >=6.10 <6.18`

        error: a line of U-Boot's cannot be for some versions only
         --> boards/plain/u-boot.config:3:1
          |
        3 | CONFIG_FIT=n  # >=6.18
          | ^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: ranges are those of kernel series; a board has one U-Boot: drop the range

        error: CONFIG_BOOTDELAY is to be n here and 2 at boards/plain/u-boot.config:1
         --> boards/plain/u-boot.config:4:1
          |
        4 | # CONFIG_BOOTDELAY is not set
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
         ::: boards/plain/u-boot.config:1:1
          |
        1 | CONFIG_BOOTDELAY=2
          | ------------------ the other line
          |
          = help: drop one of them, or give them ranges of series that do not overlap
        "#
    );
}

#[test]
fn a_missing_file_is_named() {
    let root = project();
    fs::remove_file(root.path().join("images/fleet.toml")).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn a_folder_instead_of_a_file_is_named() {
    let root = project();
    fs::remove_file(root.path().join("images/fleet.toml")).unwrap();
    fs::create_dir(root.path().join("images/fleet.toml")).unwrap();
    fs::create_dir(root.path().join("images/layouts/other.toml")).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn a_socket_instead_of_a_file_is_not_read() {
    let root = project();
    let path = root.path().join("images/fleet.toml");
    fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn a_file_that_never_ends_is_not_read() {
    let root = project();
    let path = root.path().join("images/fleet.toml");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn a_huge_file_is_not_read() {
    let root = project();
    let file = fs::File::options()
        .write(true)
        .open(root.path().join("images/fleet.toml"))
        .unwrap();
    file.set_len(64 << 30).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn a_file_of_nothing_but_faults_gives_a_bounded_answer() {
    let root = project();
    let keys: String = (0..20_000)
        .map(|index| format!("key-{index} = {index}\n"))
        .collect();
    fs::write(root.path().join("images/fleet.toml"), format!("{keys}{FLEET}")).unwrap();
    let said = findings(&root);
    assert_eq!(said.matches("error: unknown key").count(), 50);
    assert!(said.contains("and 19950 more in `images/fleet.toml`"), "{said}");

    fs::write(root.path().join("images/fleet.toml"), "= =\n".repeat(100_000)).unwrap();
    // Reading ends at the first fault of syntax.
    assert_eq!(findings(&root).matches("error:").count(), 1);
}

#[test]
fn text_that_is_not_utf8_is_found_where_it_stands() {
    let root = project();
    let path = root.path().join("images/fleet.toml");
    fs::write(
        &path,
        [b"# K\xc3\xb6ln\nname = \"K\xf6ln\"\n", FLEET.as_bytes()].concat(),
    )
    .unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn utf16_is_not_taken_for_text() {
    let root = project();
    let text: Vec<u8> = format!("\u{feff}{FLEET}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(root.path().join("images/fleet.toml"), text).unwrap();
    let said = findings(&root);
    assert!(said.contains("is not UTF-8: byte 0xff"), "{said}");
}

#[test]
fn zero_bytes_are_found() {
    let root = project();
    fs::write(root.path().join("images/fleet.toml"), vec![0; 4096]).unwrap();
    let said = findings(&root);
    assert!(
        said.contains("images/fleet.toml:1:1") && said.matches("error:").count() == 1,
        "{said}"
    );
}

#[test]
fn missing_folders_are_named() {
    let root = project();
    fs::remove_dir_all(root.path().join("boards")).unwrap();
    fs::remove_dir_all(root.path().join("images/layouts")).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn a_board_without_its_file_is_named() {
    let root = project();
    fs::create_dir(root.path().join("boards/empty")).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn names_of_folders_and_files_obey_the_rules_of_names() {
    let root = project();
    fs::rename(
        root.path().join("boards/plain"),
        root.path().join("boards/Plain Board"),
    )
    .unwrap();
    fs::rename(
        root.path().join("images/layouts/card.toml"),
        root.path().join("images/layouts/card_1.toml"),
    )
    .unwrap();
    fs::create_dir(root.path().join("boards").join(OsStr::from_bytes(b"b\xff"))).unwrap();
    insta::assert_snapshot!(findings(&root));
}

#[test]
fn what_is_no_board_or_layout_is_left_alone() {
    let root = project();
    for path in [
        "boards/README.md",
        "images/layouts/card.toml~",
        "images/layouts/.card.toml.swp",
    ] {
        fs::write(root.path().join(path), b"\xff not ours").unwrap();
    }
    fs::create_dir(root.path().join("boards/.git")).unwrap();
    assert_eq!(findings(&root), "nothing");
}
