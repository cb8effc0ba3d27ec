//! What of a Gentoo base stands in `sources.lock`: every byte of the stage3 and of each package over it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use formats::units::Bytes;
use gentoo::{Atom, Package};
use model::names::is_gentoo_atom;
use model::sources::{Stage3, normal_mirror};
use serde::{Deserialize, Serialize};

use crate::digest::{Sha1Sum, Sha256Sum, Sum};
use crate::lock::{LockedFile, is_plain_name, other_signer};

/// A stage3 and the packages over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedStage3 {
    /// The atoms that the overlays named when this was resolved.
    pub world: BTreeSet<String>,
    /// The packages over the stage3, in the order in which they are installed.
    #[serde(default)]
    pub packages: Vec<LockedPackage>,
    /// The stage3.
    pub tarball: LockedFile,
    /// What holds for all packages of a source, by its name.
    #[serde(default)]
    pub sources: BTreeMap<String, LockedPackageSource>,
    /// Of what and with what packages were compiled, where some were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<LockedCompile>,
}

/// Of what and with what packages were compiled, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedCompile {
    /// The atoms that no other source had.
    pub atoms: BTreeSet<String>,
    /// Lines of `package.accept_keywords`.
    pub keywords: Vec<String>,
    /// Lines of `package.use`.
    #[serde(rename = "use")]
    pub use_flags: Vec<String>,
    /// The files that were compiled.
    #[serde(default)]
    pub distfiles: Vec<LockedDistfile>,
    /// Packages of the other sources that were needed to compile.
    #[serde(default)]
    pub tools: Vec<LockedPackage>,
    /// The snapshot of the ebuild repository.
    pub snapshot: LockedFile,
}

/// A file that is compiled, as the Manifest of its package lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDistfile {
    /// Its name, a plain one.
    pub file: String,
    /// Its size.
    pub size: Bytes,
    /// Its BLAKE2b of 512 bits in hexadecimal.
    pub blake2b: String,
    /// Its SHA-512 in hexadecimal.
    pub sha512: String,
}

/// A package whose every byte is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Category, name and version: `net-misc/rsync-3.4.1-r2`.
    pub cpv: String,
    /// Which build of this version, where its source counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<u32>,
    /// Whether an overlay names it; else another package needs it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub requested: bool,
    /// The name of its source in `sources.toml`.
    pub source: String,
    /// Where it is, relative to the source's folder.
    pub path: String,
    /// Its size.
    pub size: Bytes,
    /// Its SHA-1, by which the source's index lists it.
    pub sha1: Sha1Sum,
    /// Its SHA-256.
    pub sha256: Sha256Sum,
}

/// What holds for all packages of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackageSource {
    /// Primary fingerprints of who signed its packages; none where nobody had to.
    pub signers: BTreeSet<String>,
    /// The folder of its packages, where its index names another one than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The public keys of its signers, armored, where the stage3's signer is another one: then the stage3 does not have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

impl LockedPackage {
    /// The name of its file.
    pub fn file(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Category and name, without the version; all of it where it has none.
    pub fn name(&self) -> String {
        match self.cpv.parse::<gentoo::Cpv>() {
            Ok(cpv) => cpv.name.to_string(),
            Err(_) => self.cpv.clone(),
        }
    }

    /// Version and build, as people tell two of a name apart: `3.4.1-r2 (build 3)`.
    pub fn version(&self) -> String {
        let version = match self.cpv.parse::<gentoo::Cpv>() {
            Ok(cpv) => cpv.version.to_string(),
            Err(_) => self.cpv.clone(),
        };
        match self.build {
            Some(build) => format!("{version} (build {build})"),
            None => version,
        }
    }
}

impl LockedStage3 {
    /// The size of all packages together. What no disk holds is refused where it is fetched.
    pub fn packages_size(&self) -> Bytes {
        let sizes = self.packages.iter().map(|package| package.size.0);
        Bytes(sizes.fold(0, u64::saturating_add))
    }

