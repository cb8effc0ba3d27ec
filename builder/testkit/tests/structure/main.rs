//! The structure of all this: which crate knows which, and what it does not name.

#![allow(clippy::unwrap_used, missing_docs)]

mod crates;
mod source;

use std::path::Path;

/// Where the crates are.
fn builder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
