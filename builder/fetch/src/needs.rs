//! What is asked of a base.

use std::collections::BTreeSet;

use model::project::Project;
use model::sources::SourceSet;

/// What a project asks of its base beyond what `sources.toml` says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseNeeds {
    /// Atoms of Gentoo packages: what the overlays in use name. They become the world of the nodes.
    pub packages: BTreeSet<String>,
    /// The zstd level at which cards store the base. A layer that is read at it is the one that a build needs.
    pub zstd: u8,
}

impl BaseNeeds {
    /// What the overlays of all roles in use need of the base of `set`.
    pub fn of(project: &Project, set: &SourceSet) -> Self {
        let fleet = &project.fleet;
        let layouts = fleet
            .nodes
            .iter()
            .filter_map(|node| project.layouts.get(&node.layout)?.root());
        Self {
            packages: project.packages(set.base.platform()),
            zstd: layouts.map(|root| root.zstd).next().unwrap_or_default(),
        }
    }
}
