//! What the fleet asks of nodes and no overlay of their role does, and what nobody says of a node that then is out of reach.

use std::collections::{BTreeMap, BTreeSet};

use super::features::access::SSH;
use super::features::services::gateway;
use super::toml::FleetToml;
use super::{Fleet, Known, Role, Uplink};
use crate::check::Check;
use crate::overlay::Provision;
use crate::written::At;

/// Finds what the fleet asks of nodes whose role has not the overlay that does it.
pub(super) fn check_provided(check: &mut Check<'_>, written: &FleetToml, known: &Known, fleet: &Fleet) {
    let inproxy = written.inproxy.as_ref().map(|inproxy| &inproxy.node);
    let inproxy = inproxy.map(|node| (Provision::Inproxy, node.value.as_str(), &node.span));
    let tunnels = fleet.tunnels.iter().map(|tunnel| {
        let gateway = tunnel.gateway.as_str();
        (Provision::Tunnels, gateway, &tunnel.place.span)
    });
    // One node of each role: all others would say the same.
    let swapping: BTreeMap<&str, _> = fleet
        .nodes
        .iter()
        .rev()
        .filter_map(|node| {
            let span = &node.zram.as_ref()?.place.span;
            Some((node.role.as_str(), (Provision::Zram, node.name.as_str(), span)))
        })
        .collect();
    for (what, node, span) in inproxy.into_iter().chain(tunnels).chain(swapping.into_values()) {
        let node = fleet.nodes.iter().find(|other| other.name == node);
        let Some(role) = node.and_then(|node| fleet.roles.get(&node.role)) else {
            continue;
        };
        if let Some(overlay) = known.lacked_by(role, what) {
            let message = format!(
                "the role `{}` of that node lacks the overlay `{overlay}`, which does this",
                role.name
            );
            check.found(span, message).hint(addition(role, overlay));
        }
    }
    for (name, role) in roles_in_use(written, fleet) {
        if let Some(overlay) = known.lacked_by(role, Provision::Access) {
            let message = format!(
                "nobody reaches nodes of the role `{}`: no overlay of it brings network and ssh",
                role.name
            );
            check.warned(&name.span, message).hint(addition(role, overlay));
        }
        if let Some(overlay) = known
            .lacked_by(role, Provision::Containers)
            .filter(|_| role.containers)
        {
            let message = format!(
                "the role `{}` has `containers = true`, but no overlay of it runs any",
                role.name
            );
            check.found(&name.span, message).hint(addition(role, overlay));
        }
    }
    let Some(monitor) = &written.monitor else {
        return;
    };
    let mut silent = roles_in_use(written, fleet)
        .filter_map(|(_, role)| Some((role, known.lacked_by(role, Provision::Monitoring)?)));
    if let Some((role, overlay)) = silent.next() {
        let message = format!(
            "the monitor asks all nodes, but the role `{}` lacks the overlay `{overlay}`, which answers",
            role.name
        );
        check
            .found(&monitor.address.span, message)
            .hint(addition(role, overlay));
    }
}

/// Finds roles whose nodes let in only what the fleet says, where it lets nobody in by ssh: nothing else leads into them.
pub(super) fn check_logins(check: &mut Check<'_>, written: &FleetToml, known: &Known, fleet: &Fleet) {
    let by_ssh = fleet.accepted_by_nodes().iter().any(|accept| accept.takes(SSH));
    for (name, role) in roles_in_use(written, fleet) {
        if !by_ssh && known.provided_to(role, Provision::Guard) {
            let message = format!(
                "nobody could log in at nodes of the role `{}`: nothing of `allow` lets ssh in",
                role.name
            );
            check.found(&name.span, message).hint(
                "add [[allow]] with to = [\"nodes\"], tcp = [22] and, as `from`, the network where you are",
            );
        }
    }
}

/// Tells of containers whose network has a router that is no node of the fleet: it does not know where they are.
pub(super) fn check_routers(check: &mut Check<'_>, written: &FleetToml, fleet: &Fleet) {
    for (name, toml) in &written.networks {
        let (Some(network), Some(router)) = (fleet.networks.get(&name.value), &toml.gateway) else {
            continue;
        };
        if network.uplink != Uplink::Routed {
            continue;
        }
        let first = fleet.containers.iter().find_map(|container| {
            let host = fleet.nodes.iter().find(|node| node.name == container.node)?;
            let net = host.containers.filter(|_| host.network == network.name)?;
            Some((container, host, net))
        });
        if let Some((container, host, net)) = first.filter(|_| gateway(&fleet.nodes, network).is_none()) {
            let message = format!(
                "`{}` reaches nothing beyond network `{}`: its router {} is no node of the fleet, and knows of no containers",
                container.name, network.name, router.value
            );
            check.warned(&router.span, message).hint(format!(
                "give that router a route to the containers of each node, {net} by {} for one, or set `uplink` of the network to \"masquerade\" or \"proxy-arp\"",
                host.address_text()
            ));
        }
    }
}

/// The roles that nodes have, each with its name as it was written.
fn roles_in_use<'a>(
    written: &'a FleetToml,
    fleet: &'a Fleet,
) -> impl Iterator<Item = (&'a At<String>, &'a Role)> {
    let used: BTreeSet<&str> = fleet.nodes.iter().map(|node| node.role.as_str()).collect();
    let names = written
        .roles
        .keys()
        .filter(move |name| used.contains(name.as_str()));
    names.filter_map(|name| Some((name, fleet.roles.get(&name.value)?)))
}

fn addition(role: &Role, overlay: &str) -> String {
    format!("add \"{overlay}\" to `overlays` of [roles.{}]", role.name)
}
