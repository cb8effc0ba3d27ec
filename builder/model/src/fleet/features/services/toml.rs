//! What containers serve, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::ports::Protocol;
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
