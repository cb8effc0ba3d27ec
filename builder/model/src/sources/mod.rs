//! What is fetched: source sets, where each part of one comes from, and who must have signed it.
//!
//! A set is complete in itself (kernel, U-Boot, base), so that two sets are never mixed by accident. What a set resolved
//! to stands in `sources.lock`. Names of Debian mirrors stand in neither: the host's apt configuration knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use formats::units::Bytes;

use crate::finding::{Finding, Findings, SourceFile};

mod blobs;
mod check;
mod signer;
mod stage3;
mod written;

#[cfg(test)]
mod tests;

use check::unknown;
pub use signer::{Signer, WkdAddress};
pub use stage3::{LeaveOut, PackagePlace, PackageSource, Stage3};
pub use written::SourcesToml;

/// `sources.toml`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The set that is used where none is named; it is in `sets`.
    pub default: String,
    /// Who signs, by name.
    pub signers: BTreeMap<String, Arc<Signer>>,
    /// Source sets by name.
    pub sets: BTreeMap<String, SourceSet>,
    /// The licences that the user accepts, by name.
    pub accepted_licenses: BTreeSet<String>,
    /// What boards start with, by board.
    pub blobs: BTreeMap<String, BlobSet>,
}

/// What a board starts with and only its vendor can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobSet {
    /// Under which terms.
    pub license: Arc<License>,
    /// Folders that hold the files; each ends in `/`.
    pub mirrors: Vec<String>,
    /// The files by name.
    pub files: BTreeMap<String, Blob>,
}

/// A file that is not ours to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its size.
    pub size: Bytes,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// Terms that the user has to accept before something is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct License {
    /// Its name in `sources.toml`.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// Where it can be read.
    pub text: String,
}

/// A complete set of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSet {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The kernel's source.
    pub kernel: Source,
    /// U-Boot's source.
    pub u_boot: Source,
    /// The userland.
    pub base: BaseSource,
}

impl SourceSet {
    /// Who signs something of it, each once, by name.
    pub fn signers(&self) -> Vec<&Arc<Signer>> {
        let mut signers = vec![self.kernel.signer(), self.u_boot.signer()];
        match &self.base {
            BaseSource::Archive { archive, .. } => signers.push(&archive.signer),
            BaseSource::Stage3(stage3) => {
                signers.push(&stage3.signer);
                signers.extend(stage3.packages.iter().filter_map(|source| source.signer.as_ref()));
            }
        }
        signers.sort_by(|a, b| a.name.cmp(&b.name));
        signers.dedup_by(|a, b| a.name == b.name);
        signers
    }
}

/// Where a source tarball comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The upstream tarball of a Debian source package.
    Archive {
        /// The archive.
        archive: Arc<Archive>,
        /// The source package.
        package: String,
        /// The newest version of this series is taken.
        series: Series,
    },
    /// kernel.org's signed sums.
    KernelOrg {
        /// The newest version of this series is taken.
        series: Series,
        /// Folders that hold `v6.x/`; each ends in `/`.
        mirrors: Vec<String>,
        /// Who signs the sums.
        signer: Arc<Signer>,
    },
    /// A release of U-Boot with a detached signature.
    Release {
        /// The release.
        version: String,
        /// Folders that hold the tarball; each ends in `/`.
        mirrors: Vec<String>,
        /// Who signs it.
        signer: Arc<Signer>,
    },
}

impl Source {
    /// Who signs it.
    pub fn signer(&self) -> &Arc<Signer> {
        match self {
            Self::Archive { archive, .. } => &archive.signer,
            Self::KernelOrg { signer, .. } | Self::Release { signer, .. } => signer,
        }
    }

    /// Of which its newest version is taken; `None` for a release, which is one version.
    pub fn series(&self) -> Option<&Series> {
        match self {
            Self::Archive { series, .. } | Self::KernelOrg { series, .. } => Some(series),
            Self::Release { .. } => None,
        }
    }

    /// The same in another series; `None` for a release, which is one version.
    pub fn of_series(&self, series: &Series) -> Option<Self> {
        let mut other = self.clone();
        match &mut other {
            Self::Archive { series: own, .. } | Self::KernelOrg { series: own, .. } => *own = series.clone(),
            Self::Release { .. } => return None,
        }
        Some(other)
    }
}

/// Where a userland comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSource {
    /// mmdebstrap makes it from an archive.
    Archive {
        /// The archive.
        archive: Arc<Archive>,
        /// Debian's name of the architecture.
        architecture: String,
    },
    /// A Gentoo stage3 tarball, and binary packages over it.
    Stage3(Stage3),
}

/// Whose packages a base is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distribution {
    /// Debian's.
    Debian,
    /// Gentoo's.
    Gentoo,
}

/// What starts the services of a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Init {
    /// systemd: units.
    Systemd,
    /// OpenRC: runlevels.
    OpenRc,
}

/// What overlays have to know of the base that they are laid over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Whose packages it is made of.
    pub distribution: Distribution,
    /// What starts its services.
    pub init: Init,
}

impl Platform {
    /// What `debian` bases are.
    pub const DEBIAN: Self = Self {
        distribution: Distribution::Debian,
        init: Init::Systemd,
    };
}

impl BaseSource {
    /// What overlays have to know of it.
    pub fn platform(&self) -> Platform {
        match self {
            Self::Archive { .. } => Platform::DEBIAN,
            Self::Stage3(stage3) => Platform {
                distribution: Distribution::Gentoo,
                init: stage3.init,
            },
        }
    }
}

/// A Debian archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Suite or code name.
    pub suite: String,
    /// Components, at least one.
    pub components: Vec<String>,
    /// Who signs `InRelease`.
    pub signer: Arc<Signer>,
}

/// A series of versions: `6.12` holds 6.12 and 6.12.107, not 6.1 and not 6.120.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series(String);

impl Series {
    /// A series: numbers with dots between them.
    pub fn parse(text: &str) -> Option<Self> {
        version_numbers(text).map(|_| Self(text.to_owned()))
    }

    /// Whether `version` is one of the series.
    pub fn holds(&self, version: &str) -> bool {
        version
            .strip_prefix(&self.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The series as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The numbers of a version such as `6.12.107`, for comparing; `None` where it has anything else (`6.13-rc2`).
pub fn version_numbers(version: &str) -> Option<Vec<u64>> {
    version
        .split('.')
        .map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        })
        .collect()
}

impl Sources {
    /// Reads and checks `sources.toml` in the project's folder `root`.
    pub fn load(root: &Path) -> Result<Self, Findings> {
        let file = SourceFile::load(root, Path::new("sources.toml"))?;
        Self::check(&file)
    }

    /// Whether the user accepts `license`.
    pub fn accepts(&self, license: &License) -> bool {
        self.accepted_licenses.contains(&license.name)
    }

    /// The set `name`, or the default one.
    pub fn set(&self, name: Option<&str>) -> Result<&SourceSet, Finding> {
        let name = name.unwrap_or(&self.default);
        self.sets.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.sets.keys().map(String::as_str).collect();
            unknown("source set", name, &names)
        })
    }
}

/// The URL of a folder as mirrors are kept: http or https, a host, one `/` at the end. `None` if it is none.
pub fn normal_mirror(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let bad = |c: char| c.is_whitespace() || c.is_control() || "?#\\\"<>".contains(c);
    if rest.is_empty() || rest.starts_with('/') || rest.contains(bad) {
        return None;
    }
    Some(format!("{}/", url.trim_end_matches('/')))
}
