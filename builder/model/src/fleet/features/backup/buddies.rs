//! Which node keeps whose backups.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::super::access::SSH;
use super::NOBODY;
use super::toml::BackupHostToml;
use crate::check::Check;
use crate::fleet::roll::Roll;
use crate::fleet::{Fleet, Known, Node, Origin};
use crate::names::{quoted, suggest};
use crate::overlay::Provision;
use crate::written::{At, Table};

/// What was written of buddies.
pub(in crate::fleet) struct WrittenBuddies<'a> {
    /// The clusters, in their order.
    pub clusters: Vec<&'a At<String>>,
    /// Those of single nodes, by the nodes' names.
    pub nodes: BTreeMap<&'a str, &'a At<String>>,
    /// Hosts outside of the fleet.
    pub hosts: &'a Table<BackupHostToml>,
}

/// Who can be a buddy.
struct Buddies<'a> {
    fleet: &'a Fleet,
    roll: &'a Roll,
    /// The nodes that keep backups, by cluster and slot.
    buses: BTreeMap<&'a str, BTreeMap<u16, &'a Node>>,
    /// The clusters as written.
    order: &'a [&'a At<String>],
}

/// Gives each node that exports backups its buddy: the one written, else the next in the next bus.
pub(in crate::fleet) fn choose_buddies(
    check: &mut Check<'_>,
    written: &WrittenBuddies<'_>,
    known: &Known,
    fleet: &mut Fleet,
    roll: &Roll,
) {
    check_names(check, written.hosts, fleet);
    let exports = |node: &Node| {
        let role = fleet.roles.get(&node.role);
        role.is_some_and(|role| role.containers && known.lacked_by(role, Provision::Backup).is_none())
    };
    let buddies = Buddies::of(&written.clusters, fleet, roll, exports);
    let chosen: Vec<Option<Origin>> = fleet
        .nodes
        .iter()
        .map(|node| {
            let own = written.nodes.get(node.name.as_str()).copied();
            if exports(node) {
                return Some(buddies.choose(check, node, own));
            }
            let has_role = fleet.roles.contains_key(&node.role);
            if let Some(own) = own.filter(|own| has_role && own.value != NOBODY) {
                check_idle(check, fleet, known, node, own);
            }
            None
        })
        .collect();
    for (node, chosen) in fleet.nodes.iter_mut().zip(chosen) {
        node.buddy = chosen
            .as_ref()
            .map(|origin| origin.value.clone())
            .filter(|name| name != NOBODY);
        node.origins.extend(chosen);
    }
}

/// Finds the buddy of a node that exports nothing.
fn check_idle(check: &mut Check<'_>, fleet: &Fleet, known: &Known, node: &Node, own: &At<String>) {
    let role = fleet.roles.get(&node.role).filter(|role| role.containers);
    let overlay = role.and_then(|role| known.lacked_by(role, Provision::Backup));
    let (lacks, hint) = match overlay {
        Some(overlay) => (
            format!("lacks the overlay `{overlay}`, which exports backups"),
            format!(
                "add \"{overlay}\" to `overlays` of [roles.{}], or leave `buddy` out",
                node.role
            ),
        ),
        None => ("runs no containers".to_owned(), "leave `buddy` out".to_owned()),
    };
    let message = format!(
        "`{}` has a buddy, but its role `{}` {lacks}",
        node.name, node.role
    );
    check.found(&own.span, message).hint(hint);
}

