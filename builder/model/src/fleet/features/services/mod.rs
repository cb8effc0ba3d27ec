//! What containers serve, and to whom.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use self::toml::ServiceToml;
use super::containers::toml::ContainerToml;
use super::ports::{Protocol, check_port};
use crate::check::Check;
use crate::finding::Place;
use crate::fleet::roll::Roll;
use crate::fleet::{Container, Fleet, Network, Node};
use crate::names::{quoted, suggest};
use crate::written::{At, Table};

mod context;
pub(in crate::fleet) mod toml;

pub use context::PublishedContext;

/// What a container serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The container.
    pub container: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Port it listens on.
    pub port: u16,
    /// Port by which anybody reaches it at the gateway of the container's network.
    pub public: Option<u16>,
    /// Host names by which anybody reaches it at the inproxy, in lower case; none where it is not reached so.
    pub hostnames: Vec<String>,
    /// Whether it speaks TLS, so that it is chosen by what the client's handshake says.
    pub tls: bool,
    /// Whether the inproxy tells it who asks by the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether it has an address of I2P.
    pub i2p: bool,
    /// Where it was written.
    pub place: Place,
}

impl Service {
    /// Whether anybody may open connections to it.
    pub fn is_open(&self) -> bool {
        self.public.is_some() || !self.hostnames.is_empty() || self.i2p
    }
}

/// A service as the gateway publishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published<'a> {
    /// The service.
    pub service: &'a Service,
    /// The port at the gateway.
    pub public: u16,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The container's IPv6 address.
    pub address6: Option<Ipv6Addr>,
}

impl Fleet {
    /// What `node` publishes: the public services of containers whose network it is the gateway of, less what it stands
    /// before as the inproxy.
    pub fn published(&self, node: &Node) -> Vec<Published<'_>> {
        if node.internet.is_none() {
            return Vec::new();
        }
        let is_gateway = |container: &Container| {
            self.gateway_of(container)
                .is_some_and(|gateway| gateway.name == node.name)
        };
        let inproxy = self.inproxy.as_ref() == Some(&node.name);
        let services = self.services.iter().filter_map(|service| {
            if inproxy && service.protocol == Protocol::Tcp {
                return None;
            }
            let container = self.container(&service.container)?;
            Some(Published {
                service,
                public: service.public?,
                address: container.address,
                address6: container.address6,
            })
            .filter(|_| is_gateway(container))
        });
        services.collect()
    }

    /// The router between the internet and the network of the node that `container` runs on.
    pub fn gateway_of(&self, container: &Container) -> Option<&Node> {
        let host = self.nodes.iter().find(|host| host.name == container.node)?;
        self.router_of(host)
    }

    /// The router between the internet and the network that `node` is on.
    pub fn router_of(&self, node: &Node) -> Option<&Node> {
        gateway(&self.nodes, self.networks.get(&node.network)?)
    }

    /// The container called `name`.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }
}

/// The router between the internet and the hosts of `network`, where it is one of `nodes`.
pub(in crate::fleet) fn gateway<'a>(nodes: &'a [Node], network: &Network) -> Option<&'a Node> {
    nodes.iter().find(|node| {
        node.internet.is_some()
            && node.network == network.name
            && network.gateway.is_some()
            && network.gateway == node.address
    })
}

/// The services that hold, by name.
pub(in crate::fleet) fn check_services(
    check: &mut Check<'_>,
    (written, containers): (&Table<ServiceToml>, &Table<ContainerToml>),
    networks: &BTreeMap<String, Network>,
    nodes: &[Node],
    roll: &Roll,
) -> Vec<Service> {
    let mut services = Vec::new();
    // Ports of the one gateway that publishes a network's services.
    let mut public: BTreeMap<(&str, Protocol, u16), &At<String>> = BTreeMap::new();
    for (name, toml) in written {
        check.name(name, "service");
        for port in [Some(&toml.port), toml.public.as_ref()].into_iter().flatten() {
            check_port(check, port);
        }
        let host = containers.get(&toml.container);
        if host.is_none() {
            check
                .found(
                    &toml.container.span,
                    format!("there is no container {}", quoted(&toml.container)),
                )
                .hint(suggest(&toml.container, containers.names()));
        }
        let node = host.and_then(|host| nodes.iter().find(|node| node.name == host.node.value));
        let node = node.filter(|node| roll.hosts(node));
        let network = node.and_then(|node| networks.get(&node.network));
        if let (Some(port), Some(network)) = (&toml.public, network) {
            if gateway(nodes, network).is_none() && !roll.is_incomplete() {
                let message = format!(
                    "no node of the fleet is the gateway of network `{}`",
                    network.name
                );
                check.found(&port.span, message).hint(
                    "a service is published by the node that has the address of the network's `gateway` and a port `internet`",
                );
            }
            let key = (network.name.as_str(), toml.protocol, port.value);
            if let Some(other) = public.get(&key) {
                let message = format!(
                    "port {} is published twice: for `{}` and `{}`",
                    port.value, other.value, name.value
                );
                check
                    .found(&port.span, message)
                    .related(&other.span, "the other service")
                    .hint("give one of them another `public` port");
            } else {
                public.insert(key, name);
            }
        }
        services.push(Service {
            name: name.value.clone(),
            container: toml.container.value.clone(),
            protocol: toml.protocol,
            port: toml.port.value,
            public: toml.public.as_ref().map(|port| port.value),
            hostnames: toml
                .hostnames
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            tls: toml.tls,
            proxy_protocol: toml.proxy_protocol,
            i2p: toml.i2p,
            place: check.file.place(name.span.clone()),
        });
    }
    services.sort_by(|one, other| one.name.cmp(&other.name));
    services
}
