//! What the fleet itself says of its nodes, laid over their overlays: time zone, locale, users; and the users that overlays bring.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use formats::tree::{InodeId, InodeKind, Tree};
use model::finding::{Finding, Findings, Place};
use model::fleet::{Fleet, System};
use model::names::{quoted, suggest};
use model::overlay::{
    Account, EntryOrigin, OverlayEntry, Owner, Placed, Source, TargetPath, parse_target_path,
};
use model::sources::{Distribution, Init, Platform};
use model::users::User;

use super::accounts::{Accounts, MAX_FILE, SHADOW, lock_passwords, read_text};
use super::merge::Merged;

/// Where the tz database is.
const ZONES: &str = "usr/share/zoneinfo";

/// What glibc makes locales of, and where the result is.
const LOCALE_SOURCES: &str = "usr/share/i18n/locales";
const LOCALES: &str = "usr/lib/locale";

/// What makes locales on a node, and where it finds that it has to.
const FIRST_START: &str = "usr/lib/portadc/first-start";
const ASK_FOR_LOCALES: &str = "/var/lib/portadc/first-start/locales";

/// What a home starts with.
const SKELETON: &str = "etc/skel";

/// The files that know users, but for their passwords.
const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";
const GSHADOW: &str = "etc/gshadow";

/// Files that Gentoo's `env-update` makes of those in /etc/env.d, and how each says that `LANG` is something.
const ENVIRONMENTS: [(&str, [&str; 3]); 3] = [
    ("etc/profile.env", ["export LANG=", "'", "'"]),
    ("etc/csh.env", ["setenv LANG ", "'", "'"]),
    ("etc/environment.d/10-gentoo-env.conf", ["LANG=", "", ""]),
];

/// What is said of a node, or of a container image.
#[derive(Debug)]
pub(super) struct Said<'s> {
    /// Names, time and language.
    pub system: &'s System,
    /// Users beside root, in the order of their names.
    pub users: Vec<&'s User>,
}

/// Paths that the fleet's settings come to.
#[derive(Debug, Default)]
pub(super) struct Settings {
    entries: BTreeMap<TargetPath, OverlayEntry>,
    /// Those of them that are laid on each node by itself, alike or not, since they are secret: what is the role's may be given away.
    pub own: BTreeSet<TargetPath>,
}

