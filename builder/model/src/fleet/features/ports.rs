//! Ports and the protocols that have them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::written::At;

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// Zero is not a port that anything listens on.
pub(in crate::fleet) fn check_port(check: &mut Check<'_>, port: &At<u16>) {
    if port.value == 0 {
        check
            .found(&port.span, "port 0 is none that can be reached")
            .hint("ports are 1 to 65535");
    }
}
