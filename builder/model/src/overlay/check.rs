//! The rules of an overlay.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::arguments::check_arguments;
use super::folder::{self, FolderKind};
use super::written::{DistributionToml, InitToml, OverlayToml, OwnSubvolumeToml, PathToml, WhenToml};
use super::{Account, EntryOrigin, Overlay, OverlayEntry, Owner, Packages, Source, Sysctl, When};
use crate::check::Check;
use crate::document;
use crate::files::{Files, PartKind};
use crate::finding::{Finding, Findings, Place};
use crate::layout::{Subvolume, check_mount, check_subvolume_name};
use crate::names::{is_gentoo_atom, name_fault, quoted, suggest};
use crate::path::{self, TargetPath, parse_target_path};
use crate::sources::{Distribution, Init};
use crate::users::{Who, check_users};
use crate::written::{At, Placed};

/// What an overlay's folder may hold beside `overlay.toml`.
const CONTENTS: [&str; 5] = ["overlay.toml", "files", "templates", "kernel", "README.md"];

/// An owner and mode for what fits a pattern.
struct PathRule {
    pattern: TargetPath,
    owner: Option<Owner>,
    mode: Option<u32>,
}

/// Reads and checks `overlays/<name>/`.
pub(super) fn load(files: &Files, name: &str) -> Result<Overlay, Findings> {
    if let Some(fault) = name_fault(name) {
        return Err(Finding::new(format!("the name of overlay {} {fault}", quoted(name))).into());
    }
    let folder = files.part(PartKind::Overlay, name);
    let file = files.load(&folder.join("overlay.toml"))?;
    let mut findings = Findings::default();
    for entry in folder::names(files, &folder, &mut findings) {
        let entry = entry.to_string_lossy();
        if !CONTENTS.contains(&entry.as_ref()) {
            findings.push(
                Finding::new(format!(
                    "{} has no meaning in an overlay",
                    quoted(&folder.join(&*entry).to_string_lossy())
                ))
                .hint(suggest(&entry, CONTENTS)),
            );
        }
    }
    let Some(written) = document::parse::<OverlayToml>(&file, &mut findings) else {
        return Err(findings);
    };
    let mut rules = Rules {
        files,
        check: Check {
            file: &file,
            findings: &mut findings,
        },
    };
    if written.description.trim().is_empty() {
        rules
            .check
            .found(&written.description.span, "the overlay has no description")
            .hint("say in a sentence what it is for");
    }
    let units = rules.units(&written.units);
    let when = when(&written.when);
    let runlevels = rules.runlevels(&written.runlevels);
    let own_units = rules.own_units(&written.units);
    let packages = rules.packages(&written);
    let users = check_users(&mut rules.check, &written.users, Who::Anybody);
    let removals = rules.removals(&written);
    let sysctls = rules.sysctls(&written.sysctls);
    let kernel_arguments = check_arguments(&mut rules.check, &written.kernel_arguments);
    let kernel_requests = rules.fragments(&folder, &written.kernel_fragments);
    let subvolumes = rules.subvolumes(&written.subvolumes);
    let entries = rules.entries(&folder, &written, Sysctl::file(name, &sysctls));
    rules.own_files(&written.units, &entries);
    findings.sort();
    findings.0.dedup();
    let warnings = findings.into_warnings()?;
    Ok(Overlay {
        name: name.to_owned(),
        description: written.description.value,
        entries,
        when,
        units,
        own_units,
        runlevels,
        packages,
        users,
        sysctls,
        kernel_arguments,
        kernel_requests,
        subvolumes,
        removals,
        provides: written.provides.iter().map(|word| word.value).collect(),
        warnings,
    })
}

fn when(written: &WhenToml) -> When {
    When {
        distribution: written.distribution.map(|distribution| match distribution {
            DistributionToml::Debian => Distribution::Debian,
            DistributionToml::Gentoo => Distribution::Gentoo,
        }),
        init: written.init.map(|init| match init {
            InitToml::Systemd => Init::Systemd,
            InitToml::OpenRc => Init::OpenRc,
        }),
    }
}

