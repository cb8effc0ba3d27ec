//! The packages over a stage3: chosen from what all sources offer, fetched side by side, and verified.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use formats::units::Bytes;
use gentoo::resolve::{self, Chosen, Mask, PackageUse, Request, Source};
use gentoo::{Atom, Package};
use model::sources::{PackagePlace, Stage3};

use super::compile::{self, Compiled};
use super::index::{self, Offer};
use super::installed::installed;
use super::package::{self, Listed, place_in, verify};
use super::signer::PackageSigner;
use super::{
    BaseNeeds, Errand, LockedCompile, LockedPackage, LockedPackageSource, LockedStage3, Stage3Tarball,
};
use crate::lock::LOCK;
use crate::past::Past;
use crate::pinned::Pinned;
use crate::presence::Presence;
use crate::side_by_side::{all, side_by_side};

/// What goes over a stage3.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// What holds for the sources that packages are from, by name.
    pub(super) sources: BTreeMap<String, LockedPackageSource>,
    /// The packages, in the order in which they are installed.
    pub(super) packages: Vec<LockedPackage>,
    /// Of what some were compiled.
    pub(super) compiled: Option<LockedCompile>,
}

/// Which packages go over `stage3`, fetched and verified, and what holds for the sources that they are from.
pub(super) fn resolve(needs: &BaseNeeds, stage3: &Stage3Tarball, past: &Past) -> Result<Resolved> {
    if needs.packages.is_empty() {
        return Ok(Default::default());
    }
    let world = atoms(&needs.packages).context("cannot read the packages of the overlays")?;
    let Stage3Tarball { errand, source, .. } = *stage3;
    let installed = installed(stage3, needs.zstd)?;
    let mut offers = source
        .packages
        .iter()
        .filter(|source| !matches!(source.place, PackagePlace::Compile(_)))
        .map(|source| index::read(errand, source, past))
        .collect::<Result<Vec<_>>>()?;
    let mut compiled = None;
    if let Some((own, _)) = source.compiled() {
        let missing = missing(source, &needs.packages, &installed, &offers)?;
        if !missing.is_empty() {
            let Compiled {
                locked,
                sources,
                folder,
            } = compile::resolve(stage3, &offers, missing, past)?;
            offers.push(index::of_compiled(own, folder)?);
            compiled = Some((locked, sources));
        }
    }
    let choices = choose(source, &world, &installed, &offers)?;
    for line in choices.iter().filter_map(|choice| preference(choice, &offers)) {
        errand.engine.progress.detail(line);
    }
    let (mut sources, packages) = lock(errand, source, &offers, &choices)?;
    let compiled = compiled.map(|(locked, of_tools)| {
        for (name, of_tools) in of_tools {
            let source = sources.entry(name).or_default();
            source.signers.extend(of_tools.signers);
            source.uri = of_tools.uri;
        }
        locked
    });
    Ok(Resolved {
        sources,
        packages,
        compiled,
    })
}

/// The atoms that stage3 and sources cannot meet, each for itself.
fn missing(
    source: &Stage3,
    world: &BTreeSet<String>,
    installed: &[Package],
    offers: &[Offer],
) -> Result<BTreeSet<String>> {
    let mut missing = BTreeSet::new();
    for text in world {
        let atom = atoms([text])?;
        if solve(source, &atom, installed, &sources(offers))?.is_err() {
            missing.insert(text.clone());
        }
    }
    Ok(missing)
}

/// Texts as atoms.
fn atoms<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<Vec<Atom>> {
    texts.into_iter().map(|text| Ok(text.parse()?)).collect()
}

/// Those of the locked packages that `world` needs over what is installed, by category, name and version, each with whether `world`
/// itself names it. What needs none of what others need goes without it, so an installed package may stay that is replaced for
/// others.
pub(super) fn needed(
    source: &Stage3,
    world: &BTreeSet<String>,
    installed: &[Package],
    locked: &[Package],
) -> Result<BTreeMap<String, bool>> {
    let atoms = atoms(world).context("cannot read the packages of the overlays")?;
    let sources = [Source {
        name: LOCK,
        packages: locked,
    }];
    let chosen = solve(source, &atoms, installed, &sources)?.with_context(|| {
        format!("what is locked does not fit together: {LOCK} is to be made again by `portadc update`")
    })?;
    let named = |choice: Chosen| (choice.package.cpv.to_string(), choice.requested);
    Ok(chosen.into_iter().map(named).collect())
}

/// The packages that are offered, by source.
fn sources<'a>(offers: &'a [Offer<'a>]) -> Vec<Source<'a>> {
    let source = |offer: &'a Offer| Source {
        name: &offer.source.name,
        packages: &offer.packages,
    };
    offers.iter().map(source).collect()
}

/// What meets the request over what is installed, or why nothing does.
fn solve<'a>(
    source: &Stage3,
    world: &[Atom],
    installed: &'a [Package],
    sources: &[Source<'a>],
) -> Result<std::result::Result<Vec<Chosen<'a>>, anyhow::Error>> {
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
    let lines = source
        .compiled()
        .map_or(&[][..], |(_, compile)| &compile.use_flags);
    let package_use: Vec<PackageUse> = lines
        .iter()
        .map(|line| Ok(line.parse()?))
        .collect::<Result<_>>()
        .context("cannot read `use` of sources.toml")?;
    let request = Request {
        atoms: world,
        masks: &masks,
        chost: chost(installed),
        init: Some(init),
        package_use: &package_use,
    };
    Ok(resolve::resolve(installed, sources, &request)
        .map(|resolution| resolution.chosen)
        .map_err(anyhow::Error::new))
}

