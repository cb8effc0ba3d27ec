//! What is locked, in the hands of those who build of it and pass it on.

#![allow(clippy::unwrap_used, missing_docs)]

mod compiled;
mod kept_packages;
mod node_portage;
mod vendor;