/// The check of one overlay under way.
pub(super) struct Rules<'a> {
    pub(super) files: &'a Files,
    pub(super) check: Check<'a>,
}

impl Rules<'_> {
    fn place(&self, written: &At<String>) -> Place {
        self.check.place(&written.span)
    }

    fn target(&mut self, written: &At<String>) -> Option<TargetPath> {
        let parsed = parse_target_path(written);
        if let Err(fault) = &parsed {
            self.check
                .found(&written.span, format!("the path {} {fault}", quoted(written)))
                .hint("paths are those of the node, absolute and plain: `/etc/fstab`");
        }
        parsed.ok()
    }

    fn mode(&mut self, written: &At<String>) -> Option<u32> {
        let digits = (3..=4).contains(&written.len()) && written.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(written, 8).ok().filter(|_| digits);
        if mode.is_none() {
            self.check
                .found(
                    &written.span,
                    format!("the mode {} is not octal permissions", quoted(written)),
                )
                .hint("three or four digits from 0 to 7, as chmod takes them: \"0644\"");
        }
        mode
    }

    fn owner(&mut self, written: &At<String>) -> Option<Owner> {
        let owner = written.split_once(':').and_then(|(user, group)| {
            Some(Owner {
                user: parse_account(user)?,
                group: parse_account(group)?,
                place: Some(self.place(written)),
            })
        });
        if owner.is_none() {
            self.check
                .found(
                    &written.span,
                    format!("the owner {} is not `user:group`", quoted(written)),
                )
                .hint("names that the base knows, or numbers: \"root:adm\", \"0:4\"");
        }
        owner
    }

    pub(super) fn placed<T>(&self, written: &At<String>, value: T) -> Placed<T> {
        Placed {
            value,
            place: self.place(written),
        }
    }

    fn packages(&mut self, written: &OverlayToml) -> Packages {
        let mut list =
            |names: &[At<String>], is_valid: fn(&str) -> bool, hint: &str| -> BTreeMap<String, Place> {
                self.check.distinct(names, "package");
                for name in names.iter().filter(|name| !is_valid(name)) {
                    self.check
                        .found(&name.span, format!("{} cannot name a package", quoted(name)))
                        .hint(hint);
                }
                let placed = names
                    .iter()
                    .map(|name| (name.value.clone(), self.check.place(&name.span)));
                placed.collect()
            };
        Packages {
            debian: list(
                &written.packages.debian,
                is_debian_package,
                "as `apt install` takes it: `btrfs-progs`",
            ),
            gentoo: list(
                &written.packages.gentoo,
                is_gentoo_atom,
                "category and name, or any atom with them: `sys-fs/btrfs-progs`",
            ),
        }
    }

    /// Subvolumes as a layout may have them; the root is the layout's.
    fn subvolumes(&mut self, written: &[OwnSubvolumeToml]) -> Vec<Placed<Subvolume>> {
        for OwnSubvolumeToml { name, mount, .. } in written {
            check_subvolume_name(&mut self.check, name);
            if mount.value == "/" {
                self.check
                    .found(&mount.span, "the root of a node is its layout's")
                    .hint("a subvolume of an overlay is mounted below it: \"/var/lib/db\"");
            } else {
                check_mount(&mut self.check, mount);
            }
        }
        self.check
            .distinct(written.iter().map(|subvolume| &subvolume.name), "subvolume");
        self.check
            .distinct(written.iter().map(|subvolume| &subvolume.mount), "mount point");
        let subvolumes = written
            .iter()
            .map(|OwnSubvolumeToml { name, mount, data }| Subvolume {
                name: name.value.clone(),
                mount: mount.value.clone(),
                data: *data,
            });
        let places = written.iter().map(|subvolume| self.place(&subvolume.name));
        subvolumes
            .zip(places)
            .map(|(value, place)| Placed { value, place })
            .collect()
    }

    fn removals(&mut self, written: &OverlayToml) -> Vec<Placed<TargetPath>> {
        let paths: Vec<_> = written
            .remove
            .iter()
            .map(|path| (path, self.target(path)))
            .collect();
        paths
            .into_iter()
            .filter_map(|(written, path)| Some(self.placed(written, path?)))
            .collect()
    }

    /// Everything that the overlay puts somewhere, `made` of its overlay.toml included, with its owner and mode.
    fn entries(
        &mut self,
        folder: &Path,
        written: &OverlayToml,
        made: Option<(TargetPath, Source, EntryOrigin)>,
    ) -> BTreeMap<TargetPath, OverlayEntry> {
        let mut sources = BTreeMap::new();
        let mut executable = BTreeSet::new();
        for (kind, name) in [(FolderKind::Files, "files"), (FolderKind::Templates, "templates")] {
            for found in folder::walk(self.files, &folder.join(name), kind, self.check.findings) {
                if found.is_executable {
                    executable.insert(found.target.clone());
                }
                if let Some(source) = self.read(&found.file, kind) {
                    self.claim(&mut sources, found.target, source, EntryOrigin::File(found.file));
                }
            }
        }
        if let Some((target, source, origin)) = made {
            self.claim(&mut sources, target, source, origin);
        }
        for path in &written.directories {
            if let Some(target) = self.target(path) {
                let origin = EntryOrigin::Declared(self.place(path));
                self.claim(&mut sources, target, Source::Directory, origin);
            }
        }
        for (path, target) in &written.links {
            if target.is_empty() || target.len() > 4095 || target.contains('\0') {
                self.check.found(
                    &target.span,
                    "the target of a link has 1 to 4095 bytes and no NUL",
                );
            }
            if let Some(path_of_link) = self.target(path) {
                let origin = EntryOrigin::Declared(self.place(path));
                self.claim(
                    &mut sources,
                    path_of_link,
                    Source::Link(target.value.clone()),
                    origin,
                );
            }
        }
        self.nesting(&sources);
        self.attributes(written, sources, &executable)
    }

    fn read(&mut self, file: &Path, kind: FolderKind) -> Option<Source> {
        match kind {
            FolderKind::Files => match self.files.read(file) {
                Ok(bytes) => Some(Source::Verbatim(bytes.as_ref().into())),
                Err(error) => {
                    let message = format!("cannot read {}: {error}", quoted(&file.to_string_lossy()));
                    self.check.findings.push(Finding::new(message));
                    None
                }
            },
            FolderKind::Templates => self
                .check
                .findings
                .keep(self.files.load(file))
                .map(Source::Template),
        }
    }

    fn claim(
        &mut self,
        sources: &mut BTreeMap<TargetPath, (Source, EntryOrigin)>,
        target: TargetPath,
        source: Source,
        origin: EntryOrigin,
    ) {
        if let Some((_, first)) = sources.get(&target) {
            self.check.findings.push(twice(&target, first, &origin));
            return;
        }
        sources.insert(target, (source, origin));
    }

    /// Nothing can lie in what is not a directory.
    fn nesting(&mut self, sources: &BTreeMap<TargetPath, (Source, EntryOrigin)>) {
        for (target, (_, origin)) in sources {
            for parent in target.parents() {
                if let Some((source, above)) = sources.get(&parent)
                    && !matches!(source, Source::Directory)
                {
                    let finding = Finding::new(format!(
                        "`{target}` ({origin}) lies in `{parent}`, which {above} makes something else than a directory"
                    ));
                    self.check.findings.push(match origin {
                        EntryOrigin::Declared(place) => finding.at(place.clone()),
                        EntryOrigin::File(_) => finding,
                    });
                }
            }
        }
    }

    /// Owner and mode of each entry: what the project's file has, the defaults, then patterns in order, then the exact path.
    fn attributes(
        &mut self,
        written: &OverlayToml,
        sources: BTreeMap<TargetPath, (Source, EntryOrigin)>,
        executable: &BTreeSet<TargetPath>,
    ) -> BTreeMap<TargetPath, OverlayEntry> {
        let defaults = &written.defaults;
        let default_owner = defaults
            .owner
            .as_ref()
            .and_then(|owner| self.owner(owner))
            .unwrap_or(Owner::ROOT);
        let file_mode = defaults.mode.as_ref().and_then(|mode| self.mode(mode));
        let directory_mode = defaults
            .directory_mode
            .as_ref()
            .and_then(|mode| self.mode(mode))
            .unwrap_or(0o755);
        let mut patterns = Vec::new();
        let mut exact = HashMap::new();
        for (path, rule) in &written.paths {
            let Some(rule) = self.path_rule(path, rule, &sources) else {
                continue;
            };
            if path::is_pattern(&rule.pattern) {
                patterns.push(rule);
            } else {
                exact.insert(rule.pattern.clone(), rule);
            }
        }
        let mut entries = BTreeMap::new();
        for (target, (source, origin)) in sources {
            let fitting = patterns
                .iter()
                .filter(|rule| path::fits(&rule.pattern, &target))
                .chain(exact.get(&target));
            let (mut mode, mut owner) = match source {
                Source::Directory => (directory_mode, &default_owner),
                Source::Link(_) => (0o777, &default_owner),
                Source::Verbatim(_) | Source::Template(_) => {
                    let kept = if executable.contains(&target) {
                        0o755
                    } else {
                        0o644
                    };
                    (file_mode.unwrap_or(kept), &default_owner)
                }
            };
            for rule in fitting {
                owner = rule.owner.as_ref().unwrap_or(owner);
                if !matches!(source, Source::Link(_)) {
                    mode = rule.mode.unwrap_or(mode);
                }
            }
            entries.insert(
                target,
                OverlayEntry {
                    mode,
                    owner: owner.clone(),
                    source,
                    origin,
                },
            );
        }
        entries
    }

    /// A rule of `[paths]`; one that nothing fits is a slip.
    fn path_rule(
        &mut self,
        path: &At<String>,
        rule: &PathToml,
        sources: &BTreeMap<TargetPath, (Source, EntryOrigin)>,
    ) -> Option<PathRule> {
        let owner = rule.owner.as_ref().map(|owner| self.owner(owner));
        let mode = rule.mode.as_ref().map(|mode| self.mode(mode));
        let pattern = self.target(path)?;
        if !sources.keys().any(|target| path::fits(&pattern, target)) {
            let known: Vec<_> = sources.keys().map(TargetPath::to_string).collect();
            let hint = suggest(path, known.iter().map(String::as_str));
            self.check
                .found(&path.span, format!("nothing of this overlay is {}", quoted(path)))
                .hint(hint);
        }
        if owner.is_none() && mode.is_none() {
            self.check.found(
                &path.span,
                format!("{} declares neither an owner nor a mode", quoted(path)),
            );
        }
        Some(PathRule {
            pattern,
            owner: owner.flatten(),
            mode: mode.flatten(),
        })
    }
}

/// The finding of two sources for one path.
fn twice(target: &TargetPath, first: &EntryOrigin, second: &EntryOrigin) -> Finding {
    let finding = Finding::new(format!("`{target}` comes from {first} and from {second}"))
        .hint("an overlay gives each path once: a file, a template, a link or a directory");
    match second {
        EntryOrigin::Declared(place) => finding.at(place.clone()),
        EntryOrigin::File(_) => finding,
    }
}

fn parse_account(text: &str) -> Option<Account> {
    if let Ok(id) = text.parse() {
        // The last number means "no change" to chown.
        return (id != u32::MAX).then_some(Account::Id(id));
    }
    let is_name = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_name.then(|| Account::Name(text.to_owned()))
}

/// Debian Policy 5.6.7: lower-case letters, digits, `+`, `-`, `.`; at least two, the first a letter or digit.
fn is_debian_package(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() >= 2
        && name.starts_with(is_alphanumeric)
        && name.chars().all(|c| is_alphanumeric(c) || "+-.".contains(c))
}
