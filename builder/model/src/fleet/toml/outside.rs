//! What containers serve and who reaches them, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

/// What a container serves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceToml {
    /// The container: a key of `containers`.
    pub container: At<String>,
    /// Port it listens on.
    pub port: At<u16>,
    /// How it is spoken to.
    #[serde(default)]
    pub protocol: Protocol,
    /// Port by which anybody reaches it at the gateway. A service that is neither public, nor has host names or an address of
    /// I2P, is reached by nobody but whom `allow` lets.
    pub public: Option<At<u16>>,
    /// Host names by which anybody reaches it at the inproxy: HTTP on port 80, or TLS on port 443.
    #[serde(default)]
    pub hostnames: Vec<At<String>>,
    /// Whether it speaks TLS: the inproxy passes it on as it is, by the host name that the client asks for.
    #[serde(default)]
    pub tls: bool,
    /// Whether it reads who asks from the PROXY protocol (version 2), which the inproxy then speaks to it.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Whether it has an address of I2P, which `portadc show` prints.
    #[serde(default)]
    pub i2p: bool,
}

/// The node with the reverse proxy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InproxyToml {
    /// The gateway of the containers' network, whose role has the overlay for it.
    pub node: At<String>,
}

/// A fixed address of a provider, cabled in by WireGuard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TunnelToml {
    /// Where the provider's end listens: "203.0.113.7:51820", "[2001:db8::7]:51820" or "vpn.example.org:51820".
    pub endpoint: At<String>,
    /// The WireGuard key of the provider's end, in base64. `portadc show` prints the one to give to the provider.
    pub public_key: At<String>,
    /// The fixed IPv4 address.
    pub address: At<String>,
    /// The container that has it: a key of `containers`.
    pub container: At<String>,
    /// Port that this end listens on. Default: 51820.
    pub port: Option<At<u16>>,
    /// Seconds between signs of life, which keep the way open through routers in between. Default: 25.
    pub keepalive: Option<At<u16>>,
}

/// Who asks nodes how they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MonitorToml {
    /// Its IPv4 address, where it is: nodes behind a router see the router's.
    pub address: At<String>,
}

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

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
