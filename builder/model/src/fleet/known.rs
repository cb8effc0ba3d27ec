//! What a fleet may refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::Role;
use crate::overlay::Provision;

/// What the fleet may refer to: the names of what other files describe, also where such a file has faults.
#[derive(Debug, Default)]
pub struct Known {
    /// Folders of `boards/`.
    pub boards: BTreeSet<String>,
    /// Files of `images/layouts/` without `.toml`.
    pub layouts: BTreeSet<String>,
    /// Folders of `overlays/`, and what each provides; `None` where it has faults.
    pub overlays: BTreeMap<String, Option<BTreeSet<Provision>>>,
}

impl Known {
    /// The overlays that provide `what`, in the order of their names. A project without any has another way, of which nothing
    /// is known here.
    pub(super) fn providers(&self, what: Provision) -> impl Iterator<Item = &str> {
        let provides = move |provided: &Option<BTreeSet<Provision>>| {
            provided.as_ref().is_some_and(|provided| provided.contains(&what))
        };
        let overlays = self.overlays.iter();
        overlays.filter_map(move |(name, provided)| provides(provided).then_some(name.as_str()))
    }

    /// The overlay that `role` lacks, so that nothing on its nodes does `what`. Of overlays that have faults, or that there are
    /// not, nobody knows what they do.
    pub(super) fn lacked_by(&self, role: &Role, what: Provision) -> Option<&str> {
        let may_provide = |name: &String| match self.overlays.get(name) {
            Some(Some(provided)) => provided.contains(&what),
            Some(None) | None => true,
        };
        let provider = self.providers(what).next()?;
        (!role.overlays.iter().any(may_provide)).then_some(provider)
    }

    /// Whether an overlay of `role` provides `what`.
    pub(super) fn provided_to(&self, role: &Role, what: Provision) -> bool {
        self.providers(what)
            .any(|provider| role.overlays.iter().any(|name| name == provider))
    }
}
