//! The rules of templates of containers, which a layout has room for and a role fills.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Findings};
use crate::fleet::{Fleet, Node, Origin, Role};
use crate::layout::{Layout, TEMPLATE};
use crate::names::quoted;
use crate::overlay::{Overlay, Source};

/// Holds the templates of roles against the `layouts` of their cards, those without faults, and against their overlays.
pub(crate) fn check_templates(
    fleet: &Fleet,
    layouts: &BTreeMap<&str, &Layout>,
    layout_origins: &BTreeMap<String, Vec<Origin>>,
    overlays: &BTreeMap<String, Option<Overlay>>,
    findings: &mut Findings,
) {
    for role in fleet.roles.values() {
        check_overlays(role, overlays, findings);
    }
    let mut seen = BTreeSet::new();
    for node in &fleet.nodes {
        let (Some(role), Some(layout), Some(origins)) = (
            fleet.roles.get(&node.role),
            layouts.get(node.layout.as_str()),
            layout_origins.get(&node.layout),
        ) else {
            continue;
        };
        if seen.insert((&node.role, &node.layout)) {
            check_pair(node, role, layout, origins, findings);
        }
    }
}

/// A layout has a template where a role of its cards says what is in it, and nowhere else.
fn check_pair(node: &Node, role: &Role, layout: &Layout, origins: &[Origin], findings: &mut Findings) {
    let chosen = |name: &str| node.origins.iter().find(|origin| origin.name == name);
    let of_layout = origins.iter().find(|origin| origin.name == TEMPLATE);
    let name = layout.root().and_then(|root| root.template.as_ref());
    match (name, role.template.first()) {
        (Some(name), None) => {
            let mut finding = Finding::new(format!(
                "layout {} has the template {}, but role {} does not say what is in it",
                quoted(&layout.name),
                quoted(name),
                quoted(&role.name)
            ))
            .hint(format!(
                "add `template = [\"container\"]` to [roles.{}], or give its nodes a layout without a template",
                role.name
            ));
            if let Some(origin) = of_layout {
                finding = finding.at(origin.place.clone());
            }
            findings.push(match chosen("role") {
                Some(origin) => finding.related(origin.place.clone(), "the role of such nodes"),
                None => finding,
            });
        }
        (None, Some(first)) => {
            let finding = Finding::new(format!(
                "role {} has a template, but its layout {} has no subvolume for it",
                quoted(&role.name),
                quoted(&layout.name)
            ))
            .at(first.place.clone())
            .hint(format!(
                "add {{ name = \"@template\", template = true }} to the subvolumes of \
                 `images/layouts/{}.toml`, or leave out `template`",
                layout.name
            ));
            findings.push(match chosen("layout") {
                Some(origin) => finding.related(origin.place.clone(), "the layout of such nodes"),
                None => finding,
            });
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}

/// What is rendered for a node cannot be in a template: it is one for all nodes.
fn check_overlays(role: &Role, overlays: &BTreeMap<String, Option<Overlay>>, findings: &mut Findings) {
    for name in &role.template {
        let Some(Some(overlay)) = overlays.get(&name.value) else {
            continue;
        };
        let mut rendered = overlay
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.source, Source::Template(_)));
        let Some((path, entry)) = rendered.next() else {
            continue;
        };
        let more = match rendered.count() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let finding = Finding::new(format!(
            "overlay {} renders `{path}`{more} for each node, but a template of containers is one for all nodes",
            quoted(&overlay.name)
        ))
        .at(name.place.clone())
        .hint(format!(
            "`{}` would have to be a plain file below `files/`, or the overlay be left out of `template`",
            entry.origin
        ));
        findings.push(finding);
    }
}
