//! One package: its file, fetched as an index or the lock lists it, and whether it is what the index said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::{Task, VerificationFailed};
use formats::units::Bytes;
use gentoo::Package;
use gentoo::binary::{BinaryError, BinaryPackage, Contradiction, Expected};
use gentoo::depend::Need;
use model::sources::{PackagePlace, Stage3};

use super::index::Place;
use super::signer::{Locked, PackageSigner};
use super::{Errand, LockedPackage, LockedPackageSource, LockedStage3, compile};
use crate::digest::{Sha1Sum, Sha256Sum, Sum};
use crate::download::{Store, Wanted, fetch_within, is_cached, keep_as};
use crate::lock::is_plain_name;
use crate::mirror::Mirrors;
use crate::pinned::below_first;
use crate::presence::{self, Presence};

/// What to do where a source has a package no more.
const REPLACED: &str =
    "a source replaces packages when they are built again: `portadc update` takes what it has now";

/// Larger than any package by far; rust and clang have some 200 MB.
const LARGEST: u64 = 4 << 30;

/// A package as an index lists it: what its file has to be.
#[derive(Debug, Clone)]
pub(super) struct Listed<'a> {
    /// What the index says of it.
    pub(super) package: &'a Package,
    /// Where its file is below its source.
    pub(super) path: &'a str,
    /// Its size.
    pub(super) size: Bytes,
    /// Its SHA-1.
    pub(super) sha1: Sha1Sum,
}

impl<'a> Listed<'a> {
    /// What an index has to say of a package so that it can be fetched.
    pub(super) fn of(package: &'a Package) -> Result<Self> {
        let path = package.path.as_deref().unwrap_or_default();
        if !path.split('/').all(is_plain_name) {
            bail!(
                "its path {} has other characters than letters, digits and - _ + . ~ : @ = ,",
                formats::layer::shown(path.as_bytes())
            );
        }
        let size = package.size.context("the index does not say its size")?;
        if size > LARGEST {
            bail!("it has {size} bytes, above the limit of {LARGEST}");
        }
        let sha1 = package.sha1.as_deref().and_then(Sha1Sum::parse);
        Ok(Self {
            package,
            path,
            size: Bytes(size),
            sha1: sha1.context("the index does not say its SHA-1")?,
        })
    }

    /// Its file, of the right size and SHA-1, and its SHA-256. From now on it is found by that.
    pub(super) fn fetch(&self, errand: &Errand, place: &Place, whole: &Task) -> Result<(PathBuf, Sha256Sum)> {
        let wanted = wanted(self.path, self.size, Sum::Sha1(self.sha1));
        let path = file(errand, place, &wanted, Some(whole))?;
        let sha256 = File::open(&path)
            .and_then(Sha256Sum::of_reader)
            .with_context(|| format!("cannot read {}", path.display()))?;
        match place {
            Place::Servers(_) => Ok((keep_as(&path, errand.engine, sha256)?, sha256)),
            Place::Folder(_) => Ok((path, sha256)),
        }
    }
}

/// The file of a locked package, from the cache or fetched, of the right size and SHA-256.
pub(super) fn obtain(
    errand: &Errand,
    place: &Place,
    locked: &LockedPackage,
    whole: Option<&Task>,
) -> Result<PathBuf> {
    file(errand, place, &wanted_as_locked(locked), whole)
}

/// Opens a locked package, which is what is locked: its SHA-256 says so. Who signed it was asked when it was locked.
pub(super) fn open(errand: &Errand, place: &Place, locked: &LockedPackage) -> Result<BinaryPackage> {
    let wanted = wanted_as_locked(locked);
    let expected = Expected {
        size: Some(locked.size),
        sha256: Some(*locked.sha256.bytes()),
        cpv: Some(locked.cpv.clone()),
        ..Expected::default()
    };
    let shown = |path: &Path| format!("cannot open the package {}", path.display());
    let open = |path: &Path| -> Result<_> {
        let file = File::open(path).with_context(|| shown(path))?;
        Ok(BinaryPackage::open(file, &expected, &Locked))
    };
    let mut path = path_at(errand, place, &wanted);
    let mut opened = open(&path)?;
    if let Err(BinaryError::Contradiction(Contradiction::Size { .. } | Contradiction::Digest { .. })) = opened
    {
        // Damaged here: fetched again, or told in what.
        path = obtain(errand, place, locked, None)?;
        opened = open(&path)?;
    }
    opened.map_err(unverified).with_context(|| shown(&path))
}

fn wanted_as_locked(locked: &LockedPackage) -> Wanted {
    wanted(&locked.path, locked.size, Sum::Sha256(locked.sha256))
}

