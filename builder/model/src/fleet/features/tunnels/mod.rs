//! Fixed addresses of providers that come in by WireGuard.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};

use self::toml::TunnelToml;
use super::containers::toml::ContainerToml;
use super::ports::check_port;
use super::services::{Published, gateway};
use crate::check::Check;
use crate::finding::Place;
use crate::fleet::roll::Roll;
use crate::fleet::{Fleet, Network, Node, Protocol};
use crate::names::{domain_fault, quoted, suggest};
use crate::written::{At, Table};

mod context;
pub(in crate::fleet) mod toml;

pub use context::TunnelContext;

/// What the interface of a tunnel is called: this and the tunnel's name.
const INTERFACE_PREFIX: &str = "wg-";

/// Longest name of a tunnel: Linux has 15 bytes for that of an interface.
const MAX_NAME: usize = 15 - INTERFACE_PREFIX.len();

/// The port of WireGuard, where none is written.
const PORT: u16 = 51820;

/// Seconds between signs of life: routers forget connections of UDP after 30 seconds and more.
const KEEPALIVE: u16 = 25;

/// A fixed address that comes in by a tunnel.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// Its name; at most 12 bytes.
    pub name: String,
    /// The node whose end it is: the gateway of the container's network.
    pub gateway: String,
    /// Where the provider's end listens: `IP:PORT`, `[IPv6]:PORT` or `HOST:PORT`.
    pub endpoint: String,
    /// The provider's WireGuard key, base64.
    pub public_key: String,
    /// The fixed address.
    pub address: Ipv4Addr,
    /// The container that has it.
    pub container: String,
    /// Port that the gateway's end listens on.
    pub port: u16,
    /// Seconds between signs of life.
    pub keepalive: u16,
    /// Where it was written.
    pub place: Place,
}

impl Tunnel {
    /// The name of its interface.
    pub fn interface(&self) -> String {
        format!("{INTERFACE_PREFIX}{}", self.name)
    }
}

impl Fleet {
    /// The tunnels whose one end is `node`, by name.
    pub fn tunnels_of(&self, node: &Node) -> impl Iterator<Item = &Tunnel> {
        self.tunnels.iter().filter(|tunnel| tunnel.gateway == node.name)
    }
}

/// The tunnels that hold, by name.
pub(in crate::fleet) fn check_tunnels(
    check: &mut Check<'_>,
    (written, containers): (&Table<TunnelToml>, &Table<ContainerToml>),
    networks: &BTreeMap<String, Network>,
    nodes: &[Node],
    roll: &Roll,
) -> Vec<Tunnel> {
    let mut tunnels: Vec<Tunnel> = Vec::new();
    let mut addresses = BTreeMap::new();
    let mut ports = BTreeMap::new();
    for (name, toml) in written {
        check_name(check, name);
        check_endpoint(check, &toml.endpoint);
        check_key(check, &toml.public_key);
        let port = toml.port.as_ref().map_or(PORT, |port| port.value);
        if let Some(port) = &toml.port {
            check_port(check, port);
        }
        if let Some(seconds) = toml.keepalive.as_ref().filter(|seconds| seconds.value == 0) {
            check
                .found(&seconds.span, format!("tunnel `{}` would give no sign of life", name.value))
                .hint("a provider answers to where the last sign came from: leave `keepalive` out, or give seconds");
        }
        let address = address(check, networks, &toml.address);
        if let Some(address) = address {
            let endpoint = toml.endpoint.parse::<SocketAddr>();
            if endpoint.is_ok_and(|endpoint| endpoint.ip() == address) {
                check
                    .found(
                        &toml.endpoint.span,
                        format!("the tunnel of {address} would lead to itself"),
                    )
                    .hint("the provider's end is at an address of the provider's own");
            }
            check_once(check, &mut addresses, name, &toml.address, address, "address");
        }
        let at_port = toml.port.as_ref().map_or(&name.span, |port| &port.span);
        let at_port = At {
            value: port,
            span: at_port.clone(),
        };
        let gateway = gateway_end(check, containers, toml, networks, nodes, roll);
        if let Some(gateway) = gateway {
            check_once(check, &mut ports, name, &at_port, (gateway, port), "`port`");
        }
        let (Some(address), Some(gateway)) = (address, gateway) else {
            continue;
        };
        tunnels.push(Tunnel {
            name: name.value.clone(),
            gateway: gateway.to_owned(),
            endpoint: toml.endpoint.value.clone(),
            public_key: toml.public_key.value.clone(),
            address,
            container: toml.container.value.clone(),
            port,
            keepalive: toml.keepalive.as_ref().map_or(KEEPALIVE, |seconds| seconds.value),
            place: check.file.place(name.span.clone()),
        });
    }
    tunnels.sort_by(|one, other| one.name.cmp(&other.name));
    tunnels
}

