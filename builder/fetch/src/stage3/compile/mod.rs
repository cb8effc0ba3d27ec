//! What no source of packages has is compiled, by emerge in the stage3 that it is for (`engine::sandbox`).
//!
//! Everything is fetched and verified outside: the stage3, the snapshot of the ebuild repository, binary packages of the other
//! sources for what is needed to compile, and distfiles as the snapshot's Manifests list them. What emerge prints only says
//! which of those it wants.
//!
//! | module | owns |
//! |---|---|
//! | `snapshot` | the newest snapshot, verified |
//! | `workshop` | the stage3 that is entered, and what is in it |
//! | `plan` | what emerge would compile, of which distfiles and with which packages |
//! | `unsigned` | packages without the signatures that were verified |
//! | `make` | the packages, compiled |

mod make;
mod plan;
mod snapshot;
mod unsigned;
mod workshop;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::{Key, Preflight, VerificationFailed, check_arm64, sandbox};
use model::sources::{PackageSource, Repository, Stage3};

use super::index::Offer;
use super::package::{place_in, place_of};
use super::{Errand, LockedCompile, LockedPackage, LockedPackageSource, LockedStage3, Stage3Tarball};
use crate::digest::Sha256Sum;
use crate::past::Past;
use crate::pinned::{Pinned, below_first};
use crate::presence::{self, Presence};
use workshop::Workshop;

/// Goes up with every change of how packages are compiled that can change what they are.
const REVISION: u32 = 1;

/// The stage's name in the cache.
const STAGE: &str = "compiled";

/// The folder of the packages, and their index, in an output.
const PACKAGES: &str = "packages";

/// What was compiled.
pub(super) struct Compiled {
    /// What of it is locked.
    pub(super) locked: LockedCompile,
    /// What holds for the sources of the packages that it was compiled with.
    pub(super) sources: BTreeMap<String, LockedPackageSource>,
    /// The folder of its packages, with an index.
    pub(super) folder: PathBuf,
}

/// Compiles `atoms` and what they need and `offers` do not have. What was compiled of the same before is found.
pub(super) fn resolve(
    stage3: &Stage3Tarball,
    offers: &[Offer],
    atoms: BTreeSet<String>,
    past: &Past,
) -> Result<Compiled> {
    let Stage3Tarball { errand, source, .. } = *stage3;
    let (_, how) = source.compiled().context("no package source is compiled")?;
    let repository = repository(source)?;
    // Before the snapshot is fetched.
    check_host()?;
    let snapshot = snapshot::resolve(errand, repository, past)?;
    let wanted = LockedCompile {
        atoms,
        keywords: how.keywords.clone(),
        use_flags: how.use_flags.clone(),
        snapshot: snapshot.clone(),
        distfiles: Vec::new(),
        tools: Vec::new(),
    };
    let mut workshop = None;
    let mut plan = plan::obtain(stage3, offers, wanted, &mut workshop)?;
    // One that is found was made of the same snapshot, but another key may have signed it then.
    plan.compiled.snapshot = snapshot;
    let folder = obtain(stage3, &plan.compiled, &plan.sources, workshop)?;
    Ok(Compiled {
        locked: plan.compiled,
        sources: plan.sources,
        folder,
    })
}

/// The folder of the packages of `locked`: found, or compiled now.
fn obtain(
    stage3: &Stage3Tarball,
    locked: &LockedCompile,
    sources: &BTreeMap<String, LockedPackageSource>,
    workshop: Option<Workshop>,
) -> Result<PathBuf> {
    let Stage3Tarball { errand, source, .. } = *stage3;
    let key = key(stage3, locked);
    if let Some(entry) = errand.engine.cache.find(STAGE, &key) {
        return Ok(entry.folder().join(PACKAGES));
    }
    let (_, how) = source.compiled().context("no package source is compiled")?;
    // Always before the lock of the output, so that two that compile never wait for each other.
    let mut workshop = match workshop {
        Some(workshop) => workshop,
        None => Workshop::open(stage3, how, locked)?,
    };
    let entry = errand.engine.cache.obtain(STAGE, &key, |part| {
        make::make(stage3, locked, sources, &mut workshop, &key, &part.join(PACKAGES))
    })?;
    workshop.end_packages()?;
    Ok(entry.folder().join(PACKAGES))
}