fn wanted(path: &str, size: Bytes, sum: Sum) -> Wanted {
    Wanted {
        name: path.rsplit('/').next().unwrap_or(path).to_owned(),
        paths: vec![path.to_owned()],
        size,
        sums: vec![sum],
        store: Store::Sources,
        if_gone: REPLACED,
    }
}

/// A file of a source: where the cache has it, or where it is in its folder.
fn file(errand: &Errand, place: &Place, wanted: &Wanted, whole: Option<&Task>) -> Result<PathBuf> {
    match place {
        Place::Servers(mirrors) => fetch_within(errand.engine, wanted, mirrors, errand.network, whole),
        Place::Folder(folder) => {
            let path = folder.join(&wanted.paths[0]);
            wanted.check_here(&path)?;
            if let Some(whole) = whole {
                whole.advance(wanted.size.0);
            }
            Ok(path)
        }
    }
}

/// Whether a locked package is where builds look for it, byte for byte.
pub(super) fn is_kept(errand: &Errand, source: &Stage3, base: &LockedStage3, locked: &LockedPackage) -> bool {
    let wanted = wanted_as_locked(locked);
    match place_in(errand, source, base, locked) {
        Ok(Place::Servers(_)) => is_cached(errand.engine, &wanted),
        Ok(Place::Folder(folder)) => wanted.check_here(&folder.join(&locked.path)).is_ok(),
        Err(_) => false,
    }
}

/// Whether a file of a locked package's size is where builds look for it. [`open`] checks its bytes.
pub(super) fn is_there(
    errand: &Errand,
    source: &Stage3,
    base: &LockedStage3,
    locked: &LockedPackage,
) -> bool {
    let wanted = wanted_as_locked(locked);
    match place_in(errand, source, base, locked) {
        Ok(place) => wanted.is_at(&path_at(errand, &place, &wanted)),
        Err(_) => false,
    }
}

/// Where the file of a package is, or is going to be.
fn path_at(errand: &Errand, place: &Place, wanted: &Wanted) -> PathBuf {
    match place {
        Place::Servers(_) => wanted.path(errand.engine),
        Place::Folder(folder) => folder.join(&wanted.paths[0]),
    }
}

/// Whether the source of a locked package still has it.
pub(super) fn presence_of(
    errand: &Errand,
    source: &Stage3,
    base: &LockedStage3,
    locked: &LockedPackage,
) -> Result<Presence> {
    match place_in(errand, source, base, locked)? {
        Place::Servers(mirrors) => presence::of_file(&locked.path, locked.size, &mirrors, errand.network),
        // What is in a folder is kept there; what is not kept is gone.
        Place::Folder(folder) => Ok(Presence::Gone(format!(
            "{} is not what is locked",
            folder.join(&locked.path).display()
        ))),
    }
}

/// Where a package of a locked base comes from.
pub(super) fn place_in(
    errand: &Errand,
    source: &Stage3,
    base: &LockedStage3,
    locked: &LockedPackage,
) -> Result<Place> {
    match compile::is_compiled(source, locked) {
        true => in_folder(errand, compile::folder_of(errand, source, base)?, locked),
        false => place_of(errand, source, &base.sources, locked),
    }
}

/// Where a locked package comes from that was not compiled here; `sources` is what holds for all packages of a source.
pub(super) fn place_of(
    errand: &Errand,
    source: &Stage3,
    sources: &BTreeMap<String, LockedPackageSource>,
    locked: &LockedPackage,
) -> Result<Place> {
    let name = &locked.source;
    let written = source.package_source(name).with_context(|| {
        format!(
            "{} is locked from the package source `{name}`, which sources.toml does not have",
            locked.cpv
        )
    })?;
    let uri = sources.get(name).and_then(|source| source.uri.as_deref());
    match &written.place {
        PackagePlace::Folder(folder) => in_folder(errand, errand.root.join(folder), locked),
        PackagePlace::Mirrors(_) | PackagePlace::Compile(_) => Place::of(errand, written, uri),
    }
}

/// A folder of this machine; where that is gone, or has something else by now, what was vendored of it.
fn in_folder(errand: &Errand, folder: PathBuf, locked: &LockedPackage) -> Result<Place> {
    if errand.own.is_none() || wanted_as_locked(locked).is_at(&folder.join(&locked.path)) {
        return Ok(Place::Folder(folder));
    }
    let mirrors = Mirrors::upstream(errand.own, &[vendored(&locked.source)])?;
    Ok(Place::Servers(mirrors.first()?))
}

/// Where the packages of a source that is a folder are on a mirror, as the URL of a folder.
fn vendored(source: &str) -> String {
    format!("file:///packages/{source}/")
}

