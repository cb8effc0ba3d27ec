//! The fleet that tests speak of. What stands in the repository's `images/fleet.toml` is free to change; this one changes with the
//! tests alone. All else of its project is the repository's, by symbolic links.

/// The folder of its project.
pub const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fleet");

/// Its `images/fleet.toml`.
pub const TOML: &str = include_str!("../fleet/images/fleet.toml");
