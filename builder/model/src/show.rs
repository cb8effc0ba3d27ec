//! Each value of a node and where it was written; what the buses draw.

use std::path::PathBuf;

use serde::Serialize;

use crate::files::PartKind;
use crate::finding::Finding;
use crate::fleet::{BusPower, Milli, Node, Origin};
use crate::project::Project;

/// A value of a node, as people and programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The value's name (`address`).
    pub name: String,
    /// The value as text.
    pub value: String,
    /// The file that says it, relative to the project's root.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// How the value came about, where it was not written literally for this node.
    pub note: Option<String>,
}

impl From<&Origin> for Shown {
    fn from(origin: &Origin) -> Self {
        Self {
            name: origin.name.clone(),
            value: origin.value.clone(),
            file: origin.place.file.path.clone(),
            line: origin.place.line_column().0,
            note: origin.note.clone(),
        }
    }
}

/// Each value of the node called `name`: its own, then those of its board and of its layout; then the parts that it is made of.
pub fn values(project: &Project, name: &str) -> Result<Vec<Shown>, Finding> {
    let node = project.node(name)?;
    let board = project.board_origins.get(&node.board);
    let layout = project.layout_origins.get(&node.layout);
    let all = node
        .origins
        .iter()
        .chain(board.into_iter().flatten())
        .chain(layout.into_iter().flatten());
    Ok(all.map(Shown::from).chain(parts(project, node)).collect())
}

/// The parts that `node` is made of: each with the file that says what it is, and whose that is.
fn parts(project: &Project, node: &Node) -> Vec<Shown> {
    let role = project.fleet.roles.get(&node.role);
    let overlays = role.into_iter().flat_map(|role| &role.overlays);
    let image = role.into_iter().flat_map(|role| &role.container_image);
    let image = image.map(|overlay| &overlay.value);
    let overlays: Vec<&String> = overlays.chain(image).collect();
    let mut parts = vec![(PartKind::Board, &node.board), (PartKind::Layout, &node.layout)];
    for (index, overlay) in overlays.iter().enumerate() {
        // One may be both the node's and its containers'.
        if !overlays[..index].contains(overlay) {
            parts.push((PartKind::Overlay, overlay));
        }
    }
    let fragments = &project.kernel.fragments;
    parts.extend(fragments.iter().map(|name| (PartKind::Fragment, name)));
    let shown = |(kind, name): (PartKind, &String)| Shown {
        name: "part".to_owned(),
        value: kind.reference(name),
        file: kind.main_file(project.files.part(kind, name)),
        line: 1,
        note: project
            .files
            .origin(kind, name)
            .map(|origin| origin.text().to_owned()),
    };
    let kernel = "kernel".to_owned();
    parts.push((PartKind::Kernel, &kernel));
    parts.into_iter().map(shown).collect()
}

/// The values as text, a line each: name, value, place and note in columns.
pub fn text(values: &[Shown]) -> String {
    let places: Vec<_> = values
        .iter()
        .map(|shown| format!("{}:{}", shown.file.display(), shown.line))
        .collect();
    let width =
        |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let names = width(&mut values.iter().map(|shown| shown.name.as_str()));
    // One long value must not push every place off the screen.
    let contents = width(&mut values.iter().map(|shown| shown.value.as_str())).min(WIDEST);
    let files = width(&mut places.iter().map(String::as_str));
    let mut lines = String::new();
    for (shown, place) in values.iter().zip(&places) {
        let note = shown.note.as_deref().unwrap_or_default();
        let line = format!(
            "{:names$}  {:contents$}  {place:files$}  {note}",
            shown.name, shown.value
        );
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// What each bus draws, a line each under a head: amperes, and watts at the supply's voltage.
pub fn power_text(buses: &[BusPower]) -> String {
    let mut rows =
        vec![["bus", "nodes", "idle", "", "at worst", "", "supply", "", "load"].map(str::to_owned)];
    rows.extend(buses.iter().map(|bus| {
        let amperes = |current: Milli| format!("{current} A");
        let watts = |current: Milli| format!("{} W", bus.watts(current));
        [
            bus.cluster.clone(),
            bus.nodes.to_string(),
            amperes(bus.idle),
            watts(bus.idle),
            amperes(bus.worst),
            watts(bus.worst),
            amperes(bus.supply),
            watts(bus.supply),
            format!("{} %", bus.load()),
        ]
    }));
    let widths: [usize; 9] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The same as a JSON array, in milliamperes and milliwatts.
pub fn power_json(buses: &[BusPower]) -> serde_json::Value {
    let bus = |bus: &BusPower| {
        serde_json::json!({
            "cluster": bus.cluster,
            "nodes": bus.nodes,
            "idle-milliamperes": bus.idle.0,
            "idle-milliwatts": bus.watts(bus.idle).0,
            "worst-milliamperes": bus.worst.0,
            "worst-milliwatts": bus.watts(bus.worst).0,
            "supply-milliamperes": bus.supply.0,
            "supply-milliwatts": bus.watts(bus.supply).0,
        })
    };
    buses.iter().map(bus).collect()
}

/// Widest column of values, in characters.
const WIDEST: usize = 48;

/// The values as a JSON array of name, value, file, line and note.
pub fn json(values: &[Shown]) -> serde_json::Value {
    serde_json::json!(values)
}