/// Where a mirror of the user's own has a locked package, relative to its folder.
pub(super) fn path_on_mirror(source: &Stage3, base: &LockedStage3, locked: &LockedPackage) -> Result<String> {
    let name = &locked.source;
    let written = source
        .package_source(name)
        .with_context(|| format!("sources.toml does not have the package source `{name}`"))?;
    let uri = base.sources.get(name).and_then(|source| source.uri.clone());
    let folder = match (&written.place, uri) {
        (PackagePlace::Folder(_) | PackagePlace::Compile(_), _) => below_first(&[vendored(name)])?,
        (PackagePlace::Mirrors(_), Some(uri)) => below_first(&[uri])?,
        (PackagePlace::Mirrors(folders), None) => below_first(folders)?,
    };
    Ok(format!("{folder}{}", locked.path))
}

/// Opens the file of a listed package and holds it against the index. Returns who signed it, where `signer` says who has to.
pub(super) fn verify(
    listed: &Listed,
    path: &Path,
    sha256: Sha256Sum,
    signer: &PackageSigner,
) -> Result<Option<String>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let expected = Expected {
        size: Some(listed.size),
        sha256: Some(*sha256.bytes()),
        cpv: Some(listed.package.cpv.to_string()),
        ..Expected::default()
    };
    let vouched = signer.of_one();
    let package = BinaryPackage::open(file, &expected, &vouched).map_err(unverified)?;
    let metadata = package.metadata();
    let text = |key: &str| {
        metadata
            .get(key)
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    let found = Package::from_values(&listed.package.cpv.to_string(), text).map_err(unverified)?;
    if let Some(difference) = difference(listed.package, &found) {
        return Err(VerificationFailed(format!("it is not what the index says: {difference}")).into());
    }
    Ok(vouched.who())
}

fn unverified(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    VerificationFailed(format!("{:#}", anyhow::Error::new(error))).into()
}

/// The first thing in which a package is not what it was resolved as.
fn difference(index: &Package, found: &Package) -> Option<String> {
    let slot = |package: &Package| format!("{}/{}", package.slot, package.subslot);
    let build = |package: &Package| package.build_id.map_or("none".into(), |build| build.to_string());
    let words = |text: &str| -> String {
        let words: BTreeSet<&str> = text.split_ascii_whitespace().collect();
        words.into_iter().collect::<Vec<_>>().join(" ")
    };
    let texts = [
        ("BUILD_ID", build(index), build(found)),
        ("SLOT", slot(index), slot(found)),
        ("EAPI", index.eapi.clone(), found.eapi.clone()),
        ("USE", words(&index.use_flags), words(&found.use_flags)),
        ("REQUIRES", words(&index.requires), words(&found.requires)),
        ("PROVIDES", words(&index.provides), words(&found.provides)),
    ];
    for (key, index, found) in texts {
        if index != found {
            return Some(format!("its {key} is `{found}`, the index has `{index}`"));
        }
    }
    let needs = |package: &Package| {
        let needs = package.needs()?;
        Ok::<_, gentoo::package::NeedsError>([simple(needs.before), simple(needs.after)])
    };
    match (needs(index), needs(found)) {
        (Ok(index), Ok(found)) if index == found => None,
        (_, Err(error)) | (Err(error), _) => Some(error.to_string()),
        (Ok(_), Ok(_)) => Some(format!(
            "it needs `{}`, the index has `{}`",
            depends(found),
            depends(index)
        )),
    }
}

/// The same needs without groups that mean nothing: emerge leaves them out where it writes an index.
fn simple(needs: Vec<Need>) -> Vec<Need> {
    let mut simpler = Vec::with_capacity(needs.len());
    for need in needs {
        match need {
            Need::Atom(atom) => simpler.push(Need::Atom(atom)),
            Need::All(needs) => simpler.extend(simple(needs)),
            Need::Any(branches) => {
                let mut flat = Vec::new();
                for branch in branches {
                    match simple(vec![branch]).as_mut_slice() {
                        [Need::Any(inner)] => flat.append(inner),
                        [one] => flat.push(one.clone()),
                        several => flat.push(Need::All(several.to_vec())),
                    }
                }
                match flat.len() {
                    1 => simpler.extend(simple(flat)),
                    _ => simpler.push(Need::Any(flat)),
                }
            }
        }
    }
    simpler
}

/// The dependencies of a package as it writes them.
fn depends(package: &Package) -> String {
    [&package.rdepend, &package.idepend, &package.pdepend]
        .map(String::as_str)
        .join(" ")
        .trim()
        .to_owned()
}
