//! The packages over a stage3: chosen from what all sources offer, fetched side by side, and verified.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use formats::units::Bytes;
use gentoo::resolve::{self, Chosen, Mask, Request, Source};
use gentoo::{Atom, Package};
use model::sources::Stage3;

use super::index::{self, Offer};
use super::installed::installed;
use super::package::{self, Listed, place_of, verify};
use super::signer::PackageSigner;
use super::{BaseNeeds, Errand, LockedPackage, LockedPackageSource, LockedStage3, Stage3Tarball};
use crate::fetch::pinned::Pinned;
use crate::fetch::presence::Presence;
use crate::fetch::{failure, is_verification_failure};

/// Packages that are fetched at once: enough to hide the pauses between small files, and few enough for any server.
const AT_ONCE: usize = 4;

/// Packages of which an error tells one by one.
const TOLD: usize = 8;

/// Which packages go over `stage3`, fetched and verified, and what holds for the sources that they are from.
pub(super) fn resolve(
    needs: &BaseNeeds,
    stage3: &Stage3Tarball,
) -> Result<(BTreeMap<String, LockedPackageSource>, Vec<LockedPackage>)> {
    if needs.packages.is_empty() {
        return Ok(Default::default());
    }
    let world = atoms(&needs.packages).context("cannot read the packages of the overlays")?;
    let Stage3Tarball { errand, source, .. } = *stage3;
    let installed = installed(stage3, needs.zstd)?;
    let offers = source
        .packages
        .iter()
        .map(|source| index::read(errand, source))
        .collect::<Result<Vec<_>>>()?;
    let choices = choose(source, &world, &installed, &offers)?;
    lock(errand, &offers, &choices)
}

/// Texts as atoms.
fn atoms<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<Vec<Atom>> {
    texts.into_iter().map(|text| Ok(text.parse()?)).collect()
}

/// The packages that meet the request over what is installed. Where there is no solution the error says why, and where it
/// was looked for one.
fn choose<'a>(
    source: &Stage3,
    world: &[Atom],
    installed: &'a [Package],
    offers: &'a [Offer<'a>],
) -> Result<Vec<Chosen<'a>>> {
    let init = match source.init {
        model::sources::Init::Systemd => resolve::Init::Systemd,
        model::sources::Init::OpenRc => resolve::Init::OpenRc,
    };
    let mut masks = init.masks()?;
    for atom in atoms(&source.mask).context("cannot read `mask` of sources.toml")? {
        masks.push(Mask {
            atom,
            reason: "sources.toml masks it".into(),
        });
    }
    let sources: Vec<_> = offers
        .iter()
        .map(|offer| Source {
            name: &offer.source.name,
            packages: &offer.packages,
        })
        .collect();
    let request = Request {
        atoms: world,
        masks: &masks,
        chost: chost(installed),
    };
    match resolve::resolve(installed, &sources, &request) {
        Ok(resolution) => Ok(resolution.chosen),
        Err(error) => {
            let mut text = format!("{:#}\nlooked in", anyhow::Error::new(error));
            let count = |packages: &[Package]| match packages.len() {
                1 => "1 package".to_owned(),
                count => format!("{count} packages"),
            };
            text.push_str(&format!("\n- the stage3 ({})", count(installed)));
            for offer in offers {
                let (name, found) = (&offer.source.name, &offer.found);
                text.push_str(&format!("\n- `{name}`, {found} ({})", count(&offer.packages)));
            }
            text.push_str("\nsources.toml shows how to add a package source of your own");
            bail!(text)
        }
    }
}

/// What a stage3 is built for: packages that were built for anything else do not run on it.
fn chost(installed: &[Package]) -> Option<&str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for package in installed.iter().filter(|package| !package.chost.is_empty()) {
        *counts.entry(&package.chost).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(chost, _)| chost)
}

/// Fetches and verifies what was chosen.
fn lock(
    errand: &Errand,
    offers: &[Offer],
    choices: &[Chosen],
) -> Result<(BTreeMap<String, LockedPackageSource>, Vec<LockedPackage>)> {
    let mut signers = BTreeMap::new();
    for choice in choices {
        if let Entry::Vacant(entry) = signers.entry(choice.source) {
            let signer = offers[choice.source].source.signer.as_deref();
            entry.insert(PackageSigner::load(errand.root, signer, errand.now)?);
        }
    }
    let bytes = total(choices.iter().filter_map(|choice| choice.package.size));
    let task = errand.engine.progress.bytes("fetch", bytes);
    task.message(format!("{} packages", choices.len()));
    let results = side_by_side(choices, |choice| {
        let offer = &offers[choice.source];
        let listed = Listed::of(choice.package)?;
        let (path, sha256) = listed.fetch(errand, &offer.place, &task)?;
        let signer = signers
            .get(&choice.source)
            .context("nobody judges its signature")?;
        let who = verify(&listed, &path, sha256, signer)
            .with_context(|| format!("{} from {}", listed.path, offer.found))?;
        let locked = LockedPackage {
            cpv: choice.package.cpv.to_string(),
            build: choice.package.build_id,
            requested: choice.requested,
            source: offer.source.name.clone(),
            path: listed.path.to_owned(),
            size: listed.size,
            sha1: listed.sha1,
            sha256,
        };
        Ok((locked, who))
    });
    let named = |number: usize| {
        let choice = &choices[number];
        let source = &offers[choice.source].source.name;
        format!("{} of the package source `{source}`", choice.package.cpv)
    };
    let done = all(results, named)?;
    task.done(format!("{} packages ({})", done.len(), Bytes(bytes)));
    let mut sources: BTreeMap<String, LockedPackageSource> = BTreeMap::new();
    let mut packages = Vec::with_capacity(done.len());
    for (choice, (locked, who)) in choices.iter().zip(done) {
        let source = sources.entry(locked.source.clone()).or_default();
        source.signers.extend(who);
        source.uri.clone_from(&offers[choice.source].uri);
        packages.push(locked);
    }
    Ok((sources, packages))
}

