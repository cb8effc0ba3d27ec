//! The files below `files/` and `templates/` of an overlay.

use std::path::{Path, PathBuf};

use crate::files::{FileKind, Files};
use crate::finding::{Finding, Findings};
use crate::names::quoted;
use crate::path::{TargetPath, parse_target_path};

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
    /// Whether it is executable in the project.
    pub is_executable: bool,
}

/// What a folder of an overlay holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderKind {
    /// Files that are laid down as they are.
    Files,
    /// Templates: every name ends in [`TEMPLATE_SUFFIX`].
    Templates,
}

/// The files below `folder` in order of their names; one that is missing has none.
pub(super) fn walk(files: &Files, folder: &Path, kind: FolderKind, findings: &mut Findings) -> Vec<Found> {
    let mut found = Vec::new();
    match files.kind(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => findings.push(unreadable(folder, &error)),
        Ok(FileKind::Folder) => descend(files, folder, "", kind, &mut found, findings),
        Ok(_) => findings.push(Finding::new(format!(
            "{} is not a folder",
            quoted(&folder.to_string_lossy())
        ))),
    }
    found
}

/// The names in a folder, sorted, without what editors keep beside a file that they have open; a folder that cannot be read is
/// a finding.
pub(super) fn names(files: &Files, folder: &Path, findings: &mut Findings) -> Vec<std::ffi::OsString> {
    match files.names(folder) {
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

/// Whether an editor gives this name to a backup, a lock or what is not saved yet: `a~`, `.a.swp`, `.#a`, `#a#`; or a file
/// manager to what it remembers of a folder.
fn is_editors(name: &[u8]) -> bool {
    let is_swap = name.starts_with(b".") && (name.ends_with(b".swp") || name.ends_with(b".swo"));
    let is_unsaved = name.len() > 1 && name.starts_with(b"#") && name.ends_with(b"#");
    is_swap || is_unsaved || name.ends_with(b"~") || name.starts_with(b".#") || name == b".DS_Store"
}

/// What to say of a name that a file of a node hardly has; it is laid down all the same.
fn doubtful(kind: FolderKind, name: &str) -> Option<(&'static str, &'static str)> {
    if name.ends_with(".orig") || name.ends_with(".rej") {
        return Some((
            "has the name of what a patch or a merge leaves behind, and goes onto the nodes",
            "remove it, or give it another name",
        ));
    }
    (kind == FolderKind::Files && name.ends_with(TEMPLATE_SUFFIX)).then_some((
        "has the name of a template, but nothing renders it: it goes onto the nodes as it is",
        "move it into `templates/`, by the same path",
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Finding {
    Finding::new(format!(
        "cannot read {}: {error}",
        quoted(&path.to_string_lossy())
    ))
}

/// Adds what lies in `folder`, which is `target` (without a `/` at its end) on the node.
fn descend(
    files: &Files,
    folder: &Path,
    target: &str,
    kind: FolderKind,
    found: &mut Vec<Found>,
    findings: &mut Findings,
) {
    for name in names(files, folder, findings) {
        let file = folder.join(&name);
        let shown = quoted(&file.to_string_lossy());
        let Some(name) = name.to_str() else {
            findings.push(Finding::new(format!("the name of {shown} is not UTF-8")));
            continue;
        };
        let (length, is_executable) = match files.kind(&file) {
            Ok(FileKind::Folder) => {
                descend(files, &file, &format!("{target}/{name}"), kind, found, findings);
                continue;
            }
            Ok(FileKind::Link) => {
                findings.push(Finding::new(format!("{shown} is a symbolic link")).hint(format!(
                    "declare it in overlay.toml: [links] \"{target}/{name}\" = \"target\""
                )));
                continue;
            }
            Ok(FileKind::Other) => {
                findings.push(Finding::new(format!("{shown} is neither a file nor a folder")));
                continue;
            }
            Ok(FileKind::File {
                length,
                is_executable,
            }) => (length, is_executable),
            Err(error) => {
                findings.push(unreadable(&file, &error));
                continue;
            }
        };
        if length > MAX_FILE {
            findings.push(Finding::new(format!(
                "{shown} has {length} bytes, the limit of an overlay's file is {MAX_FILE}"
            )));
            continue;
        }
        if let Some((doubt, hint)) = doubtful(kind, name) {
            findings.push(Finding::warning(format!("{shown} {doubt}")).hint(hint));
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
            Ok(target) => found.push(Found {
                file,
                target,
                is_executable,
            }),
            Err(fault) => findings.push(Finding::new(format!("the path of {shown} {fault}"))),
        }
    }
}
