//! Containers: where they run, their addresses and their limits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use formats::units::Bytes;

use self::toml::{ContainerToml, Uplink};
use crate::check::Check;
use crate::fleet::mac::{Mac, read_mac};
use crate::fleet::roll::Roll;
use crate::fleet::{ALL_OF_A_KIND, Network, Node, Role};
use crate::names::{host_fault, quoted, suggest};
use crate::size::parse_size;
use crate::written::{At, Placed, Table};

mod context;
pub(in crate::fleet) mod toml;

pub use context::{ContainerSecrets, ContainersContext, RouteContext};

/// What the node's end of a container's pair of interfaces is called: this and the container's name.
pub const INTERFACE_PREFIX: &str = "ct-";

/// Longest name of a container: Linux has 15 bytes for that of an interface.
const MAX_NAME: usize = 15 - INTERFACE_PREFIX.len();

/// Whole processors that a limit may name.
const CPUS: RangeInclusive<u16> = 1..=256;

/// Least memory that a limit may name: systemd and a shell do not start in less.
const LEAST_MEMORY: Bytes = Bytes::mib(32);

/// Least of the card that a limit may name: what a start writes fits.
const LEAST_DISK: Bytes = Bytes::mib(64);

/// What a container gets of the card where nothing is said: one must not fill it for all.
const DISK: Bytes = Bytes::gib(4);

/// Longest prefixes of a network of containers: its first address is nobody's, of IPv4 the last neither.
const SMALLEST: u8 = 30;
const SMALLEST6: u8 = 126;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name, which is its host name; at most 12 bytes.
    pub name: String,
    /// The node that it runs on.
    pub node: String,
    /// Its address in the node's network of containers.
    pub address: Ipv4Addr,
    /// Its IPv6 address there.
    pub address6: Option<Ipv6Addr>,
    /// Its MAC address.
    pub mac: Mac,
    /// Most processor time, in whole processors.
    pub cpus: Option<u16>,
    /// Most memory, and where that stands.
    pub memory: Option<Placed<Bytes>>,
    /// Most of the card, beside what it shares with its image.
    pub disk: Bytes,
    /// Whether it starts with its node.
    pub autostart: bool,
}

impl Container {
    /// The name of the node's end of its pair of interfaces.
    pub fn interface(&self) -> String {
        format!("{INTERFACE_PREFIX}{}", self.name)
    }
}

/// The containers that hold, by name. None has a name of `networks`.
pub(in crate::fleet) fn check_containers(
    check: &mut Check<'_>,
    written: &Table<ContainerToml>,
    networks: &[&str],
    nodes: &[Node],
    roles: &BTreeMap<String, Role>,
    roll: &Roll,
) -> Vec<Container> {
    let by_name: BTreeMap<&str, &Node> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let mut containers: Vec<Container> = Vec::new();
    for (name, toml) in written {
        check_name(check, networks, name, &by_name);
        let container = read(check, name, toml);
        let Some(node) = by_name.get(toml.node.as_str()) else {
            if !roll.may_have(&toml.node) {
                check
                    .found(
                        &toml.node.span,
                        format!("there is no node {}", quoted(&toml.node)),
                    )
                    .hint(suggest(&toml.node, by_name.keys().copied()));
            }
            continue;
        };
        if node.runs_none(roles) {
            check
                .found(
                    &toml.node.span,
                    format!(
                        "`{}` has the role `{}`, which runs no containers",
                        node.name, node.role
                    ),
                )
                .hint(format!(
                    "choose another node, or set `containers = true` in [roles.{}]",
                    node.role
                ));
        }
        let Some(container) = container else {
            continue;
        };
        if !node.runs_none(roles) {
            check_place(check, toml, &container, node);
        }
        containers.push(container);
    }
    check_distinct(check, written, &containers, nodes);
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    containers
}

fn check_name(check: &mut Check<'_>, networks: &[&str], name: &At<String>, nodes: &BTreeMap<&str, &Node>) {
    let fault = host_fault(name).or_else(|| {
        (name.len() > MAX_NAME).then(|| {
            format!(
                "is {} bytes long; its interface `{INTERFACE_PREFIX}{}` may have 15",
                name.len(),
                name.value
            )
        })
    });
    if let Some(fault) = fault {
        check
            .found(&name.span, format!("container name {} {fault}", quoted(name)))
            .hint(format!(
                "names are lower-case letters, digits and inner hyphens, {MAX_NAME} at most"
            ));
    }
    let other = if nodes.contains_key(name.as_str()) {
        "a node has this name"
    } else if networks.contains(&name.as_str()) {
        "a network has this name"
    } else if ALL_OF_A_KIND.contains(&name.as_str()) {
        "rules mean all of them by it"
    } else {
        return;
    };
    check
        .found(
            &name.span,
            format!("{} cannot name a container: {other}", quoted(name)),
        )
        .hint("rules of `allow` tell containers, networks and nodes apart by their names");
}

