//! `portadc update`: a set of sources, resolved and verified, written into the lock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use model::sources::{BaseSource, Series, Source, SourceSet};

use super::debian::Release;
use super::lock::{LOCK, Lock, LockedBase, LockedFile, LockedSet};
use super::mirror::Mirrors;
use super::presence::{self, Presence};
use super::stage3::{self, BaseNeeds, Errand, LockedStage3};
use super::{Mode, Network, is_cached, kernel_org, release};
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

/// A package over a stage3 that was added, removed, or is another version or build now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageChange {
    /// Category and name.
    pub name: String,
    /// Version and build that were locked; `None` where none was.
    pub old: Option<String>,
    /// Version and build that are locked now; `None` where none is.
    pub new: Option<String>,
}

/// What an update did. As text it is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The set.
    pub set: String,
    /// Its parts, old against new, also those that stayed.
    pub parts: Vec<Change>,
    /// Packages that changed, by name.
    pub packages: Vec<PackageChange>,
    /// How many packages are locked now; `None` where the base has none of its own.
    pub package_count: Option<usize>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The locked set that a build uses. One that `sources.lock` does not have, or that is older than `sources.toml`
/// or than what the overlays ask of its base, is resolved first; with `locked` or without a network that is an error.
pub fn locked_set(
    engine: &Engine,
    root: &Path,
    set: &SourceSet,
    needs: &BaseNeeds,
    mirror: Option<&str>,
    network: &Network,
    locked: bool,
) -> Result<LockedSet> {
    let found = Lock::load(root)?.find_with_base(set, needs).cloned();
    match found {
        Err(error) if !locked && network.mode == Mode::Online => {
            engine.progress.say(format!("{error:#}: resolving it now"));
            engine
                .progress
                .say(update(engine, root, set, needs, mirror, network, Extent::All)?.to_string());
            Lock::load(root)?.find_with_base(set, needs).cloned()
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

/// Resolves `set`, with what `needs` asks of its base, and writes it into `sources.lock` in the project's folder `root`.
/// Other sets stay as they are locked.
pub fn update(
    engine: &Engine,
    root: &Path,
    set: &SourceSet,
    needs: &BaseNeeds,
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
        && let Ok(locked) = lock.find_with_base(set, needs)
        && let Some(warnings) = doubts(engine, root, set, locked, mirror, network)?
    {
        return Ok(Update {
            warnings,
            ..Update::of(&set.name, Some(locked), locked)
        });
    }
    let new = Resolver::new(engine, root, mirror, network).set(set, needs, old.as_ref())?;
    let update = Update::of(&set.name, old.as_ref(), &new);
    if old.as_ref() != Some(&new) {
        Lock::store(root, &set.name, new)?;
    }
    Ok(update)
}

/// Why one may doubt that a locked set can still be had, a line for each part; `None` if something of it is gone.
fn doubts(
    engine: &Engine,
    root: &Path,
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
        LockedBase::Stage3(locked) => {
            files.push(("base", &locked.tarball, base));
            if let BaseSource::Stage3(source) = &set.base {
                let errand = Errand {
                    engine,
                    root,
                    own: mirror,
                    network: &hasty,
                    now: SystemTime::now(),
                };
                answers.push(("packages", stage3::presence_of_packages(&errand, source, locked)));
            }
        }
    }
    files.retain(|(_, file, _)| !is_cached(engine, file));
    let asked = files
        .iter()
        .map(|(part, file, mirrors)| (*part, presence::of_file(&file.path, file.size, mirrors, &hasty)));
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

    fn set(&mut self, set: &SourceSet, needs: &BaseNeeds, old: Option<&LockedSet>) -> Result<LockedSet> {
        let kernel = self.file(&set.kernel).context("cannot resolve the kernel")?;
        let u_boot = self.file(&set.u_boot).context("cannot resolve U-Boot")?;
        let mut base = self.base(&set.base, needs).context("cannot resolve the base")?;
        let same = |new: LockedFile, old: Option<&LockedFile>| match old {
            // The same bytes under a newer signature change nothing, so the date stays too: outputs carry it.
            Some(old) if old.sha256 == new.sha256 && old.path == new.path && old.index == new.index => {
                old.clone()
            }
            _ => new,
        };
        if let LockedBase::Stage3(new) = &mut base {
            let old = old.and_then(LockedSet::stage3).map(|old| &old.tarball);
            new.tarball = same(new.tarball.clone(), old);
        }
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

    fn base(&mut self, source: &BaseSource, needs: &BaseNeeds) -> Result<LockedBase> {
        match source {
            BaseSource::Archive {
                archive,
                architecture,
            } => {
                let mirrors = Mirrors::of_base(source, self.mirror)?;
                let release = self.release(archive, &mirrors)?;
                Ok(LockedBase::Archive(release.lock(archive, architecture)))
            }
            BaseSource::Stage3(source) => {
                let errand = Errand {
                    engine: self.engine,
                    root: self.root,
                    own: self.mirror,
                    network: self.network,
                    now: self.now,
                };
                stage3::resolve(&errand, source, needs).map(LockedBase::Stage3)
            }
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
            LockedBase::Stage3(base) => base.tarball.file.clone(),
        };
        let stage3 = new.stage3();
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
            packages: package_changes(old.and_then(LockedSet::stage3), stage3),
            package_count: stage3.map(|stage3| stage3.packages.len()),
            warnings: Vec::new(),
        }
    }
}

/// The packages in which two locked bases differ, by name.
fn package_changes(old: Option<&LockedStage3>, new: Option<&LockedStage3>) -> Vec<PackageChange> {
    // A name can be there several times, in slots of its own; then its versions are told together.
    let versions = |base: Option<&LockedStage3>| {
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in base.into_iter().flat_map(|base| &base.packages) {
            let of_name = versions.entry(package.name()).or_default();
            of_name.push(package.version());
        }
        let told = |(name, mut versions): (_, Vec<_>)| {
            versions.sort();
            (name, versions.join(", "))
        };
        versions.into_iter().map(told).collect::<BTreeMap<_, _>>()
    };
    let (mut old, new) = (versions(old), versions(new));
    let mut changes = Vec::new();
    for (name, new) in new {
        let old = old.remove(&name);
        if old.as_ref() != Some(&new) {
            changes.push(PackageChange {
                name,
                old,
                new: Some(new),
            });
        }
    }
    changes.extend(old.into_iter().map(|(name, old)| PackageChange {
        name,
        old: Some(old),
        new: None,
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

impl Update {
    /// Packages that were added, removed and changed.
    pub fn package_counts(&self) -> [usize; 3] {
        let count = |is: fn(&PackageChange) -> bool| self.packages.iter().filter(|change| is(change)).count();
        [
            count(|change| change.old.is_none()),
            count(|change| change.new.is_none()),
            count(|change| change.old.is_some() && change.new.is_some()),
        ]
    }
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => write!(f, "{name} {old} -> {new}"),
            (None, Some(new)) => write!(f, "{name} {new} (new)"),
            (Some(old), None) => write!(f, "{name} {old} (removed)"),
            (None, None) => f.write_str(name),
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
        if let Some(count) = self.package_count {
            let [added, removed, changed] = self.package_counts();
            write!(
                f,
                "\n  and {count} packages over it: {added} added, {removed} removed, {changed} changed"
            )?;
        }
        Ok(())
    }
}
