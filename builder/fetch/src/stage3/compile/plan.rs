//! What emerge would compile, of which distfiles, and with which packages of the other sources. Only emerge knows; it is asked
//! in the workshop. Its answers are names: what they stand for is looked up in the snapshot and in the indexes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use engine::Key;
use gentoo::emerge::compiled;
use gentoo::repository::{distfiles, is_distfile_name};
use gentoo::{Cpv, Package};
use serde::{Deserialize, Serialize};

use super::super::index::Offer;
use super::super::package::{Listed, verify};
use super::super::signer::PackageSigner;
use super::super::{LockedCompile, LockedDistfile, LockedPackage, LockedPackageSource, Stage3Tarball};
use super::workshop::Workshop;

/// The stage's name in the cache.
const STAGE: &str = "compile-plan";

/// The file of a plan.
const PLAN: &str = "plan.json";

/// Goes up with every change of what a plan is made of.
const REVISION: u32 = 1;

/// Times that emerge is asked again, with packages that it wanted the time before: each brings needs of its own.
const ROUNDS: usize = 16;

/// Most packages that are compiled, and most files that they are compiled of.
const MOST: usize = 4096;

/// What a line of a distfile begins with.
const MARK: &str = "portadc-distfile";

/// Prints the distfiles of packages, a line each.
const DISTFILES_OF: &str = "\
import sys, portage
tree = portage.db[portage.root]['porttree'].dbapi
settings = portage.config(clone=portage.settings)
for cpv in sys.argv[1:]:
    settings.setcpv(cpv, mydb=tree)
    for name in sorted(tree.getFetchMap(cpv, useflags=settings['PORTAGE_USE'].split())):
        print('portadc-distfile', cpv, name)
";

/// What is compiled, of what and with what.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// All of it, to the byte.
    pub(super) compiled: LockedCompile,
    /// What holds for the sources of packages that are needed to compile.
    pub(super) sources: BTreeMap<String, LockedPackageSource>,
}

/// The plan for `wanted`, which lacks distfiles and tools: found, or made in a workshop that is opened for it.
pub(super) fn obtain(
    stage3: &Stage3Tarball,
    offers: &[Offer],
    wanted: LockedCompile,
    workshop: &mut Option<Workshop>,
) -> Result<Plan> {
    let engine = stage3.errand.engine;
    let key = key(stage3, offers, &wanted);
    let entry = match engine.cache.find(STAGE, &key) {
        Some(entry) => entry,
        None => {
            let (_, how) = stage3
                .source
                .compiled()
                .context("no package source is compiled")?;
            let opened = workshop.insert(Workshop::open(stage3, how, &wanted)?);
            engine.cache.obtain(STAGE, &key, |part| {
                let plan = make(stage3, offers, wanted, opened)?;
                let path = part.join(PLAN);
                std::fs::write(&path, serde_json::to_vec_pretty(&plan)?)
                    .with_context(|| format!("cannot write {}", path.display()))
            })?
        }
    };
    let text = entry.read(PLAN)?;
    serde_json::from_slice(&text).map_err(|error| entry.damaged(format!("{PLAN}: {error}")))
}

/// Identifies everything that emerge is asked about.
fn key(stage3: &Stage3Tarball, offers: &[Offer], wanted: &LockedCompile) -> Key {
    let mut key = Key::builder(STAGE, REVISION).key("wanted", &super::key(stage3, wanted));
    for offer in offers {
        key = key.text("source", &offer.source.name);
        for package in &offer.packages {
            key = key
                .text("package", &package.cpv.to_string())
                .text("sha1", package.sha1.as_deref().unwrap_or_default());
        }
    }
    key.finish()
}

fn make(
    stage3: &Stage3Tarball,
    offers: &[Offer],
    mut compiled: LockedCompile,
    workshop: &mut Workshop,
) -> Result<Plan> {
    let Stage3Tarball { errand, .. } = *stage3;
    let task = errand.engine.progress.steps("compile", 0);
    task.message("asking emerge what is needed");
    workshop.begin_packages(None)?;
    let mut sources: BTreeMap<String, LockedPackageSource> = BTreeMap::new();
    let mut tools: BTreeMap<String, LockedPackage> = BTreeMap::new();
    let atoms: Vec<&str> = compiled.atoms.iter().map(String::as_str).collect();
    let mut list = pretend(workshop, &atoms)?;
    for _ in 0..ROUNDS {
        let mut files = Vec::new();
        for cpv in &list {
            if tools.contains_key(&cpv.to_string()) {
                continue;
            }
            let Some((offer, package)) = offered(offers, cpv) else {
                continue;
            };
            let (locked, who, file) = fetch(stage3, offer, package)
                .with_context(|| format!("cannot bring {cpv} of `{}` to compile with", offer.source.name))?;
            files.push((locked.path.clone(), file));
            let source = sources.entry(locked.source.clone()).or_default();
            source.signers.extend(who);
            source.uri.clone_from(&offer.uri);
            tools.insert(cpv.to_string(), locked);
        }
        if files.is_empty() {
            break;
        }
        workshop.add_packages(&files)?;
        list = pretend(workshop, &atoms)?;
    }
    if list.is_empty() {
        bail!(
            "emerge would compile nothing for {}, and yet no package source has it complete; the whole log: compile.log",
            atoms.join(", ")
        );
    }
    compiled.distfiles = wanted_files(workshop, &list)?;
    compiled.tools = tools.into_values().collect();
    task.done(format!(
        "{} packages of {} files, with {} binary packages",
        list.len(),
        compiled.distfiles.len(),
        compiled.tools.len()
    ));
    Ok(Plan { compiled, sources })
}

