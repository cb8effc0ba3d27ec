//! Which node keeps whose backups.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::backup::NOBODY;
use super::toml::FleetToml;
use super::{Fleet, Node, Origin, Role};
use crate::check::Check;
use crate::names::{quoted, suggest};
use crate::written::At;

/// The port of ssh, by which nodes reach each other.
const SSH: u16 = 22;

/// What is behind `buddy`, besides the node itself.
struct Buddies<'a> {
    /// The nodes that run containers, by cluster and slot.
    buses: BTreeMap<&'a str, BTreeMap<u16, &'a Node>>,
    /// The clusters as written.
    order: Vec<&'a At<String>>,
    /// Hosts outside of the fleet that keep backups.
    hosts: Vec<&'a str>,
}

/// Gives each node that runs containers its buddy: the one written, else the next in the next bus.
pub(super) fn check_buddies(
    check: &mut Check<'_>,
    written: &FleetToml,
    roles: &BTreeMap<String, Role>,
    nodes: &mut [Node],
) {
    check_hosts(check, written, nodes);
    let own: BTreeMap<&str, &At<String>> = written
        .nodes
        .into_iter()
        .filter_map(|(name, toml)| Some((name.as_str(), toml.buddy.as_ref()?)))
        .collect();
    let buddies = Buddies::of(written, roles, nodes);
    let chosen: Vec<Option<Origin>> = nodes
        .iter()
        .map(|node| {
            let own = own.get(node.name.as_str()).copied();
            if node.runs_containers(roles) {
                return Some(buddies.choose(check, node, own));
            }
            if let Some(own) = own.filter(|own| own.value != NOBODY) {
                let message = format!(
                    "`{}` has a buddy, but its role `{}` runs no containers",
                    node.name, node.role
                );
                check.found(&own.span, message).hint("leave `buddy` out");
            }
            None
        })
        .collect();
    for (node, chosen) in nodes.iter_mut().zip(chosen) {
        node.buddy = chosen
            .as_ref()
            .map(|origin| origin.value.clone())
            .filter(|name| name != NOBODY);
        node.origins.extend(chosen);
    }
}

impl<'a> Buddies<'a> {
    fn of(written: &'a FleetToml, roles: &BTreeMap<String, Role>, nodes: &'a [Node]) -> Self {
        let mut buses: BTreeMap<&str, BTreeMap<u16, &Node>> = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.runs_containers(roles)) {
            buses.entry(&node.cluster).or_default().insert(node.slot, node);
        }
        Self {
            buses,
            order: written.clusters.keys().collect(),
            hosts: written.backup.hosts.names().collect(),
        }
    }

    /// The buddy of a node that runs containers, `own` where it is written.
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
        let names = self.buses.values().flat_map(BTreeMap::values);
        let names = names.map(|node| node.name.as_str());
        let known = names.chain(self.hosts.iter().copied()).chain([NOBODY]);
        if !known.clone().any(|name| name == own.value) {
            let message = format!(
                "no node that runs containers and no host of [backup.hosts] is called {}",
                quoted(own)
            );
            check.found(&own.span, message).hint(suggest(own, known));
        }
    }

    /// The node of the same slot in the next bus that has one to give, else the first behind that slot; in the node's own bus,
    /// which is at `own`, where there is no other.
    fn next(&self, own: usize, node: &Node) -> Option<&'a str> {
        let (before, after) = self.order.split_at(own);
        let (own, after) = after.split_first()?;
        let other = after.iter().chain(before).find_map(|bus| {
            let slots = self.buses.get(bus.as_str())?;
            slots.range(node.slot..).chain(slots).next()
        });
        let other = other.or_else(|| {
            let slots = self.buses.get(own.as_str())?;
            let behind = slots.range((Excluded(node.slot), Unbounded));
            behind.chain(slots.range(..node.slot)).next()
        });
        other.map(|(_, node)| node.name.as_str())
    }
}

/// Finds hosts outside of the fleet that have the name of a node.
fn check_hosts(check: &mut Check<'_>, written: &FleetToml, nodes: &[Node]) {
    for host in written.backup.hosts.keys() {
        if nodes.iter().any(|node| node.name == host.value) {
            check
                .found(&host.span, format!("`{}` is a node of the fleet", host.value))
                .hint("a node is a buddy without this; give the host another name");
        }
    }
}

/// Finds nodes that would be shut out by their buddies.
pub(super) fn check_reach(check: &mut Check<'_>, fleet: &Fleet) {
    let accepts = fleet.accepted_by_nodes();
    for node in &fleet.nodes {
        let outside = fleet.buddy_host(node).is_some();
        let Some(buddy) = node.buddy.as_ref().filter(|_| !outside) else {
            continue;
        };
        let reaches = accepts.iter().any(|accept| {
            let from = accept.anybody || accept.sources.iter().any(|net| net.contains(&node.address));
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