/// Finds ends of tunnels that listen where their gateway publishes a service.
pub(in crate::fleet) fn check_published_ports(check: &mut Check<'_>, fleet: &Fleet) {
    for tunnel in &fleet.tunnels {
        let Some(gateway) = fleet.nodes.iter().find(|node| node.name == tunnel.gateway) else {
            continue;
        };
        let published = fleet.published(gateway).into_iter();
        let udp = |published: &Published<'_>| published.service.protocol == Protocol::Udp;
        if let Some(other) = published
            .filter(udp)
            .find(|published| published.public == tunnel.port)
        {
            let message = format!(
                "tunnel `{}` and service `{}` would both have port {} of `{}`, by UDP",
                tunnel.name, other.service.name, tunnel.port, gateway.name
            );
            check
                .found(&tunnel.place.span, message)
                .related(&other.service.place.span, "the service")
                .hint("give the tunnel another `port`, or the service another `public` one");
        }
    }
}

fn check_name(check: &mut Check<'_>, name: &At<String>) {
    check.name(name, "tunnel");
    if name.len() > MAX_NAME {
        check
            .found(
                &name.span,
                format!(
                    "tunnel {} is {} bytes long, the limit is {MAX_NAME}",
                    quoted(name),
                    name.len()
                ),
            )
            .hint(format!(
                "its interface is called `{INTERFACE_PREFIX}` and its name, in the 15 bytes that Linux has"
            ));
    }
}

/// Finds a provider's end that is not a place of the network.
fn check_endpoint(check: &mut Check<'_>, endpoint: &At<String>) {
    let is_address = endpoint
        .parse::<SocketAddr>()
        .is_ok_and(|address| address.port() != 0 && !address.ip().is_unspecified());
    let is_name = endpoint.rsplit_once(':').is_some_and(|(host, port)| {
        // What is digits and dots alone is an address, and a wrong one.
        let reads_as_address = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let is_port = port.parse::<u16>().is_ok_and(|port| port != 0) && !port.starts_with('+');
        !reads_as_address && domain_fault(host).is_none() && is_port
    });
    if !is_address && !is_name {
        check
            .found(
                &endpoint.span,
                format!("{} is no end of a tunnel", quoted(endpoint)),
            )
            .hint("an address or a host name, and a port: \"203.0.113.7:51820\", \"[2001:db8::7]:51820\"");
    }
}

/// Finds what is not a key of WireGuard: 32 bytes in base64, 44 characters of which the last is padding.
fn check_key(check: &mut Check<'_>, key: &At<String>) {
    let digits = key.strip_suffix('=').filter(|digits| digits.len() == 43);
    let is_key = digits.is_some_and(|digits| {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        // 43 digits have 258 bits; the last two stand for nothing, so that one in four can be the last digit.
        digits.bytes().all(is_digit) && digits.ends_with(|last| "AEIMQUYcgkosw048".contains(last))
    });
    if !is_key {
        check
            .found(&key.span, format!("{} is no key of WireGuard", quoted(key)))
            .hint("44 characters of base64, as `wg pubkey` prints it and providers give it");
    }
}

/// The fixed address, which is nobody's in the fleet.
fn address(
    check: &mut Check<'_>,
    networks: &BTreeMap<String, Network>,
    written: &At<String>,
) -> Option<Ipv4Addr> {
    let address = check.host_address(written)?;
    if let Some(network) = networks.values().find(|network| network.contains(address)) {
        let message = format!("the fixed address {address} is one of network `{}`", network.name);
        check
            .found(&written.span, message)
            .hint("it is what the provider gives out, of its own network");
    }
    Some(address)
}

/// The name of the gateway that the container's answers pass.
fn gateway_end<'a>(
    check: &mut Check<'_>,
    containers: &Table<ContainerToml>,
    toml: &TunnelToml,
    networks: &BTreeMap<String, Network>,
    nodes: &'a [Node],
    roll: &Roll,
) -> Option<&'a str> {
    let wanted = &toml.container;
    let Some(container) = containers.get(wanted) else {
        check
            .found(&wanted.span, format!("there is no container {}", quoted(wanted)))
            .hint(suggest(wanted, containers.names()));
        return None;
    };
    let mut hosts = nodes.iter().filter(|node| roll.hosts(node));
    let host = hosts.find(|node| node.name == container.node.value)?;
    let network = networks.get(&host.network)?;
    let gateway = gateway(nodes, network);
    if gateway.is_none() && !roll.is_incomplete() {
        let message = format!(
            "no node of the fleet is the gateway of network `{}`",
            network.name
        );
        check
            .found(&wanted.span, message)
            .hint("a tunnel ends at the node that the container's answers pass, which has a port `internet`");
    }
    gateway.map(|gateway| gateway.name.as_str())
}

/// Finds a value that two tunnels have.
fn check_once<'a, K: Ord, T: Display>(
    check: &mut Check<'_>,
    first: &mut BTreeMap<K, (&'a At<String>, std::ops::Range<usize>)>,
    name: &'a At<String>,
    written: &At<T>,
    key: K,
    what: &str,
) {
    if let Some((other, span)) = first.get(&key) {
        let message = format!(
            "tunnels `{}` and `{}` have the same {what}, {}",
            other.value, name.value, written.value
        );
        check
            .found(&written.span, message)
            .related(span, "the other one")
            .hint("give each its own");
    } else {
        first.insert(key, (name, written.span.clone()));
    }
}
