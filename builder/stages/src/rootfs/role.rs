//! The layers that all nodes of a role share, and the one that is each node's own.
//!
//! ```text
//! base      | a distribution's tarball and over it the packages of the role, less what the overlays remove
//! modules   | the kernel's
//! overlay   | files, directories, links and units of the role's overlays; what templates make that know of no node;
//!           | mount points; locked passwords
//! node      | what templates make that know of the node: the same paths on all nodes of the role
//! ```
//!
//! A container image is made of the same base, with packages of its own; see [`ContainerImageLayers`].
//!
//! The text of a template decides whose its file is, not what comes out of it: what is rendered for a node is the
//! node's own even where it comes out alike, so that no node's change can move another node's data.

mod container_image;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use engine::tarball::{CachedLayer, Tarball, layer_of, verify_blob};
use engine::{Engine, Entry, Key};
use formats::blob::Blob;
use formats::layer::{Attributes, Body, Compression, Index, Inline, Layer, LayerBuilder, Packing, shown};
use formats::manifest::Installed;
use formats::tree::Share;
use formats::units::Time;
use identity::Operator;
use model::board::Board;
use model::finding::Findings;
use model::fleet::{Fleet, PublicKeys, Role};
use model::layout::Layout;
use model::overlay::{self, Overlay, TargetPath};

use super::base::{Base, BaseLayers};
use super::context::{NodeInputs, Shared, mount_points};
use super::merge::merge;
use super::overlaid::{Overlaid, Overlays, stack};
use super::render::Renderer;
use super::settings::{Said, Settings, check_dhcp};
pub use container_image::ContainerImageLayers;

/// Goes up with every change of what the layers of a role or of a node hold.
const REVISION: u32 = 3;

/// Folders that the kernel and systemd mount something on; a tarball may lack them.
pub(super) const SYSTEM_FOLDERS: [&str; 4] = ["dev", "proc", "run", "sys"];

/// What the layers of a role are made from; `'a` is what its nodes are rendered from later.
#[derive(Debug, Clone, Copy)]
pub struct RoleInputs<'a, 'b> {
    /// The fleet, for what is rendered and set.
    pub fleet: &'a Fleet,
    /// The role.
    pub role: &'a Role,
    /// The role's overlays, first to last.
    pub overlays: &'b [&'b Overlay],
    /// The overlays of its container image, first to last.
    pub container_image: &'b [&'b Overlay],
    /// The board of the role's nodes.
    pub board: &'a Board,
    /// The layout of their cards, with the subvolumes of their overlays: compression, mount points.
    pub layout: &'b Layout,
    /// Whose key may log in beside the fleet's admin keys.
    pub operator: &'a Operator,
    /// The keys of all nodes that run containers, by their names.
    pub known: &'a BTreeMap<String, PublicKeys>,
    /// The base root file system.
    pub base: &'b dyn Base,
    /// The kernel's modules: paths below `usr/lib/modules/`.
    pub modules: &'b Tarball,
    /// The time that everything made here gets.
    pub time: Time,
}

/// The layers that all nodes of a role share, to be stacked in the order of the fields.
pub struct RoleLayers<'a> {
    /// The base, less what the overlays remove.
    pub base: Vec<Layer>,
    /// The kernel's modules.
    pub modules: Layer,
    /// What the overlays put over them.
    pub overlay: Layer,
    /// What containers are snapshots of, where the layout has a place for it.
    pub container_image: Option<ContainerImageLayers>,
    /// What became of packages that were installed over the base.
    pub installed: Option<Installed>,
    /// Category, name and version of each of these packages, the container image's among them.
    pub packages: BTreeSet<String>,
    /// Identifies all of these.
    pub key: Key,
    /// Where the cache has the blobs of base, container image and modules.
    entries: Vec<Entry>,
    shared: Shared<'a>,
    renderer: Renderer,
    /// What is laid on each node by itself, though it is the same on all of them.
    own: BTreeMap<TargetPath, Arc<[u8]>>,
    /// Owner and mode of each file that is a node's own.
    attributes: BTreeMap<TargetPath, Attributes>,
}

/// What is a node's own.
#[derive(Debug, Clone)]
pub struct NodeLayer {
    /// Its files, uncompressed, in memory: [`Share::Node`].
    pub layer: Layer,
    /// Identifies these and the layers of the role below.
    pub key: Key,
}

