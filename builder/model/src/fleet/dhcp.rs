//! Nodes that take their address from a DHCP server: what needs to know an address cannot be theirs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::features::access::toml::AllowToml;
use super::sourced::Sourced;
use super::toml::FleetToml;
use super::{Fleet, Known, Node};
use crate::check::Check;
use crate::overlay::Provision;

/// The word for an address that a DHCP server gives.
pub const DHCP: &str = "dhcp";

/// An address as it is written.
pub(super) fn written(address: Option<Ipv4Addr>) -> String {
    address.map_or_else(|| DHCP.to_owned(), |address| address.to_string())
}

impl Node {
    /// Its address as people read it: `172.16.1.7`, or `dhcp`.
    pub fn address_text(&self) -> String {
        written(self.address)
    }
}

/// Those addresses that the fleet itself gives.
pub(super) fn fixed(addresses: &[Option<Sourced<Option<Ipv4Addr>>>]) -> Vec<Option<Sourced<Ipv4Addr>>> {
    let of_node = |sourced: &Option<Sourced<Option<Ipv4Addr>>>| {
        let sourced = sourced.as_ref()?;
        Some(Sourced {
            value: sourced.value?,
            span: sourced.span.clone(),
            note: sourced.note.clone(),
        })
    };
    addresses.iter().map(of_node).collect()
}

/// Finds nodes of which somebody has to know the address, though nobody does before they start.
pub(super) fn check_dhcp(check: &mut Check<'_>, written: &FleetToml, known: &Known, fleet: &Fleet) {
    // A cluster says it once for all its nodes.
    let mut told = BTreeSet::new();
    for node in fleet.nodes.iter().filter(|node| node.address.is_none()) {
        let (Some(role), Some(network)) = (fleet.roles.get(&node.role), fleet.networks.get(&node.network))
        else {
            continue;
        };
        let Some(origin) = node.origins.iter().find(|origin| origin.name == "address") else {
            continue;
        };
        let span = &origin.place.span;
        if !told.insert((span.start, &role.name, &network.name)) {
            continue;
        }
        let needs = if role.gateway {
            Some("is a router, which others know by its address")
        } else if role.containers {
            Some("runs containers: routes and firewall rules go by its address")
        } else if known.provided_to(role, Provision::Guard) {
            Some("has a firewall that lets out its own address alone")
        } else {
            None
        };
        if let Some(needs) = needs {
            let message = format!("`{}` takes its address by DHCP, but {needs}", node.name);
            check
                .found(span, message)
                .hint("give it an address, and keep that out of what the DHCP server gives away");
        }
        let servers = written
            .networks
            .get(&network.name)
            .filter(|_| network.name_servers.is_empty());
        if servers.is_some() {
            let message = format!(
                "`{}` takes its address by DHCP, but network `{}` has no name servers",
                node.name, network.name
            );
            check.found(span, message).hint(format!(
                "add `name-servers = [\"192.168.1.1\"]` to [networks.{}]: nodes are told of them here",
                network.name
            ));
        }
    }
    // A rule for nodes goes by their addresses.
    let unknown = !fleet.nodes.is_empty() && fleet.nodes.iter().all(|node| node.address.is_none());
    let named = |rule: &AllowToml| rule.from.iter().find(|from| from.value == "nodes").cloned();
    if let (true, Some(from)) = (unknown, written.allow.iter().find_map(named)) {
        check
            .warned(
                &from.span,
                "this lets in nobody: all nodes take their addresses by DHCP, so that no rule can name them",
            )
            .hint("name their network instead");
    }
}