    /// What no honest lock has: names that lead elsewhere, packages from nowhere.
    pub(crate) fn check(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for package in &self.packages {
            if !seen.insert(&package.cpv) {
                bail!("there are two packages `{}`", package.cpv);
            }
            self.check_package(package)?;
        }
        for keys in self.sources.values().filter_map(|source| source.keys.as_ref()) {
            if !keys.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n") {
                bail!("the keys of a source of packages are no armored OpenPGP keys");
            }
        }
        for uri in self.sources.values().filter_map(|source| source.uri.as_ref()) {
            if normal_mirror(uri).as_ref() != Some(uri) {
                bail!("`{uri}` is no folder on a server");
            }
        }
        let Some(compiled) = &self.compiled else {
            return Ok(());
        };
        compiled.snapshot.check()?;
        for atom in &compiled.atoms {
            if !is_gentoo_atom(atom) {
                bail!("`{atom}` is no atom of a package");
            }
        }
        for tool in &compiled.tools {
            self.check_package(tool)?;
        }
        for file in &compiled.distfiles {
            if !gentoo::repository::is_distfile_name(&file.file) {
                bail!("`{}` is no name of a file", file.file);
            }
            if Sum::parse_sha512(&file.sha512).is_none() || Sum::parse_blake2b(&file.blake2b).is_none() {
                bail!("`{}` has a sum that is not 128 hexadecimal digits", file.file);
            }
        }
        Ok(())
    }

    fn check_package(&self, package: &LockedPackage) -> Result<()> {
        let LockedPackage {
            cpv, source, path, ..
        } = package;
        if cpv.parse::<gentoo::Cpv>().is_err() {
            bail!("`{cpv}` is no name of a package with its version");
        }
        if !path.split('/').all(is_plain_name) {
            bail!("`{path}` is no path below a source of packages");
        }
        if !self.sources.contains_key(source) {
            bail!("`{cpv}` is from the source `{source}`, of which nothing is said");
        }
        Ok(())
    }

    /// The first thing in which it is not what `source` asks for.
    pub(crate) fn difference(&self, source: &Stage3) -> Option<String> {
        let prefix = format!("stage3-{}-", source.flavor);
        if !self.tarball.file.starts_with(&prefix) {
            return Some(format!(
                "it asks for a stage3 {}, locked is {}",
                source.flavor, self.tarball.file
            ));
        }
        other_signer("base", &source.signer, &self.tarball.signer)
            .or_else(|| self.sources_difference(source))
            .or_else(|| self.compiled_difference(source))
            .or_else(|| self.masked(source))
    }

    fn sources_difference(&self, source: &Stage3) -> Option<String> {
        self.sources.iter().find_map(|(name, locked)| {
            let Some(now) = source.package_source(name) else {
                let count = self.packages.iter().filter(|package| package.source == *name);
                return Some(format!(
                    "it has no package source `{name}`, from which {} packages are locked",
                    count.count()
                ));
            };
            let signer = now.signer.as_ref()?;
            if locked.signers.is_empty() {
                return Some(format!(
                    "packages of `{name}` have to be signed now, nobody looked whether the locked ones are"
                ));
            }
            locked.signers.iter().find_map(|key| {
                let pinned = signer.fingerprints.is_empty() || signer.fingerprints.contains(key);
                let text =
                    || format!("packages of `{name}` were signed by {key}, which is not pinned any more");
                (!pinned).then(text)
            })
        })
    }

    fn compiled_difference(&self, source: &Stage3) -> Option<String> {
        let compiled = self.compiled.as_ref()?;
        let (Some((own, how)), Some(repository)) = (source.compiled(), &source.repository) else {
            return Some("it compiles no packages, some were".into());
        };
        let all: BTreeSet<&String> = self.packages.iter().map(|package| &package.source).collect();
        if !all.contains(&own.name) {
            return None;
        }
        if how.keywords != compiled.keywords {
            return Some(format!("`{}` was compiled with other keywords", own.name));
        }
        if how.use_flags != compiled.use_flags {
            return Some(format!("`{}` was compiled with other USE flags", own.name));
        }
        let day = repository.snapshot.as_ref();
        if let Some(day) = day.filter(|day| **day != compiled.snapshot.version) {
            return Some(format!(
                "it names the snapshot {day}, `{}` was compiled of {}",
                own.name, compiled.snapshot.version
            ));
        }
        other_signer(
            "snapshot of ebuilds",
            &repository.signer,
            &compiled.snapshot.signer,
        )
    }

    fn masked(&self, source: &Stage3) -> Option<String> {
        source.mask.iter().find_map(|mask| {
            let atom: Atom = mask.parse().ok()?;
            let locked = self.packages.iter().find(|locked| {
                let package = Package::from_values(&locked.cpv, |_| None);
                package.is_ok_and(|package| atom.matches(&package))
            })?;
            Some(format!("it masks `{mask}`, locked is {}", locked.cpv))
        })
    }

    /// The first thing in which it is not what the overlays ask for.
    pub(crate) fn world_difference(&self, world: &BTreeSet<String>) -> Option<String> {
        if let Some(new) = world.difference(&self.world).next() {
            return Some(format!("they ask for `{new}`, which was not asked for then"));
        }
        let old = self.world.difference(world).next()?;
        Some(format!("none asks for `{old}` any more"))
    }
}
