//! `images/fleet.toml` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use settings::{SystemToml, VarToml};

use super::features::access::toml::AllowToml;
use super::features::backup::toml::BackupToml;
use super::features::containers::toml::{ContainerToml, Uplink};
use super::features::inproxy::toml::InproxyToml;
use super::features::monitor::toml::MonitorToml;
use super::features::power::toml::{DrawToml, Governor, SupplyToml};
use super::features::services::toml::ServiceToml;
use super::features::tunnels::toml::TunnelToml;
use crate::users::UserToml;
use crate::written::{At, Table};

mod settings;

/// The cluster: its networks, roles, buses of nodes, and who administers them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "portadc fleet")]
pub struct FleetToml {
    /// Name of the fleet. Machine ids, UUIDs and keys are derived from it: never change it once cards are flashed.
    pub name: At<String>,
    /// OpenSSH public keys, one line each, that may log in as root on every node.
    #[serde(default)]
    pub admin_keys: Vec<At<String>>,
    /// NTP servers: host names or IPv4 addresses. The boards have no clock of their own.
    #[serde(default)]
    pub time_servers: Vec<At<String>>,
    /// Names, time and language of all nodes.
    #[serde(default)]
    pub system: SystemToml,
    /// Users of all nodes beside root, by name.
    #[serde(default)]
    pub users: Table<UserToml>,
    /// Values of your own for templates, by name: `{{vars.NAME}}`. Those of a role come before these, those of a node before both.
    #[serde(default)]
    pub vars: Table<At<VarToml>>,
    /// What every node has unless its cluster or the node itself says otherwise.
    #[serde(default)]
    pub defaults: DefaultsToml,
    /// IPv4 networks by name.
    pub networks: Table<NetworkToml>,
    /// What nodes are for, by name.
    pub roles: Table<RoleToml>,
    /// Buses of nodes by name: a run of slots that share power and a switch.
    #[serde(default)]
    pub clusters: Table<ClusterToml>,
    /// Single nodes by name: an exception of a cluster's node, or one more node.
    #[serde(default)]
    pub nodes: Table<NodeToml>,
    /// The current that one board draws, by the governor that it runs with.
    #[serde(default)]
    pub power: BTreeMap<Governor, DrawToml>,
    /// Containers by name. One that is taken out is no longer started; its data stays on its node.
    #[serde(default)]
    pub containers: Table<ContainerToml>,
    /// What containers serve, by name.
    #[serde(default)]
    pub services: Table<ServiceToml>,
    /// The node with the reverse proxy: haproxy and i2pd.
    pub inproxy: Option<InproxyToml>,
    /// Fixed addresses of providers that come in by WireGuard, by name.
    #[serde(default)]
    pub tunnels: Table<TunnelToml>,
    /// Who may open connections to containers and nodes, beside what is published of services.
    #[serde(default)]
    pub allow: Vec<AllowToml>,
    /// How often nodes that run containers export backups, and how long those are kept.
    #[serde(default)]
    pub backup: BackupToml,
    /// Who asks nodes how they are.
    pub monitor: Option<MonitorToml>,
}

/// What every node has unless its cluster or the node itself says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DefaultsToml {
    /// Network that the nodes are on: a key of `networks`.
    pub network: Option<At<String>>,
    /// Role: a key of `roles`.
    pub role: Option<At<String>>,
    /// Board: a folder of `boards/`.
    pub board: Option<At<String>>,
    /// Layout of the card: a file of `images/layouts/` without `.toml`.
    pub layout: Option<At<String>>,
    /// How the processor's clock is chosen. Default: ondemand.
    pub governor: Option<At<Governor>>,
    /// Swap in the memory of each node, compressed: as much as it holds at most, "256 MiB". Containers do not swap. Default: none.
    pub zram: Option<At<String>>,
}

/// An IPv4 network, which may have IPv6 addresses as well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkToml {
    /// First address and prefix length: "172.16.0.0/16".
    pub subnet: At<String>,
    /// Router of the network's hosts: an address of the network.
    pub gateway: Option<At<String>>,
    /// First IPv6 address and prefix length: "fd54:ee1a:d2c6::/48".
    pub subnet6: Option<At<String>>,
    /// Router of the network's hosts for IPv6: an address of `subnet6`.
    pub gateway6: Option<At<String>>,
    /// How containers on its nodes are reached where its router knows no way to them. Default: routed.
    pub uplink: Option<At<Uplink>>,
    /// What else its hosts reach, and the address of the network that is its router: "172.16.0.0/16" = "192.168.0.2".
    #[serde(default)]
    pub routes: Table<At<String>>,
    /// Name servers of the network's hosts, IPv4 addresses in order.
    #[serde(default)]
    pub name_servers: Vec<At<String>>,
}

