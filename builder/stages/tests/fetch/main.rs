//! Sources against servers that do everything that servers do, and signatures of every kind.

#![allow(clippy::unwrap_used, missing_docs)]

mod download;
mod keys;
mod lock;
mod miniature;
mod signatures;
mod update;
mod workbench;
