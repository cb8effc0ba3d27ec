//! Packages into a system: binary packages merged over a stage3, as one small layer over it and a list of what of it
//! goes. `emerge` accepts the result as its own.
//!
//! ```text
//! stage3's layer --> tree -.                                   .--> index and blob: what packages bring
//!                          +--> packages, one after another ---+--> removed: what of the stage3 goes
//! image of a package ------'    (data straight to the blob)    '--> report
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `root` | the system in the making |
//! | `merge`, `directories`, `member` | one image into it: what goes where |
//! | `protect` | CONFIG_PROTECT |
//! | `remove` | what goes: older versions, what filters leave out, the package manager |
//! | `database` | `/var/db/pkg`, the counter, the world |
//! | `accounts` | users and groups |
//! | `environment` | `env-update` |
//! | `phases`, `phases::prints`, `capabilities`, `mode` | what packages would run, and what is done instead |
//! | `pending` | what is left for the node's first start |
//! | `report` | what it came to |
//! | `error` | what can stop it |
//!
//! The rules are portage's (`portage.dbapi.vartree.dblink`), with these differences: a package that would overwrite
//! another one's file is an error; what CONTENTS lists is in order of the paths; no library is preserved for programs
//! that were linked with it, and `ld.so.cache` is left for the first start; a file that is in the way of a directory is an
//! error instead of being renamed; info pages get no `dir`.

mod accounts;
mod capabilities;
mod database;
mod directories;
mod environment;
mod error;
mod member;
mod merge;
mod mode;
mod pending;
mod phases;
mod protect;
mod remove;
mod report;
mod root;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use formats::layer::{Attributes, Index, Layer, Packing};
use formats::tree::InodeKind;
use formats::units::Time;

pub use error::{Fault, InstallError};
pub use pending::Pending;
pub use report::{PackageReport, ProtectedFile, Report, Size};

use accounts::Accounts;
use database::{Database, PackageId};
use environment::Environment;
use merge::{Merge, Merged};
use pending::Remainder;
use protect::Protection;
use root::{Finished, Place, Root, RootError, split};

use crate::contents::Kind;
use crate::{Cpv, Filters, PackageManager, PackageName};

/// How packages are installed.
#[derive(Debug, Clone)]
pub struct Options {
    /// How their files are stored.
    pub packing: Packing,
    /// The time of everything that no package gives one.
    pub time: Time,
    /// What of the stage3 and of packages is left out.
    pub filters: Filters,
    /// Folders and files that packages do not overwrite, beside those that `env.d` names.
    pub config_protect: Vec<String>,
    /// What in them packages do overwrite, beside what `env.d` names.
    pub config_protect_mask: Vec<String>,
}

impl Options {
    /// As `make.globals` has it: `/etc` is protected without `/etc/env.d`, nothing is left out.
    pub fn new(packing: Packing, time: Time) -> Self {
        Self {
            packing,
            time,
            filters: Filters::default(),
            config_protect: vec!["/etc".to_owned()],
            config_protect_mask: vec!["/etc/env.d".to_owned()],
        }
    }
}

/// A package to be installed.
pub struct PackageInput<'a> {
    /// Which it is.
    pub cpv: &'a Cpv,
    /// What goes into `/var/db/pkg`, by file name.
    pub metadata: &'a BTreeMap<String, Vec<u8>>,
    /// Its files as a tar that is not compressed.
    pub image: &'a mut dyn Read,
    /// What the names in the tar start with (`image/`); empty where they start at the root.
    pub prefix: &'a str,
    /// MD5 of the package file.
    pub bin_md5: [u8; 16],
    /// Whether the user asked for it: then it goes into the world.
    pub requested: bool,
}

/// Packages that were installed.
#[derive(Debug)]
pub struct Installed<W> {
    /// The layer over the stage3, whose blob is `blob`.
    pub index: Index,
    /// What the layer's extents were written to.
    pub blob: W,
    /// Paths of the stage3 that go, each with what is below it: relative to the root, no symbolic link in them.
    pub removed: Vec<Vec<u8>>,
    /// What it came to.
    pub report: Report,
}