impl Settings {
    /// What can be said without a base.
    pub fn of(said: &Said<'_>, platform: Platform) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(zone) = &said.system.time_zone {
            let target = format!("../{ZONES}/{}", zone.value);
            settings.add("/etc/localtime", Source::Link(target), &zone.place)?;
            if platform.init == Init::OpenRc {
                let name = format!("{}\n", zone.value);
                settings.add("/etc/timezone", text(name), &zone.place)?;
            }
        }
        if let Some(locale) = &said.system.locale {
            let line = format!("LANG={}\n", locale.value);
            settings.add("/etc/locale.conf", text(line), &locale.place)?;
            // Where logins find it.
            let link = match platform.distribution {
                Distribution::Debian => "/etc/default/locale",
                Distribution::Gentoo => "/etc/env.d/02locale",
            };
            settings.add(link, Source::Link("../locale.conf".to_owned()), &locale.place)?;
        }
        let mut rules = String::new();
        for user in &said.users {
            let home = user.home();
            if user.logs_in() {
                settings.owned(&home, 0o700, Source::Directory, user)?;
            }
            if !user.keys.is_empty() {
                let keys = user.keys.iter().map(|key| format!("{key}\n")).collect();
                settings.owned(&format!("{home}/.ssh"), 0o700, Source::Directory, user)?;
                settings.owned(&format!("{home}/.ssh/authorized_keys"), 0o600, text(keys), user)?;
            }
            if user.sudo {
                // Without a password nobody could say one.
                let tag = user.password_hash.as_ref().map_or("NOPASSWD: ", |_| "");
                rules.push_str(&format!("{} ALL=(ALL:ALL) {tag}ALL\n", user.name));
            }
        }
        if let Some(first) = said.users.iter().find(|user| user.sudo) {
            let entry = OverlayEntry {
                mode: 0o440,
                owner: Owner::ROOT,
                source: text(rules),
                origin: EntryOrigin::Declared(first.place.clone()),
            };
            settings.entries.insert(target("/etc/sudoers.d/fleet")?, entry);
        }
        Ok(settings)
    }

    /// The same with what depends on what is below: `base` under the overlays of `merged`.
    pub fn over(said: &Said<'_>, platform: Platform, merged: &Merged<'_>, base: &Tree) -> Result<Self> {
        let mut settings = Self::of(said, platform)?;
        let mut findings = Findings::default();
        if let Some(zone) = &said.system.time_zone {
            findings.keep(has_zone(base, zone));
        }
        if let Some(locale) = &said.system.locale {
            settings.add_environment(base, locale)?;
        }
        if let Some(locale) = said.system.generated_locale() {
            match platform.distribution {
                Distribution::Debian => {
                    findings.keep(has_locale(base, locale));
                }
                Distribution::Gentoo => {
                    findings.keep(can_make_locale(base, merged, locale));
                    settings.ask_for_locale(base, locale)?;
                }
            }
        }
        if !said.users.is_empty() {
            let fits = check_users(&said.users, merged, base)?;
            if findings.keep_all(fits).is_some() {
                settings.add_users(&said.users, base)?;
            }
        }
        Ok(findings.or_value(settings)?)
    }

    /// Lays them over the overlays.
    pub fn lay<'s>(&'s self, merged: &mut Merged<'s>) {
        merged
            .entries
            .extend(self.entries.iter().map(|(path, entry)| (path.clone(), entry)));
    }

    /// What is laid on each node by itself.
    pub fn own_files(&self) -> impl Iterator<Item = (&TargetPath, &Arc<[u8]>)> {
        self.own
            .iter()
            .filter_map(|path| match &self.entries.get(path)?.source {
                Source::Verbatim(bytes) => Some((path, bytes)),
                _ => None,
            })
    }

    /// Adds root's `path`, which everybody may read.
    fn add(&mut self, path: &str, source: Source, place: &Place) -> Result<()> {
        let entry = OverlayEntry {
            mode: 0o644,
            owner: Owner::ROOT,
            source,
            origin: EntryOrigin::Declared(place.clone()),
        };
        self.entries.insert(target(path)?, entry);
        Ok(())
    }

    /// Adds a path that belongs to `user`.
    fn owned(&mut self, path: &str, mode: u32, source: Source, user: &User) -> Result<()> {
        let entry = OverlayEntry {
            mode,
            owner: Owner {
                user: Account::Id(user.uid),
                group: Account::Id(user.uid),
                place: None,
            },
            source,
            origin: EntryOrigin::Declared(user.place.clone()),
        };
        self.entries.insert(target(path)?, entry);
        Ok(())
    }

    /// Adds a file of the base with another text; owner and mode stay.
    fn replace(&mut self, base: &Tree, path: &str, text_now: String, place: &Place) -> Result<()> {
        let inode = base.lookup(path.as_bytes()).map(|id| &base.inodes[id.0]);
        let attributes = &inode
            .with_context(|| format!("the base has no /{path}"))?
            .attributes;
        let entry = OverlayEntry {
            mode: attributes.mode,
            owner: Owner {
                user: Account::Id(attributes.uid),
                group: Account::Id(attributes.gid),
                place: None,
            },
            source: text(text_now),
            origin: EntryOrigin::Declared(place.clone()),
        };
        self.entries.insert(target(&format!("/{path}"))?, entry);
        Ok(())
    }

    /// Says the locale where a Gentoo base has what `env-update` made of /etc/env.d.
    fn add_environment(&mut self, base: &Tree, locale: &Placed<String>) -> Result<()> {
        for (path, [name, open, close]) in ENVIRONMENTS {
            let Some(before) = read_text(base, path)? else {
                continue;
            };
            let mut lines: Vec<&str> = before.lines().filter(|line| !line.starts_with(name)).collect();
            let line = format!("{name}{open}{}{close}", locale.value);
            lines.push(&line);
            self.replace(base, path, lines.join("\n") + "\n", &locale.place)?;
        }
        Ok(())
    }

    /// Has the node make a locale when it first starts.
    fn ask_for_locale(&mut self, base: &Tree, locale: &Placed<String>) -> Result<()> {
        let mut list = read_text(base, "etc/locale.gen")?.unwrap_or_default();
        if !list.is_empty() && !list.ends_with('\n') {
            list.push('\n');
        }
        list.push_str(&format!("{} UTF-8\n", locale.value));
        self.add("/etc/locale.gen", text(list), &locale.place)?;
        self.add(ASK_FOR_LOCALES, text(String::new()), &locale.place)
    }

    /// Adds the users to the files that know them, and what their homes start with.
    fn add_users(&mut self, users: &[&User], base: &Tree) -> Result<()> {
        let Some(first) = users.first() else {
            return Ok(());
        };
        let read = |path: &str| {
            read_text(base, path)?
                .with_context(|| format!("the base has no /{path}, so it can have no users"))
        };
        let mut passwd = lines_of(read(PASSWD)?);
        let shadow = read(SHADOW)?;
        let mut shadow = lines_of(lock_passwords(&shadow).unwrap_or(shadow));
        for user in users {
            let User { name, uid, .. } = user;
            let shell = &user.shell.value;
            passwd.push_str(&format!("{name}:x:{uid}:{uid}::{}:{shell}\n", user.home()));
            // No day of a last change: a password does not age.
            let password = user.password_hash.as_ref().map_or("*", |hash| hash.reveal());
            shadow.push_str(&format!("{name}:{password}::0:99999:7:::\n"));
        }
        self.replace(base, PASSWD, passwd, &first.place)?;
        self.replace(base, SHADOW, shadow, &first.place)?;
        if users.iter().any(|user| user.password_hash.is_some()) {
            self.own.insert(target(&format!("/{SHADOW}"))?);
        }
        let own = |user: &User| format!("{}:x:{}:", user.name, user.uid);
        self.replace(base, GROUP, with_members(&read(GROUP)?, users, own), &first.place)?;
        if let Some(gshadow) = read_text(base, GSHADOW)? {
            let own = |user: &User| format!("{}:!::", user.name);
            self.replace(base, GSHADOW, with_members(&gshadow, users, own), &first.place)?;
        }
        self.fill_homes(users, base)
    }

    /// Copies what the base gives to a new user.
    fn fill_homes(&mut self, users: &[&User], base: &Tree) -> Result<()> {
        for (path, id) in below(base, SKELETON) {
            let inode = &base.inodes[id.0];
            let source = match &inode.kind {
                InodeKind::Directory(_) => Source::Directory,
                InodeKind::Symlink(target) => Source::Link(String::from_utf8_lossy(target).into_owned()),
                InodeKind::File(content, blob) => {
                    let bytes = content
                        .read(blob, MAX_FILE)
                        .with_context(|| format!("cannot read /{SKELETON}/{path} of the base"))?;
                    Source::Verbatim(bytes.into())
                }
                _ => continue,
            };
            for user in users.iter().filter(|user| user.logs_in()) {
                let path = format!("{}/{path}", user.home());
                if !self.entries.contains_key(&target(&path)?) {
                    self.owned(&path, inode.attributes.mode, source.clone(), user)?;
                }
            }
        }
        Ok(())
    }
}