/// What a node is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoleToml {
    /// Folders of `overlays/`, laid over the base in this order.
    pub overlays: Vec<At<String>>,
    /// Folders of `overlays/`, laid over the base in this order for the image of containers, where the layout has a
    /// subvolume for it. Their templates know of no single node. Only their packages are in it; without
    /// overlays it has the role's.
    #[serde(default)]
    pub container_image: Vec<At<String>>,
    /// Whether its nodes run containers.
    #[serde(default)]
    pub containers: bool,
    /// Whether its nodes are routers between two networks: each needs a second port, `internet`.
    #[serde(default)]
    pub gateway: bool,
    /// Words that the kernel's command line of its nodes has behind those of its overlays: "quiet".
    #[serde(default)]
    pub kernel_arguments: Vec<At<String>>,
    /// Values for the templates of its nodes, by name: they come before those of the fleet.
    #[serde(default)]
    pub vars: Table<At<VarToml>>,
}

/// A bus of nodes: one power supply, one switch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterToml {
    /// Slots that hold a node: numbers and ranges, "1-23" or "1-6, 8-23".
    pub slots: At<String>,
    /// Address of the node in a slot, with `{slot}` for its number: "172.16.1.{slot}". `{slot + 100}`, `{slot - 1}` and
    /// `{slot * 8 + 120}` are counted. "dhcp": a DHCP server gives the nodes their addresses.
    pub address: At<String>,
    /// IPv6 address of the node in a slot: "fd54:ee1a:d2c6::1:{slot}".
    pub address6: Option<At<String>>,
    /// Network of the containers of the node in a slot, a part of the nodes' network: "172.16.1{slot:02}.0/24", or
    /// "192.168.1.{slot * 8 + 120}/29".
    pub containers: Option<At<String>>,
    /// The same for IPv6: "fd54:ee1a:d2c6:1{slot:02}::/64".
    pub containers6: Option<At<String>>,
    /// Name of the node in a slot, with `{cluster}` and `{slot}`; `{slot:02}` pads to two digits.
    /// Default: "{cluster}-{slot:02}".
    pub names: Option<At<String>>,
    /// The power supply of the bus.
    pub supply: Option<At<SupplyToml>>,
    /// The switch that the nodes are plugged into.
    pub switch: Option<SwitchToml>,
    /// Network that the nodes are on: a key of `networks`.
    pub network: Option<At<String>>,
    /// Role of the nodes: a key of `roles`.
    pub role: Option<At<String>>,
    /// Board of the nodes: a folder of `boards/`.
    pub board: Option<At<String>>,
    /// Layout of the nodes' cards: a file of `images/layouts/` without `.toml`.
    pub layout: Option<At<String>>,
    /// How the clock of the nodes' processors is chosen.
    pub governor: Option<At<Governor>>,
    /// Swap in the memory of each node, compressed: as much as it holds at most.
    pub zram: Option<At<String>>,
}

/// A switch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SwitchToml {
    /// Ports it has.
    pub ports: At<u16>,
    /// Ports that lead elsewhere and so carry no node.
    #[serde(default)]
    pub uplinks: u16,
}

/// One node. Where a cluster's slots already make a node of this name, what stands here replaces what the cluster
/// says. Any other name is one more node and needs `cluster` and `slot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeToml {
    /// Cluster of one more node: a key of `clusters`.
    pub cluster: Option<At<String>>,
    /// Slot of one more node, from 1.
    pub slot: Option<At<u16>>,
    /// Its address instead of the one by its cluster's pattern; "dhcp": the one that a DHCP server gives it.
    pub address: Option<At<String>>,
    /// Its IPv6 address instead of the one by its cluster's pattern.
    pub address6: Option<At<String>>,
    /// Network of its containers instead of the one by its cluster's pattern: "192.168.1.128/29".
    pub containers: Option<At<String>>,
    /// The same for IPv6.
    pub containers6: Option<At<String>>,
    /// The second port of a gateway (USB Ethernet), which leads to the internet.
    pub internet: Option<PortToml>,
    /// MAC address to set on its port, for a board that has lost its own: "02:00:00:00:01:07".
    pub mac: Option<At<String>>,
    /// Network: a key of `networks`.
    pub network: Option<At<String>>,
    /// Role: a key of `roles`.
    pub role: Option<At<String>>,
    /// Board: a folder of `boards/`.
    pub board: Option<At<String>>,
    /// Layout of its card: a file of `images/layouts/` without `.toml`.
    pub layout: Option<At<String>>,
    /// How the clock of its processor is chosen.
    pub governor: Option<At<Governor>>,
    /// Swap in its memory, compressed: as much as that holds at most; "0 MiB" for none.
    pub zram: Option<At<String>>,
    /// Who keeps the backups of its containers: a node, a host of `backup.hosts`, or "none". Default: the node in the same slot
    /// of the next bus that runs containers.
    pub buddy: Option<At<String>>,
    /// Values for its templates, by name: they come before those of its role and of the fleet.
    #[serde(default)]
    pub vars: Table<At<VarToml>>,
}

/// The second port of a gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PortToml {
    /// Network that it is on: a key of `networks`, and not that of the first port.
    pub network: At<String>,
    /// Its address there.
    pub address: At<String>,
    /// Its IPv6 address there.
    pub address6: Option<At<String>>,
    /// MAC address to set on it.
    pub mac: Option<At<String>>,
}