/// Identifies everything that packages are compiled of and with.
fn key(stage3: &Stage3Tarball, locked: &LockedCompile) -> Key {
    let mut key = Key::builder(STAGE, REVISION)
        .key("stage3", &stage3.key())
        .text("snapshot", &locked.snapshot.sha256.to_string())
        .text("time", &locked.snapshot.date.to_string());
    for (label, lines) in [("keywords", &locked.keywords), ("use", &locked.use_flags)] {
        for line in lines {
            key = key.text(label, line);
        }
    }
    for atom in &locked.atoms {
        key = key.text("atom", atom);
    }
    for mask in &stage3.source.mask {
        key = key.text("mask", mask);
    }
    for file in &locked.distfiles {
        key = key.text("distfile", &file.file).text("sha512", &file.sha512);
    }
    for tool in &locked.tools {
        key = key
            .text("tool", &tool.cpv)
            .text("sha256", &tool.sha256.to_string());
    }
    key.finish()
}

/// The stage3 that packages of a locked base were compiled in, and of what they were.
fn compiled_in<'a>(
    errand: &'a Errand<'a>,
    source: &'a Stage3,
    base: &'a LockedStage3,
) -> Result<(Stage3Tarball<'a>, &'a LockedCompile)> {
    let locked = base
        .compiled
        .as_ref()
        .context("the lock does not say of what packages were compiled")?;
    let stage3 = Stage3Tarball {
        errand,
        source,
        locked: &base.tarball,
    };
    Ok((stage3, locked))
}

/// Where ebuilds, and what they are compiled from, come from.
fn repository(source: &Stage3) -> Result<&Repository> {
    let repository = source.repository.as_ref();
    repository
        .context("sources.toml does not say where ebuilds come from: it has no `[...stage3.repository]`")
}

/// The locked snapshot of the ebuild repository, from the cache or fetched; `None` where none is locked.
pub(super) fn snapshot_of(errand: &Errand, source: &Stage3, base: &LockedStage3) -> Result<Option<PathBuf>> {
    let Some(locked) = &base.compiled else {
        return Ok(None);
    };
    snapshot::bring(errand, repository(source)?, &locked.snapshot).map(Some)
}

/// The folder in which the compiled packages of a locked base are, or will be.
pub(super) fn folder_of(errand: &Errand, source: &Stage3, base: &LockedStage3) -> Result<PathBuf> {
    let (stage3, locked) = compiled_in(errand, source, base)?;
    let key = key(&stage3, locked);
    let folder = errand.engine.cache.root().join(STAGE).join(key.as_str());
    Ok(folder.join(PACKAGES))
}

/// Asks for what compiling takes of this machine.
pub(super) fn requirements(preflight: &mut Preflight) {
    sandbox::requirements(preflight, "compiles Gentoo's packages");
    check_arm64(preflight);
}

/// Whether this machine can compile packages; all that it lacks is told at once.
pub(super) fn check_host() -> Result<()> {
    let mut preflight = Preflight::default();
    requirements(&mut preflight);
    preflight.finish()
}

/// The locked packages that were compiled.
fn own_packages<'a>(source: &Stage3, base: &'a LockedStage3) -> impl Iterator<Item = &'a LockedPackage> {
    let own = source.compiled().map(|(own, _)| own.name.clone());
    let packages = base.packages.iter();
    packages.filter(move |package| Some(&package.source) == own.as_ref())
}

/// Compiles the packages of a locked base once more, where they are gone and were not vendored either. What comes out has to
/// be what is locked.
pub(super) fn bring(
    errand: &Errand,
    source: &Stage3,
    base: &LockedStage3,
    is_there: impl Fn(&LockedPackage) -> bool,
) -> Result<()> {
    if own_packages(source, base).all(&is_there) {
        return Ok(());
    }
    let mut refused = None;
    if errand.own.is_some() {
        match bring_vendored(errand, source, base) {
            Ok(()) => return Ok(()),
            Err(error) => {
                let lines = format!("{error:#}");
                let words: Vec<&str> = lines.lines().map(str::trim).collect();
                let text = format!(
                    "compiled packages cannot be taken from the mirror: {}",
                    words.join(" ")
                );
                errand
                    .engine
                    .progress
                    .say(format!("warning: {text}; compiling them"));
                refused = Some(text);
            }
        }
    }
    let compile = || -> Result<PathBuf> {
        let (stage3, locked) = compiled_in(errand, source, base)?;
        obtain(&stage3, locked, &base.sources, None)
    };
    let folder = match (compile(), refused) {
        (Err(error), Some(refused)) => return Err(error.context(refused)),
        (compiled, _) => compiled?,
    };
    let differing: Vec<String> = own_packages(source, base)
        .filter(|package| !make::is_same(&folder.join(&package.path), package))
        .map(|package| package.cpv.clone())
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "what was compiled on this machine is not what sources.lock has ({}): `portadc update` locks what this machine makes, \
         or bring {} of the machine that locked it",
        differing.join(", "),
        folder.display()
    );
    Err(VerificationFailed(text).into())
}

