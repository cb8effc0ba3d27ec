//! Overlays over each other, and what they take away from the layers below.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use formats::layer::{Body, Entry, Layer};
use formats::tree::{InodeId, Tree};
use model::finding::{Finding, Findings, SourceFile};
use model::overlay::{Overlay, OverlayEntry, Source, TargetPath};

/// What the overlays of a role come to.
#[derive(Debug, Default)]
pub(super) struct Merged<'a> {
    /// What is at each path: of two overlays the later's.
    pub entries: BTreeMap<TargetPath, &'a OverlayEntry>,
    /// What goes away from the layers below.
    pub removals: Vec<&'a TargetPath>,
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
            merged
                .entries
                .retain(|target, _| target != path && target.parents().all(|parent| parent != *path));
            merged.removals.push(path);
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

/// Each layer without `removed` and what lies below.
pub(super) fn without_each(layers: Vec<Layer>, removed: &[Vec<u8>]) -> Vec<Layer> {
    layers.into_iter().map(|layer| without(layer, removed)).collect()
}

/// `layer` without `removed` and what lies below. What has other names lives on under the next when its first goes.
pub(super) fn without(layer: Layer, removed: &[Vec<u8>]) -> Layer {
    if removed.is_empty() {
        return layer;
    }
    let removed: HashSet<&[u8]> = removed.iter().map(Vec::as_slice).collect();
    let is_gone = |path: &[u8]| {
        let ends = (0..path.len())
            .filter(|end| path[*end] == b'/')
            .chain([path.len()]);
        ends.into_iter().any(|end| removed.contains(&path[..end]))
    };
    let (gone, mut kept): (Vec<Entry>, Vec<Entry>) =
        layer.entries.into_iter().partition(|entry| is_gone(&entry.path));
    let bodies: HashMap<&[u8], &Body> = gone.iter().map(|entry| (&entry.path[..], &entry.body)).collect();
    let mut moved: HashMap<&[u8], Vec<u8>> = HashMap::new();
    for entry in &mut kept {
        let Body::Hardlink(target) = &entry.body else {
            continue;
        };
        let Some((first, body)) = bodies.get_key_value(&target[..]) else {
            continue;
        };
        entry.body = match moved.get(first) {
            Some(new) => Body::Hardlink(new.clone()),
            None => {
                moved.insert(first, entry.path.clone());
                (*body).clone()
            }
        };
    }
    Layer {
        entries: kept,
        blob: layer.blob,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use formats::layer::{Attributes, Compression, Inline, LayerBuilder, Packing};

    use super::*;

    #[test]
    fn what_loses_its_first_name_keeps_the_others() {
        let packing = Packing {
            compression: Compression::None,
            inline: Inline::Smallest,
            jobs: NonZeroUsize::MIN,
        };
        let mut layer = LayerBuilder::in_memory(packing).unwrap();
        layer
            .symlink(b"gone/link", Attributes::default(), b"target")
            .unwrap();
        layer.fifo(b"gone/pipe", Attributes::default()).unwrap();
        for (name, first) in [("a", "link"), ("b", "link"), ("c", "pipe")] {
            let first = format!("gone/{first}");
            layer.hardlink(name.as_bytes(), first.as_bytes()).unwrap();
        }
        let left = without(layer.finish_layer().unwrap(), &[b"gone".to_vec()]);
        let bodies: Vec<Body> = left.entries.into_iter().map(|entry| entry.body).collect();
        assert_eq!(
            bodies,
            [
                Body::Symlink(b"target".to_vec()),
                Body::Hardlink(b"a".to_vec()),
                Body::Fifo
            ]
        );
    }
}
