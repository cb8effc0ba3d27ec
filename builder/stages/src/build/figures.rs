//! What an image is, in numbers.

use serde::{Deserialize, Serialize};

/// What an image is, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFigures {
    /// Size in bytes of the card that it makes.
    pub size: u64,
    /// Bytes of it that are mapped.
    pub mapped: u64,
    /// Bytes that the root file system uses.
    pub root_used: u64,
    /// SHA-256 in hexadecimal of its block map.
    pub map_sha256: String,
}
