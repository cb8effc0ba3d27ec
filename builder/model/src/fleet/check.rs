//! The fleet as written becomes the fleet that is true.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::dhcp::check_dhcp;
use super::features::access::check_passages;
use super::features::backup::{WrittenBuddies, check_backup, check_reach, choose_buddies};
use super::features::containers::{check_container_networks, check_containers};
use super::features::inproxy::check_inproxy;
use super::features::monitor::check_monitor;
use super::features::power::{Supplied, check_power};
use super::features::services::check_services;
use super::features::tunnels::{check_published_ports, check_tunnels};
use super::network::check_networks;
use super::nodes::Drafts;
use super::people::{check_admin_keys, check_time_servers};
use super::provided::{check_logins, check_provided, check_routers};
use super::system::check_system;
use super::toml::{FleetToml, RoleToml};
use super::vars::{assign_vars, check_vars};
use super::{Fleet, Known, Role, texts};
use crate::check::Check;
use crate::finding::{Findings, SourceFile};
use crate::names::{quoted, suggest};
use crate::overlay::check_arguments;
use crate::users::{User, Who, check_users};
use crate::written::{At, Placed, Table};

/// Holds `written` against every rule. The fleet that comes back holds what could be made of it; it is true only if
/// nothing was found.
pub fn check_fleet(
    file: &Arc<SourceFile>,
    written: &FleetToml,
    known: &Known,
    findings: &mut Findings,
) -> Fleet {
    let check = &mut Check { file, findings };
    check.name(&written.name, "fleet");
    check_admin_keys(check, &written.admin_keys);
    check_time_servers(check, &written.time_servers);
    let system = check_system(check, &written.system);
    let users = check_users(check, &written.users, Who::People);
    let vars = check_vars(check, &written.vars);
    let networks = check_networks(check, &written.networks);
    let roles = check_roles(check, &written.roles);
    check_references(check, written, known);
    if written.clusters.0.is_empty() {
        check
            .found(&written.name.span, "the fleet has no cluster, so it has no node")
            .hint("add one: [clusters.red] with `slots` and `address`");
    }
    let drafts = Drafts::collect(check, written);
    let switches = drafts.check_switches(check, written);
    let roll = drafts.roll();
    let mut nodes = drafts.into_nodes(check, written, &networks);
    for node in &mut nodes {
        if node.runs_none(&roles) {
            let own = written.nodes.get(&node.name);
            let own = own.and_then(|own| own.containers.as_ref().or(own.containers6.as_ref()));
            if let Some(net) = own {
                let message = format!(
                    "`{}` has the role `{}`, which runs no containers",
                    node.name, node.role
                );
                check.found(&net.span, message).hint(format!(
                    "leave out their network, or set `containers = true` in [roles.{}]",
                    node.role
                ));
            }
            // A bus has one pattern for all its nodes, also for those that run no containers.
            (node.containers, node.containers6) = (None, None);
            node.origins
                .retain(|origin| !origin.name.starts_with("containers"));
        }
    }
    for node in &mut nodes {
        node.origins.extend(users.iter().map(User::origin));
    }
    assign_vars(check, written, &vars, &roles, &mut nodes);
    check_gateways(check, written, &networks, &roles, &nodes);
    check_ports(check, written, &roles, &nodes);
    check_container_networks(check, &nodes, &networks);
    let roll = roll.less(&nodes, &roles);
    let network_names: Vec<&str> = written.networks.names().collect();
    let containers = check_containers(check, &written.containers, &network_names, &nodes, &roles, &roll);
    let power = check_power(check, &written.power, supplied(written), &nodes);
    let serving = (&written.services, &written.containers);
    let services = check_services(check, serving, &networks, &nodes, &roll);
    let inproxy = check_inproxy(check, written.inproxy.as_ref(), serving, &networks, &nodes, &roll);
    let tunnels = check_tunnels(
        check,
        (&written.tunnels, &written.containers),
        &networks,
        &nodes,
        &roll,
    );
    let passages = check_passages(
        check,
        &written.allow,
        written.containers.names(),
        written.networks.names(),
    );
    let backup = check_backup(check, &written.backup);
    let monitor = written
        .monitor
        .as_ref()
        .and_then(|monitor| check_monitor(check, monitor));
    let mut fleet = Fleet {
        name: written.name.value.clone(),
        networks,
        roles,
        nodes,
        admin_keys: texts(&written.admin_keys),
        time_servers: texts(&written.time_servers),
        system,
        users,
        vars,
        power,
        switches,
        containers,
        services,
        inproxy,
        tunnels,
        backup,
        monitor,
        passages,
    };
    choose_buddies(check, &written_buddies(written), known, &mut fleet, &roll);
    check_published_ports(check, &fleet);
    check_provided(check, written, known, &fleet);
    check_dhcp(check, written, known, &fleet);
    if !roll.is_incomplete() {
        check_routers(check, written, &fleet);
    }
    // Of a fleet with faults nobody knows who would reach whom.
    if check.findings.errors() == 0 {
        check_reach(check, &fleet);
        check_logins(check, written, known, &fleet);
    }
    fleet
}