fn target(path: &str) -> Result<TargetPath> {
    parse_target_path(path).map_err(|fault| anyhow::anyhow!("the path `{path}` {fault}"))
}

fn text(text: String) -> Source {
    Source::Verbatim(text.into_bytes().into())
}

/// Refuses nodes of a role that take their address by DHCP where nothing would ask for one: what does is systemd's, and a
/// stage3 of OpenRC has no client for sure.
pub(super) fn check_dhcp(fleet: &Fleet, role: &str, init: Init) -> Result<(), Findings> {
    let mut nodes = fleet.nodes.iter();
    let Some(node) = nodes.find(|node| init == Init::OpenRc && node.role == role && node.address.is_none())
    else {
        return Ok(());
    };
    let message = format!(
        "`{}` takes its address by DHCP, for which OpenRC has no program here",
        node.name
    );
    let mut finding = Finding::new(message)
        .hint("give it an address, or take a stage3 of systemd: `flavor` in sources.toml");
    if let Some(origin) = node.origins.iter().find(|origin| origin.name == "address") {
        finding = finding.at(origin.place.clone());
    }
    Err(finding.into())
}

/// A text whose last line ends.
fn lines_of(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// group(5) or gshadow(5) with the users as members, and the groups of their own as `own` writes each.
fn with_members(text: &str, users: &[&User], own: impl Fn(&User) -> String) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let name = line.split(':').next().unwrap_or_default();
        let is_in = |user: &&&User| user.groups.iter().any(|group| group.value == name);
        lines.push_str(line);
        for user in users.iter().filter(is_in) {
            if !lines.ends_with(':') {
                lines.push(',');
            }
            lines.push_str(&user.name);
        }
        lines.push('\n');
    }
    for user in users {
        lines.push_str(&own(user));
        lines.push('\n');
    }
    lines
}

