//! `portadc render`

use std::fs::{self, DirBuilder, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use identity::IdentityStore;
use model::finding::Findings;
use model::names::{quoted, suggest};
use model::overlay::TargetPath;
use stages::build::partition_ids;
use stages::rootfs::{Content, Laid, preview};

use crate::arguments::Common;
use crate::output::print;
use crate::workplace;

/// What is shown.
pub enum What<'a> {
    /// The paths, a line each.
    Paths,
    /// The content of one file.
    File(&'a str),
    /// All files, each node's in a folder of its name.
    Folder(&'a Path),
}

/// Shows what overlays lay on `nodes`, or on every node.
pub fn run(common: &Common, nodes: &[String], all: bool, what: What, set: Option<&str>) -> Result<()> {
    let project = workplace::project(common)?;
    let names: Vec<&str> = match all {
        true => project
            .fleet
            .nodes
            .iter()
            .map(|node| node.name.as_str())
            .collect(),
        false => nodes.iter().map(String::as_str).collect(),
    };
    let platform = project.sources.set(set).map_err(Findings::from)?.base.platform();
    let store = IdentityStore::open(&project.root.join("identity"))?;
    let known = store.public_keys(&project.fleet)?;
    for name in &names {
        let node = project.node(name).map_err(Findings::from)?;
        let laid = preview(
            &project,
            platform,
            node,
            &partition_ids(&project, node),
            &store,
            &known,
        )?;
        match what {
            What::Paths => {
                let lines: String = laid.keys().map(|path| format!("{path}\n")).collect();
                match names.len() {
                    1 => print(&lines)?,
                    _ => print(&format!("{name}:\n{lines}"))?,
                }
            }
            What::File(path) => print_file(&laid, name, path)?,
            What::Folder(folder) => write(&folder.join(name), &laid)?,
        }
    }
    Ok(())
}

/// Prints the file at `path`.
fn print_file<'a>(
    laid: impl IntoIterator<Item = (&'a TargetPath, &'a Laid)> + Clone,
    node: &str,
    path: &str,
) -> Result<()> {
    let wanted = format!("/{}", path.trim_start_matches('/'));
    let found = laid
        .clone()
        .into_iter()
        .find(|(path, _)| path.to_string() == wanted);
    match found.map(|(_, laid)| &laid.content) {
        Some(Content::File(bytes)) => Ok(std::io::stdout().lock().write_all(bytes)?),
        Some(Content::Link(target)) => print(&format!("{target}\n")),
        Some(Content::Directory) => bail!("{wanted} is a directory"),
        None => {
            let paths: Vec<String> = laid.into_iter().map(|(path, _)| path.to_string()).collect();
            let hint = suggest(&wanted, paths.iter().map(String::as_str));
            Err(anyhow!("no overlay lays {} on {node}: {hint}", quoted(&wanted)))
        }
    }
}

/// Writes what lies on a node into a new folder. Files that only root may read stay out: a folder for review is no place
/// for keys.
fn write<'a>(folder: &Path, laid: impl IntoIterator<Item = (&'a TargetPath, &'a Laid)>) -> Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!(
                "{} is there already: remove it, or name another folder",
                folder.display()
            );
        }
        made => made.with_context(|| format!("cannot make {}", folder.display()))?,
    }
    for (path, Laid { mode, content }) in laid {
        if matches!(content, Content::File(_)) && mode & 0o077 == 0 {
            continue;
        }
        let target = folder.join(path.relative());
        let above = target.parent().unwrap_or(folder);
        let written = fs::create_dir_all(above).and_then(|()| match content {
            Content::File(bytes) => {
                fs::write(&target, bytes)?;
                fs::set_permissions(&target, Permissions::from_mode(*mode))
            }
            Content::Directory => fs::create_dir_all(&target),
            Content::Link(to) => symlink(to, &target),
        });
        written.with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}
