//! Rules of the firewall policy as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

/// Who may open connections to whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowToml {
    /// Containers and networks by name; "containers" is all containers, "nodes" all nodes.
    pub from: Vec<At<String>>,
    /// Containers by name; "containers" is all containers, "nodes" all nodes that run containers.
    pub to: Vec<At<String>>,
    /// TCP ports. Where neither these, nor `udp`, nor `icmp` is given, everything is allowed.
    #[serde(default)]
    pub tcp: Vec<At<u16>>,
    /// UDP ports.
    #[serde(default)]
    pub udp: Vec<At<u16>>,
    /// Whether the echo of `ping` is allowed.
    #[serde(default)]
    pub icmp: bool,
}