/// Takes compiled packages from the mirror that the user named: what was vendored is what is locked, and made already.
fn bring_vendored(errand: &Errand, source: &Stage3, base: &LockedStage3) -> Result<()> {
    for package in own_packages(source, base) {
        let place = place_in(errand, source, base, package)?;
        super::package::obtain(errand, &place, package, None).with_context(|| package.cpv.clone())?;
    }
    Ok(())
}

/// Whether packages of a locked base have to be compiled for certain before they are there: a mirror of the user's own may have
/// them.
pub(super) fn is_certain(errand: &Errand, source: &Stage3, base: &LockedStage3) -> bool {
    let is_there = |package| super::package::is_there(errand, source, base, package);
    errand.own.is_none() && !own_packages(source, base).all(is_there)
}

/// Whether what a base was compiled of can still be had, so that it can be compiled again.
pub(super) fn presence_of(errand: &Errand, source: &Stage3, base: &LockedStage3) -> Result<Presence> {
    let (Some(locked), Some(repository)) = (&base.compiled, &source.repository) else {
        return Ok(Presence::At(String::new()));
    };
    if crate::is_cached(errand.engine, &locked.snapshot) {
        return Ok(Presence::At(String::new()));
    }
    let mirrors = errand.upstream(&repository.mirrors)?;
    presence::of_file(
        &locked.snapshot.path,
        locked.snapshot.size,
        &mirrors,
        errand.network,
    )
}

fn sum_of(path: &Path) -> Result<Sha256Sum> {
    File::open(path)
        .and_then(Sha256Sum::of_reader)
        .with_context(|| format!("cannot read {}", path.display()))
}

/// What packages of a locked base were compiled of, but for those of other sources, with the places on a mirror.
pub(super) fn pinned(errand: &Errand, source: &Stage3, base: &LockedStage3) -> Result<Vec<Pinned>> {
    let Some(LockedCompile {
        atoms: _,
        keywords: _,
        use_flags: _,
        distfiles,
        // Packages like any other, for whoever calls this.
        tools: _,
        snapshot,
    }) = &base.compiled
    else {
        return Ok(Vec::new());
    };
    let repository = repository(source)?;
    let mut pinned = vec![Pinned {
        path: format!("{}{}", below_first(&repository.mirrors)?, snapshot.path),
        file: snapshot::bring(errand, repository, snapshot)?,
        size: snapshot.size,
        sha256: snapshot.sha256,
    }];
    let stage3 = Stage3Tarball {
        errand,
        source,
        locked: &base.tarball,
    };
    let folder = below_first(&repository.distfiles)?;
    for distfile in distfiles {
        let file = make::distfile(&stage3, distfile)?;
        pinned.push(Pinned {
            path: format!("{folder}{}", make::place_of_distfile(&distfile.file)),
            sha256: sum_of(&file)?,
            file,
            size: distfile.size,
        });
    }
    Ok(pinned)
}

/// The source whose packages are compiled, if a package is from it.
pub(super) fn is_compiled(source: &Stage3, package: &LockedPackage) -> bool {
    let own: Option<(&PackageSource, _)> = source.compiled();
    own.is_some_and(|(own, _)| own.name == package.source)
}

/// Files of the packages to compile with, fetched where they are not there.
fn bring_tools(
    errand: &Errand,
    source: &Stage3,
    sources: &BTreeMap<String, LockedPackageSource>,
    tools: &[LockedPackage],
) -> Result<Vec<(String, PathBuf)>> {
    tools
        .iter()
        .map(|tool| {
            let place = place_of(errand, source, sources, tool)?;
            let file = super::package::obtain(errand, &place, tool, None)
                .with_context(|| format!("cannot bring {} to compile with", tool.cpv))?;
            Ok((tool.path.clone(), file))
        })
        .collect()
}
