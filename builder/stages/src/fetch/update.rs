//! `portadc update`: a set of sources, resolved and verified, written into the lock.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use model::sources::{BaseSource, Series, Source, SourceSet};

use super::debian::Release;
use super::lock::{LOCK, Lock, LockedBase, LockedFile, LockedSet};
use super::mirror::Mirrors;
use super::presence::{self, Presence};
use super::{Mode, Network, gentoo, is_cached, kernel_org, release};
use crate::engine::Engine;

/// What is resolved again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    All,
    /// Everything if something that is locked is gone: not in the cache, and every mirror says that it does not have it.
    /// Else nothing.
    IfGone,
}

/// A part of a set whose lock changed, or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `kernel`, `u-boot` or `base`.
    pub part: &'static str,
    /// What was locked; `None` where nothing was.
    pub old: Option<String>,
    /// What is locked now.
    pub new: String,
}

/// What an update did. As text it is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The set.
    pub set: String,
    /// Its parts, old against new, also those that stayed.
    pub parts: Vec<Change>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The locked set that a build uses. One that `sources.lock` does not have, or that is older than `sources.toml`, is
/// resolved first; with `locked` or without a network that is an error.
pub fn locked_set(
    engine: &Engine,
    root: &Path,
    set: &SourceSet,
    mirror: Option<&str>,
    network: &Network,
    locked: bool,
) -> Result<LockedSet> {
    let found = Lock::load(root)?.find(set).cloned();
    match found {
        Err(error) if !locked && network.mode == Mode::Online => {
            engine.progress.say(format!("{error:#}: resolving it now"));
            engine
                .progress
                .say(update(engine, root, set, mirror, network, Extent::All)?.to_string());
            Lock::load(root)?.find(set).cloned()
        }
        found => found,
    }
}

/// The kernel of `set` that is of `series`: the locked one, or else the newest that the set's origin has, which does not get
/// into the lock. With `locked` or without a network only the locked one will do.
pub fn kernel_of_series(
    engine: &Engine,
    root: &Path,
    set: &SourceSet,
    series: &Series,
    mirror: Option<&str>,
    network: &Network,
    locked: bool,
) -> Result<LockedFile> {
    let lock = Lock::load(root)?;
    if let Ok(locked) = lock.find(set)
        && series.holds(&locked.kernel.version)
    {
        return Ok(locked.kernel.clone());
    }
    let absent = |place: &str| {
        format!(
            "{place} has no kernel of the series {series} for the source set `{}`: name a tarball of it with `--source FILE`",
            set.name
        )
    };
    if locked || network.mode == Mode::Offline {
        bail!("{}, or look for one without --offline and --locked", absent(LOCK));
    }
    let source = set
        .kernel
        .of_series(series)
        .with_context(|| absent("sources.toml"))?;
    Resolver::new(engine, root, mirror, network)
        .file(&source)
        .with_context(|| absent("the mirror"))
}

/// Resolves `set` and writes it into `sources.lock` in the project's folder `root`. Other sets stay as they are locked.
pub fn update(
    engine: &Engine,
    root: &Path,
    set: &SourceSet,
    mirror: Option<&str>,
    network: &Network,
    extent: Extent,
) -> Result<Update> {
    if network.mode == Mode::Offline {
        bail!("an update asks the mirrors what is newest: it cannot be done offline");
    }
    let lock = Lock::load(root)?;
    let old = lock.sets.get(&set.name).cloned();
    if extent == Extent::IfGone
        && let Ok(locked) = lock.find(set)
        && let Some(warnings) = doubts(engine, set, locked, mirror, network)?
    {
        return Ok(Update {
            warnings,
            ..Update::of(&set.name, Some(locked), locked)
        });
    }
    let new = Resolver::new(engine, root, mirror, network).set(set, old.as_ref())?;
    let update = Update::of(&set.name, old.as_ref(), &new);
    if old.as_ref() != Some(&new) {
        Lock::store(root, &set.name, new)?;
    }
    Ok(update)
}

/// Why one may doubt that a locked set can still be had, a line for each part; `None` if something of it is gone.
fn doubts(
    engine: &Engine,
    set: &SourceSet,
    locked: &LockedSet,
    mirror: Option<&str>,
    network: &Network,
) -> Result<Option<Vec<String>>> {
    // Where no mirror answers the lock stays as it is, so there is nothing to be patient for.
    let mut hasty = network.clone();
    hasty.limits.connect = hasty.limits.connect.min(Duration::from_secs(5));
    hasty.limits.tries = 1;
    let mut answers = Vec::new();
    let mut files = vec![
        ("kernel", &locked.kernel, Mirrors::of(&set.kernel, mirror)?),
        ("U-Boot", &locked.u_boot, Mirrors::of(&set.u_boot, mirror)?),
    ];
    let base = Mirrors::of_base(&set.base, mirror)?;
    match &locked.base {
        LockedBase::Archive(archive) => answers.push(("base", presence::of_archive(archive, &base, &hasty))),
        LockedBase::Stage3(file) => files.push(("base", file, base)),
    }
    files.retain(|(_, file, _)| !is_cached(engine, file));
    let asked = files
        .iter()
        .map(|(part, file, mirrors)| (*part, presence::of_file(file, mirrors, &hasty)));
    answers.extend(asked);
    let mut doubts = Vec::new();
    for (part, answer) in answers {
        let trouble = match answer {
            Ok(Presence::At(_)) => continue,
            Ok(Presence::Gone(_)) => return Ok(None),
            Ok(Presence::Unclear(answers)) => answers,
            // A machine without any mirror can still have everything in its cache.
            Err(error) => format!("{error:#}"),
        };
        doubts.push(format!(
            "no mirror says whether it still has the locked {part}, so that stays locked:\n  {trouble}"
        ));
    }
    Ok(Some(doubts))
}

