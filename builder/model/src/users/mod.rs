//! Users of nodes beside root: people, whom the fleet names, and those that services run as, whom overlays name.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::check::Check;
use crate::finding::Place;
use crate::names::quoted;
use crate::path::parse_target_path;
use crate::sources::Distribution;
use crate::written::{At, Origin, Placed, Table};

mod keys;
mod toml;

pub(crate) use keys::key_fault;
pub use toml::{PasswordHash, UserToml};

/// Longest name: what useradd takes, and utmp has room for.
const MAX_NAME: usize = 32;

/// Numbers that people may have: those below are the base's, those above systemd's and the containers'.
const UIDS: RangeInclusive<u32> = 1000..=59999;

/// Numbers that follow from names. Those below are for whom somebody adds on a node.
const DERIVED: RangeInclusive<u32> = 20000..=49999;

/// What a login starts where nobody says otherwise.
const SHELL: &str = "/bin/bash";

/// The same of a user that nobody logs in as: it is there on every base.
const NO_SHELL: &str = "/sbin/nologin";

/// Whom a table of users may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// People, each of whom can log in.
    People,
    /// Also those that services run as.
    Anybody,
}

/// A user.
#[derive(Debug, Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Where that was written.
    pub place: Place,
    /// Its number, and that of the group of its own.
    pub uid: u32,
    /// OpenSSH public keys that log in as this user, a line each.
    pub keys: Vec<String>,
    /// Groups that it is in beside its own.
    pub groups: Vec<Placed<String>>,
    /// Whether it may do everything by sudo.
    pub sudo: bool,
    /// What a login starts.
    pub shell: Placed<String>,
    /// Its password as crypt(5) hashes it.
    pub password_hash: Option<PasswordHash>,
}

impl User {
    /// Whether somebody can log in as this user; else it is a service's.
    pub fn logs_in(&self) -> bool {
        !self.keys.is_empty() || self.password_hash.is_some()
    }

    /// Its home, an absolute path. That of a service's is not there.
    pub fn home(&self) -> String {
        match self.logs_in() {
            true => format!("/home/{}", self.name),
            false => "/nonexistent".to_owned(),
        }
    }

    /// The user as `show` tells it, and where that was written.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            name: "user".to_owned(),
            value: self.shown(),
            place: self.place.clone(),
            note: None,
        }
    }

    /// Everything that was written of it, to be compared.
    pub(crate) fn content(&self) -> impl PartialEq {
        let groups = self.groups.iter().map(|group| group.value.as_str());
        (
            self.uid,
            &self.keys,
            groups.collect::<Vec<_>>(),
            self.sudo,
            &self.shell.value,
            &self.password_hash,
        )
    }

    fn shown(&self) -> String {
        let keys = match self.keys.len() {
            1 => "1 key".to_owned(),
            count => format!("{count} keys"),
        };
        let groups = self.groups.iter().map(|group| group.value.as_str());
        let mut parts = vec![format!("{} uid {}", self.name, self.uid), keys];
        parts.extend(self.password_hash.as_ref().map(|_| "password".to_owned()));
        parts.extend(self.sudo.then(|| "sudo".to_owned()));
        parts.extend(groups.map(str::to_owned));
        parts.join(", ")
    }
}

/// Each of `users` once, in the order of their names.
pub(crate) fn by_name<'u>(users: impl IntoIterator<Item = &'u User>) -> Vec<&'u User> {
    let users: BTreeMap<_, _> = users.into_iter().map(|user| (&user.name, user)).collect();
    users.into_values().collect()
}

/// Packages that users need.
pub(crate) fn packages<'u>(
    users: impl IntoIterator<Item = &'u User>,
    distribution: Distribution,
) -> Option<&'static str> {
    users
        .into_iter()
        .any(|user| user.sudo)
        .then_some(match distribution {
            Distribution::Debian => "sudo",
            Distribution::Gentoo => "app-admin/sudo",
        })
}

