//! The structure of all this: which crate knows which, and that modules go one way.

#![allow(clippy::unwrap_used, missing_docs)]

mod crates;
mod modules;
mod revisions;
mod source;

use std::path::Path;

/// Where the crates are.
fn builder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
