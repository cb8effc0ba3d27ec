//! What a fleet may refer to.

use std::collections::BTreeSet;

/// What the fleet may refer to: the names of what other files describe, also where such a file has faults.
#[derive(Debug, Default)]
pub struct Known {
    /// Folders of `boards/`.
    pub boards: BTreeSet<String>,
    /// Files of `images/layouts/` without `.toml`.
    pub layouts: BTreeSet<String>,
    /// Folders of `overlays/`.
    pub overlays: BTreeSet<String>,
}
