//! What can be said about the overlays of a project before anything is built: every template is rendered for every
//! node, with keys and identifiers that stand for the real ones.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use model::finding::{Finding, Findings};
use model::fleet::Role;
use model::overlay::{Overlay, Source};
use model::project::Project;

use super::context::{NodeInputs, PartitionIds, Shared};
use super::faults;
use super::merge::merge;
use super::render::Renderer;
use super::stand_ins::{StandIns, secrets};

/// Lays the overlays of each role, and those of its container image, over each other and renders their templates.
/// One that fails for many nodes is told of once, for the first of them.
pub fn check_overlays(project: &Project) -> Result<Findings> {
    let stand_ins = StandIns::of(project);
    let card = PartitionIds {
        boot_partuuid: "00000001-01".to_owned(),
        root_partuuid: "00000001-02".to_owned(),
    };
    let mut findings = Findings::default();
    let mut renderers = BTreeMap::new();
    let mut templates = BTreeMap::new();
    for (name, role) in &project.fleet.roles {
        let overlay = |name: &String| project.overlays.get(name);
        let own_vars = project.fleet.own_vars(name);
        let overlays: Vec<&Overlay> = role.overlays.iter().filter_map(overlay).collect();
        let renderer = merge(&overlays).and_then(|merged| Renderer::new(merged.templates(), &own_vars));
        if let Some(renderer) = findings.keep_all(renderer) {
            renderers.insert(name, renderer);
        }
        let names = role.container_image.iter().map(|name| &name.value);
        let overlays: Vec<&Overlay> = names.filter_map(overlay).collect();
        let renderer = merge(&overlays)
            .and_then(|merged| Renderer::new(merged.templates(), &own_vars))
            .and_then(Renderer::of_no_node);
        if let Some(renderer) = findings.keep_all(renderer) {
            templates.insert(name, renderer);
        }
    }
    let mut kinds = BTreeMap::new();
    let mut failed = BTreeSet::new();
    for node in &project.fleet.nodes {
        let (Some(renderer), Some(role), Some(board), Some(layout)) = (
            renderers.get(&node.role),
            project.fleet.roles.get(&node.role),
            project.boards.get(&node.board),
            project.layouts.get(&node.layout),
        ) else {
            continue;
        };
        let shared: &Shared<'_> = match kinds.entry((&node.role, &node.board, &node.layout)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let overlays = role.overlays.iter().filter_map(|name| project.overlays.get(name));
                let subvolumes = overlays.flat_map(|overlay| &overlay.subvolumes);
                let shared = Shared::new(
                    &project.fleet,
                    role,
                    board,
                    layout.with(subvolumes.map(|subvolume| &subvolume.value)),
                    &stand_ins.operator,
                    &stand_ins.known,
                );
                let context = Renderer::prepare(&shared.of_role())?;
                for renderer in [Some(renderer), templates.get(&node.role)].into_iter().flatten() {
                    findings.keep_all(renderer.render_shared(&context));
                }
                entry.insert(shared)
            }
        };
        let inputs = NodeInputs {
            node,
            identity: &stand_ins.identity,
            containers: &stand_ins.containers,
            secrets: &secrets(project, node)?,
            card: &card,
        };
        let context = Renderer::prepare(&shared.of_node(&inputs, renderer.own_need_all()))?;
        let paths = renderer.own_paths();
        for path in paths
            .filter(|path| !failed.contains(&(&node.role, *path)))
            .collect::<Vec<_>>()
        {
            let rendered = renderer.render(path, &node.name, &context);
            if findings.keep(rendered).is_none() {
                failed.insert((&node.role, path));
            }
        }
    }
    for overlay in project.overlays.values() {
        let is_used = |role: &Role| {
            let mut names = role
                .overlays
                .iter()
                .chain(role.container_image.iter().map(|name| &name.value));
            names.any(|name| *name == overlay.name)
        };
        if project.fleet.roles.values().any(is_used) {
            findings.0.extend(missed_braces(overlay));
        }
    }
    findings.sort();
    // Roles that share an overlay share its faults.
    findings.0.dedup();
    Ok(findings)
}

/// Tells of variables in the templates of `overlay` that have one brace around them instead of two: they stay as they are.
fn missed_braces(overlay: &Overlay) -> Vec<Finding> {
    let templates = overlay.entries.values().filter_map(|entry| match &entry.source {
        Source::Template(file) => Some(file),
        _ => None,
    });
    let missed = templates.flat_map(|file| {
        faults::single_braces(&file.text).into_iter().map(|span| {
            let inner = file.text[span.clone()].trim_matches(['{', '}', ' ']);
            let message = format!("`{}` is no variable: it stays as it is", &file.text[span.clone()]);
            Finding::warning(message)
                .at(file.place(span))
                .hint(format!("a variable has two braces: `{{{{{inner}}}}}`"))
        })
    });
    missed.collect()
}
