//! `portadc list` and `portadc eject`: what there is, and whose it is.

use anyhow::Result;
use model::files::PartKind;
use model::finding::Findings;
use model::project::Project;
use serde_json::json;

use crate::arguments::Common;
use crate::output::{Coded, USAGE, print, print_json, table};
use crate::workplace;

/// Lists nodes and parts.
pub fn run(common: &Common) -> Result<()> {
    let project = workplace::project(common)?;
    let parts = parts(&project)?;
    if common.json {
        let nodes = project.fleet.nodes.iter().map(|node| {
            let containers = project.fleet.containers.iter();
            let own = containers.filter(|container| container.node == node.name);
            json!({
                "name": node.name,
                "role": node.role,
                "board": node.board,
                "layout": node.layout,
                "address": node.address,
                "cluster": node.cluster,
                "gateway": node.internet.is_some(),
                "containers": own.map(|container| &container.name).collect::<Vec<_>>(),
            })
        });
        let parts = parts.iter().map(|part| {
            json!({
                "part": part.reference,
                "origin": part.origin,
                "path": part.path,
                "description": part.description,
            })
        });
        return print_json(&json!({
            "fleet": project.fleet.name,
            "nodes": nodes.collect::<Vec<_>>(),
            "parts": parts.collect::<Vec<_>>(),
        }));
    }
    let mut nodes = vec![
        ["node", "role", "board", "layout", "address"]
            .map(str::to_owned)
            .to_vec(),
    ];
    nodes.extend(project.fleet.nodes.iter().map(|node| {
        let address = node.address_text();
        [&node.name, &node.role, &node.board, &node.layout, &address]
            .map(String::clone)
            .to_vec()
    }));
    let mut rows = vec![["part", "of", ""].map(str::to_owned).to_vec()];
    rows.extend(
        parts
            .into_iter()
            .map(|part| vec![part.reference, part.origin.to_owned(), part.description]),
    );
    print(&format!("{}\n{}", table(&nodes, &[]), table(&rows, &[])))
}

/// Copies a stock part into the project.
pub fn eject(common: &Common, part: Option<&str>) -> Result<()> {
    let folder = workplace::project_folder(common)?;
    let files = stock::files(&folder);
    let Some(part) = part else {
        let all = PartKind::ALL.into_iter().flat_map(|kind| {
            let names = files.stock_names(kind).into_iter();
            names.map(move |name| kind.reference(name))
        });
        let all: Vec<_> = all.collect();
        let message = format!("name the part to copy: {}", all.join(", "));
        return Err(Coded { code: USAGE, message }.into());
    };
    let place = stock::eject(&files, part)?;
    if common.json {
        return print_json(&json!({ "part": part, "path": place }));
    }
    if !common.quiet {
        print(&format!(
            "{} is used in place of the stock one\n",
            folder.join(place).display()
        ))?;
    }
    Ok(())
}

/// A board, a layout, an overlay or a piece of the kernel's configuration.
struct Part {
    reference: String,
    origin: &'static str,
    path: std::path::PathBuf,
    description: String,
}

/// All that a fleet of the project can name.
fn parts(project: &Project) -> Result<Vec<Part>, Findings> {
    let mut findings = Findings::default();
    let mut all = Vec::new();
    for kind in PartKind::ALL {
        for (name, path) in project.files.parts(kind, &mut findings) {
            let description = match kind {
                PartKind::Board => project.boards.get(&name).map(|board| &board.description),
                PartKind::Overlay => project.overlays.get(&name).map(|overlay| &overlay.description),
                PartKind::Layout | PartKind::Fragment | PartKind::Kernel => None,
            };
            all.push(Part {
                reference: kind.reference(&name),
                origin: project
                    .files
                    .origin(kind, &name)
                    .map_or("", |origin| origin.text()),
                path,
                description: description.cloned().unwrap_or_default(),
            });
        }
    }
    findings.or_value(all)
}
