//! The rules of a Gentoo base: a stage3, where packages over it come from, and what of both a node need not carry.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use gentoo::{Filters, PackageManager};
use toml::Spanned;

use super::check::Check;
use super::compile::{Compile, Repository};
use super::written::{LeaveOutToml, PackageManagerToml, PackageSourceToml, Stage3Toml};
use super::{Init, Signer};
use crate::names::is_gentoo_atom;

/// A Gentoo stage3 and binary packages over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage3 {
    /// `arm64-systemd`.
    pub flavor: String,
    /// What starts its services.
    pub init: Init,
    /// Folders that hold `latest-stage3-<flavor>.txt`; each ends in `/`.
    pub mirrors: Vec<String>,
    /// Who signs it.
    pub signer: Arc<Signer>,
    /// Where packages come from: of two that are equally new the earlier source's is taken.
    pub packages: Vec<PackageSource>,
    /// Where ebuilds come from; there is one where a source is compiled.
    pub repository: Option<Repository>,
    /// Atoms of packages that are never installed.
    pub mask: Vec<String>,
    /// What a node need not carry.
    pub leave_out: LeaveOut,
}

/// A source of binary packages: a folder with an index `Packages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSource {
    /// Its name, which locks and messages use.
    pub name: String,
    /// Where it is.
    pub place: PackagePlace,
    /// Who has to have signed each package; `None`: their sums are enough.
    pub signer: Option<Arc<Signer>>,
}

/// Where a source of packages is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackagePlace {
    /// Folders on servers, first to last; each ends in `/`.
    Mirrors(Vec<String>),
    /// A folder of this machine; relative to the project's root, or absolute.
    Folder(PathBuf),
    /// Nowhere yet: they are compiled. At most one source is of this kind.
    Compile(Compile),
}

/// What of stage3 and packages is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaveOut {
    /// Patterns, each valid, as [`gentoo::Filters`] has them.
    pub paths: Vec<String>,
    /// Whether the node can install packages itself.
    pub package_manager: PackageManager,
}

impl Stage3 {
    /// The source of packages of this name.
    pub fn package_source(&self, name: &str) -> Option<&PackageSource> {
        self.packages.iter().find(|source| source.name == name)
    }

    /// The source whose packages are compiled, and how; there is one at most.
    pub fn compiled(&self) -> Option<(&PackageSource, &Compile)> {
        self.packages.iter().find_map(|source| match &source.place {
            PackagePlace::Compile(compile) => Some((source, compile)),
            PackagePlace::Mirrors(_) | PackagePlace::Folder(_) => None,
        })
    }
}

