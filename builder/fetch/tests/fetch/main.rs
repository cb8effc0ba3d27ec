//! Sources against servers that do everything that servers do, and signatures of every kind.

#![allow(clippy::unwrap_used, missing_docs)]

mod certificates;
mod download;
mod gpg;
mod key_search;
mod lock;
mod newest;
mod packages;
mod rollback;
mod signatures;
mod stage3;
mod update;
