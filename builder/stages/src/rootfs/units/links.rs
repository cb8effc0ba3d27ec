//! The symbolic links that enabling, disabling and masking come to.

use std::collections::{BTreeMap, BTreeSet};

use formats::tree::{InodeKind, Tree};
use thiserror::Error;

use super::file::{Lookup, UnitFile, look_up};
use super::{CONFIGURATION, UnitName};

/// Why a unit cannot be enabled, disabled or masked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// No folder of units has it.
    #[error("there is no unit `{0}`: neither the base nor an overlay brings it")]
    Missing(String),
    /// Nothing says what enabling it would mean.
    #[error("unit `{0}` has no [Install] section, so there is nothing to enable: what needs it starts it")]
    NoInstall(String),
    /// It cannot be started.
    #[error("unit `{0}` is masked")]
    Masked(String),
    /// It is another unit's second name.
    #[error("unit `{name}` is another name of `{unit}`: enable that one")]
    Alias {
        /// The name that was given.
        name: String,
        /// What it leads to.
        unit: String,
    },
    /// A template without an instance.
    #[error("unit `{0}` is a template without a default instance: name an instance")]
    NoInstance(String),
    /// The file of the unit cannot be used.
    #[error("unit `{name}` cannot be read: {fault}")]
    Unreadable {
        /// The unit.
        name: String,
        /// Why not.
        fault: String,
    },
    /// The `[Install]` section says what cannot be.
    #[error("the [Install] section of unit `{name}` {fault}")]
    Install {
        /// The unit.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Something else is where a link has to be.
    #[error("unit `{name}` cannot have its link `/{path}`: a file is there")]
    Occupied {
        /// The unit.
        name: String,
        /// Where the link has to be, relative to the root.
        path: String,
    },
}

/// The links of units in a tree, and the changes to them.
#[derive(Debug)]
pub struct UnitLinks<'a> {
    tree: &'a Tree,
    /// Links to add: path relative to the root -> target.
    added: BTreeMap<String, String>,
    /// Links of the tree to take away.
    removed: BTreeSet<String>,
}

impl<'a> UnitLinks<'a> {
    /// No changes to the links of `tree` yet.
    pub fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            added: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Enables `name` and what its `Also=` names.
    pub fn enable(&mut self, name: &str) -> Result<(), UnitError> {
        let first = self.unit(name)?;
        if first.install.is_empty() {
            return Err(UnitError::NoInstall(name.to_owned()));
        }
        for (name, unit) in self.with_also(name, first)? {
            for (path, target) in links_of(&name, &unit)? {
                self.add(&name, path, target)?;
            }
        }
        Ok(())
    }

    /// Takes away every link to `name` and to what its `Also=` names. `false` where nothing brings such a unit.
    pub fn disable(&mut self, name: &str) -> Result<bool, UnitError> {
        let names: BTreeSet<String> = match self.unit(name) {
            Ok(unit) => self
                .with_also(name, unit)?
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            Err(UnitError::Missing(_)) => return Ok(false),
            Err(UnitError::Masked(_)) => BTreeSet::from([name.to_owned()]),
            Err(error) => return Err(error),
        };
        let leads_to = |unit: &str| {
            names.contains(unit)
                || UnitName::parse(unit)
                    .is_some_and(|unit| unit.is_instance() && names.contains(&unit.template()))
        };
        let is_link = |(path, target): &(&String, &String)| leads_to(last(path)) || leads_to(last(target));
        let of_tree: BTreeMap<String, String> = configured_links(self.tree);
        let removed: Vec<String> = of_tree
            .iter()
            .filter(is_link)
            .map(|(path, _)| path.clone())
            .collect();
        self.removed.extend(removed);
        let added: Vec<String> = self
            .added
            .iter()
            .filter(is_link)
            .map(|(path, _)| path.clone())
            .collect();
        for path in added {
            self.added.remove(&path);
        }
        Ok(true)
    }

    /// Makes it impossible to start `name`. `false` where nothing brings such a unit; it is masked all the same.
    pub fn mask(&mut self, name: &str) -> Result<bool, UnitError> {
        let brought = !matches!(self.unit(name), Err(UnitError::Missing(_)));
        let path = format!("{CONFIGURATION}/{name}");
        // The unit's links stay: systemd ignores them, and they would be right again were it unmasked.
        self.add(name, path, "/dev/null".to_owned())?;
        Ok(brought)
    }

    /// Links to add (path relative to the root -> target), and links of the tree to take away.
    pub fn into_changes(self) -> (BTreeMap<String, String>, BTreeSet<String>) {
        (self.added, self.removed)
    }

    /// The unit called `name`, with the changes so far.
    fn unit(&self, name: &str) -> Result<UnitFile, UnitError> {
        let parsed = UnitName::parse(name).ok_or_else(|| UnitError::Missing(name.to_owned()))?;
        for masked in [name, &parsed.template()] {
            let link = self.added.get(&format!("{CONFIGURATION}/{masked}"));
            if link.is_some_and(|target| target == "/dev/null") {
                return Err(UnitError::Masked(name.to_owned()));
            }
        }
        match look_up(self.tree, parsed) {
            Lookup::Unit(unit) => Ok(unit),
            Lookup::Missing => Err(UnitError::Missing(name.to_owned())),
            Lookup::Masked => Err(UnitError::Masked(name.to_owned())),
            Lookup::AliasOf(unit) => Err(UnitError::Alias {
                name: name.to_owned(),
                unit,
            }),
            Lookup::Unreadable(fault) => Err(UnitError::Unreadable {
                name: name.to_owned(),
                fault,
            }),
        }
    }