/// The buses that say what supplies them.
fn supplied(written: &FleetToml) -> impl Iterator<Item = Supplied<'_>> {
    written.clusters.into_iter().filter_map(|(cluster, toml)| {
        Some(Supplied {
            cluster,
            slots: &toml.slots.span,
            supply: toml.supply.as_ref()?,
        })
    })
}

fn written_buddies(written: &FleetToml) -> WrittenBuddies<'_> {
    let nodes = written.nodes.into_iter();
    WrittenBuddies {
        clusters: written.clusters.keys().collect(),
        nodes: nodes
            .filter_map(|(name, toml)| Some((name.as_str(), toml.buddy.as_ref()?)))
            .collect(),
        hosts: &written.backup.hosts,
    }
}

fn check_roles(check: &mut Check<'_>, written: &Table<RoleToml>) -> BTreeMap<String, Role> {
    let mut roles = BTreeMap::new();
    for (name, toml) in written {
        check.name(name, "role");
        check.distinct(&toml.overlays, "overlay");
        check.distinct(&toml.container_image, "overlay");
        let role = Role {
            name: name.value.clone(),
            overlays: texts(&toml.overlays),
            container_image: toml
                .container_image
                .iter()
                .map(|overlay| Placed {
                    value: overlay.value.clone(),
                    place: check.file.place(overlay.span.clone()),
                })
                .collect(),
            containers: toml.containers,
            gateway: toml.gateway,
            kernel_arguments: check_arguments(check, &toml.kernel_arguments),
            vars: check_vars(check, &toml.vars),
        };
        roles.insert(role.name.clone(), role);
    }
    roles
}

/// Finds every name that nothing has, once where it is written.
fn check_references(check: &mut Check<'_>, written: &FleetToml, known: &Known) {
    let networks: BTreeSet<&str> = written.networks.names().collect();
    let roles: BTreeSet<&str> = written.roles.names().collect();
    let clusters: BTreeSet<&str> = written.clusters.names().collect();
    let boards: BTreeSet<&str> = known.boards.iter().map(String::as_str).collect();
    let layouts: BTreeSet<&str> = known.layouts.iter().map(String::as_str).collect();
    let overlays: BTreeSet<&str> = known.overlays.keys().map(String::as_str).collect();
    let mut refer_to = |name: &At<String>, what: &str, known: &BTreeSet<&str>| {
        if !known.contains(name.as_str()) {
            check
                .found(&name.span, format!("there is no {what} {}", quoted(name)))
                .hint(suggest(name, known.iter().copied()));
        }
    };
    for (_, role) in &written.roles {
        for overlay in role.overlays.iter().chain(&role.container_image) {
            refer_to(overlay, "overlay", &overlays);
        }
    }
    let mut refer = |reference: &Option<At<String>>, what: &str, known: &BTreeSet<&str>| {
        if let Some(name) = reference {
            refer_to(name, what, known);
        }
    };
    let defaults = &written.defaults;
    refer(&defaults.network, "network", &networks);
    refer(&defaults.role, "role", &roles);
    refer(&defaults.board, "board", &boards);
    refer(&defaults.layout, "layout", &layouts);
    for (_, cluster) in &written.clusters {
        refer(&cluster.network, "network", &networks);
        refer(&cluster.role, "role", &roles);
        refer(&cluster.board, "board", &boards);
        refer(&cluster.layout, "layout", &layouts);
    }
    for (_, node) in &written.nodes {
        refer(&node.cluster, "cluster", &clusters);
        refer(&node.network, "network", &networks);
        refer(&node.role, "role", &roles);
        refer(&node.board, "board", &boards);
        refer(&node.layout, "layout", &layouts);
    }
    for (_, node) in &written.nodes {
        if let Some(port) = &node.internet {
            refer_to(&port.network, "network", &networks);
        }
    }
}

