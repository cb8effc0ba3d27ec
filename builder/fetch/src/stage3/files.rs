//! The files of a locked base, each asked for where something has to be made of it: a build that finds its layers made
//! needs none of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use engine::tarball::{CachedLayer, lazy_layer};
use engine::{Engine, Key};
use gentoo::Package;
use gentoo::binary::BinaryPackage;
use model::sources::Stage3;

use super::installed::installed;
use super::{Errand, LockedPackage, LockedStage3, package, packages, tarball};
use crate::digest::Sum;
use crate::download::{self, Store, Wanted};
use crate::pinned::Pinned;
use crate::{LockedFile, Network};

/// The files of a locked Gentoo base. Whether they are what is locked is checked where they are used; that the packages
/// were signed was checked when they were locked.
#[derive(Debug, Clone)]
pub struct Stage3Files<'a> {
    errand: Errand<'a>,
    source: &'a Stage3,
    locked: LockedStage3,
}

/// The tarball of a locked stage3.
#[derive(Debug, Clone, Copy)]
pub struct Stage3Tarball<'a> {
    pub(super) errand: &'a Errand<'a>,
    pub(super) source: &'a Stage3,
    pub(super) locked: &'a LockedFile,
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

    /// Fetches those packages that are not there, a few side by side. All that cannot be had are told at once.
    pub fn bring_packages(&self) -> Result<()> {
        packages::bring(&self.errand, self.source, &self.locked)
    }

    /// The packages that a node has: those of the stage3 but for what the packages over it replace, and these. The stage3's
    /// layer is made, or found, at zstd level `zstd`.
    pub fn installed(&self, zstd: u8) -> Result<Vec<Package>> {
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

impl Stage3Tarball<'_> {
    /// Stands for what is in it.
    pub fn key(&self) -> Key {
        Key::builder("stage3", 1)
            .text("sha256", &self.locked.sha256.to_string())
            .finish()
    }

    /// The name of its file.
    pub fn name(&self) -> &str {
        &self.locked.file
    }

    /// Fetches it if it is not there.
    pub fn bring(&self) -> Result<()> {
        let wanted = self.wanted();
        match wanted.is_at(&wanted.path(self.errand.engine)) {
            true => Ok(()),
            false => self.obtain().map(drop),
        }
    }

    /// The file, from the cache or fetched. Its size and SHA-256 were checked in this call.
    pub fn obtain(&self) -> Result<PathBuf> {
        let mirrors = self.errand.upstream(&self.source.mirrors)?;
        download::fetch(self.errand.engine, &self.wanted(), &mirrors, self.errand.network)
    }

    /// Its layer at zstd level `zstd`; made now, of the verified file, if the cache does not have it.
    pub fn layer(&self, engine: &Engine, zstd: u8) -> Result<CachedLayer> {
        lazy_layer(engine, &self.key(), zstd, || self.obtain())
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            name: self.locked.file.clone(),
            paths: vec![self.locked.path.clone()],
            size: self.locked.size,
            sums: vec![Sum::Sha256(self.locked.sha256)],
            store: Store::Sources,
            if_gone: tarball::OLD_STAGE3,
        }
    }
}