/// What lies below a directory of `tree`, by relative path.
fn below(tree: &Tree, path: &str) -> Vec<(String, InodeId)> {
    let mut found = Vec::new();
    let mut folders: Vec<(String, InodeId)> = tree
        .directory(path.as_bytes())
        .map(|id| (String::new(), id))
        .into_iter()
        .collect();
    while let Some((above, id)) = folders.pop() {
        for (name, id) in tree.names(id).into_iter().flatten() {
            let path = format!("{above}{}", String::from_utf8_lossy(name));
            if tree.names(*id).is_some() {
                folders.push((format!("{path}/"), *id));
            }
            found.push((path, *id));
        }
    }
    found
}

/// Whether there is a file or a link at `path`.
fn has_file(tree: &Tree, path: &str) -> bool {
    tree.lookup(path.as_bytes()).is_some_and(|id| {
        matches!(
            tree.inodes[id.0].kind,
            InodeKind::File(..) | InodeKind::Symlink(_)
        )
    })
}

fn has_zone(base: &Tree, zone: &Placed<String>) -> Result<(), Finding> {
    if has_file(base, &format!("{ZONES}/{}", zone.value)) {
        return Ok(());
    }
    let found = below(base, ZONES);
    let zones: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    let hint = match zones.is_empty() {
        true => format!("it has no /{ZONES} at all: `leave-out` in sources.toml may say so"),
        false => suggest(&zone.value, zones),
    };
    let message = format!(
        "the base has no time zone {}: no /{ZONES}/{}",
        quoted(&zone.value),
        zone.value
    );
    Err(Finding::new(message).at(zone.place.clone()).hint(hint))
}

/// Whether a base has a locale that was generated with it.
fn has_locale(base: &Tree, locale: &Placed<String>) -> Result<(), Finding> {
    let folder = format!("{LOCALES}/{}", locale.value.replace("UTF-8", "utf8"));
    if has_file(base, &format!("{LOCALES}/locale-archive")) || base.directory(folder.as_bytes()).is_some() {
        return Ok(());
    }
    let message = format!("the base has no locale {}", quoted(&locale.value));
    Err(Finding::new(message)
        .at(locale.place.clone())
        .hint("leave it out, or take \"C.UTF-8\", which every base has"))
}