/// Finds gateways without a second port, and second ports that lead nowhere else.
fn check_ports(
    check: &mut Check<'_>,
    written: &FleetToml,
    roles: &BTreeMap<String, Role>,
    nodes: &[super::Node],
) {
    for node in nodes {
        let Some(is_gateway) = roles.get(&node.role).map(|role| role.gateway) else {
            continue;
        };
        let place = |name: &str| node.origins.iter().find(|origin| origin.name == name);
        match (&node.internet, is_gateway) {
            (None, true) => {
                // One that is written and failed was told of.
                let mut own = written.nodes.into_iter();
                let is_written = own.any(|(name, own)| name.value == node.name && own.internet.is_some());
                let Some(role) = place("role").filter(|_| !is_written) else {
                    continue;
                };
                let message = format!("`{}` is a gateway without a second port", node.name);
                check.found(&role.place.span, message).hint(format!(
                    "add `internet = {{ network = \"uplink\", address = \"192.168.0.2\" }}` to [nodes.{}]",
                    node.name
                ));
            }
            (Some(_), false) => {
                let Some(port) = place("internet") else { continue };
                let message = format!(
                    "`{}` has a second port, but its role `{}` is not that of a gateway",
                    node.name, node.role
                );
                check.found(&port.place.span, message).hint(format!(
                    "leave out `internet`, or set `gateway = true` in [roles.{}]",
                    node.role
                ));
            }
            (Some(port), true) if port.network == node.network => {
                let Some(origin) = place("internet") else { continue };
                let message = format!("both ports of `{}` are on network `{}`", node.name, port.network);
                check
                    .found(&origin.place.span, message)
                    .hint("a gateway joins two networks");
            }
            _ => {}
        }
    }
    check_port_addresses(check, written, nodes);
}

/// Finds addresses of second ports that another node has, too.
fn check_port_addresses(check: &mut Check<'_>, written: &FleetToml, nodes: &[super::Node]) {
    let mut taken: BTreeMap<Ipv4Addr, &str> = nodes
        .iter()
        .filter_map(|node| Some((node.address?, node.name.as_str())))
        .collect();
    for node in nodes {
        let Some(port) = &node.internet else { continue };
        let Some(other) = taken.insert(port.address, &node.name) else {
            continue;
        };
        let span = written
            .nodes
            .into_iter()
            .find(|(name, _)| name.value == node.name)
            .and_then(|(_, toml)| toml.internet.as_ref())
            .map(|port| port.address.span.clone());
        if let Some(span) = span {
            let message = format!(
                "`{other}` and the second port of `{}` have the same address, {}",
                node.name, port.address
            );
            check.found(&span, message).hint("give each its own");
        }
    }
}

/// Finds nodes that have the address of a router and are none.
fn check_gateways(
    check: &mut Check<'_>,
    written: &FleetToml,
    networks: &BTreeMap<String, super::Network>,
    roles: &BTreeMap<String, Role>,
    nodes: &[super::Node],
) {
    let gateways: BTreeMap<Ipv4Addr, &str> = networks
        .values()
        .filter_map(|network| Some((network.gateway?, network.name.as_str())))
        .collect();
    for node in nodes {
        let Some((address, network)) = node
            .address
            .and_then(|address| Some((address, gateways.get(&address)?)))
        else {
            continue;
        };
        let in_place = node.network == **network;
        if roles.get(&node.role).is_none_or(|role| role.gateway && in_place) {
            continue;
        }
        let Some(origin) = node.origins.iter().find(|origin| origin.name == "address") else {
            continue;
        };
        let gateway = written
            .networks
            .into_iter()
            .find_map(|(name, toml)| toml.gateway.as_ref().filter(|_| name.value == **network));
        let found = check.found(
            &origin.place.span,
            format!(
                "`{}` has the address of network `{network}`'s gateway, {address}",
                node.name
            ),
        );
        let found = match gateway {
            Some(gateway) => found.related(&gateway.span, "the gateway"),
            None => found,
        };
        found.hint("leave the slot out of `slots`, or give the node or the gateway another address");
    }
}
