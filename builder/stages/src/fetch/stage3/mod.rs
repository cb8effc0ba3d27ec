//! A Gentoo base: a stage3, and the binary packages over it that the overlays need.
//!
//! | module | owns |
//! |---|---|
//! | `tarball` | the newest tarball, verified |
//! | `index` | what each source of packages offers |
//! | `packages` | which packages over the stage3, fetched and verified |
//! | `package` | one package: its file, where it is kept, whether it is what its index says |
//! | `signer` | who has to have signed the packages of a source |
//! | `locked` | what of these stands in `sources.lock` |
//! | `installed` | what the stage3 has installed |

mod index;
mod installed;
mod locked;
mod package;
mod packages;
mod signer;
mod tarball;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use model::project::Project;
use model::sources::{SourceSet, Stage3};

pub use installed::installed;
pub use locked::{LockedPackage, LockedPackageSource, LockedStage3};
pub(super) use packages::presence_of_packages;

use super::digest::Sum;
use super::download::{Store, Wanted, fetch};
use super::mirror::Mirrors;
use super::{LockedFile, Network};
use crate::engine::{Engine, Key};
use crate::rootfs::Tarball;

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

/// The files of a Gentoo base, all verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage3Files {
    /// The stage3.
    pub tarball: Tarball,
    /// The atoms that the overlays name, whether the stage3 or a package over it satisfies them.
    pub world: BTreeSet<String>,
    /// The packages over it, in the order in which they are installed.
    pub packages: Vec<PackageFile>,
}

/// The file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub locked: LockedPackage,
}

/// On whose behalf something is fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) engine: &'a Engine,
    /// The project's folder.
    pub(super) root: &'a Path,
    /// The mirror that the user named.
    pub(super) own: Option<&'a str>,
    pub(super) network: &'a Network,
    pub(super) now: SystemTime,
}

impl Errand<'_> {
    /// Folders of upstream's, those of the user's own mirror first.
    fn upstream(&self, folders: &[String]) -> Result<Mirrors> {
        Mirrors::upstream(self.own, folders)
    }
}

/// The newest stage3, and the packages that `needs` asks for over it.
pub(super) fn resolve(errand: &Errand, source: &Stage3, needs: &BaseNeeds) -> Result<LockedStage3> {
    let tarball = tarball::resolve(errand, source)?;
    let file = obtain_tarball(errand, &tarball, source)?;
    let (sources, packages) =
        packages::resolve(errand, source, needs, &file).context("cannot resolve the packages")?;
    Ok(LockedStage3 {
        world: needs.packages.clone(),
        tarball,
        sources,
        packages,
    })
}

/// The files of a locked base: from the cache, or fetched. Sizes and SHA-256 were checked in this call; that the packages
/// were signed was checked when they were locked.
pub fn obtain_stage3(
    engine: &Engine,
    root: &Path,
    source: &Stage3,
    locked: &LockedStage3,
    own: Option<&str>,
    network: &Network,
) -> Result<Stage3Files> {
    let errand = Errand {
        engine,
        root,
        own,
        network,
        now: SystemTime::now(),
    };
    Ok(Stage3Files {
        tarball: obtain_tarball(&errand, &locked.tarball, source)?,
        world: locked.world.clone(),
        packages: packages::obtain(&errand, source, locked)?,
    })
}

fn obtain_tarball(errand: &Errand, locked: &LockedFile, source: &Stage3) -> Result<Tarball> {
    let wanted = Wanted {
        name: locked.file.clone(),
        paths: vec![locked.path.clone()],
        size: locked.size,
        sums: vec![Sum::Sha256(locked.sha256)],
        store: Store::Sources,
        if_gone: tarball::OLD_STAGE3,
    };
    let mirrors = errand.upstream(&source.mirrors)?;
    let path = fetch(errand.engine, &wanted, &mirrors, errand.network)?;
    let key = Key::builder("stage3", 1)
        .text("sha256", &locked.sha256.to_string())
        .finish();
    Ok(Tarball { path, key })
}
