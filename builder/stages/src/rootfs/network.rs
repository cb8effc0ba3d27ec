//! What templates can use of networks and ports.
//!
//! Both of a node and of each of its containers, addresses are lists: `ipv4` and `ipv6` of none or one, so that a
//! template for one family passes over what lacks it.
//!
//! | of | are |
//! |---|---|
//! | `node`, `nodes` | `interface`, `addresses` (with prefix lengths), `ipv4`, `ipv6`, `static_routes`, `internet` |
//! | `internet` | `interface`, `network`, `addresses`, `ipv4`, `ipv6`, `gateways`, `name_servers`, `macs`, `static_routes` |

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::fleet::features::services::PublishedContext;
use model::fleet::features::texts;
use model::fleet::{Fleet, Network, Node};
use serde::Serialize;

/// The one port of a node.
const INTERFACE: &str = "eth0";

/// The ports of a gateway: the seed of all rules calls them so.
const LOCAL: &str = "ethLocalNetwork";
const INTERNET: &str = "ethToInternet";

/// The name of the port by which a node is on its network.
pub fn local_interface(node: &Node) -> &'static str {
    match node.internet {
        Some(_) => LOCAL,
        None => INTERFACE,
    }
}

#[derive(Debug, Serialize)]
pub(super) struct NetworkContext<'a> {
    name: &'a str,
    base: String,
    prefix: u8,
    subnets: Vec<String>,
    subnet4: String,
    subnet6: Vec<String>,
    gateways: Vec<String>,
    name_servers: Vec<String>,
}

/// A route that somebody wrote for all hosts of a network.
#[derive(Debug, Clone, Serialize)]
struct StaticRoute {
    destination: String,
    via: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct PortsContext<'a> {
    interface: &'static str,
    addresses: Vec<String>,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
    static_routes: Vec<StaticRoute>,
    internet: Vec<InternetContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Vec<PublishedContext<'a>>>,
}

#[derive(Debug, Clone, Serialize)]
struct InternetContext<'a> {
    interface: &'static str,
    network: &'a str,
    addresses: Vec<String>,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
    gateways: Vec<String>,
    name_servers: Vec<String>,
    macs: Vec<String>,
    static_routes: Vec<StaticRoute>,
}

impl<'a> NetworkContext<'a> {
    pub fn of(network: &'a Network) -> Self {
        let subnet4 = network.to_string();
        let subnet6 = texts(network.subnet6);
        let gateways = texts(network.gateway)
            .into_iter()
            .chain(texts(network.gateway6))
            .collect();
        Self {
            name: &network.name,
            base: network.base.to_string(),
            prefix: network.prefix,
            subnets: [vec![subnet4.clone()], subnet6.clone()].concat(),
            subnet4,
            subnet6,
            gateways,
            name_servers: name_servers(network),
        }
    }
}

impl<'a> PortsContext<'a> {
    pub fn of(fleet: &'a Fleet, node: &'a Node) -> Self {
        let network = fleet.networks.get(&node.network);
        let internet = node.internet.iter().filter_map(|port| {
            let network = fleet.networks.get(&port.network)?;
            Some(InternetContext {
                interface: INTERNET,
                network: &port.network,
                addresses: addresses(network, Some(port.address), port.address6),
                ipv4: vec![port.address.to_string()],
                ipv6: texts(port.address6),
                gateways: other_gateways(network, &own(Some(port.address), port.address6)),
                name_servers: name_servers(network),
                macs: texts(port.mac),
                static_routes: static_routes(network, Some(port.address), port.address6),
            })
        });
        Self {
            interface: local_interface(node),
            addresses: network
                .map(|network| addresses(network, node.address, node.address6))
                .unwrap_or_default(),
            ipv4: texts(node.address),
            ipv6: texts(node.address6),
            static_routes: network
                .map(|network| static_routes(network, node.address, node.address6))
                .unwrap_or_default(),
            internet: internet.collect(),
            published: None,
        }
    }

    /// Adds what only the node itself needs.
    pub fn complete(&mut self, fleet: &'a Fleet, node: &Node) {
        let published = fleet.published(node).into_iter().map(PublishedContext::from);
        self.published = Some(published.collect());
    }
}

/// The routers of a network's hosts, as `node` needs them: it is none of its own, and a DHCP server names that of IPv4.
pub(super) fn gateways(network: &Network, node: &Node) -> Vec<String> {
    match node.address {
        Some(_) => other_gateways(network, &own(node.address, node.address6)),
        None => texts(network.gateway6),
    }
}

fn own(address: Option<Ipv4Addr>, address6: Option<Ipv6Addr>) -> Vec<IpAddr> {
    let ipv4 = address.map(IpAddr::V4);
    ipv4.into_iter().chain(address6.map(IpAddr::V6)).collect()
}

fn other_gateways(network: &Network, own: &[IpAddr]) -> Vec<String> {
    let gateways = [network.gateway.map(IpAddr::V4), network.gateway6.map(IpAddr::V6)];
    let others = gateways
        .into_iter()
        .flatten()
        .filter(|gateway| !own.contains(gateway));
    texts(others)
}

/// Gateways and name servers of a network that are no nodes of the fleet, by family: containers ask them for names.
pub(super) fn other_routers(fleet: &Fleet, network: &Network) -> (Vec<String>, Vec<String>) {
    let nodes = || fleet.nodes.iter();
    let all4: BTreeSet<_> = network
        .gateway
        .iter()
        .chain(&network.name_servers)
        .copied()
        .collect();
    let others4 = all4
        .into_iter()
        .filter(|address| network.contains(*address) && !nodes().any(|node| node.address == Some(*address)));
    let others6 = network
        .gateway6
        .filter(|address| !nodes().any(|node| node.address6 == Some(*address)));
    (texts(others4), texts(others6))
}

/// The name servers of a network's hosts.
pub(super) fn name_servers(network: &Network) -> Vec<String> {
    texts(network.name_servers.iter())
}

/// Addresses with the prefix lengths of their network.
fn addresses(network: &Network, address: Option<Ipv4Addr>, address6: Option<Ipv6Addr>) -> Vec<String> {
    let ipv4 = address.map(|address| format!("{address}/{}", network.prefix));
    let ipv6 = address6
        .zip(network.subnet6)
        .map(|(address, subnet)| format!("{address}/{}", subnet.prefix_len()));
    ipv4.into_iter().chain(ipv6).collect()
}

/// The routes of a network's hosts, less those by the host itself.
fn static_routes(
    network: &Network,
    address: Option<Ipv4Addr>,
    address6: Option<Ipv6Addr>,
) -> Vec<StaticRoute> {
    let own = own(address, address6);
    let others = network.routes.iter().filter(|(_, via)| !own.contains(via));
    // A host without an IPv6 address has no use for its routes.
    let usable = others.filter(|(_, via)| via.is_ipv4() || address6.is_some());
    let routes = usable.map(|(destination, via)| StaticRoute {
        destination: destination.to_string(),
        via: via.to_string(),
    });
    routes.collect()
}