    /// `first` and all units that `Also=` leads to, each once.
    fn with_also(&self, name: &str, first: UnitFile) -> Result<Vec<(String, UnitFile)>, UnitError> {
        let mut units = vec![(name.to_owned(), first)];
        let mut at = 0;
        while let Some((name, unit)) = units.get(at) {
            let mut more: Vec<String> = Vec::new();
            for also in &unit.install.also {
                let also = expanded(name, also)?;
                if units.iter().all(|(known, _)| *known != also) && !more.contains(&also) {
                    more.push(also);
                }
            }
            for also in more {
                let unit = match self.unit(&also) {
                    // What is masked on purpose stays so.
                    Err(UnitError::Masked(_)) => continue,
                    found => found?,
                };
                units.push((also, unit));
            }
            at += 1;
        }
        Ok(units)
    }

    fn add(&mut self, name: &str, path: String, target: String) -> Result<(), UnitError> {
        let occupied = self
            .tree
            .lookup(path.as_bytes())
            .is_some_and(|id| !matches!(self.tree.inodes[id.0].kind, InodeKind::Symlink(_)));
        if occupied {
            return Err(UnitError::Occupied {
                name: name.to_owned(),
                path,
            });
        }
        self.added.insert(path, target);
        Ok(())
    }
}

/// The last component of a path.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// All symbolic links in the folder of the administrator's units and in the folders below it.
fn configured_links(tree: &Tree) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    let mut folders = vec![CONFIGURATION.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(names) = tree.lookup(folder.as_bytes()).and_then(|id| tree.names(id)) else {
            continue;
        };
        for (name, id) in names {
            let path = format!("{folder}/{}", String::from_utf8_lossy(name));
            match &tree.inodes[id.0].kind {
                InodeKind::Symlink(target) => {
                    links.insert(path, String::from_utf8_lossy(target).into_owned());
                }
                InodeKind::Directory(_) => folders.push(path),
                _ => {}
            }
        }
    }
    links
}

/// The links that enabling a unit makes: path relative to the root and target.
fn links_of(name: &str, unit: &UnitFile) -> Result<Vec<(String, String)>, UnitError> {
    let install = &unit.install;
    let fault = |fault: String| UnitError::Install {
        name: name.to_owned(),
        fault,
    };
    let parsed = UnitName::parse(name).ok_or_else(|| UnitError::Missing(name.to_owned()))?;
    let mut links = Vec::new();
    for alias in &install.alias {
        let mut alias = expanded(name, alias)?;
        let Some(parsed_alias) = UnitName::parse(&alias) else {
            return Err(fault(format!(
                "has the alias `{alias}`, which is no name of a unit"
            )));
        };
        // `Alias=other@.service` of an instance is the same instance of the other template.
        let same_suffix = parsed_alias.suffix == parsed.suffix;
        let propagated = parsed
            .instance
            .filter(|_| same_suffix && parsed.is_instance() && parsed_alias.is_template());
        if let Some(instance) = propagated {
            alias = parsed_alias.with_instance(instance);
        } else if !parsed.can_be_called(parsed_alias) {
            return Err(fault(format!(
                "has the alias `{alias}`, which cannot be a name of this unit"
            )));
        }
        let path = format!("{CONFIGURATION}/{alias}");
        links.push((path, unit.path.clone()));
    }
    let wants = [
        (&install.wanted_by, "wants"),
        (&install.required_by, "requires"),
        (&install.upheld_by, "upholds"),
    ];
    for (targets, folder) in wants {
        for target in targets {
            let target = expanded(name, target)?;
            let Some(parsed_target) = UnitName::parse(&target) else {
                return Err(fault(format!("names `{target}`, which is no name of a unit")));
            };
            let link = match (&install.default_instance, parsed.is_template()) {
                (Some(instance), true) => parsed.with_instance(&expanded(name, instance)?),
                // A template that a template wants gets its instance from there.
                (None, true) if parsed_target.instance.is_none() => {
                    return Err(UnitError::NoInstance(name.to_owned()));
                }
                _ => name.to_owned(),
            };
            links.push((
                format!("{CONFIGURATION}/{target}.{folder}/{link}"),
                unit.path.clone(),
            ));
        }
    }
    // A link to itself, as an alias in the unit's own folder would be, is none.
    links.retain(|(path, target)| *target != format!("/{path}"));
    Ok(links)
}

/// `text` of the `[Install]` section of unit `name` with its specifiers replaced.
fn expanded(name: &str, text: &str) -> Result<String, UnitError> {
    let parsed = UnitName::parse(name).ok_or_else(|| UnitError::Missing(name.to_owned()))?;
    parsed.expand(text).map_err(|specifier| UnitError::Install {
        name: name.to_owned(),
        fault: format!(
            "has the specifier `%{specifier}` in `{text}`, which has no meaning without a running system"
        ),
    })
}
