//! `portadc update`: a set of sources, resolved and verified, written into the lock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use engine::Engine;
use model::sources::{BaseSource, Series, Source, SourceSet};

use super::debian::Release;
use super::errand::Errand;
use super::gone::Kept;
use super::lock::{LOCK, Lock, LockedBase, LockedFile, LockedSet, LockedStage3};
use super::mirror::Mirrors;
use super::needs::BaseNeeds;
use super::newest::{self, Newest};
use super::past::{Downgrade, Past, check_versions};
use super::stage3;
use super::{Mode, Network, kernel_org, keys, release};

/// What is resolved again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    All,
    /// Each part that is gone: not in the cache, and every mirror says that it does not have it. What can still be had
    /// stays locked as it is.
    IfGone,
}

/// How an update is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateOptions {
    /// What is resolved again.
    pub extent: Extent,
    /// Whether something may become older than it is locked.
    pub downgrade: Downgrade,
}

impl Default for UpdateOptions {
    fn default() -> Self {
        Self {
            extent: Extent::All,
            downgrade: Downgrade::Refuse,
        }
    }
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
    /// Newer versions that are listed but that no mirror has yet, newest first.
    pub unserved: Vec<String>,
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
            let options = UpdateOptions::default();
            let update = update(engine, root, set, needs, mirror, network, options)?;
            for line in [update.to_string()].into_iter().chain(update.warnings) {
                engine.progress.say(line);
            }
            Lock::load(root)?.find_with_base(set, needs).cloned()
        }
        found => found,
    }
}

/// The kernel of `set` that is of `series`: the locked one, or else the newest that the set's mirrors have, which does not get
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
    let past = Past::of(lock.sets.get(&set.name), Downgrade::Refuse, SystemTime::now());
    let newest = Resolver::new(engine, root, mirror, network, past)
        .file(&source)
        .with_context(|| absent("the mirror"))?;
    if let Some(note) = newest::note(&newest.unserved) {
        engine
            .progress
            .say(format!("kernel {} ({note})", newest.file.version));
    }
    if let Some(doubt) = newest.doubt {
        engine.progress.say(doubt);
    }
    Ok(newest.file)
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
    options: UpdateOptions,
) -> Result<Update> {
    if network.mode == Mode::Offline {
        bail!("an update asks the mirrors what is newest: it cannot be done offline");
    }
    let lock = Lock::load(root)?;
    let old = lock.sets.get(&set.name).cloned();
    let kept = match options.extent {
        Extent::All => Kept::default(),
        Extent::IfGone => match lock.find_with_base(set, needs) {
            Ok(locked) => Kept::of(engine, root, set, locked, mirror, network)?,
            // What does not fit any more is resolved whether it is gone or not.
            Err(_) => Kept::default(),
        },
    };
    if let (BaseSource::Stage3(source), None) = (&set.base, kept.base) {
        stage3::check_host(source, needs, old.as_ref().and_then(LockedSet::stage3))?;
    }
    let past = Past::of(old.as_ref(), options.downgrade, SystemTime::now());
    let mut resolver = Resolver::new(engine, root, mirror, network, past);
    let mut new = resolver.set(set, needs, old.as_ref(), &kept)?;
    if let (Some(old), Downgrade::Refuse) = (&old, options.downgrade) {
        check_versions(set, old, &new, &resolver.unserved)?;
    }
    let mut update = Update::of(&set.name, old.as_ref(), &new);
    for change in &mut update.parts {
        change.unserved = resolver.unserved.remove(change.part).unwrap_or_default();
    }
    update.warnings = kept.doubts;
    update.warnings.append(&mut resolver.doubts);
    let signers: Vec<_> = set.signers().into_iter().map(AsRef::as_ref).collect();
    update
        .warnings
        .extend(keys::warnings(root, &signers, resolver.errand.now));
    let (seen, mut doubts) = resolver.past.into_seen();
    update.warnings.append(&mut doubts);
    // What was not asked for again stays known.
    if let (Some(old), Extent::IfGone) = (&old, options.extent) {
        new.indexes.clone_from(&old.indexes);
    }
    new.indexes.extend(seen);
    if old.as_ref() != Some(&new) {
        Lock::store(root, &set.name, new)?;
    }
    Ok(update)
}

/// Resolves the parts of one set.
struct Resolver<'a> {
    errand: Errand<'a>,
    past: Past,
    /// The state of the set's archive: one for all parts, whatever happens on the mirror meanwhile.
    release: Option<Release>,
    /// By part: newer versions that are listed but that no mirror has.
    unserved: BTreeMap<&'static str, Vec<String>>,
    /// Why one may doubt that what was resolved can be had.
    doubts: Vec<String>,
}

