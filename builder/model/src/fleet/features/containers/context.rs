//! Containers as templates see them, of their own node and of others.
//!
//! | of | are |
//! |---|---|
//! | `node`, `nodes` | `containers`, `container_networks` |
//! | `node` | `accepts`: see `access` |
//! | a container | `name`, `interface`, `mac`, `ipv4`, `ipv6`, `addresses`, `cpus`, `memory` and `disk` (bytes), `autostart`, `accepts` |
//! | a container of `node` | `machine_id`, `host_key_base64`, `host_key_public` |
//! | of `routes` | `node`, `network`, `via`, `destination`: the way to the containers of each node |

use serde::Serialize;

use super::super::access::AcceptContext;
use super::super::texts;
use crate::fleet::{Container, Fleet, Node};

/// The containers of a node.
#[derive(Clone, Serialize)]
pub struct ContainersContext<'a> {
    containers: Vec<ContainerContext<'a>>,
    container_networks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepts: Option<Vec<AcceptContext>>,
}

#[derive(Clone, Serialize)]
struct ContainerContext<'a> {
    name: &'a str,
    interface: String,
    mac: String,
    addresses: Vec<String>,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
    cpus: Vec<u16>,
    memory: Vec<u64>,
    disk: u64,
    autostart: bool,
    accepts: Vec<AcceptContext>,
    #[serde(flatten)]
    secrets: Option<ContainerSecrets>,
}

/// What a container has to be known by, which its own node alone may know.
#[derive(Clone, Serialize)]
pub struct ContainerSecrets {
    /// As in machine-id(5).
    pub machine_id: String,
    /// Its private host key, as the file that ssh reads, in base64.
    pub host_key_base64: String,
    /// Its public host key: one line.
    pub host_key_public: String,
}

/// The way to the containers of a node.
#[derive(Debug, Serialize)]
pub struct RouteContext<'a> {
    node: &'a str,
    network: &'a str,
    via: String,
    destination: String,
}

impl<'a> ContainersContext<'a> {
    /// Those of `node`, as everybody may know them.
    pub fn of(fleet: &'a Fleet, node: &Node) -> Self {
        let containers = fleet
            .containers
            .iter()
            .filter(|container| container.node == node.name);
        Self {
            containers: containers
                .map(|container| ContainerContext::of(fleet, container))
                .collect(),
            container_networks: [texts(node.containers), texts(node.containers6)].concat(),
            accepts: None,
        }
    }

    /// Adds what only `node` itself may know: `secrets` has that of a container, by its name.
    pub fn complete(
        &mut self,
        fleet: &Fleet,
        node: &Node,
        secrets: impl Fn(&str) -> Option<ContainerSecrets>,
    ) {
        for context in &mut self.containers {
            context.secrets = secrets(context.name);
        }
        let accepts = fleet.accepted_by_node(node).into_iter();
        self.accepts = Some(accepts.map(AcceptContext::from).collect());
    }
}

impl<'a> ContainerContext<'a> {
    fn of(fleet: &Fleet, container: &'a Container) -> Self {
        let ipv4 = vec![container.address.to_string()];
        let ipv6 = texts(container.address6);
        let accepts = fleet.accepted_by(&container.name).into_iter();
        Self {
            name: &container.name,
            interface: container.interface(),
            mac: container.mac.to_string(),
            addresses: [ipv4.clone(), ipv6.clone()].concat(),
            ipv4,
            ipv6,
            cpus: container.cpus.into_iter().collect(),
            memory: container.memory.iter().map(|memory| memory.value.0).collect(),
            disk: container.disk.0,
            autostart: container.autostart,
            accepts: accepts.map(AcceptContext::from).collect(),
            secrets: None,
        }
    }
}

impl<'a> RouteContext<'a> {
    /// The ways to the containers of all nodes.
    pub fn all(fleet: &'a Fleet) -> Vec<Self> {
        let of_node = |node: &'a Node| {
            let ipv4 = node
                .containers
                .zip(node.address)
                .map(|(net, address)| (address.to_string(), net.to_string()));
            let ipv6 = node
                .containers6
                .zip(node.address6)
                .map(|(net, address)| (address.to_string(), net.to_string()));
            [ipv4, ipv6].into_iter().flatten().map(|(via, destination)| Self {
                node: &node.name,
                network: &node.network,
                via,
                destination,
            })
        };
        fleet.nodes.iter().flat_map(of_node).collect()
    }
}
