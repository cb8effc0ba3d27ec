//! Overlays over each other, and what they take away from the layers below.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use formats::layer::Layer;
use formats::tree::{InodeId, Tree};
use model::finding::{Finding, Findings, SourceFile};
use model::overlay::{Overlay, OverlayEntry, Placed, Source, TargetPath};

/// What the overlays of a role come to.
#[derive(Debug, Default)]
pub(super) struct Merged<'a> {
    /// What is at each path: of two overlays the later's.
    pub entries: BTreeMap<TargetPath, &'a OverlayEntry>,
    /// What goes away from the layers below.
    pub removals: Vec<&'a TargetPath>,
    /// Those of them that took nothing from the overlays before.
    pub unmet: Vec<&'a Placed<TargetPath>>,
}

impl Merged<'_> {
    /// The templates by the path that each is rendered to.
    pub fn templates(&self) -> impl Iterator<Item = (TargetPath, Arc<SourceFile>)> {
        self.entries
            .iter()
            .filter_map(|(path, entry)| match &entry.source {
                Source::Template(file) => Some((path.clone(), file.clone())),
                _ => None,
            })
    }
}

/// Lays overlays over each other, first to last.
pub(super) fn merge<'a>(overlays: &[&'a Overlay]) -> Result<Merged<'a>, Findings> {
    let mut merged = Merged::default();
    for overlay in overlays {
        for removal in &overlay.removals {
            let path = &removal.value;
            let before = merged.entries.len();
            merged
                .entries
                .retain(|target, _| target != path && target.parents().all(|parent| parent != *path));
            merged.removals.push(path);
            if merged.entries.len() == before {
                merged.unmet.push(removal);
            }
        }
        for (path, entry) in &overlay.entries {
            merged.entries.insert(path.clone(), entry);
        }
    }
    let mut findings = Findings::default();
    for (path, entry) in &merged.entries {
        for parent in path.parents() {
            if let Some(above) = merged.entries.get(&parent)
                && !matches!(above.source, Source::Directory)
            {
                findings.push(Finding::new(format!(
                    "`{path}` ({}) lies in `{parent}`, which {} makes something else than a directory",
                    entry.origin, above.origin
                )));
            }
        }
    }
    findings.or_value(merged)
}

/// The paths that `removals` mean in the layers of `tree`: symbolic links above the last component are followed. What
/// is not there needs no removal.
pub(super) fn real_paths(tree: &Tree, removals: &[&TargetPath]) -> Vec<Vec<u8>> {
    if removals.is_empty() {
        return Vec::new();
    }
    let folders: HashMap<InodeId, Vec<u8>> = tree
        .walk()
        .filter(|(_, id)| tree.names(*id).is_some())
        .map(|(path, id)| (id, path))
        .collect();
    removals
        .iter()
        .filter_map(|removal| {
            let relative = removal.relative().as_bytes();
            let Some(slash) = relative.iter().rposition(|byte| *byte == b'/') else {
                return Some(relative.to_vec());
            };
            let folder = tree.directory(&relative[..slash])?;
            let mut path = folders.get(&folder)?.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&relative[slash + 1..]);
            Some(path)
        })
        .collect()
}

/// Paths as a file of the cache has them: each followed by a NUL.
pub(super) fn to_list(paths: &[Vec<u8>]) -> Vec<u8> {
    paths
        .iter()
        .flat_map(|path| path.iter().chain(&[0]))
        .copied()
        .collect()
}

/// The paths of such a file.
pub(super) fn from_list(list: &[u8]) -> Vec<Vec<u8>> {
    let paths = list.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(<[u8]>::to_vec).collect()
}

/// Each layer without `removed` and what lies below.
pub(super) fn without_each(layers: Vec<Layer>, removed: &[Vec<u8>]) -> Vec<Layer> {
    layers.into_iter().map(|layer| layer.without(removed)).collect()
}