impl<'a> Resolver<'a> {
    fn new(
        engine: &'a Engine,
        root: &'a Path,
        mirror: Option<&'a str>,
        network: &'a Network,
        past: Past,
    ) -> Self {
        Self {
            errand: Errand {
                engine,
                root,
                own: mirror,
                network,
                now: SystemTime::now(),
            },
            past,
            release: None,
            unserved: BTreeMap::new(),
            doubts: Vec::new(),
        }
    }

    /// The parts that are not `kept`, with those that are.
    fn set(
        &mut self,
        set: &SourceSet,
        needs: &BaseNeeds,
        old: Option<&LockedSet>,
        kept: &Kept,
    ) -> Result<LockedSet> {
        let kernel = match kept.kernel {
            Some(kernel) => kernel.clone(),
            None => self
                .part("kernel", &set.kernel, old.map(|old| &old.kernel))
                .context("cannot resolve the kernel")?,
        };
        let u_boot = match kept.u_boot {
            Some(u_boot) => u_boot.clone(),
            None => self
                .part("u-boot", &set.u_boot, old.map(|old| &old.u_boot))
                .context("cannot resolve U-Boot")?,
        };
        let base = match kept.base {
            Some(base) => base.clone(),
            None => {
                let mut base = self.base(&set.base, needs).context("cannot resolve the base")?;
                if let LockedBase::Stage3(new) = &mut base {
                    let old = old.and_then(LockedSet::stage3).map(|old| &old.tarball);
                    new.tarball = or_same(new.tarball.clone(), old);
                }
                base
            }
        };
        Ok(LockedSet {
            kernel,
            u_boot,
            base,
            indexes: BTreeMap::new(),
        })
    }

    /// The newest file of a part; `old` is what was locked.
    fn part(&mut self, part: &'static str, source: &Source, old: Option<&LockedFile>) -> Result<LockedFile> {
        let newest = self.file(source)?;
        self.unserved.insert(part, newest.unserved);
        self.doubts.extend(newest.doubt);
        Ok(or_same(newest.file, old))
    }

    fn file(&mut self, source: &Source) -> Result<Newest> {
        let errand = self.errand;
        let mirrors = Mirrors::of(source, errand.own)?;
        match source {
            Source::Archive {
                archive,
                package,
                series,
            } => {
                let release = self.release(archive, &mirrors)?;
                release.tarball(errand.engine, package, series, &mirrors, errand.network)
            }
            Source::KernelOrg { series, signer, .. } => {
                kernel_org::resolve(&errand, series, signer, &mirrors, &self.past)
            }
            Source::Release { version, signer, .. } => {
                release::resolve(&errand, version, signer, &mirrors).map(Newest::from)
            }
        }
    }

    fn base(&mut self, source: &BaseSource, needs: &BaseNeeds) -> Result<LockedBase> {
        match source {
            BaseSource::Archive {
                archive,
                architecture,
            } => {
                let mirrors = Mirrors::of_base(source, self.errand.own)?;
                let release = self.release(archive, &mirrors)?;
                Ok(LockedBase::Archive(release.lock(archive, architecture)?))
            }
            BaseSource::Stage3(source) => {
                stage3::resolve(&self.errand, source, needs, &self.past).map(LockedBase::Stage3)
            }
        }
    }

    /// The state of the set's one archive, asked for once.
    fn release(&mut self, archive: &model::sources::Archive, mirrors: &Mirrors) -> Result<&Release> {
        if self.release.is_none() {
            let release = Release::resolve(&self.errand, archive, mirrors, &self.past)?;
            self.release = Some(release);
        }
        self.release.as_ref().context("the archive has no state")
    }
}

/// `new`, or `old` if it is the same: the same bytes under a newer signature change nothing, so the date stays too, which
/// outputs carry.
fn or_same(new: LockedFile, old: Option<&LockedFile>) -> LockedFile {
    match old {
        Some(old) if old.sha256 == new.sha256 && old.path == new.path && old.index == new.index => {
            old.clone()
        }
        _ => new,
    }
}

impl Update {
    fn of(set: &str, old: Option<&LockedSet>, new: &LockedSet) -> Self {
        let change = |part, old: Option<String>, new: String| Change {
            part,
            old,
            new,
            unserved: Vec::new(),
        };
        let base = |set: &LockedSet| match &set.base {
            LockedBase::Archive(archive) => {
                let version = archive.version.as_deref().unwrap_or_default();
                let main = format!("{} {version} of {}", archive.suite, archive.date);
                match &archive.security {
                    Some(security) => format!("{main}, {} of {}", security.suite, security.date),
                    None => main,
                }
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
            let Change { part, old, new, .. } = change;
            match old {
                _ if !change.is_change() => write!(f, "\n  {part:<7} {new} (unchanged)")?,
                Some(old) => write!(f, "\n  {part:<7} {old} -> {new}")?,
                None => write!(f, "\n  {part:<7} {new} (new)")?,
            }
            if let Some(note) = newest::note(&change.unserved) {
                write!(f, " ({note})")?;
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
