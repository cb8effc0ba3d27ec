//! The monitor as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

/// Who asks nodes how they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MonitorToml {
    /// Its IPv4 address, where it is: nodes behind a router see the router's.
    pub address: At<String>,
}