/// What stands in the table of a container, if nothing of it is wrong.
fn read(check: &mut Check<'_>, name: &At<String>, toml: &ContainerToml) -> Option<Container> {
    let address = check.address(&toml.address);
    let address6 = toml.address6.as_ref().map(|written| check.address6(written));
    let mac = match &toml.mac {
        Some(written) => read_mac(check, written),
        None => address.map(|address| {
            let [a, b, c, d] = address.octets();
            Mac([0x02, 0, a, b, c, d])
        }),
    };
    if let Some(cpus) = toml.cpus.as_ref().filter(|cpus| !CPUS.contains(cpus)) {
        check
            .found(
                &cpus.span,
                format!("{} processors are not within 1 to 256", cpus.value),
            )
            .hint("an ODROID-C2 has 4; without `cpus` a container may use all of them");
    }
    let memory = toml.memory.as_ref().map(|written| {
        let hint = "nothing starts in so little; an ODROID-C2 has 2 GiB";
        Some(Placed {
            value: size(check, written, "memory", LEAST_MEMORY, hint)?,
            place: check.place(&written.span),
        })
    });
    let disk = toml.disk.as_ref().map_or(Some(DISK), |written| {
        let hint = "its first start would not fit; without `disk` a container gets 4 GiB";
        size(check, written, "disk", LEAST_DISK, hint)
    });
    Some(Container {
        name: name.value.clone(),
        node: toml.node.value.clone(),
        address: address?,
        address6: match address6 {
            Some(address6) => Some(address6?),
            None => None,
        },
        mac: mac?,
        cpus: toml.cpus.as_ref().map(|cpus| cpus.value),
        memory: match memory {
            Some(memory) => Some(memory?),
            None => None,
        },
        disk: disk?,
        autostart: toml.autostart,
    })
}

/// The size that a limit of `what` names.
fn size(check: &mut Check<'_>, written: &At<String>, what: &str, least: Bytes, hint: &str) -> Option<Bytes> {
    match parse_size(written) {
        Ok(size) if size >= least => Some(size),
        Ok(size) => {
            check
                .found(&written.span, format!("{size} of {what} are less than {least}"))
                .hint(hint);
            None
        }
        Err((fault, hint)) => {
            check.found(&written.span, fault).hint(hint);
            None
        }
    }
}

/// A container's addresses lie in the network that its node has for containers.
fn check_place(check: &mut Check<'_>, toml: &ContainerToml, container: &Container, node: &Node) {
    let hint = |key: &str| {
        format!(
            "add `{key}` to [clusters.{}], with {{slot}} in it, or to [nodes.{}]",
            node.cluster, node.name
        )
    };
    match node.containers {
        None => {
            let message = format!("node `{}` has no network of containers", node.name);
            check.found(&toml.node.span, message).hint(hint("containers"));
        }
        Some(net)
            if !net.contains(&container.address)
                || [net.network(), net.broadcast()].contains(&container.address) =>
        {
            let message = format!(
                "{} is no host of {net}, the containers of `{}`",
                container.address, node.name
            );
            check.found(&toml.address.span, message).hint(
                "a container has an address of its node's network, so that all others have a route to it",
            );
        }
        Some(_) => {}
    }
    let (Some(written), Some(address6)) = (&toml.address6, container.address6) else {
        return;
    };
    match node.containers6 {
        None => {
            let message = format!("node `{}` has no IPv6 network of containers", node.name);
            check.found(&written.span, message).hint(hint("containers6"));
        }
        Some(net) if !net.contains(&address6) || net.network() == address6 => {
            let message = format!(
                "{address6} is no host of {net}, the containers of `{}`",
                node.name
            );
            check.found(&written.span, message).hint(
                "a container has an address of its node's network, so that all others have a route to it",
            );
        }
        Some(_) => {}
    }
}

