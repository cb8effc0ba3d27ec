//! A Gentoo base: a stage3, and the binary packages over it that the overlays need.
//!
//! | module | owns |
//! |---|---|
//! | `tarball` | the newest tarball, verified |
//! | `files` | what of a locked base a build asks for |
//! | `index` | what each source of packages offers |
//! | `packages` | which packages over the stage3, fetched and verified |
//! | `package` | one package: its file, where it is kept, whether it is what its index says |
//! | `compile` | what no source has, compiled |
//! | `signer` | who has to have signed the packages of a source |
//! | `locked` | what of these stands in `sources.lock` |
//! | `installed` | what the stage3 has installed |

mod compile;
mod files;
mod index;
mod installed;
mod locked;
mod package;
mod packages;
mod signer;
mod tarball;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use model::project::Project;
use model::sources::{SourceSet, Stage3};

pub use files::{Stage3Files, Stage3Tarball};
pub use locked::{LockedCompile, LockedDistfile, LockedPackage, LockedPackageSource, LockedStage3};
use packages::Resolved;
pub(super) use packages::{all, presence_of_packages, side_by_side};

use super::errand::Errand;
use super::past::Past;

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

/// The newest stage3, and the packages that `needs` asks for over it.
pub(super) fn resolve(
    errand: &Errand,
    source: &Stage3,
    needs: &BaseNeeds,
    past: &Past,
) -> Result<LockedStage3> {
    let tarball = tarball::resolve(errand, source, past)?;
    let stage3 = Stage3Tarball {
        errand,
        source,
        locked: &tarball,
    };
    let Resolved {
        sources,
        packages,
        compiled,
    } = packages::resolve(needs, &stage3, past).context("cannot resolve the packages")?;
    Ok(LockedStage3 {
        world: needs.packages.clone(),
        tarball,
        sources,
        packages,
        compiled,
    })
}