impl<'a> Buddies<'a> {
    fn of(
        order: &'a [&'a At<String>],
        fleet: &'a Fleet,
        roll: &'a Roll,
        keeps: impl Fn(&Node) -> bool,
    ) -> Self {
        let mut buses: BTreeMap<&str, BTreeMap<u16, &Node>> = BTreeMap::new();
        for node in fleet.nodes.iter().filter(|node| keeps(node)) {
            buses.entry(&node.cluster).or_default().insert(node.slot, node);
        }
        Self {
            fleet,
            roll,
            buses,
            order,
        }
    }

    /// The buddy of a node that exports backups, `own` where it is written.
    fn choose(&self, check: &mut Check<'_>, node: &Node, own: Option<&At<String>>) -> Origin {
        if let Some(own) = own {
            self.check_own(check, node, own);
            return Origin::new(check.file, &own.span, "buddy", &own.value, None);
        }
        let bus = self.order.iter().position(|bus| bus.value == node.cluster);
        let bus = bus.unwrap_or_default();
        let buddy = self.next(bus, node).unwrap_or(NOBODY);
        let note = Some("the next in the next bus".to_owned());
        Origin::new(check.file, &self.order[bus].span, "buddy", buddy, note)
    }

    /// Finds buddies that would not do.
    fn check_own(&self, check: &mut Check<'_>, node: &Node, own: &At<String>) {
        if own.value == node.name {
            check
                .found(&own.span, format!("`{}` would keep its own backups", node.name))
                .hint("a card that is lost takes them along: name a node of another bus, or \"none\"");
            return;
        }
        let keepers = || self.buses.values().flat_map(BTreeMap::values).copied();
        let hosts = &self.fleet.backup.hosts;
        let network = if let Some(keeper) = keepers().find(|keeper| keeper.name == own.value) {
            Some(&keeper.network)
        } else if let Some(host) = hosts.iter().find(|host| host.name == own.value) {
            let mut networks = self.fleet.networks.values();
            let home = networks.find(|network| network.contains(host.address));
            home.map(|network| &network.name)
        } else if own.value == NOBODY || self.is_unknown(own) {
            None
        } else {
            let names = keepers().map(|keeper| keeper.name.as_str());
            let known = names.chain(hosts.iter().map(|host| host.name.as_str()));
            let message = format!(
                "no node that keeps backups and no host of [backup.hosts] is called {}",
                quoted(own)
            );
            check
                .found(&own.span, message)
                .hint(suggest(own, known.chain([NOBODY])));
            return;
        };
        if let Some(network) = network.filter(|network| **network != node.network) {
            let message = format!(
                "`{}` is on network `{}`, and its buddy `{}` on `{network}`, to which no node has a way",
                node.name, node.network, own.value
            );
            check
                .found(&own.span, message)
                .hint("name a node or a host of the same network, or a host of none of the fleet's");
        }
    }

    /// Whether nobody knows what the node called `name` does: it failed, or its role did.
    fn is_unknown(&self, name: &str) -> bool {
        let found = self.fleet.nodes.iter().find(|node| node.name == name);
        match found {
            Some(node) => !self.fleet.roles.contains_key(&node.role),
            None => self.roll.may_have(name),
        }
    }

    /// The node of the same slot in the next bus that has one to give, else the first behind that slot; in the node's own bus,
    /// which is at `own`, where there is no other. All of them are on the node's network.
    fn next(&self, own: usize, node: &Node) -> Option<&'a str> {
        let (before, after) = self.order.split_at(own);
        let mut others = after.iter().skip(1).chain(before).chain(after.first());
        others.find_map(|bus| {
            let slots = self.buses.get(bus.as_str())?;
            let from_slot = slots.range(node.slot..).chain(slots.range(..node.slot));
            from_slot
                .map(|(_, other)| other)
                .find(|other| other.network == node.network && other.name != node.name)
                .map(|other| other.name.as_str())
        })
    }
}

/// Finds names and addresses that stand for a buddy and for something else.
fn check_names(check: &mut Check<'_>, hosts: &Table<BackupHostToml>, fleet: &Fleet) {
    for (name, host) in hosts {
        if fleet.nodes.iter().any(|node| node.name == name.value) {
            check
                .found(&name.span, format!("`{}` is a node of the fleet", name.value))
                .hint("a node is a buddy without this; give the host another name");
        }
        let Ok(address) = host.address.parse::<Ipv4Addr>() else {
            continue;
        };
        let has_it = |node: &&Node| {
            let port = node.internet.as_ref().map(|port| port.address);
            let containers = node.containers.is_some_and(|network| network.contains(&address));
            node.address == Some(address) || port == Some(address) || containers
        };
        if let Some(node) = fleet.nodes.iter().find(has_it) {
            check
                .found(
                    &host.address.span,
                    format!(
                        "{address} is not outside of the fleet, but of `{}` or its containers",
                        node.name
                    ),
                )
                .hint("a node is a buddy without this; give the host its own address");
        }
    }
    if let Some(node) = fleet.nodes.iter().find(|node| node.name == NOBODY) {
        let origin = node.origins.iter().find(|origin| origin.name == "name");
        if let Some(origin) = origin {
            check
                .found(
                    &origin.place.span,
                    "a node cannot be called `none`, which is nobody",
                )
                .hint("give it another name: `buddy = \"none\"` stands for no buddy");
        }
    }
}

/// Finds nodes that would be shut out by their buddies.
pub(in crate::fleet) fn check_reach(check: &mut Check<'_>, fleet: &Fleet) {
    let accepts = fleet.accepted_by_nodes();
    for node in &fleet.nodes {
        let outside = fleet.buddy_host(node).is_some();
        let Some(buddy) = node.buddy.as_ref().filter(|_| !outside) else {
            continue;
        };
        let reaches = accepts.iter().any(|accept| {
            let from = accept.anybody
                || node
                    .address
                    .is_some_and(|address| accept.sources.iter().any(|net| net.contains(&address)));
            from && (accept.everything || accept.tcp.contains(&SSH))
        });
        let origin = node.origins.iter().find(|origin| origin.name == "buddy");
        if let (false, Some(origin)) = (reaches, origin) {
            check
                .found(
                    &origin.place.span,
                    format!("`{}` may not reach its buddy `{buddy}` by ssh", node.name),
                )
                .hint("add [[allow]] with from = [\"nodes\"], to = [\"nodes\"], tcp = [22], or buddy = \"none\"");
            return;
        }
    }
}