/// Finds addresses and MAC addresses that two containers have, or a container and a node.
fn check_distinct(
    check: &mut Check<'_>,
    written: &Table<ContainerToml>,
    containers: &[Container],
    nodes: &[Node],
) {
    let place = |name: &str| {
        let toml = written.get(name)?;
        Some((
            toml.address.span.clone(),
            toml.mac.as_ref().unwrap_or(&toml.address).span.clone(),
        ))
    };
    let mut addresses: BTreeMap<Ipv4Addr, &Container> = BTreeMap::new();
    let mut addresses6: BTreeMap<Ipv6Addr, &Container> = BTreeMap::new();
    let mut macs: BTreeMap<Mac, &str> = nodes
        .iter()
        .filter_map(|node| Some((node.mac?, node.name.as_str())))
        .collect();
    for container in containers {
        let Some((address_span, mac_span)) = place(&container.name) else {
            continue;
        };
        let twice = addresses.insert(container.address, container);
        let twice6 = container
            .address6
            .and_then(|address| addresses6.insert(address, container));
        if let Some(other) = twice.or(twice6) {
            let message = format!("`{}` and `{}` have the same address", other.name, container.name);
            check
                .found(&address_span, message)
                .hint("give each container its own");
        } else if let Some(other) = macs.insert(container.mac, &container.name) {
            let message = format!(
                "`{other}` and `{}` have the same MAC address, {}",
                container.name, container.mac
            );
            check
                .found(&mac_span, message)
                .hint("give each container its own");
        }
    }
}

/// Holds the networks of containers against the nodes' networks and each other, once for each place they come from.
pub(in crate::fleet) fn check_container_networks(
    check: &mut Check<'_>,
    nodes: &[Node],
    networks: &BTreeMap<String, Network>,
) {
    let mut found: Vec<usize> = Vec::new();
    let mut report = |check: &mut Check<'_>, node: &Node, key: &str, message: String, hint: &str| {
        let Some(origin) = node.origins.iter().find(|origin| origin.name == key) else {
            return;
        };
        let span = origin.place.span.clone();
        if !found.contains(&span.start) {
            found.push(span.start);
            check.found(&span, message).hint(hint);
        }
    };
    let small = "a /30 has room for 2 containers, a /29 for 6, a /24 for 254";
    let small6 = "a /126 has room for 3 containers, a /64 for all that there will ever be";
    let inside = "routers know the nodes' network; that of their containers is a part of it, but where its `uplink` is \"masquerade\"";
    let apart = "nodes and containers of all buses need addresses of their own";
    let mut seen: Vec<(&Node, ipnet::Ipv4Net)> = Vec::new();
    let mut seen6: Vec<(&Node, ipnet::Ipv6Net)> = Vec::new();
    for node in nodes {
        let Some(network) = networks.get(&node.network) else {
            continue;
        };
        // There, who sees them sees the node.
        let may_be_outside = network.uplink == Uplink::Masquerade;
        if let Some(net) = node.containers {
            if net.prefix_len() > SMALLEST {
                let message = format!(
                    "{net}, the containers of `{}`, has no room for a container",
                    node.name
                );
                report(check, node, "containers", message, small);
            }
            let is_inside = network.contains(net.network()) && network.contains(net.broadcast());
            if !is_inside && !may_be_outside {
                let message = format!(
                    "the containers of `{}`, {net}, are outside of network {network}",
                    node.name
                );
                report(check, node, "containers", message, inside);
            }
            if let Some((other, theirs)) = seen
                .iter()
                .find(|(_, theirs)| theirs.contains(&net) || net.contains(theirs))
            {
                let message = format!(
                    "the containers of `{}`, {net}, overlap those of `{}`, {theirs}",
                    node.name, other.name
                );
                report(check, node, "containers", message, apart);
            }
            let taken = nodes
                .iter()
                .find(|other| other.address.is_some_and(|address| net.contains(&address)));
            if let Some(other) = taken {
                let message = format!(
                    "{net}, the containers of `{}`, has node `{}` in it",
                    node.name, other.name
                );
                report(check, node, "containers", message, apart);
            }
            seen.push((node, net));
        }
        if let Some(net) = node.containers6 {
            if net.prefix_len() > SMALLEST6 {
                let message = format!(
                    "{net}, the containers of `{}`, has no room for a container",
                    node.name
                );
                report(check, node, "containers6", message, small6);
            }
            let is_inside = network.subnet6.is_some_and(|subnet| subnet.contains(&net));
            if !is_inside && !may_be_outside {
                let message = format!(
                    "the containers of `{}`, {net}, are outside of the IPv6 addresses of network `{}`",
                    node.name, network.name
                );
                report(check, node, "containers6", message, inside);
            }
            if let Some((other, theirs)) = seen6
                .iter()
                .find(|(_, theirs)| theirs.contains(&net) || net.contains(theirs))
            {
                let message = format!(
                    "the containers of `{}`, {net}, overlap those of `{}`, {theirs}",
                    node.name, other.name
                );
                report(check, node, "containers6", message, apart);
            }
            let taken = nodes
                .iter()
                .find(|other| other.address6.is_some_and(|address| net.contains(&address)));
            if let Some(other) = taken {
                let message = format!(
                    "{net}, the containers of `{}`, has node `{}` in it",
                    node.name, other.name
                );
                report(check, node, "containers6", message, apart);
            }
            seen6.push((node, net));
        }
    }
}
