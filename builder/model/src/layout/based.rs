//! The layouts of a project: those that are whole, and those that say what they differ in from one of these.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::check_layout;
use super::toml::{CONTAINER_IMAGE, LayoutToml, SUBVOLUME};
use super::{Layout, Subvolume};
use crate::check::Check;
use crate::finding::{Finding, Findings, Place, SourceFile};
use crate::names::{quoted, suggest};
use crate::written::Origin;

/// A layout with what is known of how it was written.
#[derive(Debug, Clone)]
pub(crate) struct CheckedLayout {
    /// The layout.
    pub layout: Layout,
    /// Where each of its values was written.
    pub origins: Vec<Origin>,
    /// Where its partitions were written, in their order.
    pub places: Vec<Place>,
    /// Whether it has no faults of its own; one that has would only repeat them on each board.
    pub sound: bool,
}

/// Holds each layout against its rules, by name: first those that are whole, then those that are based on one of them.
pub(crate) fn check_layouts(
    written: impl IntoIterator<Item = (String, Arc<SourceFile>, LayoutToml)>,
    findings: &mut Findings,
) -> BTreeMap<String, CheckedLayout> {
    let (based, whole): (Vec<_>, Vec<_>) = written
        .into_iter()
        .partition(|(_, _, written)| written.based_on.is_some());
    let mut layouts = BTreeMap::new();
    for (name, file, written) in whole {
        let before = findings.errors();
        let layout = check_layout(&name, &file, &written, findings);
        let partitions = written.partitions.iter().flatten();
        let checked = CheckedLayout {
            layout,
            origins: written.origins(&file),
            places: partitions
                .map(|partition| file.place(partition.label.span.clone()))
                .collect(),
            sound: findings.errors() == before,
        };
        layouts.insert(name, checked);
    }
    let mut derived = BTreeMap::new();
    for (name, file, written) in &based {
        let Some(base_name) = &written.based_on else {
            continue;
        };
        if let Some(base) = layouts.get(&base_name.value) {
            derived.insert(name.clone(), derive(name, file, written, base, findings));
            continue;
        }
        let message = match based.iter().any(|(other, ..)| *other == base_name.value) {
            true => format!("layout {} is based on another one itself", quoted(base_name)),
            false => format!("there is no layout {}", quoted(base_name)),
        };
        findings.push(
            Finding::new(message)
                .at(file.place(base_name.span.clone()))
                .hint(suggest(base_name, layouts.keys().map(String::as_str))),
        );
    }
    layouts.extend(derived);
    layouts
}

/// The layout that is `base` but for what is `written`.
fn derive(
    name: &str,
    file: &Arc<SourceFile>,
    written: &LayoutToml,
    base: &CheckedLayout,
    findings: &mut Findings,
) -> CheckedLayout {
    let before = findings.errors();
    let layout = derive_layout(name, file, written, &base.layout, findings);
    let is_left_out = |origin: &&Origin| {
        let subvolume = origin.value.split(' ').next().unwrap_or_default();
        [SUBVOLUME, CONTAINER_IMAGE].contains(&origin.name.as_str())
            && written.without.iter().any(|left_out| left_out.value == subvolume)
    };
    CheckedLayout {
        layout,
        origins: base
            .origins
            .iter()
            .filter(|origin| !is_left_out(origin))
            .cloned()
            .collect(),
        places: base.places.clone(),
        sound: base.sound && findings.errors() == before,
    }
}

/// The layout that is `base` but for what is `written`.
fn derive_layout(
    name: &str,
    file: &Arc<SourceFile>,
    written: &LayoutToml,
    base: &Layout,
    findings: &mut Findings,
) -> Layout {
    let check = &mut Check { file, findings };
    if let Some(partition) = written.partitions.iter().flatten().next() {
        check
            .found(
                &partition.label.span,
                format!("the partitions are those of layout {}", quoted(&base.name)),
            )
            .hint("leave out `partitions`, or `based-on`");
    }
    check.distinct(&written.without, "subvolume");
    let root = base.root();
    let of_base = root.map_or(&[][..], |root| &root.subvolumes);
    let image = root.and_then(|root| root.container_image.as_deref());
    let known = of_base.iter().map(|subvolume| subvolume.name.as_str());
    let known: Vec<&str> = known.chain(image).collect();
    for left_out in &written.without {
        let is_root = |subvolume: &&Subvolume| subvolume.mount == "/" && subvolume.name == left_out.value;
        if !known.contains(&left_out.as_str()) {
            let message = format!(
                "layout {} has no subvolume {}",
                quoted(&base.name),
                quoted(left_out)
            );
            check
                .found(&left_out.span, message)
                .hint(suggest(left_out, known.iter().copied()));
        } else if of_base.iter().any(|subvolume| is_root(&subvolume)) {
            check
                .found(
                    &left_out.span,
                    format!("{} is the root of a node", quoted(left_out)),
                )
                .hint("no card can be without it");
        }
    }
    let mut layout = Layout {
        name: name.to_owned(),
        ..base.clone()
    };
    if let Some(root) = layout.root_mut() {
        let stays = |name: &str| written.without.iter().all(|left_out| left_out.value != name);
        root.subvolumes.retain(|subvolume| stays(&subvolume.name));
        root.container_image = root.container_image.take().filter(|name| stays(name));
    }
    layout
}