/// What emerge would compile.
fn pretend(workshop: &mut Workshop, atoms: &[&str]) -> Result<BTreeSet<Cpv>> {
    let program = [&["emerge", "--pretend"], super::make::OPTIONS, &["--"], atoms].concat();
    let mut list = BTreeSet::new();
    workshop
        .run(&program, |line| {
            if list.len() <= MOST {
                list.extend(compiled(line));
            }
        })
        .context("emerge cannot compile what no source has")?;
    if list.len() > MOST {
        bail!("emerge wants to compile more than {MOST} packages");
    }
    Ok(list)
}

/// The newest build of a version that a source has: of the first source that has any.
fn offered<'a>(offers: &'a [Offer<'a>], cpv: &Cpv) -> Option<(&'a Offer<'a>, &'a Package)> {
    offers.iter().find_map(|offer| {
        let builds = offer.packages.iter().filter(|package| package.cpv == *cpv);
        let newest = builds.max_by_key(|package| (package.build_time, package.build_id))?;
        Some((offer, newest))
    })
}

/// Fetches and verifies a package to compile with.
fn fetch(
    stage3: &Stage3Tarball,
    offer: &Offer,
    package: &Package,
) -> Result<(LockedPackage, Option<String>, std::path::PathBuf)> {
    let errand = stage3.errand;
    let signer = PackageSigner::load(errand, offer.source.signer.as_deref())?;
    let listed = Listed::of(package)?;
    let task = errand.engine.progress.bytes("fetch", listed.size.0);
    task.message(package.cpv.to_string());
    let (file, sha256) = listed.fetch(errand, &offer.place, &task)?;
    let who = verify(&listed, &file, sha256, &signer)
        .with_context(|| format!("{} from {}", listed.path, offer.found))?;
    let locked = LockedPackage {
        cpv: package.cpv.to_string(),
        build: package.build_id,
        requested: false,
        source: offer.source.name.clone(),
        path: listed.path.to_owned(),
        size: listed.size,
        sha1: listed.sha1,
        sha256,
    };
    Ok((locked, who, file))
}

/// The distfiles of packages, as the snapshot's Manifests have them.
fn wanted_files(workshop: &mut Workshop, list: &BTreeSet<Cpv>) -> Result<Vec<LockedDistfile>> {
    let names: Vec<String> = list.iter().map(Cpv::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let program = [&["python3", "-c", DISTFILES_OF][..], &names].concat();
    let mut wanted: BTreeSet<(Cpv, String)> = BTreeSet::new();
    workshop
        .run(&program, |line| {
            if wanted.len() <= MOST {
                wanted.extend(wanted_file(line, list));
            }
        })
        .context("portage does not say what is compiled of which files")?;
    if wanted.len() > MOST {
        bail!("more than {MOST} files would be compiled");
    }
    let (mut files, mut manifests) = (BTreeMap::new(), BTreeMap::new());
    for (cpv, name) in wanted {
        if !manifests.contains_key(&cpv.name) {
            let manifest = distfiles(&workshop.manifest(&cpv.name)?)
                .with_context(|| format!("the snapshot's Manifest of {} is refused", cpv.name))?;
            manifests.insert(cpv.name.clone(), manifest);
        }
        let file = manifests.get(&cpv.name).and_then(|manifest| manifest.get(&name));
        let file = file.with_context(|| {
            format!("{cpv} is compiled of {name}, which its Manifest in the snapshot does not list")
        })?;
        let locked = LockedDistfile {
            file: name.clone(),
            size: formats::units::Bytes(file.size),
            blake2b: file.blake2b.clone(),
            sha512: file.sha512.clone(),
        };
        if files
            .insert(name.clone(), locked.clone())
            .is_some_and(|other| other != locked)
        {
            bail!("two Manifests of the snapshot have different sums for {name}");
        }
    }
    Ok(files.into_values().collect())
}

/// The package and the file that a line tells of, if the package is one that was asked for.
fn wanted_file(line: &str, list: &BTreeSet<Cpv>) -> Option<(Cpv, String)> {
    let mut words = line.split(' ');
    let (MARK, cpv, name, None) = (words.next()?, words.next()?, words.next()?, words.next()) else {
        return None;
    };
    let cpv: Cpv = cpv.parse().ok()?;
    (list.contains(&cpv) && is_distfile_name(name)).then(|| (cpv, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_what_was_asked_for_are_named() {
        let list: BTreeSet<Cpv> = ["app/foo-1".parse().unwrap()].into();
        let name = |line: &str| wanted_file(line, &list).map(|(_, name)| name);
        assert_eq!(
            name("portadc-distfile app/foo-1 foo-1.tar.gz").as_deref(),
            Some("foo-1.tar.gz")
        );
        for other in [
            "portadc-distfile app/foo-2 foo-2.tar.gz",
            "portadc-distfile app/foo-1 ../../etc/passwd",
            "portadc-distfile app/foo-1 .hidden",
            "portadc-distfile app/foo-1 -rf",
            "portadc-distfile app/foo-1 a b",
            "portadc-distfile app/foo-1",
            "distfile app/foo-1 a",
            "",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
