//! The files of a locked base, each asked for where something has to be made of it: a build that finds its layers made
//! needs none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use engine::{Engine, Preflight};
use gentoo::Package;
use gentoo::binary::BinaryPackage;
use model::sources::Stage3;

use super::installed::installed;
use super::tarball::Stage3Tarball;
use super::{Errand, LockedPackage, LockedStage3, compile, package, packages};
use crate::Network;
use crate::pinned::Pinned;

/// The files of a locked Gentoo base. Whether they are what is locked is checked where they are used; that the packages
/// were signed was checked when they were locked.
#[derive(Debug, Clone)]
pub struct Stage3Files<'a> {
    errand: Errand<'a>,
    source: &'a Stage3,
    locked: LockedStage3,
}

impl<'a> Stage3Files<'a> {
    /// The files of `locked`, resolved from `source`. `root` is the project's folder, `own` the mirror that the user named.
    pub fn new(
        engine: &'a Engine,
        root: &'a Path,
        source: &'a Stage3,
        locked: LockedStage3,
        own: Option<&'a str>,
        network: &'a Network,
    ) -> Self {
        let errand = Errand {
            engine,
            root,
            own,
            network,
            now: SystemTime::now(),
        };
        Self {
            errand,
            source,
            locked,
        }
    }

    /// What they have to be.
    pub fn locked(&self) -> &LockedStage3 {
        &self.locked
    }

    /// The stage3.
    pub fn tarball(&self) -> Stage3Tarball<'_> {
        Stage3Tarball {
            errand: &self.errand,
            source: self.source,
            locked: &self.locked.tarball,
        }
    }

    /// Asks for what this machine needs so that the packages can be had: they may have to be compiled.
    pub fn requirements(&self, preflight: &mut Preflight) {
        if compile::is_certain(&self.errand, self.source, &self.locked) {
            compile::requirements(preflight);
        }
    }

    /// Whether this machine has what it needs, which is told before anything is fetched.
    pub fn check_host(&self) -> Result<()> {
        let mut preflight = Preflight::default();
        self.requirements(&mut preflight);
        preflight.finish()
    }

    /// The snapshot of the ebuild repository, from the cache or fetched; `None` where nothing was compiled, so that none is locked.
    /// Its size and SHA-256 were checked in this call.
    pub fn snapshot(&self) -> Result<Option<PathBuf>> {
        compile::snapshot_of(&self.errand, self.source, &self.locked)
    }

    /// Fetches those packages that are not there, a few side by side. All that cannot be had are told at once.
    pub fn bring_packages(&self) -> Result<()> {
        packages::bring(&self.errand, self.source, &self.locked)
    }

    /// Those of the locked packages that `world` needs over `stage3`, by category, name and version, each with whether `world` itself
    /// names it. `packages` are all that are locked.
    pub fn needed(
        &self,
        world: &BTreeSet<String>,
        stage3: &[Package],
        packages: &[Package],
    ) -> Result<BTreeMap<String, bool>> {
        packages::needed(self.source, world, stage3, packages)
    }

    /// The packages that nodes have: those of the stage3 but for what the packages over it replace, and these. The stage3's
    /// layer is made, or found, at zstd level `zstd`.
    pub fn installed(&self, zstd: u8) -> Result<Vec<Package>> {
        self.check_host()?;
        let mut found = BTreeMap::new();
        for package in installed(&self.tarball(), zstd)? {
            found.insert((package.cpv.name.to_string(), package.slot.clone()), package);
        }
        self.bring_packages()?;
        for locked in &self.locked.packages {
            let opened = self.open(locked)?;
            let value = |key: &str| {
                let value = opened.metadata().get(key)?;
                std::str::from_utf8(value).ok()
            };
            let package = Package::from_values(&locked.cpv, value)?;
            found.insert((package.cpv.name.to_string(), package.slot.clone()), package);
        }
        Ok(found.into_values().collect())
    }

    /// All packages, fetched where they are missing, with their places on a mirror.
    pub(crate) fn pinned(&self) -> Result<Vec<Pinned>> {
        packages::pinned(&self.errand, self.source, &self.locked)
    }

    /// Opens a package that is there, which is what is locked: its SHA-256 says so. A damaged one is fetched again.
    pub fn open(&self, locked: &LockedPackage) -> Result<BinaryPackage> {
        let place = package::place_in(&self.errand, self.source, &self.locked, locked)?;
        package::open(&self.errand, &place, locked)
    }
}