/// Whether a node can make a locale when it first starts.
fn can_make_locale(base: &Tree, merged: &Merged<'_>, locale: &Placed<String>) -> Result<(), Finding> {
    let value = &locale.value;
    let name = value.split('.').next().unwrap_or_default();
    let finding =
        |message: String, hint: String| Err(Finding::new(message).at(locale.place.clone()).hint(hint));
    if !merged.entries.keys().any(|path| path.relative() == FIRST_START) {
        return finding(
            format!("nothing on a node would generate the locale {}", quoted(value)),
            "add \"first-start\" to `overlays` of its role, or take \"C.UTF-8\"".to_owned(),
        );
    }
    if !has_file(base, &format!("{LOCALE_SOURCES}/{name}")) {
        let found = below(base, LOCALE_SOURCES);
        let known: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        let hint = match known.is_empty() {
            true => format!("it has no /{LOCALE_SOURCES} at all: `leave-out` in sources.toml may say so"),
            false => suggest(name, known),
        };
        let message = format!(
            "the base has nothing to make the locale {} of: no /{LOCALE_SOURCES}/{name}",
            quoted(value)
        );
        return finding(message, hint);
    }
    Ok(())
}

/// Finds users that the base cannot have.
fn check_users(users: &[&User], merged: &Merged<'_>, base: &Tree) -> Result<Result<(), Findings>> {
    let mut findings = Findings::default();
    let accounts = Accounts::read(base, merged)?;
    let sudoers = read_text(base, "etc/sudoers")?.unwrap_or_default();
    let sudo_is_there = has_file(base, "usr/bin/sudo")
        && sudoers.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words[..], ["@includedir" | "#includedir", "/etc/sudoers.d"])
        });
    let first = users.first().map(|user| user.place.clone());
    for (path, entry) in &merged.entries {
        if [PASSWD, SHADOW, GROUP, GSHADOW].contains(&path.relative()) {
            let finding = Finding::new(format!(
                "users are added to the base's `{path}`, and {} is laid over it",
                entry.origin
            ));
            let finding = finding.hint("name all users here, or take `[users]` away");
            findings.push(match &first {
                Some(place) => finding.at(place.clone()),
                None => finding,
            });
        }
    }
    for user in users {
        let name = quoted(&user.name);
        let mut found = |place: &Place, message: String, hint: String| {
            findings.push(Finding::new(message).at(place.clone()).hint(hint));
        };
        if accounts.users.contains_key(&user.name) || accounts.groups.contains_key(&user.name) {
            let message = format!("the base has a user or a group {name} already");
            found(&user.place, message, "choose another name".to_owned());
        }
        let numbers = accounts.users.iter().chain(&accounts.groups);
        if let Some((other, _)) = numbers.into_iter().find(|(_, id)| **id == user.uid) {
            let message = format!(
                "uid {} of {name} is that of {} in the base",
                user.uid,
                quoted(other)
            );
            found(&user.place, message, "give it another `uid`".to_owned());
        }
        for group in user
            .groups
            .iter()
            .filter(|group| !accounts.groups.contains_key(&group.value))
        {
            let known = accounts.groups.keys().map(String::as_str);
            let message = format!("the base has no group {}", quoted(&group.value));
            found(&group.place, message, suggest(&group.value, known));
        }
        let shell = &user.shell;
        if !has_file(base, &shell.value) {
            let message = format!("the base has no {}, the shell of {name}", quoted(&shell.value));
            let hint = "name a package that brings it in an overlay, or another shell: \"/bin/sh\"";
            found(&shell.place, message, hint.to_owned());
        }
        if user.sudo && !sudo_is_there {
            let message = format!("{name} may use sudo, and the base has none that reads /etc/sudoers.d");
            found(
                &user.place,
                message,
                "`portadc update` locks the package".to_owned(),
            );
        }
    }
    Ok(findings.or_value(()))
}