/// Resolves the parts of one set.
struct Resolver<'a> {
    engine: &'a Engine,
    root: &'a Path,
    mirror: Option<&'a str>,
    network: &'a Network,
    now: SystemTime,
    /// The state of the set's archive: one for all parts, whatever happens on the mirror meanwhile.
    release: Option<Release>,
}

impl<'a> Resolver<'a> {
    fn new(engine: &'a Engine, root: &'a Path, mirror: Option<&'a str>, network: &'a Network) -> Self {
        Self {
            engine,
            root,
            mirror,
            network,
            now: SystemTime::now(),
            release: None,
        }
    }

    fn set(&mut self, set: &SourceSet, old: Option<&LockedSet>) -> Result<LockedSet> {
        let kernel = self.file(&set.kernel).context("cannot resolve the kernel")?;
        let u_boot = self.file(&set.u_boot).context("cannot resolve U-Boot")?;
        let base = self.base(&set.base).context("cannot resolve the base")?;
        let same = |new: LockedFile, old: Option<&LockedFile>| match old {
            // The same bytes under a newer signature change nothing, so the date stays too: outputs carry it.
            Some(old) if old.sha256 == new.sha256 && old.path == new.path && old.index == new.index => {
                old.clone()
            }
            _ => new,
        };
        Ok(LockedSet {
            kernel: same(kernel, old.map(|old| &old.kernel)),
            u_boot: same(u_boot, old.map(|old| &old.u_boot)),
            base,
        })
    }

    fn file(&mut self, source: &Source) -> Result<LockedFile> {
        let mirrors = Mirrors::of(source, self.mirror)?;
        match source {
            Source::Archive {
                archive,
                package,
                series,
            } => {
                let (engine, network) = (self.engine, self.network);
                let release = self.release(archive, &mirrors)?;
                release.tarball(engine, package, series, &mirrors, network)
            }
            Source::KernelOrg { series, signer, .. } => {
                kernel_org::resolve(self.root, series, signer, &mirrors, self.network, self.now)
            }
            Source::Release { version, signer, .. } => {
                release::resolve(self.root, version, signer, &mirrors, self.network, self.now)
            }
        }
    }

    fn base(&mut self, source: &BaseSource) -> Result<LockedBase> {
        let mirrors = Mirrors::of_base(source, self.mirror)?;
        match source {
            BaseSource::Archive {
                archive,
                architecture,
            } => {
                let release = self.release(archive, &mirrors)?;
                Ok(LockedBase::Archive(release.lock(archive, architecture)))
            }
            BaseSource::Stage3 { flavor, signer, .. } => gentoo::resolve(
                self.engine,
                self.root,
                flavor,
                signer,
                &mirrors,
                self.network,
                self.now,
            )
            .map(LockedBase::Stage3),
        }
    }

    /// The state of the set's one archive, asked for once.
    fn release(&mut self, archive: &model::sources::Archive, mirrors: &Mirrors) -> Result<&Release> {
        if self.release.is_none() {
            let release = Release::resolve(self.root, archive, mirrors, self.network, self.now)?;
            self.release = Some(release);
        }
        self.release.as_ref().context("the archive has no state")
    }
}

impl Update {
    fn of(set: &str, old: Option<&LockedSet>, new: &LockedSet) -> Self {
        let change = |part, old: Option<String>, new: String| Change { part, old, new };
        let base = |set: &LockedSet| match &set.base {
            LockedBase::Archive(archive) => {
                let version = archive.version.as_deref().unwrap_or_default();
                format!("{} {version} of {}", archive.suite, archive.date)
            }
            LockedBase::Stage3(file) => file.file.clone(),
        };
        Self {
            set: set.to_owned(),
            parts: vec![
                change(
                    "kernel",
                    old.map(|set| set.kernel.version.clone()),
                    new.kernel.version.clone(),
                ),
                change(
                    "u-boot",
                    old.map(|set| set.u_boot.version.clone()),
                    new.u_boot.version.clone(),
                ),
                change("base", old.map(base), base(new)),
            ],
            warnings: Vec::new(),
        }
    }
}

impl Change {
    /// Whether it is one.
    pub fn is_change(&self) -> bool {
        self.old.as_deref() != Some(&self.new)
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LOCK}, source set `{}`:", self.set)?;
        for change in &self.parts {
            let Change { part, old, new } = change;
            match old {
                _ if !change.is_change() => write!(f, "\n  {part:<7} {new} (unchanged)")?,
                Some(old) => write!(f, "\n  {part:<7} {old} -> {new}")?,
                None => write!(f, "\n  {part:<7} {new} (new)")?,
            }
        }
        Ok(())
    }
}
