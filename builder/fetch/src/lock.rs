//! `sources.lock`: what the sources resolved to.

mod stage3;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use files::emit::{Readers, write_file};
use formats::units::Bytes;
use model::finding::{Finding, Findings, SourceFile};
use model::sources::{BaseSource, Signer, Source, SourceSet};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

pub use stage3::{LockedCompile, LockedDistfile, LockedPackage, LockedPackageSource, LockedStage3};

use super::digest::Sha256Sum;
use super::inrelease::inrelease;
use super::moment::Moment;
use super::needs::BaseNeeds;

/// The name of the lock in the project's folder.
pub const LOCK: &str = "sources.lock";

const HEADER: &str = "# Written by `portadc update`, do not edit: what sources.toml resolved to.\n\n";

/// `sources.lock`: locked sets by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lock {
    /// Locked sets by name.
    pub sets: BTreeMap<String, LockedSet>,
}

/// A set, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSet {
    /// The kernel's source.
    pub kernel: LockedFile,
    /// U-Boot's source.
    pub u_boot: LockedFile,
    /// The userland.
    pub base: LockedBase,
    /// When the indexes were made that all of it was resolved from, as each says itself; by the name that the index has in a
    /// mirror's folder. Locks of old have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, Moment>,
}

/// A file whose every byte is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// The version in it.
    pub version: String,
    /// Its name, a plain one.
    pub file: String,
    /// Where it is on a mirror, relative to the mirror's folder.
    pub path: String,
    /// Its size.
    pub size: Bytes,
    /// Its SHA-256.
    pub sha256: Sha256Sum,
    /// Primary fingerprint of who signed `index`.
    pub signer: String,
    /// The signed file that vouches for it, relative to the mirror's folder.
    pub index: String,
    /// When `index` was made, as it says itself.
    pub date: Moment,
}

/// A userland, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "a set has one")]
pub enum LockedBase {
    /// The state of a Debian archive, from which mmdebstrap makes it.
    Archive(LockedArchive),
    /// A stage3 tarball and the packages over it.
    Stage3(LockedStage3),
}

/// The state of a Debian archive: an `InRelease` for each suite, which decides over every package by its hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedArchive {
    /// Debian's version of the release (`13.7`); testing has none.
    pub version: Option<String>,
    /// The suite as `dists/<suite>/` names it.
    pub suite: String,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// Components.
    pub components: Vec<String>,
    /// SHA-256 of `InRelease`.
    pub sha256: Sha256Sum,
    /// Primary fingerprint of who signed it.
    pub signer: String,
    /// When it was made, as it says itself.
    pub date: Moment,
    /// Until when it may be used, where it says so.
    pub valid_until: Option<Moment>,
    /// The suite of security updates beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<LockedSuite>,
}

/// The state of another suite of an archive, of the same components and architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSuite {
    /// The suite as `dists/<suite>/` names it.
    pub suite: String,
    /// SHA-256 of `InRelease`.
    pub sha256: Sha256Sum,
    /// Primary fingerprint of who signed it.
    pub signer: String,
    /// When it was made, as it says itself.
    pub date: Moment,
    /// Until when it may be used, where it says so.
    pub valid_until: Option<Moment>,
}

impl LockedArchive {
    /// Its suites, as `dists/` names them, with the SHA-256 of each one's `InRelease`: first the main one.
    pub fn suites(&self) -> impl Iterator<Item = (&str, Sha256Sum)> {
        let security = self.security.as_ref();
        [(self.suite.as_str(), self.sha256)]
            .into_iter()
            .chain(security.map(|security| (security.suite.as_str(), security.sha256)))
    }
}

impl Lock {
    /// Reads `sources.lock` in the project's folder `root`; one that does not exist locks nothing.
    pub fn load(root: &Path) -> Result<Self> {
        if !root.join(LOCK).exists() {
            return Ok(Self::default());
        }
        let file = SourceFile::load(root, Path::new(LOCK)).map_err(Findings::from)?;
        let lock: Self = toml::from_str(&file.text).map_err(|error| {
            let place = file.place(error.span().unwrap_or_default());
            let finding = Finding::new(error.message()).at(place);
            Findings::from(finding.hint("remove the file and run `portadc update`"))
        })?;
        let by_hand = |name: &str| format!("{LOCK} was changed by hand (set `{name}`)");
        for (name, set) in &lock.sets {
            for file in set.files() {
                file.check().with_context(|| by_hand(name))?;
            }
            if let LockedBase::Stage3(base) = &set.base {
                base.check().with_context(|| by_hand(name))?;
            }
        }
        Ok(lock)
    }

