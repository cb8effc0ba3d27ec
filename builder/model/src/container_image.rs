//! The rules of container images, which a layout has room for and a role fills.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Findings};
use crate::fleet::{Fleet, Node, Origin, Role};
use crate::layout::{CONTAINER_IMAGE, CheckedLayout, Layout};
use crate::names::quoted;

/// Holds the container images of roles against the `layouts` of their cards.
pub(crate) fn check_container_images(
    fleet: &Fleet,
    layouts: &BTreeMap<String, CheckedLayout>,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for node in &fleet.nodes {
        let (Some(role), Some(checked)) = (fleet.roles.get(&node.role), layouts.get(&node.layout)) else {
            continue;
        };
        if checked.sound && seen.insert((&node.role, &node.layout)) {
            check_pair(node, role, &checked.layout, &checked.origins, findings);
        }
    }
}

/// A layout has a container image where a role of its cards says what is in it, and nowhere else.
fn check_pair(node: &Node, role: &Role, layout: &Layout, origins: &[Origin], findings: &mut Findings) {
    let chosen = |name: &str| node.origins.iter().find(|origin| origin.name == name);
    let of_layout = origins.iter().find(|origin| origin.name == CONTAINER_IMAGE);
    let name = layout.root().and_then(|root| root.container_image.as_ref());
    match (name, role.container_image.first()) {
        (Some(name), None) => {
            let mut finding = Finding::new(format!(
                "layout {} has the container image {}, but role {} does not say what is in it",
                quoted(&layout.name),
                quoted(name),
                quoted(&role.name)
            ))
            .hint(format!(
                "add `container-image = [\"container\"]` to [roles.{}], or give its nodes a layout without one",
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
                "role {} has a container image, but its layout {} has no subvolume for it",
                quoted(&role.name),
                quoted(&layout.name)
            ))
            .at(first.place.clone())
            .hint(format!(
                "add {{ name = \"@template\", container-image = true }} to the subvolumes of \
                 `images/layouts/{}.toml`, or leave out `container-image`",
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
