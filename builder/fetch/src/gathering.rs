//! Every file that a locked set pins, each with its place on a mirror. What the lock may hold is taken apart here field by
//! field: a new kind of entry does not compile until it is told where its files are.

mod pool;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use debian::dpkg::InstalledDeb;
use engine::Engine;
use model::sources::{BaseSource, BlobSet, Source, SourceSet, Stage3};

use super::lock::{LockedArchive, LockedBase, LockedFile, LockedSet, LockedStage3, is_plain_name};
use super::mirror::Mirrors;
use super::pinned::{Pinned, below_first};
use super::stage3::Stage3Files;
use super::{Network, obtain, obtain_blob};

/// On whose behalf a set is gathered.
#[derive(Debug, Clone, Copy)]
pub struct Gathering<'a> {
    /// The engine, whose cache the files get into.
    pub engine: &'a Engine,
    /// The project's folder.
    pub root: &'a Path,
    /// The mirror that the user named.
    pub mirror: Option<&'a str>,
    /// How the network is used.
    pub network: &'a Network,
}

impl Gathering<'_> {
    /// All files of `locked`, the lock of `set`, fetched where they are missing. `installed` says what is installed in a base
    /// that was made of a Debian archive.
    pub fn set(
        &self,
        set: &SourceSet,
        locked: &LockedSet,
        installed: impl FnOnce(&LockedArchive) -> Result<Vec<InstalledDeb>>,
    ) -> Result<Vec<Pinned>> {
        let LockedSet {
            kernel,
            u_boot,
            base,
            // When indexes were made, not what they are.
            indexes: _,
        } = locked;
        if let (LockedBase::Stage3(base), BaseSource::Stage3(source)) = (base, &set.base) {
            self.stage3(source, base).check_host()?;
        }
        let mut pinned = vec![
            self.source(&set.kernel, kernel)?,
            self.source(&set.u_boot, u_boot)?,
        ];
        match (base, &set.base) {
            (LockedBase::Archive(archive), BaseSource::Archive { .. }) => {
                let mirrors = Mirrors::of_base(&set.base, self.mirror)?;
                // Before a base is made, which takes minutes.
                let indexes = pool::Indexes::obtain(self, archive, &mirrors, pool::Extent::All)?;
                pinned.extend(indexes.files().iter().cloned());
                pinned.extend(indexes.packages(self, &installed(archive)?, &mirrors)?);
            }
            (LockedBase::Stage3(base), BaseSource::Stage3(source)) => {
                let LockedStage3 {
                    world: _,
                    packages: _,
                    tarball,
                    sources: _,
                    compiled: _,
                } = base;
                let files = self.stage3(source, base);
                pinned.push(place(
                    &below_first(&source.mirrors)?,
                    tarball,
                    files.tarball().obtain()?,
                ));
                pinned.extend(files.pinned()?);
            }
            _ => bail!("the lock has another kind of base than sources.toml: run `portadc update`"),
        }
        check(pinned)
    }

    /// Those of `names` that a locked archive of Debian does not have, each with the name that was probably meant.
    pub fn unknown_packages(
        &self,
        base: &BaseSource,
        archive: &LockedArchive,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Option<String>>> {
        let mirrors = Mirrors::of_base(base, self.mirror)?;
        pool::Indexes::obtain(self, archive, &mirrors, pool::Extent::Packages)?.unknown(names)
    }

    /// The files of a Gentoo base.
    fn stage3<'a>(&'a self, source: &'a Stage3, base: &LockedStage3) -> Stage3Files<'a> {
        Stage3Files::new(
            self.engine,
            self.root,
            source,
            base.clone(),
            self.mirror,
            self.network,
        )
    }

    /// What a board starts with. Whether the user accepts its licence is for the caller to know.
    pub fn blobs(&self, blobs: &BlobSet) -> Result<Vec<Pinned>> {
        let mirrors = Mirrors::upstream(self.mirror, &blobs.mirrors)?;
        let folder = below_first(&blobs.mirrors)?;
        let of_name = |(name, blob): (&String, &model::sources::Blob)| {
            Ok(Pinned {
                path: format!("{folder}{name}"),
                file: obtain_blob(self.engine, name, blob, &mirrors, self.network)?,
                size: blob.size,
                sha256: blob.sha256.into(),
            })
        };
        check(blobs.files.iter().map(of_name).collect::<Result<_>>()?)
    }

    /// The tarball of a part.
    fn source(&self, source: &Source, locked: &LockedFile) -> Result<Pinned> {
        let mirrors = Mirrors::of(source, self.mirror)?;
        let folder = match source {
            Source::Archive { .. } => String::new(),
            Source::KernelOrg { mirrors, .. } | Source::Release { mirrors, .. } => below_first(mirrors)?,
        };
        let file = obtain(self.engine, locked, &mirrors, self.network)?;
        Ok(place(&folder, locked, file))
    }
}

fn place(folder: &str, locked: &LockedFile, file: PathBuf) -> Pinned {
    Pinned {
        path: format!("{folder}{}", locked.path),
        file,
        size: locked.size,
        sha256: locked.sha256,
    }
}

/// Refuses paths that lead elsewhere, or that a server would not find by the same name.
fn check(pinned: Vec<Pinned>) -> Result<Vec<Pinned>> {
    for file in &pinned {
        if !file.path.split('/').all(is_plain_name) {
            bail!(
                "{} has no place in a folder: sources.toml or the lock has an URL with other characters than letters, digits \
                 and - _ + . ~ : @ = ,",
                formats::layer::shown(file.path.as_bytes())
            );
        }
    }
    Ok(pinned)
}
