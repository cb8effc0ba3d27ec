//! Overlays over layers: what goes away from those, and the one layer that comes over them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use engine::Engine;
use engine::tarball::packing;
use formats::layer::{Attributes, Body, Entry, Layer, LayerBuilder, Packing};
use formats::tree::{InodeKind, Share, Tree};
use formats::units::Time;
use model::finding::{Finding, Findings, Place};
use model::names::slip;
use model::overlay::{Overlay, Placed, Source, TargetPath};
use model::sources::{Init, Platform};

use super::accounts::{Accounts, SHADOW, lock_passwords, read_text};
use super::merge::{Merged, real_paths, without_each};
use super::runlevels::runlevel_links;
use super::units::{UnitError, UnitLinks, known_units};

/// Overlays to be laid over layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overlays<'o, 'i> {
    /// First to last.
    pub overlays: &'i [&'o Overlay],
    /// The same as one.
    pub merged: &'i Merged<'o>,
    /// What of it is laid on each node by itself, as what templates make for a node is.
    pub own: &'i BTreeSet<TargetPath>,
    /// What their templates make that know of no node.
    pub rendered: &'i BTreeMap<&'i TargetPath, String>,
    /// Folders that have to be there, relative to the root.
    pub folders: &'i [&'i str],
    /// The level at which files are compressed; 0 stores everything raw.
    pub zstd: u8,
    /// The time that everything made here gets.
    pub time: Time,
    /// What the base is.
    pub platform: Platform,
}

/// Overlays that were laid over layers.
pub(super) struct Overlaid {
    /// The layers below, less what the overlays take away.
    pub below: Vec<Layer>,
    /// Files, directories, links and units of the overlays; folders; locked passwords.
    pub layer: Layer,
    /// The paths that went away from the layers below.
    pub removed: Vec<Vec<u8>>,
    /// Owner and mode of everything that they bring.
    pub attributes: BTreeMap<TargetPath, Attributes>,
}

impl Overlays<'_, '_> {
    /// Lays the overlays over `below`, first to last.
    pub fn over(&self, engine: &Engine, below: Vec<Layer>) -> Result<Overlaid> {
        let base = stack(&below, self.time)?;
        for removal in &self.merged.unmet {
            tell_of_unmet(&base, removal, engine);
        }
        let removed = real_paths(&base, &self.merged.removals);
        let below = without_each(below, &removed);
        let tree = stack(&below, self.time)?;
        let attributes = attributes(self.merged, &Accounts::read(&tree, self.merged)?, self.time)?;
        let packing = packing(engine, self.zstd)?;
        let files = file_layer(packing, &attributes, &tree, self)?;
        let (layer, disabled) = with_services(files, &below, engine, self)?;
        Ok(Overlaid {
            below: without_each(below, &disabled),
            layer,
            removed: [removed, disabled].concat(),
            attributes,
        })
    }
}

/// Tells of a path that is to go away and is not there, where one beside it has almost its name: else the base may be another.
fn tell_of_unmet(base: &Tree, removal: &Placed<TargetPath>, engine: &Engine) {
    let path = removal.value.relative();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if base.lookup(path.as_bytes()).is_some() {
        return;
    }
    let Some(names) = base.directory(folder.as_bytes()).and_then(|id| base.names(id)) else {
        return;
    };
    let names: Vec<_> = names
        .keys()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    if let Some(near) = slip(name, names.iter().map(String::as_str)) {
        engine.progress.say(format!(
            "warning: {}: there is no /{path} to remove: did you mean /{folder}/{near}?",
            removal.place
        ));
    }
}

/// All of `layers`, which are the role's, as one tree.
pub(super) fn stack<'l>(layers: impl IntoIterator<Item = &'l Layer>, time: Time) -> Result<Tree> {
    let layers: Vec<_> = layers.into_iter().map(|layer| (layer, Share::Role)).collect();
    Tree::stack(&layers, time).context("the base, the kernel's modules and the overlays do not fit together")
}

/// Owner and mode of everything that the overlays bring.
fn attributes(
    merged: &Merged<'_>,
    accounts: &Accounts,
    time: Time,
) -> Result<BTreeMap<TargetPath, Attributes>, Findings> {
    let mut findings = Findings::default();
    let mut attributes = BTreeMap::new();
    for (path, entry) in &merged.entries {
        if let Some((uid, gid)) = findings.keep(accounts.resolve(&entry.owner)) {
            let attributes_of_entry = Attributes {
                mode: entry.mode,
                uid,
                gid,
                mtime: time,
                ..Attributes::default()
            };
            attributes.insert(path.clone(), attributes_of_entry);
        }
    }
    findings.0.dedup();
    findings.or_value(attributes)
}

