//! The root file system of a node: identities, units, overlays, layers, and the script that grows it.

#![allow(clippy::unwrap_used)]

mod container_image;
mod first_start;
mod golden;
mod grow;
mod layers;
mod openrc;
mod overlays;
mod settings;
mod support;
mod units;
mod workshop;
