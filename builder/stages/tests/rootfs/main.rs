//! The root file system of a node: identities, units, overlays, layers, and the script that grows it.

mod grow;
mod identity;
mod layers;
mod support;
mod units;
