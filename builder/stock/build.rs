//! Lists the stock parts for the program: every file of them, in the order of their paths, with its bytes.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Folders of the repository whose files come with the program.
const FOLDERS: [&str; 4] = ["boards", "images/layouts", "kernel", "overlays"];

/// Files beside them.
const FILES: [&str; 1] = ["sources.toml"];

fn main() {
    let root = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths: Vec<String> = FILES.map(str::to_owned).into();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        list(&root, folder, &mut paths);
    }
    paths.sort();
    let mut code = String::from("[\n");
    for path in paths {
        let file = root.join(&path);
        println!("cargo::rerun-if-changed={}", file.display());
        let mode = fs::metadata(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
            .permissions()
            .mode();
        let is_executable = mode & 0o100 != 0;
        writeln!(
            code,
            "    StockFile {{ path: {path:?}, is_executable: {is_executable}, bytes: \
             include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../../\", {path:?})) }},"
        )
        .expect("a text has room");
    }
    code.push(']');
    let list = Path::new(&env("OUT_DIR")).join("files.rs");
    fs::write(&list, code).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
}

/// Adds the files below `folder`, without what editors keep beside a file.
fn list(root: &Path, folder: &str, paths: &mut Vec<String>) {
    let entries = fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{folder}: {error}"));
        let name = entry.file_name().into_string();
        let name = name.unwrap_or_else(|name| panic!("{folder}: {name:?} is not UTF-8"));
        if is_editors(&name) {
            continue;
        }
        let path = format!("{folder}/{name}");
        let kind = entry
            .file_type()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        match kind.is_dir() {
            true => list(root, &path, paths),
            false => paths.push(path),
        }
    }
}

/// The names that a project's own overlay passes over as well.
fn is_editors(name: &str) -> bool {
    let is_swap = name.starts_with('.') && (name.ends_with(".swp") || name.ends_with(".swo"));
    let is_unsaved = name.len() > 1 && name.starts_with('#') && name.ends_with('#');
    is_swap || is_unsaved || name.ends_with('~') || name.starts_with(".#") || name == ".DS_Store"
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
