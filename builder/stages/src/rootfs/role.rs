//! The layers that all nodes of a role share, and the one that is each node's own.
//!
//! ```text
//! base      | a distribution's tarball, less what the overlays remove
//! modules   | the kernel's
//! overlay   | files, directories, links and units of the role's overlays; what templates make that know of no node;
//!           | mount points; locked passwords
//! node      | what templates make that know of the node: the same paths on all nodes of the role
//! ```
//!
//! The text of a template decides whose its file is, not what comes out of it: what is rendered for a node is the
//! node's own even where it comes out alike, so that no node's change can move another node's data.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use anyhow::{Context as _, Result, bail};
use formats::blob::Blob;
use formats::layer::{Attributes, Body, Compression, Entry, Index, Inline, Layer, LayerBuilder, Packing};
use formats::tree::{InodeKind, Share, Tree};
use formats::units::Time;
use model::board::Board;
use model::finding::{Finding, Findings};
use model::fleet::Fleet;
use model::layout::{FileSystem, Layout};
use model::overlay::{Overlay, Source, TargetPath};

use super::accounts::{Accounts, SHADOW, lock_passwords, read_text};
use super::context::{NodeInputs, Shared, mount_points};
use super::identity::Operator;
use super::merge::{Merged, merge, real_paths, without};
use super::render::Renderer;
use super::tarball::{Tarball, layer_of, packing};
use super::units::UnitLinks;
use crate::engine::{Engine, Key};

/// Goes up with every change of what the layers of a role or of a node hold.
const REVISION: u32 = 2;

/// Folders that the kernel and systemd mount something on; a tarball may lack them.
const SYSTEM_FOLDERS: [&str; 4] = ["dev", "proc", "run", "sys"];

/// What the layers of a role are made from; `'a` is what its nodes are rendered from later.
#[derive(Debug, Clone, Copy)]
pub struct RoleInputs<'a, 'b> {
    /// The fleet, for what is rendered.
    pub fleet: &'a Fleet,
    /// The role's overlays, first to last.
    pub overlays: &'b [&'b Overlay],
    /// The board of the role's nodes.
    pub board: &'a Board,
    /// The layout of their cards: compression, mount points.
    pub layout: &'a Layout,
    /// Whose key may log in beside the fleet's admin keys.
    pub operator: &'a Operator,
    /// The base root file system.
    pub base: &'b Tarball,
    /// The kernel's modules: paths below `usr/lib/modules/`.
    pub modules: &'b Tarball,
    /// The time that everything made here gets.
    pub time: Time,
}

/// The layers that all nodes of a role share, to be stacked in the order of the fields.
pub struct RoleLayers<'a> {
    /// The base, less what the overlays remove.
    pub base: Layer,
    /// The kernel's modules.
    pub modules: Layer,
    /// What the overlays put over them.
    pub overlay: Layer,
    /// Stands for all of these.
    pub key: Key,
    shared: Shared<'a>,
    renderer: Renderer,
    /// Owner and mode of each rendered file.
    attributes: BTreeMap<TargetPath, Attributes>,
}

/// What is a node's own.
#[derive(Debug, Clone)]
pub struct NodeLayer {
    /// Its files, uncompressed, in memory: [`Share::Node`].
    pub layer: Layer,
    /// Stands for these and for the layers of the role below.
    pub key: Key,
}

