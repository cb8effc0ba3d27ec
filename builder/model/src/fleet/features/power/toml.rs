//! Power supplies of buses and what boards draw, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

/// How the clock of a processor is chosen, by the names of Linux.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Governor {
    /// Always the highest.
    Performance,
    /// By load.
    #[default]
    Ondemand,
    /// Always the lowest.
    Powersave,
}

/// A power supply.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SupplyToml {
    /// Its voltage.
    pub volts: At<f64>,
    /// The most current that it gives.
    pub amperes: At<f64>,
}

/// The current that one board draws, measured, in amperes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DrawToml {
    /// With nothing to do.
    pub idle: At<f64>,
    /// With all processors busy.
    pub busy: At<f64>,
    /// With the network busy.
    pub network: Option<At<f64>>,
}
