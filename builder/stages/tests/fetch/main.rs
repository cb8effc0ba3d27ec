//! Sources against servers that do everything that servers do, and signatures of every kind.

#![allow(clippy::unwrap_used, missing_docs)]

mod certificates;
mod compiled;
mod download;
mod gentoo_mirror;
mod gpg;
mod kept_packages;
mod key_search;
mod keys;
mod lock;
mod miniature;
mod newest;
mod node_portage;
mod packages;
mod rollback;
mod signatures;
mod stage3;
mod update;
mod vendor;
mod workbench;