/// Makes, or finds in the cache, the layers of a role.
pub fn role_layers<'a>(engine: &Engine, inputs: &RoleInputs<'a, '_>) -> Result<RoleLayers<'a>> {
    let zstd = zstd_level(inputs.layout)?;
    let merged = merge(inputs.overlays)?;
    let (base, base_key) = layer_of(engine, inputs.base, zstd)?;
    let (mut modules, modules_key) = layer_of(engine, inputs.modules, zstd)?;
    // The folders on the way to the modules are the base's: a newer time of /usr, for one, makes systemd bring
    // everything below it up to date on the next start.
    let of_base = stack(&[&base], inputs.time)?;
    modules
        .entries
        .retain(|entry| entry.body != Body::Directory || of_base.directory(&entry.path).is_none());
    let below = stack(&[&base, &modules], inputs.time)?;
    let removed = real_paths(&below, &merged.removals);
    let (base, modules) = (without(base, &removed), without(modules, &removed));
    let below = stack(&[&base, &modules], inputs.time)?;
    let attributes = attributes(&merged, &Accounts::read(&below)?, inputs.time)?;

    let renderer = Renderer::new(merged.templates())?;
    let shared = Shared::new(inputs.fleet, inputs.board, inputs.layout, inputs.operator);
    let rendered = renderer.render_shared(&Renderer::prepare(&shared.of_role())?)?;
    let packing = packing(engine, zstd)?;
    let files = file_layer(packing, &merged, &rendered, &attributes, &below, inputs)?;
    let (overlay, disabled) = with_units(files, &base, &modules, &merged, engine, inputs)?;
    let base = without(base, &disabled);

    drop(rendered);
    let key = Key::builder("role", REVISION)
        .key("base", &base_key)
        .key("modules", &modules_key)
        .bytes("removed", &[removed, disabled].concat().join(&0))
        .bytes("overlay", &layer_bytes(&overlay)?)
        .finish();
    Ok(RoleLayers {
        base,
        modules,
        overlay,
        key,
        shared,
        renderer,
        attributes,
    })
}

impl<'a> RoleLayers<'a> {
    /// The layers with who has them, in the order in which they are stacked; a node's own comes behind.
    pub fn layers(&self) -> [(&Layer, Share); 3] {
        [
            (&self.base, Share::Role),
            (&self.modules, Share::Role),
            (&self.overlay, Share::Role),
        ]
    }

    /// Renders what is the node's own. All templates that fail are found at once.
    pub fn node_layer(&'a self, inputs: &NodeInputs<'a>) -> Result<NodeLayer> {
        let context = Renderer::prepare(&self.shared.of_node(inputs, self.renderer.own_need_nodes()))?;
        let mut findings = Findings::default();
        // Uncompressed, so that a file of the same length takes the same place on every node.
        let mut layer = LayerBuilder::in_memory(Packing {
            compression: Compression::None,
            inline: Inline::Raw,
            jobs: NonZeroUsize::MIN,
        })?;
        for path in self.renderer.own_paths() {
            let rendered = self.renderer.render(path, &inputs.node.name, &context);
            if let Some(text) = findings.keep(rendered) {
                let attributes = self.attributes.get(path).cloned().unwrap_or_default();
                layer.file(path.relative().as_bytes(), attributes, text.as_bytes())?;
            }
        }
        let layer = findings.or_value(layer)?.finish_layer()?;
        let key = Key::builder("node", REVISION)
            .key("role", &self.key)
            .bytes("layer", &layer_bytes(&layer)?)
            .finish();
        Ok(NodeLayer { layer, key })
    }
}

fn stack(layers: &[&Layer], time: Time) -> Result<Tree> {
    let layers: Vec<_> = layers.iter().map(|layer| (*layer, Share::Role)).collect();
    Tree::stack(&layers, time).context("the base, the kernel's modules and the overlays do not fit together")
}

