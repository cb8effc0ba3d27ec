//! A fleet as one picture: its networks and the routers between them, its buses slot by slot, its containers and what they serve.
//!
//! | module | owns |
//! |---|---|
//! | this one | what is in the picture, in the order in which it is drawn |
//! | `svg` | the picture, as SVG 1.1 in light and dark colours |
//! | `canvas` | shapes and text of SVG |
//! | `mermaid` | the same as a flowchart for Mermaid |
//!
//! All text comes from a checked fleet and is escaped by whoever writes it. The same fleet gives the same bytes.

use std::collections::BTreeMap;

use crate::fleet::{Container, Fleet, Network, Node, Service, Tunnel};

mod canvas;
mod mermaid;
mod svg;

/// What a picture of a fleet shows.
#[derive(Debug)]
pub struct Graph<'a> {
    name: &'a str,
    /// Networks by how many routers are between them and the internet, then by name.
    tiers: Vec<Vec<&'a Network>>,
    routers: Vec<&'a Node>,
    buses: Vec<Bus<'a>>,
    containers: Vec<Guest<'a>>,
    services: usize,
    reverse_proxy: Option<&'a str>,
}

/// A bus: the nodes that share a supply and a switch.
#[derive(Debug)]
struct Bus<'a> {
    name: &'a str,
    /// In the order of their slots.
    nodes: Vec<&'a Node>,
    /// The network that most of them are on.
    network: &'a str,
    /// Its switch and supply, in words.
    about: String,
}

/// A container, and by what others reach it.
#[derive(Debug)]
struct Guest<'a> {
    container: &'a Container,
    services: Vec<&'a Service>,
    tunnels: Vec<&'a Tunnel>,
}

/// What a node is for, as far as it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Router,
    /// It runs containers, so many now.
    Hypervisor(usize),
    Other,
}

impl<'a> Graph<'a> {
    /// The picture of `fleet`.
    pub fn of(fleet: &'a Fleet) -> Self {
        let routers: Vec<&Node> = fleet
            .nodes
            .iter()
            .filter(|node| node.internet.is_some())
            .collect();
        let mut buses: Vec<Bus<'a>> = Vec::new();
        for node in &fleet.nodes {
            match buses.iter_mut().find(|bus| bus.name == node.cluster) {
                Some(bus) => bus.nodes.push(node),
                None => buses.push(Bus {
                    name: &node.cluster,
                    nodes: vec![node],
                    network: &node.network,
                    about: about(fleet, &node.cluster),
                }),
            }
        }
        for bus in &mut buses {
            bus.nodes.sort_by_key(|node| node.slot);
            bus.network = most_common(&bus.nodes);
        }
        let guests = fleet.containers.iter().map(|container| Guest {
            container,
            services: of_container(&fleet.services, &container.name, |service| &service.container),
            tunnels: of_container(&fleet.tunnels, &container.name, |tunnel| &tunnel.container),
        });
        Self {
            name: &fleet.name,
            tiers: tiers(fleet, &routers),
            routers,
            buses,
            containers: guests.collect(),
            services: fleet.services.len(),
            reverse_proxy: fleet.inproxy.as_deref(),
        }
    }

    /// As SVG.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }

    /// As a flowchart for Mermaid.
    pub fn mermaid(&self) -> String {
        mermaid::write(self)
    }

    /// What there is, in a line.
    fn summary(&self) -> String {
        let nodes = self.buses.iter().map(|bus| bus.nodes.len()).sum();
        [
            count(nodes, "node"),
            count(self.buses.len(), "bus"),
            count(self.containers.len(), "container"),
            count(self.services, "service"),
        ]
        .join(" · ")
    }

    fn kind(&self, node: &Node) -> Kind {
        match (&node.internet, &node.containers) {
            (Some(_), _) => Kind::Router,
            (None, Some(_)) => Kind::Hypervisor(self.guests_of(node).count()),
            (None, None) => Kind::Other,
        }
    }

    fn guests_of(&self, node: &Node) -> impl Iterator<Item = &Guest<'a>> {
        let name = node.name.clone();
        self.containers
            .iter()
            .filter(move |guest| guest.container.node == name)
    }
}

impl Guest<'_> {
    /// By what it is reached, a line each: what it is, and how.
    fn lines(&self) -> Vec<(String, String)> {
        let services = self.services.iter().map(|service| {
            let mut ways = Vec::new();
            let scheme = if service.tls { "https" } else { "http" };
            ways.extend(service.hostnames.iter().map(|host| format!("{scheme}://{host}")));
            ways.extend(service.public.map(|port| format!("public port {port}")));
            ways.extend(service.i2p.then(|| "I2P".to_owned()));
            if ways.is_empty() {
                ways.push("within the fleet".to_owned());
            }
            (format!("{} :{}", service.name, service.port), ways.join(", "))
        });
        let tunnels = self
            .tunnels
            .iter()
            .map(|tunnel| (format!("tunnel {}", tunnel.name), tunnel.address.to_string()));
        services.chain(tunnels).collect()
    }
}

/// The networks, those that lead to the internet first: behind each router comes what it leads to.
fn tiers<'a>(fleet: &'a Fleet, routers: &[&Node]) -> Vec<Vec<&'a Network>> {
    let mut depths: BTreeMap<&str, usize> = fleet.networks.keys().map(|name| (name.as_str(), 0)).collect();
    // Routers in a circle would push each other on for ever: no network is deeper than there are networks.
    for _ in 0..fleet.networks.len() {
        for router in routers {
            let Some(outer) = router
                .internet
                .as_ref()
                .and_then(|port| depths.get(port.network.as_str()))
            else {
                continue;
            };
            let behind = (outer + 1).min(fleet.networks.len());
            if let Some(depth) = depths.get_mut(router.network.as_str()) {
                *depth = behind.max(*depth);
            }
        }
    }
    let mut tiers: BTreeMap<usize, Vec<&Network>> = BTreeMap::new();
    for (name, network) in &fleet.networks {
        tiers
            .entry(depths.get(name.as_str()).copied().unwrap_or_default())
            .or_default()
            .push(network);
    }
    tiers.into_values().collect()
}

fn of_container<'a, T>(all: &'a [T], name: &str, container: impl Fn(&T) -> &String) -> Vec<&'a T> {
    all.iter().filter(|one| container(one) == name).collect()
}

/// The network of most of these nodes; of two, the first in the order of names.
fn most_common<'a>(nodes: &[&'a Node]) -> &'a str {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in nodes {
        *counts.entry(&node.network).or_default() += 1;
    }
    let most = counts
        .iter()
        .max_by_key(|(name, count)| (**count, std::cmp::Reverse(**name)));
    most.map(|(name, _)| *name).unwrap_or_default()
}

fn about(fleet: &Fleet, cluster: &str) -> String {
    let mut parts = Vec::new();
    if let Some(switch) = fleet.switches.get(cluster) {
        parts.push(match switch.uplinks {
            0 => format!("{}-port switch", switch.ports),
            uplinks => format!(
                "{}-port switch, {}",
                switch.ports,
                count(uplinks.into(), "uplink")
            ),
        });
    }
    if let Some(power) = fleet.power.iter().find(|power| power.cluster == cluster) {
        parts.push(format!("at worst {} of {} A", power.worst, power.supply));
    }
    parts.join(" · ")
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ if what.ends_with('s') => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

/// `172.16.0.0/16`.
fn subnet(network: &Network) -> String {
    format!("{}/{}", network.base, network.prefix)
}