/// The packages that meet the request over what is installed. Where there is no solution the error says why, and where it
/// was looked for one.
fn choose<'a>(
    source: &Stage3,
    world: &[Atom],
    installed: &'a [Package],
    offers: &'a [Offer<'a>],
) -> Result<Vec<Chosen<'a>>> {
    match solve(source, world, installed, &sources(offers))? {
        Ok(chosen) => Ok(chosen),
        Err(error) => {
            let mut text = format!("{error:#}\nlooked in");
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

/// Which of several builds of a version was taken, and what was against each of the others.
fn preference(choice: &Chosen, offers: &[Offer]) -> Option<String> {
    let build = |source: usize, package: &Package| {
        let build = package
            .build_id
            .map_or_else(|| "the build".to_owned(), |id| format!("build {id}"));
        format!("{build} of `{}`", offers[source].source.name)
    };
    let others = choice.passed_over.iter();
    let others: Vec<String> = others
        .map(|over| format!("{} ({})", build(over.source, over.package), over.why))
        .collect();
    (!others.is_empty()).then(|| {
        let taken = build(choice.source, choice.package);
        format!("{}: {taken}, not {}", choice.package.cpv, others.join(", "))
    })
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
    stage3: &Stage3,
    offers: &[Offer],
    choices: &[Chosen],
) -> Result<(BTreeMap<String, LockedPackageSource>, Vec<LockedPackage>)> {
    let mut signers = BTreeMap::new();
    for choice in choices {
        if let Entry::Vacant(entry) = signers.entry(choice.source) {
            let signer = offers[choice.source].source.signer.as_deref();
            entry.insert(PackageSigner::load(errand, signer)?);
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
    for (number, signer) in &signers {
        let written = offers[*number].source;
        let is_own = (written.signer.as_ref()).is_some_and(|signer| *signer != stage3.signer);
        if is_own && let Some(source) = sources.get_mut(&written.name) {
            source.keys = signer.public_keys(&source.signers)?;
        }
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
    compile::bring(errand, source, locked, |package| {
        package::is_there(errand, source, locked, package)
    })?;
    let is_absent = |package: &&LockedPackage| !package::is_there(errand, source, locked, package);
    let packages: Vec<&LockedPackage> = locked.packages.iter().filter(is_absent).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let bytes = total(packages.iter().map(|package| package.size.0));
    let task = errand.engine.progress.bytes("fetch", bytes);
    task.message(format!("{} packages", packages.len()));
    let results = side_by_side(&packages, |package| {
        let place = place_in(errand, source, locked, package)?;
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
    let mut pinned = compile::pinned(errand, source, locked)?;
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
        let place = place_in(errand, source, locked, package)?;
        Ok(Pinned {
            path: package::path_on_mirror(source, locked, package)?,
            file: package::obtain(errand, &place, package, None)?,
            size: *size,
            sha256: *sha256,
        })
    };
    let tools = locked.compiled.iter().flat_map(|compiled| &compiled.tools);
    let packages: Vec<&LockedPackage> = locked.packages.iter().chain(tools).collect();
    let results = side_by_side(&packages, |package| of(package));
    pinned.extend(all(results, |number| packages[number].cpv.clone())?);
    Ok(pinned)
}

/// Whether the sources of a base still have its packages, as far as they are not kept here.
pub(crate) fn presence_of_packages(
    errand: &Errand,
    source: &Stage3,
    locked: &LockedStage3,
) -> Result<Presence> {
    let answers = side_by_side(&locked.packages, |package| {
        if package::is_kept(errand, source, locked, package) {
            return Ok(None);
        }
        if compile::is_compiled(source, package) {
            return compile::presence_of(errand, source, locked).map(Some);
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use gentoo::resolve::{PassedOver, Why};
    use model::sources::{PackagePlace, PackageSource};

    use super::*;
    use crate::stage3::index::Place;

    #[test]
    fn it_is_told_which_build_was_taken_and_why() {
        let source = PackageSource {
            name: "official".into(),
            place: PackagePlace::Folder("packages".into()),
            signer: None,
        };
        let offers = [Offer {
            source: &source,
            found: "packages".into(),
            place: Place::Folder(PathBuf::from("packages")),
            uri: None,
            packages: Vec::new(),
        }];
        let build = |id: &'static str| {
            let value = |key: &str| (key == "BUILD_ID" && !id.is_empty()).then_some(id);
            Package::from_values("app/a-1.2", value).unwrap()
        };
        let (taken, [other, unnumbered]) = (build("3"), ["1", ""].map(build));
        let over = |package, why| PassedOver {
            source: 0,
            package,
            why,
        };
        let choice = Chosen {
            source: 0,
            package: &taken,
            requested: true,
            replaces: None,
            passed_over: vec![
                over(&other, Why::Init(vec!["-systemd".into()])),
                over(&unnumbered, Why::Older),
            ],
        };
        assert_eq!(
            preference(&choice, &offers).unwrap(),
            "app/a-1.2: build 3 of `official`, not build 1 of `official` (built with -systemd against the node's init), \
             the build of `official` (older)"
        );
        let only = Chosen {
            passed_over: Vec::new(),
            ..choice
        };
        assert_eq!(preference(&only, &offers), None);
    }
}