/// Makes, or finds in the cache, the layers of a role.
pub fn role_layers<'a>(engine: &Engine, inputs: &RoleInputs<'a, '_>) -> Result<RoleLayers<'a>> {
    let layout = inputs.layout;
    let root = layout
        .root()
        .with_context(|| format!("layout `{}` has no btrfs partition", layout.name))?;
    let zstd = root.zstd;
    let platform = inputs.base.platform();
    check_dhcp(inputs.fleet, &inputs.role.name, platform.init)?;
    let mut merged = merge(inputs.overlays)?;
    let renderer = Renderer::new(merged.templates(), &inputs.fleet.own_vars(&inputs.role.name))?;
    let shared = Shared::new(
        inputs.fleet,
        inputs.role,
        inputs.board,
        layout.clone(),
        inputs.operator,
        inputs.known,
    );
    let context = Renderer::prepare(&shared.of_role())?;
    let distribution = platform.distribution;
    let of_role = inputs
        .fleet
        .packages_with(inputs.overlays.iter().copied(), distribution);
    // What says nothing of containers starts them as what the node is.
    let of_image = match inputs.container_image {
        [] => of_role.clone(),
        overlays => overlay::packages(overlays.iter().copied(), distribution),
    };
    let sets = [&of_role]
        .into_iter()
        .chain(root.container_image.as_ref().map(|_| &of_image));
    let mut bases = inputs
        .base
        .layers(engine, zstd, &sets.collect::<Vec<_>>())?
        .into_iter();
    let BaseLayers {
        layers: base,
        mut entries,
        key: base_key,
        installed,
        mut packages,
    } = bases.next().context("there is no base")?;
    let CachedLayer {
        layer: mut modules,
        key: modules_key,
        entry,
    } = layer_of(engine, inputs.modules, zstd)?;
    entries.push(entry);
    let container_image = match bases.next() {
        Some(base) => {
            entries.extend(base.entries.iter().cloned());
            packages.extend(base.packages.iter().cloned());
            Some(ContainerImageLayers::make(engine, inputs, &context, base, zstd)?)
        }
        None => None,
    };
    // The folders on the way to the modules are the base's: a newer time of /usr, for one, makes systemd bring
    // everything below it up to date on the next start.
    let of_base = stack(&base, inputs.time)?;
    let said = Said {
        system: &inputs.fleet.system,
        users: inputs.fleet.users_with(inputs.overlays.iter().copied()),
    };
    let settings = Settings::over(&said, platform, &merged, &of_base)?;
    settings.lay(&mut merged);
    modules
        .entries
        .retain(|entry| entry.body != Body::Directory || of_base.directory(&entry.path).is_none());
    let mount_points = mount_points(layout);
    let mount_points = mount_points.iter().map(|path| path.trim_start_matches('/'));
    let folders: Vec<&str> = mount_points
        .filter(|path| !path.is_empty())
        .chain(SYSTEM_FOLDERS)
        .collect();
    let overlays = Overlays {
        overlays: inputs.overlays,
        merged: &merged,
        own: &settings.own,
        rendered: &renderer.render_shared(&context)?,
        folders: &folders,
        zstd,
        time: inputs.time,
        platform,
    };
    let mut below = base;
    below.push(modules);
    let Overlaid {
        mut below,
        layer: overlay,
        removed,
        attributes,
    } = overlays.over(engine, below)?;
    let modules = below.pop().context("the kernel's modules are no layer")?;

    let mut key = Key::builder("role", REVISION)
        .key("base", &base_key)
        .key("modules", &modules_key)
        .bytes("removed", &removed.join(&0))
        .bytes("overlay", &layer_bytes(&overlay)?);
    if let Some(image) = &container_image {
        key = image.add_to(key)?;
    }
    Ok(RoleLayers {
        base: below,
        modules,
        overlay,
        container_image,
        installed,
        packages,
        key: key.finish(),
        entries,
        shared,
        renderer,
        own: settings
            .own_files()
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect(),
        attributes,
    })
}

impl<'a> RoleLayers<'a> {
    /// The layers with who has them, in the order in which they are stacked; a node's own comes behind.
    pub fn layers(&self) -> Vec<(&Layer, Share)> {
        self.base
            .iter()
            .chain([&self.modules, &self.overlay])
            .map(|layer| (layer, Share::Role))
            .collect()
    }

    /// The files of overlays that only root may read on a node, and that all nodes of the role have.
    pub fn closed_files(&self) -> Vec<String> {
        let entries = self.overlay.entries.iter();
        let closed =
            entries.filter(|entry| matches!(entry.body, Body::File(_)) && entry.attributes.mode & 0o077 == 0);
        closed.map(|entry| format!("/{}", shown(&entry.path))).collect()
    }

    /// Refuses layers whose data is not as it was when they were made: for whoever is about to write them somewhere.
    pub fn verify(&self) -> Result<()> {
        self.entries.iter().try_for_each(verify_blob)
    }

    /// Renders what is the node's own. All templates that fail are found at once.
    pub fn node_layer(&'a self, inputs: &NodeInputs<'a>) -> Result<NodeLayer> {
        let context = Renderer::prepare(&self.shared.of_node(inputs, self.renderer.own_need_all()))?;
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
        for (path, bytes) in &self.own {
            let attributes = self.attributes.get(path).cloned().unwrap_or_default();
            layer.file(path.relative().as_bytes(), attributes, bytes)?;
        }
        let layer = findings.or_value(layer)?.finish_layer()?;
        let key = Key::builder("node", REVISION)
            .key("role", &self.key)
            .bytes("layer", &layer_bytes(&layer)?)
            .finish();
        Ok(NodeLayer { layer, key })
    }
}

/// Everything that a layer in memory is, for a key.
pub(super) fn layer_bytes(layer: &Layer) -> Result<Vec<u8>> {
    let Blob::Memory(blob) = &layer.blob else {
        bail!("a layer that is not in memory has a key of its own")
    };
    let index = Index {
        entries: layer.entries.clone(),
        blob_length: blob.len() as u64,
    };
    Ok([&index.to_bytes(), &blob[..]].concat())
}