/// All bytes, for a bar: sizes that no file can have are refused where each is fetched.
fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

/// Fetches those of the locked packages that are not there. Whether one that is there is the right one is for whoever
/// opens it.
pub(super) fn bring(errand: &Errand, source: &Stage3, locked: &LockedStage3) -> Result<()> {
    let is_absent = |package: &&LockedPackage| !package::is_there(errand, source, locked, package);
    let packages: Vec<&LockedPackage> = locked.packages.iter().filter(is_absent).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let bytes = total(packages.iter().map(|package| package.size.0));
    let task = errand.engine.progress.bytes("fetch", bytes);
    task.message(format!("{} packages", packages.len()));
    let results = side_by_side(&packages, |package| {
        let place = place_of(errand, source, locked, package)?;
        package::obtain(errand, &place, package, Some(&task))
    });
    let named = |number: usize| {
        let LockedPackage { cpv, source, .. } = packages[number];
        format!("{cpv} of the package source `{source}`")
    };
    all(results, named)?;
    task.done(format!("{} packages ({})", packages.len(), Bytes(bytes)));
    Ok(())
}

/// The locked packages, each of the right size and SHA-256, and where a mirror of the user's own has them.
pub(super) fn pinned(errand: &Errand, source: &Stage3, locked: &LockedStage3) -> Result<Vec<Pinned>> {
    bring(errand, source, locked)?;
    let of = |package: &LockedPackage| {
        let LockedPackage {
            cpv: _,
            build: _,
            requested: _,
            source: _,
            path: _,
            size,
            sha1: _,
            sha256,
        } = package;
        let place = place_of(errand, source, locked, package)?;
        Ok(Pinned {
            path: package::path_on_mirror(source, locked, package)?,
            file: package::obtain(errand, &place, package, None)?,
            size: *size,
            sha256: *sha256,
        })
    };
    let results = side_by_side(&locked.packages, of);
    all(results, |number| locked.packages[number].cpv.clone())
}

/// Whether the sources of a base still have its packages, as far as they are not kept here.
pub(in crate::fetch) fn presence_of_packages(
    errand: &Errand,
    source: &Stage3,
    locked: &LockedStage3,
) -> Result<Presence> {
    let answers = side_by_side(&locked.packages, |package| {
        if package::is_kept(errand, source, locked, package) {
            return Ok(None);
        }
        package::presence_of(errand, source, locked, package).map(Some)
    });
    let mut unclear = Vec::new();
    for answer in answers {
        match answer? {
            None | Some(Presence::At(_)) => {}
            Some(Presence::Gone(answers)) => return Ok(Presence::Gone(answers)),
            Some(Presence::Unclear(answers)) => unclear.push(answers),
        }
    }
    // One that cannot be asked cannot be asked for any of its packages.
    Ok(match unclear.into_iter().next() {
        Some(answers) => Presence::Unclear(answers),
        None => Presence::At(String::new()),
    })
}

/// Does `work` for each item, for a few of them at the same time. The results are in the order of the items.
pub(in crate::fetch) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    let result = work(item);
                    // Only a thread that panicked leaves it poisoned, and the scope passes its panic on.
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// All results, or what went wrong with how many of them.
pub(in crate::fetch) fn all<R>(results: Vec<Result<R>>, named: impl Fn(usize) -> String) -> Result<Vec<R>> {
    let (count, mut done, mut failures, mut unverified) = (results.len(), Vec::new(), Vec::new(), false);
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => done.push(value),
            Err(error) => {
                unverified |= is_verification_failure(&error);
                failures.push(format!("{}: {error:#}", named(number)));
            }
        }
    }
    if failures.is_empty() {
        return Ok(done);
    }
    let mut text = format!("{} of {count} packages cannot be had:", failures.len());
    let more = failures.len().saturating_sub(TOLD);
    for failure in failures.into_iter().take(TOLD) {
        text.push_str("\n- ");
        text.push_str(&failure);
    }
    if more > 0 {
        text.push_str(&format!("\n- and {more} more"));
    }
    Err(failure(text, unverified))
}