/// What the overlays bring beside units and what is each node's own, folders, and passwords that nobody can use.
fn file_layer(
    packing: Packing,
    attributes: &BTreeMap<TargetPath, Attributes>,
    below: &Tree,
    overlays: &Overlays<'_, '_>,
) -> Result<Layer> {
    let merged = overlays.merged;
    let mut layer = LayerBuilder::in_memory(packing)?;
    let shared = merged
        .entries
        .iter()
        .filter(|(path, _)| !overlays.own.contains(path));
    for (path, entry) in shared {
        let name = path.relative().as_bytes();
        let attributes = attributes.get(path).cloned().unwrap_or_default();
        match &entry.source {
            Source::Verbatim(bytes) => layer.file(name, attributes, bytes)?,
            Source::Directory => layer.directory(name, attributes)?,
            Source::Link(target) => layer.symlink(name, attributes, target.as_bytes())?,
            Source::Template(_) => {
                if let Some(text) = overlays.rendered.get(path) {
                    layer.file(name, attributes, text.as_bytes())?;
                }
            }
        }
    }
    let is_given = |path: &str| {
        merged.entries.keys().any(|given| given.relative() == path) || below.lookup(path.as_bytes()).is_some()
    };
    for folder in overlays.folders.iter().filter(|folder| !is_given(folder)) {
        let attributes = Attributes {
            mode: 0o755,
            mtime: overlays.time,
            ..Attributes::default()
        };
        layer.directory(folder.as_bytes(), attributes)?;
    }
    let overlaid = merged.entries.keys().any(|path| path.relative() == SHADOW);
    if let Some(locked) = read_text(below, SHADOW)?
        .filter(|_| !overlaid)
        .and_then(|text| lock_passwords(&text))
        && let Some(id) = below.lookup(SHADOW.as_bytes())
    {
        let attributes = Attributes {
            mtime: overlays.time,
            ..below.inodes[id.0].attributes.clone()
        };
        layer.file(SHADOW.as_bytes(), attributes, locked.as_bytes())?;
    }
    Ok(layer.finish_layer()?)
}

/// `files` with the links that start services, and the links of the base that disabling takes away.
fn with_services(
    files: Layer,
    below: &[Layer],
    engine: &Engine,
    overlays: &Overlays<'_, '_>,
) -> Result<(Layer, Vec<Vec<u8>>)> {
    let tree = stack(below.iter().chain([&files]), overlays.time)?;
    let (added, removed) = match overlays.platform.init {
        Init::Systemd => unit_links(&tree, engine, overlays)?,
        Init::OpenRc => (runlevel_links(overlays.overlays, &tree)?, BTreeSet::new()),
    };
    let removed: Vec<Vec<u8>> = removed.into_iter().map(String::into_bytes).collect();
    let mut layer = files.without(&removed);
    for (path, target) in added {
        let entry = Entry {
            path: path.into_bytes(),
            attributes: Attributes {
                mode: 0o777,
                mtime: overlays.time,
                ..Attributes::default()
            },
            body: Body::Symlink(target.into_bytes()),
        };
        // A link that an overlay declares itself is replaced.
        match layer
            .entries
            .binary_search_by(|other| other.path.cmp(&entry.path))
        {
            Ok(at) => layer.entries[at] = entry,
            Err(at) => layer.entries.insert(at, entry),
        }
    }
    // What a directory of the base is, a link cannot be.
    for entry in &layer.entries {
        if let (Body::Symlink(_), Some(id)) = (&entry.body, tree.lookup(&entry.path))
            && let InodeKind::Directory(_) = tree.inodes[id.0].kind
        {
            bail!(
                "{} is a directory of the base: an overlay cannot make it a link",
                formats::layer::shown(&entry.path)
            );
        }
    }
    Ok((layer, removed))
}

/// The links of the units that the overlays enable and mask, path and target, and those that disabling takes away.
fn unit_links(
    tree: &Tree,
    engine: &Engine,
    overlays: &Overlays<'_, '_>,
) -> Result<(BTreeMap<String, String>, BTreeSet<String>)> {
    let mut links = UnitLinks::new(tree);
    let mut findings = Findings::default();
    for overlay in overlays.overlays {
        let units = overlay.units_on(overlays.platform.distribution);
        let mut nothing_to_do = Vec::new();
        let mut keep = |unit: &str, place: &Place, result: Result<bool, UnitError>| match result {
            Ok(true) => {}
            Ok(false) => nothing_to_do.push(unit.to_owned()),
            Err(error) => {
                let finding = Finding::new(format!("overlay {}: {error}", overlay.name)).at(place.clone());
                let template = overlays.merged.entries.iter().find(|(path, entry)| {
                    matches!(entry.source, Source::Template(_))
                        && path.relative().contains("/systemd/system/")
                        && path.relative().rsplit('/').next() == Some(unit)
                });
                let near = match &error {
                    UnitError::Missing(name) => known_units(tree).nearest_to(name),
                    _ => None,
                };
                let finding = match near {
                    Some(near) => finding.hint(format!("did you mean `{near}`?")),
                    None => finding,
                };
                findings.push(match template {
                    Some((path, _)) => finding.hint(format!(
                        "`{path}` is a template, so its [Install] section could differ by node: make it a plain file, \
                         and what differs a drop-in"
                    )),
                    None => finding,
                });
            }
        };
        for unit in units.clone().flat_map(|units| &units.mask) {
            keep(&unit.value, &unit.place, links.mask(&unit.value));
        }
        for unit in units.clone().flat_map(|units| &units.disable) {
            keep(&unit.value, &unit.place, links.disable(&unit.value));
        }
        for unit in units.flat_map(|units| &units.enable) {
            keep(&unit.value, &unit.place, links.enable(&unit.value).map(|()| true));
        }
        for unit in nothing_to_do {
            let said = format!("overlay {}: nothing brings unit {unit}", overlay.name);
            match known_units(tree).slip_of(&unit) {
                Some(near) => engine
                    .progress
                    .say(format!("warning: {said}: did you mean {near}?")),
                None => engine.progress.detail(said),
            }
        }
    }
    Ok(findings.or_value(links)?.into_changes())
}
