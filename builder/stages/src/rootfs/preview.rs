//! What overlays and the fleet's settings lay on a node, without the base below it: for whoever wants to read it before it is on a card, and for
//! programs that check it (`nft -c`, `systemd-analyze verify`).

use std::collections::BTreeMap;

use anyhow::Result;
use identity::IdentityStore;
use model::finding::Findings;
use model::fleet::{Node, PublicKeys};
use model::overlay::{Source, TargetPath};
use model::project::Project;
use model::sources::Platform;

use super::context::{NodeInputs, PartitionIds, Shared};
use super::merge::merge;
use super::render::Renderer;
use super::settings::{Said, Settings, check_dhcp};

/// A path that an overlay lays on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// Permissions, 12 bits; links have none of their own.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file with these bytes.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Link(String),
}

/// What the overlays of `node`'s role lay on it, where they are for a base of `platform`. Identities that are missing are
/// made; `known` are those that [`IdentityStore::public_keys`] gives.
pub fn preview(
    project: &Project,
    platform: Platform,
    node: &Node,
    card: &PartitionIds,
    store: &IdentityStore,
    known: &BTreeMap<String, PublicKeys>,
) -> Result<BTreeMap<TargetPath, Laid>> {
    check_dhcp(&project.fleet, &node.role, platform.init)?;
    let overlays: Vec<_> = project.overlays_of(&node.role, platform).collect();
    let mut merged = merge(&overlays)?;
    let fleet = &project.fleet;
    let renderer = Renderer::new(merged.templates(), &fleet.own_vars(&node.role))?;
    let said = Said {
        system: &fleet.system,
        users: fleet.users_with(overlays.iter().copied()),
    };
    let settings = Settings::of(&said, platform)?;
    settings.lay(&mut merged);
    let operator = store.operator()?;
    let board = &project.boards[&node.board];
    let layout = project.layout_of(&node.role, &node.layout, platform);
    let role = &fleet.roles[&node.role];
    let shared = Shared::new(fleet, role, board, layout, &operator, known);
    let of_role = Renderer::prepare(&shared.of_role())?;
    let inputs = NodeInputs {
        node,
        identity: &store.node(&node.name)?,
        containers: &store.containers_of(&project.fleet, node)?,
        secrets: &store.secrets(&project.fleet, node)?,
        card,
    };
    let of_node = Renderer::prepare(&shared.of_node(&inputs, renderer.own_need_all()))?;
    let mut texts = renderer.render_shared(&of_role)?;
    let mut findings = Findings::default();
    for path in renderer.own_paths() {
        if let Some(text) = findings.keep(renderer.render(path, &node.name, &of_node)) {
            texts.insert(path, text);
        }
    }
    let mut texts = findings.or_value(texts)?;
    let mut laid = BTreeMap::new();
    for (path, entry) in &merged.entries {
        let content = match &entry.source {
            Source::Verbatim(bytes) => Content::File(bytes.to_vec()),
            Source::Template(_) => Content::File(texts.remove(path).unwrap_or_default().into_bytes()),
            Source::Directory => Content::Directory,
            Source::Link(target) => Content::Link(target.clone()),
        };
        let mode = entry.mode;
        laid.insert(path.clone(), Laid { mode, content });
    }
    Ok(laid)
}