    /// Writes `set` as the set `name` into `sources.lock` in `root`. Other sets stay as they are in the file, also those
    /// that another process writes at the same time. The same sets give the same bytes.
    pub fn store(root: &Path, name: &str, set: LockedSet) -> Result<()> {
        // The folder is what is locked: the file itself is replaced by another one each time.
        let folder = File::open(root).with_context(|| format!("cannot open {}", root.display()))?;
        flock(&folder, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", root.display()))?;
        let mut lock = Self::load(root)?;
        lock.sets.insert(name.to_owned(), set);
        let text = lock.to_text().context("cannot write the lock as TOML")?;
        let text = format!("{HEADER}{text}");
        write_file(&root.join(LOCK), text.as_bytes(), Readers::Anybody)
    }

    /// The lock as TOML: a table for each file, a line for each package.
    fn to_text(&self) -> Result<String> {
        let mut document: DocumentMut = toml::to_string(self)?.parse()?;
        for name in self.sets.keys() {
            let mut base = document.get_mut(name);
            for key in ["base", "stage3"] {
                base = base.and_then(|item| item.as_table_like_mut()?.get_mut(key));
            }
            let Some(base) = base.and_then(Item::as_table_like_mut) else {
                continue;
            };
            line_each(base, "packages");
            if let Some(compiled) = base.get_mut("compiled").and_then(Item::as_table_like_mut) {
                line_each(compiled, "distfiles");
                line_each(compiled, "tools");
            }
        }
        Ok(document.to_string())
    }

    /// The locked set of `set`, if it still is what `set` asks for.
    pub fn find(&self, set: &SourceSet) -> Result<&LockedSet> {
        let name = &set.name;
        let locked = self.sets.get(name).with_context(|| {
            format!("{LOCK} does not have the source set `{name}`: run `portadc update --sources {name}`")
        })?;
        if let Some(difference) = locked.difference(set) {
            bail!("{LOCK} is older than sources.toml: {difference}; run `portadc update --sources {name}`");
        }
        Ok(locked)
    }

    /// The same, if its base also is what the overlays ask for.
    pub fn find_with_base(&self, set: &SourceSet, needs: &BaseNeeds) -> Result<&LockedSet> {
        let locked = self.find(set)?;
        if let LockedBase::Stage3(base) = &locked.base
            && let Some(difference) = base.world_difference(&needs.packages)
        {
            bail!(
                "{LOCK} is older than the overlays: {difference}; run `portadc update --sources {}`",
                set.name
            );
        }
        Ok(locked)
    }
}

/// Writes the tables of the array `key` as lines.
fn line_each(table: &mut dyn TableLike, key: &str) {
    if let Some(mut key) = table.key_mut(key) {
        key.leaf_decor_mut().set_suffix(" ");
    }
    if let Some(item) = table.get_mut(key) {
        let tables = std::mem::take(item).into_array_of_tables();
        let lines = tables.unwrap_or_default().into_iter().map(|table| {
            let mut line = Value::InlineTable(table.into_inline_table());
            line.decor_mut().set_prefix("\n    ");
            line
        });
        let mut lines: Array = lines.collect();
        if !lines.is_empty() {
            lines.set_trailing_comma(true);
            lines.set_trailing("\n");
        }
        *item = Item::Value(Value::Array(lines));
    }
}

impl LockedSet {
    /// The newest date that any of its signers wrote: the time that outputs carry where they need one
    /// (`SOURCE_DATE_EPOCH`), seconds since 1970.
    pub fn epoch(&self) -> i64 {
        let base = match &self.base {
            LockedBase::Archive(archive) => {
                let security = archive.security.as_ref().map(|security| security.date);
                security.unwrap_or(archive.date).max(archive.date)
            }
            LockedBase::Stage3(base) => base.tarball.date,
        };
        self.kernel.date.max(self.u_boot.date).max(base).0
    }

