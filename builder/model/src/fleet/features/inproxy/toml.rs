//! The reverse proxy as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

/// The node with the reverse proxy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InproxyToml {
    /// The gateway of the containers' network, whose role has the overlay for it.
    pub node: At<String>,
}
