//! The image of a role's containers: the base with the packages of its own overlays, without what makes it a node.
//!
//! What root file system and image have in common is one layer, so its data is on a card once.

use std::collections::BTreeSet;

use anyhow::Result;
use engine::{Engine, Key, KeyBuilder};
use formats::layer::{Attributes, Body, Content, Data, Entry, Layer};
use formats::tree::Tree;
use formats::units::Time;
use handlebars::Context;
use model::fleet::System;
use model::overlay;

use super::super::base::BaseLayers;
use super::super::merge::{merge, without_each};
use super::super::overlaid::{Overlaid, Overlays, stack};
use super::super::render::Renderer;
use super::super::settings::{Said, Settings};
use super::{RoleInputs, SYSTEM_FOLDERS, layer_bytes};

/// Where the id of a machine is (machine-id(5)).
const MACHINE_ID: &[u8] = b"etc/machine-id";

/// Where D-Bus had one of its own.
const DBUS_MACHINE_ID: &[u8] = b"var/lib/dbus/machine-id";

/// What the paths of host keys of ssh start with.
const HOST_KEYS: &[u8] = b"etc/ssh/ssh_host_";

/// What containers are snapshots of, to be stacked in the order of the fields. All of it is the role's.
#[derive(Debug)]
pub struct ContainerImageLayers {
    /// The base, less what the overlays remove, and without identity.
    base: Vec<Layer>,
    /// What the overlays put over it.
    overlay: Layer,
    /// The paths that the overlays took away.
    removed: Vec<Vec<u8>>,
    /// Identifies the base.
    base_key: Key,
    time: Time,
}

impl ContainerImageLayers {
    /// The container image over `base`. Its overlays' templates are rendered from `context`; `zstd` is the level at which files are
    /// compressed.
    pub(in crate::rootfs) fn make(
        engine: &Engine,
        inputs: &RoleInputs<'_, '_>,
        context: &Context,
        base: BaseLayers,
        zstd: u8,
    ) -> Result<Self> {
        let mut merged = merge(inputs.container_image)?;
        let renderer =
            Renderer::new(merged.templates(), &inputs.fleet.own_vars(&inputs.role.name))?.of_no_node()?;
        let BaseLayers {
            layers,
            key: base_key,
            ..
        } = base;
        let layers = without_identity(layers, inputs.time);
        let users = overlay::users(inputs.container_image.iter().copied());
        let settings = match users[..] {
            [] => Settings::default(),
            _ => {
                let system = &System::default();
                let tree = stack(&layers, inputs.time)?;
                Settings::over(&Said { system, users }, inputs.base.platform(), &merged, &tree)?
            }
        };
        settings.lay(&mut merged);
        let overlays = Overlays {
            overlays: inputs.container_image,
            merged: &merged,
            own: &BTreeSet::new(),
            rendered: &renderer.render_shared(context)?,
            folders: &SYSTEM_FOLDERS,
            zstd,
            time: inputs.time,
            platform: inputs.base.platform(),
        };
        let Overlaid {
            below: base,
            layer: overlay,
            removed,
            ..
        } = overlays.over(engine, layers)?;
        Ok(Self {
            base,
            overlay,
            removed,
            base_key,
            time: inputs.time,
        })
    }

    /// The container image as one tree.
    pub fn tree(&self) -> Result<Tree> {
        stack(self.base.iter().chain([&self.overlay]), self.time)
    }

    /// Adds what the image is made from to a key.
    pub(in crate::rootfs) fn add_to(&self, key: KeyBuilder) -> Result<KeyBuilder> {
        Ok(key
            .key("template base", &self.base_key)
            .bytes("template removed", &self.removed.join(&0))
            .bytes("template overlay", &layer_bytes(&self.overlay)?))
    }
}

/// `base` as it is before the first start of a machine: without host keys of ssh, and with an empty machine id. A missing
/// one, or `uninitialized`, would be a first boot for systemd, which then enables units by preset and thereby undoes what
/// the overlays say of them; an empty one is only filled.
fn without_identity(base: Vec<Layer>, time: Time) -> Vec<Layer> {
    let is_own = |entry: &Entry| {
        let is_file = !matches!(entry.body, Body::Symlink(_));
        entry.path == MACHINE_ID
            || entry.path.starts_with(HOST_KEYS)
            || (entry.path == DBUS_MACHINE_ID && is_file)
    };
    let own = base
        .iter()
        .flat_map(|layer| &layer.entries)
        .filter(|entry| is_own(entry));
    let own: Vec<Vec<u8>> = own.map(|entry| entry.path.clone()).collect();
    let mut layers = without_each(base, &own);
    let empty = Entry {
        path: MACHINE_ID.to_vec(),
        attributes: Attributes {
            mode: 0o444,
            mtime: time,
            ..Attributes::default()
        },
        body: Body::File(Content {
            size: 0,
            data: Data::Extents(Vec::new()),
        }),
    };
    if let Some(last) = layers.last_mut() {
        let place = last.entries.partition_point(|entry| entry.path < empty.path);
        last.entries.insert(place, empty);
    }
    layers
}