/// Installs packages one after another. After an error it is worth nothing.
pub struct Installer<W: Write> {
    root: Root<W>,
    database: Database,
    accounts: Accounts,
    protection: Protection,
    options: Options,
    report: Report,
    left_out: Size,
    remainder: Remainder,
}

impl<W: Write> Installer<W> {
    /// Prepares a system, `base`, for packages, whose data will be written to `blob`; filters are applied to it.
    pub fn new(base: &Layer, blob: W, options: Options) -> Result<Self, InstallError> {
        let root = Root::new(base, options.packing, blob, options.time);
        let mut root = root.map_err(|error| of_root(error, InstallError::Base))?;
        let mut prepare = || -> Result<_, Fault> {
            let database = Database::read(&root)?;
            let accounts = Accounts::read(&root, options.time)?;
            let protection = Protection::read(&root)?;
            let left_out = remove::apply_filters(&mut root, &database, &options.filters)?;
            Ok((database, accounts, protection, left_out, Remainder::new(&root)?))
        };
        let (database, accounts, protection, left_out, remainder) = prepare().map_err(InstallError::Base)?;
        let mut installer = Self {
            root,
            database,
            accounts,
            protection,
            options,
            report: Report::default(),
            left_out,
            remainder,
        };
        installer.read_environment().map_err(InstallError::Base)?;
        Ok(installer)
    }

    /// Installs a package. Its dependencies come before it, at least those whose users and groups own its files.
    pub fn add(&mut self, input: PackageInput<'_>) -> Result<(), InstallError> {
        let cpv = input.cpv;
        self.install(input).map_err(|fault| fault.of(cpv))
    }

    /// Puts a package that the base has into the world: the user asked for it, too.
    pub fn want(&mut self, name: &PackageName) {
        self.database.world.insert(name.as_str().as_bytes().to_vec());
    }

    /// What the packages so far leave for the node's first start.
    pub fn pending(&self) -> Result<BTreeSet<Pending>, InstallError> {
        self.remainder.pending(&self.root).map_err(InstallError::Finish)
    }

