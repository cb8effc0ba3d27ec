//! Containers as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::written::At;

/// A container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerToml {
    /// The node that it runs on.
    pub node: At<String>,
    /// Its address in the node's network of containers.
    pub address: At<String>,
    /// Its IPv6 address there.
    pub address6: Option<At<String>>,
    /// Its MAC address. Default: 02:00 and the four numbers of its address.
    pub mac: Option<At<String>>,
    /// Most processor time it gets, in whole processors. Default: all that the node has.
    pub cpus: Option<At<u16>>,
    /// Most memory it gets: "256 MiB". Default: all that the node has.
    pub memory: Option<At<String>>,
    /// Most of the card that it fills, beside what it shares with its image: "8 GiB". Default: "4 GiB".
    pub disk: Option<At<String>>,
    /// Whether it starts with its node.
    #[serde(default = "yes")]
    pub autostart: bool,
}

fn yes() -> bool {
    true
}

/// How what containers send leaves the network of their nodes, and answers come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uplink {
    /// Its router has routes to the networks of containers: one of the fleet's gateways, or one that somebody tells.
    #[default]
    Routed,
    /// It leaves with the address of the node. Nobody outside of the fleet opens a connection to a container.
    Masquerade,
    /// Containers have addresses of the network itself, for which their node answers (ARP, and NDP for IPv6).
    ProxyArp,
}
