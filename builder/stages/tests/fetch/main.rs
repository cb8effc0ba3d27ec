//! Sources against servers that do everything that servers do, and signatures of every kind.

#![allow(clippy::unwrap_used, missing_docs)]

mod download;
mod gentoo_mirror;
mod kept_packages;
mod keys;
mod lock;
mod miniature;
mod newest;
mod packages;
mod signatures;
mod stage3;
mod update;
mod vendor;
mod workbench;
