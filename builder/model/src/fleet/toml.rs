//! `images/fleet.toml` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::{At, Table};

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
}

/// An IPv4 network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkToml {
    /// First address and prefix length: "172.16.0.0/16".
    pub subnet: At<String>,
    /// Router of the network's hosts: an address of the network.
    pub gateway: Option<At<String>>,
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
    /// Folders of `overlays/`, laid over the base in this order for the template of containers, where the layout has a
    /// subvolume for it. They render nothing for single nodes: no `templates/`. Packages are the whole fleet's, as ever.
    #[serde(default)]
    pub template: Vec<At<String>>,
}

/// A bus of nodes: one power supply, one switch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterToml {
    /// Slots that hold a node: numbers and ranges, "1-23" or "1-6, 8-23".
    pub slots: At<String>,
    /// Address of the node in a slot, with `{slot}` for its number: "172.16.1.{slot}".
    pub address: At<String>,
    /// Name of the node in a slot, with `{cluster}` and `{slot}`; `{slot:02}` pads to two digits.
    /// Default: "{cluster}-{slot:02}".
    pub names: Option<At<String>>,
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
    /// Its address instead of the one by its cluster's pattern.
    pub address: Option<At<String>>,
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
}