impl Check<'_> {
    pub(super) fn stage3(&mut self, written: Stage3Toml) -> Option<Stage3> {
        let flavor = self.word(&written.flavor, "stage3 flavor");
        let init = flavor
            .as_ref()
            .and_then(|flavor| self.init(flavor, &written.flavor));
        let mirrors = self.mirrors(written.mirrors);
        let signer = self.signed_by(&written.signer);
        let repository = match written.repository {
            Some(repository) => self.repository(repository).map(Some),
            None => Some(None),
        };
        let mut names = BTreeSet::new();
        let mut packages = Vec::new();
        let (mut complete, mut compiled) = (true, 0);
        for source in written.packages {
            if source.compile.is_some() {
                compiled += 1;
                if compiled > 1 {
                    self.found(
                        source.name.span(),
                        "there are two package sources that are compiled".into(),
                        "what is compiled is compiled together: name all of it in one of them",
                    );
                }
                if repository == Some(None) {
                    self.found(
                        source.name.span(),
                        format!(
                            "there are no ebuilds that `{}` could be compiled from",
                            source.name.get_ref()
                        ),
                        "add `[...stage3.repository]` with mirrors, signer and distfiles",
                    );
                }
            }
            if !names.insert(source.name.get_ref().clone()) {
                self.found(
                    source.name.span(),
                    format!("there are two package sources `{}`", source.name.get_ref()),
                    "sources.lock says by the name which one a package is from: rename one",
                );
            }
            match self.package_source(source) {
                Some(source) => packages.push(source),
                None => complete = false,
            }
        }
        let mut mask = Vec::new();
        for atom in written.mask {
            if !is_gentoo_atom(atom.get_ref()) {
                self.found(
                    atom.span(),
                    format!("`{}` is no atom of a package", atom.get_ref()),
                    "category and name, a version after an operator: `sys-apps/openrc`, `>=net-vpn/i2pd-2.50`",
                );
            }
            mask.push(atom.into_inner());
        }
        let leave_out = self.leave_out(written.leave_out);
        complete.then_some(())?;
        Some(Stage3 {
            flavor: flavor?,
            init: init?,
            mirrors: mirrors?,
            signer: signer?,
            packages,
            repository: repository?,
            mask,
            leave_out,
        })
    }

    /// What starts the services of a flavor: its name says so.
    fn init(&mut self, flavor: &str, written: &Spanned<String>) -> Option<Init> {
        let words: Vec<&str> = flavor.split('-').collect();
        let init = match (words.contains(&"systemd"), words.contains(&"openrc")) {
            (true, false) => Some(Init::Systemd),
            (false, true) => Some(Init::OpenRc),
            _ => None,
        };
        let init = init.filter(|_| words.first() == Some(&"arm64"));
        if init.is_none() {
            self.found(
                written.span(),
                format!("`{flavor}` is no flavor of a stage3 that a node can have"),
                "every node is arm64, and its init has to be known: `arm64-systemd` or `arm64-openrc`",
            );
        }
        init
    }

    fn package_source(&mut self, written: PackageSourceToml) -> Option<PackageSource> {
        let name = self.word(&written.name, "package source");
        if let (Some(_), Some(signer)) = (&written.compile, &written.signer) {
            self.found(
                signer.span(),
                format!("`{}` has a signer, and is compiled here", written.name.get_ref()),
                "leave `signer` out: who signs the ebuilds is said in `[...stage3.repository]`",
            );
        }
        let place = match (written.mirrors, written.folder, written.compile) {
            (Some(mirrors), None, None) => self.mirrors(mirrors).map(PackagePlace::Mirrors),
            (None, None, Some(compile)) => Some(PackagePlace::Compile(self.compile(compile))),
            (None, Some(folder), None) if folder.get_ref().is_empty() => {
                self.found(
                    folder.span(),
                    "the folder has no path".into(),
                    "give a folder, relative to the folder of sources.toml or absolute",
                );
                None
            }
            (None, Some(folder), None) => Some(PackagePlace::Folder(folder.into_inner().into())),
            (mirrors, folder, compile) => {
                let any = mirrors.is_some() || folder.is_some() || compile.is_some();
                let says = if any { "is in two places" } else { "is nowhere" };
                self.found(
                    written.name.span(),
                    format!("the package source `{}` {says}", written.name.get_ref()),
                    "give one of `mirrors`, URLs of folders with an index, `folder`, one of this machine, and `compile`",
                );
                None
            }
        };
        // Named but unknown is another thing than not named: then nobody would have to sign.
        let signer = match &written.signer {
            Some(signer) => Some(self.signed_by(signer)?),
            None => None,
        };
        Some(PackageSource {
            name: name?,
            place: place?,
            signer,
        })
    }

    fn leave_out(&mut self, written: LeaveOutToml) -> LeaveOut {
        for path in &written.paths {
            if let Err(error) = Filters::new(&[path.get_ref()], PackageManager::Keep) {
                self.found(
                    path.span(),
                    error.to_string(),
                    "`/usr/share/doc`, or a name wherever it is: `*.a`; `!/usr/share/locale/de` keeps what an earlier one \
                     leaves out",
                );
            }
        }
        let package_manager = match written.package_manager {
            PackageManagerToml::Keep => PackageManager::Keep,
            PackageManagerToml::Drop => PackageManager::Drop,
        };
        let paths = written.paths.into_iter().map(Spanned::into_inner).collect();
        LeaveOut {
            paths,
            package_manager,
        }
    }
}