/// The level of the one btrfs of a layout.
fn zstd_level(layout: &Layout) -> Result<u8> {
    let btrfs = layout
        .partitions
        .iter()
        .find_map(|partition| match &partition.file_system {
            FileSystem::Btrfs(btrfs) => Some(btrfs),
            FileSystem::Fat => None,
        });
    match btrfs {
        Some(btrfs) => Ok(btrfs.zstd),
        None => bail!("layout `{}` has no btrfs partition", layout.name),
    }
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

/// What the overlays bring beside units and what is each node's own, mount points, and passwords that nobody can use.
fn file_layer(
    packing: Packing,
    merged: &Merged<'_>,
    rendered: &BTreeMap<&TargetPath, String>,
    attributes: &BTreeMap<TargetPath, Attributes>,
    below: &Tree,
    inputs: &RoleInputs<'_, '_>,
) -> Result<Layer> {
    let mut layer = LayerBuilder::in_memory(packing)?;
    for (path, entry) in &merged.entries {
        let name = path.relative().as_bytes();
        let attributes = attributes.get(path).cloned().unwrap_or_default();
        match &entry.source {
            Source::Verbatim(bytes) => layer.file(name, attributes, bytes)?,
            Source::Directory => layer.directory(name, attributes)?,
            Source::Link(target) => layer.symlink(name, attributes, target.as_bytes())?,
            Source::Template(_) => {
                if let Some(text) = rendered.get(path) {
                    layer.file(name, attributes, text.as_bytes())?;
                }
            }
        }
    }
    let is_given = |path: &str| {
        merged.entries.keys().any(|given| given.relative() == path) || below.lookup(path.as_bytes()).is_some()
    };
    let mount_points = mount_points(inputs.layout);
    let folders = mount_points.iter().map(|path| path.trim_start_matches('/'));
    for folder in folders
        .chain(SYSTEM_FOLDERS)
        .filter(|folder| !folder.is_empty() && !is_given(folder))
    {
        let attributes = Attributes {
            mode: 0o755,
            mtime: inputs.time,
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
            mtime: inputs.time,
            ..below.inodes[id.0].attributes.clone()
        };
        layer.file(SHADOW.as_bytes(), attributes, locked.as_bytes())?;
    }
    Ok(layer.finish_layer()?)
}

/// `files` with the links of the units that the overlays enable and mask, and the links of the base that disabling
/// takes away.
fn with_units(
    files: Layer,
    base: &Layer,
    modules: &Layer,
    merged: &Merged<'_>,
    engine: &Engine,
    inputs: &RoleInputs<'_, '_>,
) -> Result<(Layer, Vec<Vec<u8>>)> {
    let tree = stack(&[base, modules, &files], inputs.time)?;
    let mut links = UnitLinks::new(&tree);
    let mut findings = Findings::default();
    for overlay in inputs.overlays {
        let units = &overlay.units;
        let mut nothing_to_do = Vec::new();
        let mut keep = |unit: &str,
                        place: &model::finding::Place,
                        result: Result<bool, super::units::UnitError>| match result {
            Ok(true) => {}
            Ok(false) => nothing_to_do.push(unit.to_owned()),
            Err(error) => {
                let finding = Finding::new(format!("overlay {}: {error}", overlay.name)).at(place.clone());
                let template = merged.entries.iter().find(|(path, entry)| {
                    matches!(entry.source, Source::Template(_))
                        && path.relative().contains("/systemd/system/")
                        && path.relative().rsplit('/').next() == Some(unit)
                });
                findings.push(match template {
                    Some((path, _)) => finding.hint(format!(
                        "`{path}` is a template, so its [Install] section could differ by node: make it a plain file, \
                         and what differs a drop-in"
                    )),
                    None => finding,
                });
            }
        };
        for unit in &units.mask {
            keep(&unit.value, &unit.place, links.mask(&unit.value));
        }
        for unit in &units.disable {
            keep(&unit.value, &unit.place, links.disable(&unit.value));
        }
        for unit in &units.enable {
            keep(&unit.value, &unit.place, links.enable(&unit.value).map(|()| true));
        }
        for unit in nothing_to_do {
            engine
                .progress
                .detail(format!("overlay {}: nothing brings unit {unit}", overlay.name));
        }
    }
    let (added, removed) = findings.or_value(links)?.into_changes();
    let removed: Vec<Vec<u8>> = removed.into_iter().map(String::into_bytes).collect();
    let mut layer = without(files, &removed);
    for (path, target) in added {
        let entry = Entry {
            path: path.into_bytes(),
            attributes: Attributes {
                mode: 0o777,
                mtime: inputs.time,
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

/// Everything that a layer in memory is, for a key.
fn layer_bytes(layer: &Layer) -> Result<Vec<u8>> {
    let Blob::Memory(blob) = &layer.blob else {
        bail!("a layer that is not in memory has a key of its own")
    };
    let index = Index {
        entries: layer.entries.clone(),
        blob_length: blob.len() as u64,
    };
    Ok([&index.to_bytes(), &blob[..]].concat())
}