    /// The bytes of a file of the system as it is now, at a path relative to the root; `None` where none is.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, InstallError> {
        self.root.read(path.as_bytes()).map_err(InstallError::Finish)
    }

    /// The names in a folder of the system as it is now, in order; none where no folder is.
    pub fn names(&self, path: &str) -> Vec<String> {
        let folder = self.root.tree.directory(path.as_bytes());
        let names = folder
            .and_then(|id| self.root.tree.names(id))
            .into_iter()
            .flatten();
        names
            .filter_map(|(name, _)| String::from_utf8(name.clone()).ok())
            .collect()
    }

    /// Writes a file of whoever builds, over what is there: no package owns it. Folders that are missing are made.
    pub fn write(&mut self, path: &str, mode: u32, bytes: Vec<u8>) -> Result<(), InstallError> {
        let written = self.root.write_text(path.as_bytes(), mode, bytes);
        written.map_err(InstallError::Finish)
    }

    /// Writes what follows from all packages; the layer.
    pub fn finish(mut self) -> Result<Installed<W>, InstallError> {
        self.write_records().map_err(InstallError::Finish)?;
        let Finished {
            index,
            blob,
            removed,
            tree,
        } = self
            .root
            .finish()
            .map_err(|error| of_root(error, InstallError::Finish))?;
        let after = Size::of(&tree);
        let report = Report {
            before: after.plus(self.left_out),
            after,
            ..self.report
        };
        Ok(Installed {
            index,
            blob,
            removed,
            report,
        })
    }

    fn install(&mut self, input: PackageInput<'_>) -> Result<(), Fault> {
        let cpv = input.cpv;
        check_metadata(cpv, input.metadata)?;
        let keeps_records = self.options.filters.package_manager == PackageManager::Keep;
        if !keeps_records && cpv.name.as_str() == "sys-apps/portage" {
            return Ok(());
        }
        let slot = database::main_slot(phases::text(input.metadata, "SLOT")).to_owned();
        let replaced = self.replaced(cpv, &slot)?;
        let variables = phases::Environment::read(input.metadata)?;
        let capabilities = capabilities::file_capabilities(input.metadata, &variables)?;
        // `bin/ping` and `usr/bin/ping` are one where /bin is a link.
        let real = |path: Vec<u8>| match self.root.place(&path) {
            Some(place) => self.root.path_of(&place),
            None => path,
        };
        let capabilities = capabilities.into_iter();
        let capabilities = capabilities.map(|(path, given)| (real(path), given)).collect();
        let first = self.root.inodes();
        let package = self.database.add(database::Installed {
            cpv: cpv.clone(),
            slot,
            of_base: false,
            gone: false,
        });
        let mut merge = Merge {
            root: &mut self.root,
            database: &mut self.database,
            accounts: &self.accounts,
            protection: &mut self.protection,
            filters: &self.options.filters,
            package,
            replaced: replaced.as_ref().map(|(id, items)| (*id, items)),
            capabilities: &capabilities,
            first,
            merged: Merged::default(),
        };
        merge.image(input.image, input.prefix)?;
        let merged = merge.merged;
        if let Some((id, items)) = &replaced {
            remove::remove_package(
                &mut self.root,
                &mut self.database,
                &mut self.protection,
                *id,
                items,
            )?;
        }
        if keeps_records {
            self.database.write_entry(
                &mut self.root,
                cpv,
                input.metadata,
                &merged.items,
                &input.bin_md5,
                self.options.time,
            )?;
        }
        if input.requested {
            self.want(&cpv.name);
        }
        self.run_phases(cpv, &variables, &merged, first)?;
        self.remainder.add(&merged);
        if merged.environment_changed || replaced.is_some() {
            self.read_environment()?;
        }
        self.record(
            cpv,
            input.metadata,
            &variables,
            &merged,
            replaced.map(|(id, _)| id),
        );
        Ok(())
    }

    /// The version that a package replaces, and what that has.
    #[expect(clippy::type_complexity, reason = "a number and a map")]
    fn replaced(&self, cpv: &Cpv, slot: &str) -> Result<Option<(PackageId, BTreeMap<Vec<u8>, Kind>)>, Fault> {
        let Some(id) = self.database.in_slot(cpv, slot) else {
            return Ok(None);
        };
        let other = self.database.package(id);
        if !other.of_base {
            return Err(Fault::SameSlot {
                other: other.cpv.to_string(),
            });
        }
        let items = database::read_contents(&self.root, &other.cpv)?;
        let items = items.into_iter().map(|item| (item.path, item.kind));
        Ok(Some((id, items.collect())))
    }

    /// Does what the package's phases would.
    fn run_phases(
        &mut self,
        cpv: &Cpv,
        variables: &phases::Environment,
        merged: &Merged,
        first: usize,
    ) -> Result<(), Fault> {
        if matches!(cpv.name.category(), "acct-user" | "acct-group") {
            for path in merged
                .items
                .keys()
                .filter(|path| split(path).1.starts_with(b"acct-"))
            {
                if split(path).0.ends_with(b"lib/sysusers.d") {
                    let bytes = self.root.read(path)?.unwrap_or_default();
                    self.accounts.add(path, &bytes)?;
                }
            }
        }
        if cpv.name.category() == "acct-user"
            && let Some(home) = phases::home(variables)?
        {
            self.give_home(&home, first);
        }
        for link in phases::links(cpv.name.as_str()).into_iter().flatten() {
            self.make_links(link, merged)?;
        }
        Ok(())
    }

    /// Gives a home that the package made its owner and mode.
    fn give_home(&mut self, home: &phases::Home, first: usize) {
        let Some(id) = self.root.tree.directory(&home.path).filter(|id| id.0 >= first) else {
            return;
        };
        let number = |name: &str, known: Option<u32>| known.or_else(|| name.parse().ok());
        let accounts = &self.accounts;
        let (uid, gid) = match &home.owner {
            Some((user, group)) => (
                number(user, accounts.uid(user.as_bytes())),
                number(group, accounts.gid(group.as_bytes())),
            ),
            None => (accounts.uid(home.user.as_bytes()), accounts.group_of(&home.user)),
        };
        self.root.set_attributes(id, |attributes| {
            attributes.uid = uid.unwrap_or(attributes.uid);
            attributes.gid = gid.unwrap_or(attributes.gid);
            attributes.mode = home.mode;
        });
    }

    fn make_links(&mut self, links: &phases::Links, merged: &Merged) -> Result<(), Fault> {
        let attributes = |mode| Attributes {
            mode,
            mtime: self.options.time,
            ..Attributes::default()
        };
        let (link, file) = (attributes(0o777), attributes(0o600));
        let beside = merged.items.keys().find(|path| split(path).1 == links.beside);
        if let Some(place) = beside.and_then(|path| self.root.place(path)) {
            for name in links.names {
                let place = Place {
                    name: name.as_bytes().to_vec(),
                    ..place
                };
                if self.root.at(&place).is_none() {
                    let target = InodeKind::Symlink(links.beside.to_vec());
                    self.root.put_other(&place, link.clone(), target)?;
                }
            }
        }
        if let Some(path) = links.empty
            && self.root.tree.lookup(path).is_none()
        {
            let (above, name) = split(path);
            let place = Place {
                directory: self.root.directory(above)?,
                name: name.to_vec(),
            };
            self.root.put_text(&place, file, Vec::new());
        }
        Ok(())
    }

    fn record(
        &mut self,
        cpv: &Cpv,
        metadata: &BTreeMap<String, Vec<u8>>,
        variables: &phases::Environment,
        merged: &Merged,
        replaced: Option<PackageId>,
    ) {
        let package = cpv.to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for (path, name) in &merged.beside {
            self.report.protected.push(ProtectedFile {
                package: package.clone(),
                path: format!("/{}", text(path)),
                beside: text(name),
            });
        }
        let unhandled = phases::unhandled(cpv.name.as_str(), metadata, variables);
        self.report.packages.push(PackageReport {
            package,
            replaced: replaced.map(|id| self.database.package(id).cpv.to_string()),
            unhandled: unhandled.into_iter().map(str::to_owned).collect(),
        });
        self.left_out = self.left_out.plus(merged.left_out);
    }

    /// Reads what `env.d` says is protected.
    fn read_environment(&mut self) -> Result<(), Fault> {
        let environment = Environment::read(&self.root)?;
        let folders = |given: &[String], name: &str| {
            let given = given.iter().map(String::as_str).chain(environment.words(name));
            let paths = given.map(|path| path.trim_matches('/').as_bytes().to_vec());
            paths.collect::<Vec<_>>()
        };
        self.protection.protected = folders(&self.options.config_protect, "CONFIG_PROTECT");
        self.protection.masked = folders(&self.options.config_protect_mask, "CONFIG_PROTECT_MASK");
        Ok(())
    }

    fn write_records(&mut self) -> Result<(), Fault> {
        if !self.report.packages.is_empty() {
            Environment::read(&self.root)?.write(&mut self.root)?;
        }
        self.accounts.finish(&mut self.root)?;
        match self.options.filters.package_manager {
            PackageManager::Keep => {
                self.protection.finish(&mut self.root)?;
                self.database.finish(&mut self.root)?;
            }
            PackageManager::Drop => {
                let size =
                    remove::remove_package_manager(&mut self.root, &mut self.database, &mut self.protection)?;
                self.left_out = self.left_out.plus(size);
            }
        }
        Ok(())
    }
}

/// Whether a package's metadata can become its folder in `/var/db/pkg`, and is the package's.
fn check_metadata(cpv: &Cpv, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Fault> {
    let fault = |file: &str, what: String| Fault::Metadata {
        file: file.to_owned(),
        what,
    };
    for name in metadata.keys() {
        let is_name =
            !matches!(&name[..], "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255;
        if !is_name {
            return Err(fault(&format!("{name:?}"), "has no name of a file".to_owned()));
        }
    }
    if phases::text(metadata, "SLOT").is_empty() {
        return Err(fault("SLOT", "is missing or empty".to_owned()));
    }
    for (file, expected) in [("CATEGORY", cpv.name.category()), ("PF", &cpv.pf())] {
        let says = phases::text(metadata, file);
        if metadata.contains_key(file) && says != expected {
            return Err(fault(file, format!("says {says:?}, not {expected:?}")));
        }
    }
    Ok(())
}

fn of_root(error: RootError, of: impl FnOnce(Fault) -> InstallError) -> InstallError {
    match error {
        RootError::Fault(fault) => of(fault),
        RootError::Pack(error) => error.into(),
    }
}