/// The users that hold, by name.
pub(crate) fn check_users(check: &mut Check<'_>, written: &Table<UserToml>, who: Who) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    let mut numbers: BTreeMap<u32, &At<String>> = BTreeMap::new();
    for (name, toml) in written {
        if let Some((fault, hint)) = name_fault(name) {
            check
                .found(&name.span, format!("user name {} {fault}", quoted(name)))
                .hint(hint);
        }
        for key in &toml.keys {
            if let Some((fault, hint)) = key_fault(key) {
                check
                    .found(&key.span, format!("this is no OpenSSH public key: {fault}"))
                    .hint(hint);
            }
        }
        check.distinct(&toml.keys, "key");
        check.distinct(&toml.groups, "group");
        // The value itself is no business of whoever reads the finding.
        if let Some(fault) = toml
            .password_hash
            .as_ref()
            .and_then(|hash| hash_fault(hash.reveal()))
        {
            check
                .found(&name.span, format!("`password-hash` of {} {fault}", quoted(name)))
                .hint("`mkpasswd --method=yescrypt` (Debian package `whois`) asks for a password and prints its hash");
        }
        let logs_in = !toml.keys.is_empty() || toml.password_hash.is_some();
        if !logs_in && who == Who::People {
            check
                .found(&name.span, format!("nobody could log in as {}", quoted(name)))
                .hint("give it `keys`, lines of `.pub` files, or a `password-hash`");
        }
        let shell = match &toml.shell {
            Some(shell) => shell,
            None => &At {
                value: if logs_in { SHELL } else { NO_SHELL }.to_owned(),
                span: name.span.clone(),
            },
        };
        if let Some(fault) = parse_target_path(shell)
            .err()
            .or_else(|| shell.contains(':').then(|| "has a colon".to_owned()))
        {
            check
                .found(&shell.span, format!("shell {} {fault}", quoted(shell)))
                .hint("the absolute path of a program of the base: \"/bin/bash\"");
        }
        let uid = match &toml.uid {
            Some(uid) if !UIDS.contains(uid) => {
                let (least, most) = UIDS.into_inner();
                check
                    .found(
                        &uid.span,
                        format!("uid {} is not within {least} to {most}", uid.value),
                    )
                    .hint("leave it out: a number follows from the name, the same on all nodes");
                continue;
            }
            Some(uid) => uid.value,
            None => derived(name),
        };
        let span = toml.uid.as_ref().map_or(&name.span, |uid| &uid.span);
        if let Some(other) = numbers.insert(uid, name) {
            check
                .found(
                    span,
                    format!("{} and {} have the same uid, {uid}", quoted(other), quoted(name)),
                )
                .related(&other.span, "the other one")
                .hint("give one of them another `uid`");
        }
        users.push(User {
            name: name.value.clone(),
            place: check.place(&name.span),
            uid,
            keys: toml.keys.iter().map(|key| key.value.clone()).collect(),
            groups: toml
                .groups
                .iter()
                .map(|group| Placed {
                    value: group.value.clone(),
                    place: check.place(&group.span),
                })
                .collect(),
            sudo: toml.sudo,
            shell: Placed {
                value: shell.value.clone(),
                place: check.place(&shell.span),
            },
            password_hash: toml.password_hash.as_ref().map(|hash| hash.value.clone()),
        });
    }
    users.sort_by(|one, other| one.name.cmp(&other.name));
    users
}

/// Says why nobody can have this name, and what to do. It becomes a path and a field of passwd(5).
fn name_fault(name: &str) -> Option<(String, &'static str)> {
    const HINT: &str =
        "names are lower-case letters, digits, `_` and `-`, 32 at most, and start with a letter";
    if name == "root" {
        let hint = "the keys of `admin-keys` log in as root";
        return Some(("is the administrator's, whom every node has".to_owned(), hint));
    }
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let fault = if name.len() > MAX_NAME {
        format!("is {} bytes long, the limit is {MAX_NAME}", name.len())
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        "does not start with a lower-case letter".to_owned()
    } else if let Some(bad) = name.chars().find(|c| !u8::try_from(*c).is_ok_and(inner)) {
        format!("has the character `{}`", bad.escape_debug())
    } else {
        return None;
    };
    Some((fault, HINT))
}

