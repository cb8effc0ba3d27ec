//! Tunnels as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

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
