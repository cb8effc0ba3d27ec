//! A project: every file of it that this crate knows, read and held against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::board::{Board, BoardToml, check_board};
use crate::document;
use crate::finding::{Finding, Findings, Place, SourceFile};
use crate::fleet::{Fleet, FleetToml, Known, Node, check_fleet};
use crate::layout::{Layout, LayoutToml, check_fit, check_layout};
use crate::names::{name_fault, quoted, suggest};

/// Everything that a project describes, checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its root folder.
    pub root: PathBuf,
    /// `images/fleet.toml`.
    pub fleet: Fleet,
    /// `boards/*/board.toml` by name.
    pub boards: BTreeMap<String, Board>,
    /// `images/layouts/*.toml` by name.
    pub layouts: BTreeMap<String, Layout>,
    /// Where each value of a board was written, by board.
    pub board_origins: BTreeMap<String, Vec<crate::fleet::Origin>>,
    /// Where each value of a layout was written, by layout.
    pub layout_origins: BTreeMap<String, Vec<crate::fleet::Origin>>,
}

/// A file that could be read, with what was written there.
struct Loaded<T> {
    file: Arc<SourceFile>,
    written: T,
}

impl Project {
    /// Reads the project at `root`. Everything that is wrong with it comes back at once, by file and line.
    pub fn load(root: &Path) -> Result<Self, Findings> {
        let mut findings = Findings::default();
        let boards = load_boards(root, &mut findings);
        let layouts = load_layouts(root, &mut findings);
        let known = Known {
            boards: boards.keys().cloned().collect(),
            layouts: layouts.keys().cloned().collect(),
        };
        let fleet = load::<FleetToml>(root, Path::new("images/fleet.toml"), &mut findings)
            .map(|fleet| check_fleet(&fleet.file, &fleet.written, &known, &mut findings));
        let mut project = Self {
            root: root.to_owned(),
            fleet: Fleet::default(),
            boards: BTreeMap::new(),
            layouts: BTreeMap::new(),
            board_origins: BTreeMap::new(),
            layout_origins: BTreeMap::new(),
        };
        let mut partitions = BTreeMap::new();
        for (name, loaded) in boards {
            let Some(Loaded { file, written }) = loaded else {
                continue;
            };
            let board = check_board(&name, &file, &written, &mut findings);
            project.board_origins.insert(name.clone(), written.origins(&file));
            project.boards.insert(name, board);
        }
        for (name, loaded) in layouts {
            let Some(Loaded { file, written }) = loaded else {
                continue;
            };
            let before = findings.0.len();
            let layout = check_layout(&name, &file, &written, &mut findings);
            // A layout with faults of its own would only repeat them on each board.
            if findings.0.len() == before {
                let places = written
                    .partitions
                    .iter()
                    .map(|partition| file.place(partition.label.span.clone()));
                partitions.insert(name.clone(), places.collect::<Vec<_>>());
            }
            project
                .layout_origins
                .insert(name.clone(), written.origins(&file));
            project.layouts.insert(name, layout);
        }
        if let Some(fleet) = fleet {
            project.fleet = fleet;
        }
        project.check_cards(&partitions, &mut findings);
        findings.sort();
        findings.or_value(project)
    }

    /// Holds each layout against each board that some node brings it together with.
    fn check_cards(&self, partitions: &BTreeMap<String, Vec<Place>>, findings: &mut Findings) {
        let mut seen = BTreeSet::new();
        for node in &self.fleet.nodes {
            let pair = (
                self.layouts.get(&node.layout),
                partitions.get(&node.layout),
                self.boards.get(&node.board),
                node.origins.iter().find(|origin| origin.name == "board"),
            );
            if let (Some(layout), Some(places), Some(board), Some(origin)) = pair
                && seen.insert((&node.layout, &node.board))
            {
                check_fit(layout, places, board, &origin.place, findings);
            }
        }
    }

    /// The node called `name`; the finding about an unknown one says which was probably meant.
    pub fn node(&self, name: &str) -> Result<&Node, Finding> {
        self.fleet
            .nodes
            .iter()
            .find(|node| node.name == name)
            .ok_or_else(|| {
                let names = self.fleet.nodes.iter().map(|node| node.name.as_str());
                Finding::new(format!("there is no node {}", quoted(name))).hint(suggest(name, names))
            })
    }
}

/// `path` below `root` as `T`, or `None` with what is wrong.
fn load<T: DeserializeOwned + JsonSchema>(
    root: &Path,
    path: &Path,
    findings: &mut Findings,
) -> Option<Loaded<T>> {
    let file = findings.keep(SourceFile::load(root, path))?;
    let written = document::parse(&file, findings)?;
    Some(Loaded { file, written })
}

/// `boards/*/board.toml` by the folder's name. A board whose file has faults is still known by its name.
fn load_boards(root: &Path, findings: &mut Findings) -> BTreeMap<String, Option<Loaded<BoardToml>>> {
    let mut boards = BTreeMap::new();
    for (name, path) in entries(root, Path::new("boards"), findings) {
        if root.join(&path).is_dir() {
            check_entry_name(&name, &path, "board", findings);
            let board = load(root, &path.join("board.toml"), findings);
            boards.insert(name, board);
        }
    }
    boards
}

/// `images/layouts/*.toml` by the file's name without `.toml`.
fn load_layouts(root: &Path, findings: &mut Findings) -> BTreeMap<String, Option<Loaded<LayoutToml>>> {
    let mut layouts = BTreeMap::new();
    for (name, path) in entries(root, Path::new("images/layouts"), findings) {
        if let Some(name) = name.strip_suffix(".toml") {
            check_entry_name(name, &path, "layout", findings);
            layouts.insert(name.to_owned(), load(root, &path, findings));
        }
    }
    layouts
}

/// A name that is taken from a path obeys the rules of names.
fn check_entry_name(name: &str, path: &Path, what: &str, findings: &mut Findings) {
    if let Some(fault) = name_fault(name) {
        findings.push(
            Finding::new(format!(
                "`{}`: {what} name {} {fault}",
                path.display(),
                quoted(name)
            ))
            .hint("names are lower-case letters, digits and inner hyphens, 63 at most"),
        );
    }
}

/// The entries of a folder, by name, without hidden ones.
fn entries(root: &Path, folder: &Path, findings: &mut Findings) -> Vec<(String, PathBuf)> {
    let read = std::fs::read_dir(root.join(folder)).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<Vec<_>, _>>()
    });
    let names = read.map_err(|error| {
        Finding::new(format!("cannot read folder `{}`: {error}", folder.display()))
            .hint("a project has `boards/`, `images/fleet.toml` and `images/layouts/`; is this its root?")
    });
    let mut entries = Vec::new();
    for name in findings.keep(names).unwrap_or_default() {
        match name.into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => entries.push((name.clone(), folder.join(name))),
            Err(name) => findings.push(
                Finding::new(format!(
                    "the name {name:?} in `{}` is not UTF-8",
                    folder.display()
                ))
                .hint("rename or remove it"),
            ),
        }
    }
    entries.sort();
    entries
}