/// The number that follows from a name alone (FNV-1a), so that no other user's coming or going changes it.
fn derived(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    DERIVED.start() + hash % (DERIVED.end() - DERIVED.start() + 1)
}

/// Says why this is no password that crypt(5) hashed in a way that still holds.
fn hash_fault(hash: &str) -> Option<&'static str> {
    let in_alphabet = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
    };
    let salted = |salt: &str, longest: usize| !salt.is_empty() && salt.len() <= longest && in_alphabet(salt);
    let hashed = |text: &str, length: usize| text.len() == length && in_alphabet(text);
    let fields: Vec<&str> = hash.split('$').collect();
    let sound = match fields[..] {
        ["", "y", parameters, salt, text] => salted(parameters, 32) && salted(salt, 86) && hashed(text, 43),
        ["", method @ ("5" | "6"), ref rest @ ..] => {
            let rest = match rest {
                [rounds, rest @ ..] if rounds.starts_with("rounds=") => {
                    let count = rounds["rounds=".len()..].parse::<u32>();
                    if !count.is_ok_and(|count| (1000..=999_999_999).contains(&count)) {
                        return Some("has no number of rounds");
                    }
                    rest
                }
                rest => rest,
            };
            let length = if method == "5" { 43 } else { 86 };
            matches!(rest, [salt, text] if salted(salt, 16) && hashed(text, length))
        }
        ["", "2b" | "2y", cost, text] => {
            cost.len() == 2
                && cost.parse::<u8>().is_ok_and(|cost| (4..=31).contains(&cost))
                && hashed(text, 53)
        }
        ["", "1" | "2" | "2a" | "2x" | "md5" | "sha1" | "3", ..] => {
            return Some("is of a method that no longer holds");
        }
        ["", _, ..] => false,
        _ => return Some("is no hash of crypt(5); a password itself has no place in this file"),
    };
    (!sound).then_some("is no whole hash of crypt(5): it was cut or edited")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_told_from_passwords() {
        let (short, long) = ("a".repeat(43), "./aZ09".repeat(14) + "xy");
        for good in [
            format!("$y$j9T$F5Jx5fExrKuPp53xLKQ..1${short}"),
            format!("$6$saltsalt${long}"),
            format!("$6$rounds=5000$saltsalt${long}"),
            format!("$5$saltsalt${short}"),
            format!("$2b$12${}", "a".repeat(53)),
        ] {
            assert_eq!(hash_fault(&good), None, "{good}");
            for end in 0..good.len() {
                assert!(hash_fault(&good[..end]).is_some(), "{}", &good[..end]);
            }
            assert!(hash_fault(&format!("{good}:0:0")).is_some(), "{good}");
            assert!(hash_fault(&format!("{good}\n")).is_some(), "{good}");
        }
        for (bad, fault) in [
            ("secret", "a password itself"),
            ("!", "a password itself"),
            ("$1$salt$aaaaaaaaaaaaaaaaaaaaaa", "no longer holds"),
            ("$6$rounds=1$salt$a", "no number of rounds"),
            ("$x$y", "cut or edited"),
        ] {
            assert!(hash_fault(bad).unwrap().contains(fault), "{bad}");
        }
    }

    #[test]
    fn a_number_follows_from_the_name_alone() {
        assert_eq!(derived("anna"), derived("anna"));
        assert_ne!(derived("anna"), derived("annb"));
        for name in ["a", "anna", "x-y_z9"] {
            assert!(DERIVED.contains(&derived(name)), "{name}");
            assert_eq!(name_fault(name), None);
        }
        // On cards that were flashed it stands in every inode: it must not change.
        assert_eq!(derived("operator"), 36029);
    }

    #[test]
    fn names_are_no_paths_and_no_fields() {
        for bad in [
            "",
            "root",
            "Anna",
            "9lives",
            "-x",
            "a:b",
            "a/b",
            "a.b",
            "ä",
            &"a".repeat(33),
        ] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }
}