    /// The base, where it is a stage3.
    pub fn stage3(&self) -> Option<&LockedStage3> {
        match &self.base {
            LockedBase::Archive(_) => None,
            LockedBase::Stage3(base) => Some(base),
        }
    }

    /// All its files but packages.
    pub fn files(&self) -> impl Iterator<Item = &LockedFile> {
        let stage3 = self.stage3().map(|base| &base.tarball);
        [&self.kernel, &self.u_boot].into_iter().chain(stage3)
    }

    /// The first thing in which it is not what `set` asks for.
    fn difference(&self, set: &SourceSet) -> Option<String> {
        self.kernel
            .difference("kernel", &set.kernel)
            .or_else(|| self.u_boot.difference("U-Boot", &set.u_boot))
            .or_else(|| match (&self.base, &set.base) {
                (
                    LockedBase::Archive(locked),
                    BaseSource::Archive {
                        archive,
                        architecture,
                    },
                ) => {
                    let text = |suites: Vec<&str>, architecture: &str, components: &[String]| {
                        format!(
                            "{} {architecture} ({})",
                            suites.join(" and "),
                            components.join(" ")
                        )
                    };
                    let asked = text(archive.suites().collect(), architecture, &archive.components);
                    let suites = locked.suites().map(|(suite, _)| suite).collect();
                    let found = text(suites, &locked.architecture, &locked.components);
                    let difference =
                        (asked != found).then(|| format!("it asks for the base {asked}, locked is {found}"));
                    let security = locked.security.as_ref().map(|security| &security.signer);
                    difference.or_else(|| {
                        let mut signers = [&locked.signer].into_iter().chain(security);
                        signers.find_map(|signer| other_signer("base", &archive.signer, signer))
                    })
                }
                (LockedBase::Stage3(locked), BaseSource::Stage3(source)) => locked.difference(source),
                _ => Some("the base comes from elsewhere now".into()),
            })
    }
}

/// Says so if the signer of a locked file no longer counts.
pub(super) fn other_signer(what: &str, signer: &Signer, locked: &str) -> Option<String> {
    (!signer.fingerprints.is_empty() && !signer.fingerprints.iter().any(|pinned| pinned == locked))
        .then(|| format!("the {what} was signed by {locked}, which is not pinned any more"))
}

impl LockedFile {
    /// What no honest lock has: names that lead elsewhere.
    pub(super) fn check(&self) -> Result<()> {
        if !is_plain_name(&self.file) {
            bail!("`{}` is no name of a file", self.file);
        }
        for path in [&self.path, &self.index] {
            if !path.split('/').all(is_plain_name) {
                bail!("`{path}` is no path below a mirror");
            }
        }
        Ok(())
    }

    /// The first thing in which it is not what `source` asks for.
    fn difference(&self, what: &str, source: &Source) -> Option<String> {
        let (held, asked, signer, prefix) = match source {
            Source::Archive {
                archive,
                package,
                series,
            } => {
                let is_from = |suite: &str| self.index == inrelease(suite);
                let held = series.holds(&self.version) && archive.suites().any(is_from);
                let suites: Vec<_> = archive.suites().collect();
                let asked = format!("series {series} from {}", suites.join(" or "));
                (held, asked, &archive.signer, format!("{package}_"))
            }
            Source::KernelOrg { series, signer, .. } => {
                let held = series.holds(&self.version);
                (held, format!("series {series}"), signer, "linux-".into())
            }
            Source::Release { version, signer, .. } => {
                let held = self.version == *version;
                (held, format!("version {version}"), signer, "u-boot-".into())
            }
        };
        if !self.file.starts_with(&prefix) {
            return Some(format!(
                "it takes the {what} from elsewhere, locked is {}",
                self.file
            ));
        }
        if !held {
            return Some(format!(
                "it asks for the {what} {asked}, locked is {} from {}",
                self.version, self.index
            ));
        }
        other_signer(what, signer, &self.signer)
    }
}

/// A name of a file or folder that cannot lead out of the folder it is in, nor mean anything in a URL.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.~:@=,".contains(&byte);
    !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain)
}
