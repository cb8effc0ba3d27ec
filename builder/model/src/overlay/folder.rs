//! The files below `files/` and `templates/` of an overlay.

use std::fs;
use std::path::{Path, PathBuf};

use super::path::{TargetPath, parse_target_path};
use crate::finding::{Finding, Findings};
use crate::names::quoted;

/// Largest file of an overlay, in bytes: it is held in memory, and what is larger belongs into a package.
const MAX_FILE: u64 = 64 << 20;

/// How the name of a template ends.
pub(super) const TEMPLATE_SUFFIX: &str = ".hbs";

/// A file of an overlay.
pub(super) struct Found {
    /// Where it is, relative to the project's root.
    pub file: PathBuf,
    /// Where it goes; of a template without the suffix.
    pub target: TargetPath,
}

/// What a folder of an overlay holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderKind {
    /// Files that are laid down as they are.
    Files,
    /// Templates: every name ends in [`TEMPLATE_SUFFIX`].
    Templates,
}

/// The files below `folder` (relative to `root`) in order of their names; one that is missing has none.
pub(super) fn walk(root: &Path, folder: &Path, kind: FolderKind, findings: &mut Findings) -> Vec<Found> {
    let mut found = Vec::new();
    match fs::symlink_metadata(root.join(folder)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => findings.push(unreadable(folder, &error)),
        Ok(metadata) if !metadata.is_dir() => {
            findings.push(Finding::new(format!(
                "{} is not a folder",
                quoted(&folder.to_string_lossy())
            )));
        }
        Ok(_) => descend(root, folder, "", kind, &mut found, findings),
    }
    found
}

/// The names in a folder, sorted, without what editors keep beside a file that they have open; a folder that cannot be read is
/// a finding.
pub(super) fn names(root: &Path, folder: &Path, findings: &mut Findings) -> Vec<std::ffi::OsString> {
    let listed = fs::read_dir(root.join(folder)).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<std::io::Result<Vec<_>>>()
    });
    match listed {
        Ok(mut names) => {
            names.retain(|name| !is_editors(name.as_encoded_bytes()));
            names.sort();
            names
        }
        Err(error) => {
            findings.push(unreadable(folder, &error));
            Vec::new()
        }
    }
}

/// Whether an editor gives this name to a backup, a lock or what is not saved yet: `a~`, `.a.swp`, `.#a`, `#a#`.
fn is_editors(name: &[u8]) -> bool {
    let is_swap = name.starts_with(b".") && (name.ends_with(b".swp") || name.ends_with(b".swo"));
    let is_unsaved = name.len() > 1 && name.starts_with(b"#") && name.ends_with(b"#");
    is_swap || is_unsaved || name.ends_with(b"~") || name.starts_with(b".#")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Finding {
    Finding::new(format!(
        "cannot read {}: {error}",
        quoted(&path.to_string_lossy())
    ))
}

/// Adds what lies in `folder`, which is `target` (without a `/` at its end) on the node.
fn descend(
    root: &Path,
    folder: &Path,
    target: &str,
    kind: FolderKind,
    found: &mut Vec<Found>,
    findings: &mut Findings,
) {
    for name in names(root, folder, findings) {
        let file = folder.join(&name);
        let shown = quoted(&file.to_string_lossy());
        let Some(name) = name.to_str() else {
            findings.push(Finding::new(format!("the name of {shown} is not UTF-8")));
            continue;
        };
        let metadata = match fs::symlink_metadata(root.join(&file)) {
            Ok(metadata) => metadata,
            Err(error) => {
                findings.push(unreadable(&file, &error));
                continue;
            }
        };
        if metadata.is_dir() {
            descend(root, &file, &format!("{target}/{name}"), kind, found, findings);
            continue;
        }
        if metadata.is_symlink() {
            findings.push(Finding::new(format!("{shown} is a symbolic link")).hint(format!(
                "declare it in overlay.toml: [links] \"{target}/{name}\" = \"target\""
            )));
            continue;
        }
        if !metadata.is_file() {
            findings.push(Finding::new(format!("{shown} is neither a file nor a folder")));
            continue;
        }
        if metadata.len() > MAX_FILE {
            findings.push(Finding::new(format!(
                "{shown} has {} bytes, the limit of an overlay's file is {MAX_FILE}",
                metadata.len()
            )));
            continue;
        }
        let name = match kind {
            FolderKind::Files => Some(name),
            FolderKind::Templates => name.strip_suffix(TEMPLATE_SUFFIX).filter(|name| !name.is_empty()),
        };
        let Some(name) = name else {
            findings.push(Finding::new(format!("{shown} is not a template")).hint(format!(
                "the name of a template ends in `{TEMPLATE_SUFFIX}`; what is no template goes into `files/`"
            )));
            continue;
        };
        match parse_target_path(&format!("{target}/{name}")) {
            Ok(target) => found.push(Found { file, target }),
            Err(fault) => findings.push(Finding::new(format!("the path of {shown} {fault}"))),
        }
    }
}
