//! Users and groups of a base: numbers for names, and passwords that nobody can use.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use formats::tree::{InodeKind, Tree};
use model::finding::Finding;
use model::names::{quoted, suggest};
use model::overlay::{Account, Owner, Source};

use super::merge::Merged;

/// Largest passwd, group or shadow that is read, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// Where the passwords are.
pub(super) const SHADOW: &str = "etc/shadow";

/// The names that `/etc/passwd` and `/etc/group` of a base give numbers.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Those of a tree, unless what is laid over it says otherwise; where neither has the files, there is root alone.
    pub fn read(tree: &Tree, over: &Merged<'_>) -> Result<Self> {
        let read = |path: &str| -> Result<_> {
            let laid = over.entries.iter().find(|(laid, _)| laid.relative() == path);
            let laid = laid.map(|(_, entry)| &entry.source);
            Ok(names(&match laid {
                Some(Source::Verbatim(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
                _ => read_text(tree, path)?.unwrap_or_default(),
            }))
        };
        Ok(Self {
            users: read("etc/passwd")?,
            groups: read("etc/group")?,
        })
    }

    /// User and group as numbers.
    pub fn resolve(&self, owner: &Owner) -> Result<(u32, u32), Finding> {
        let find = |account: &Account, known: &BTreeMap<String, u32>, what: &str| match account {
            Account::Id(id) => Ok(*id),
            Account::Name(name) => known.get(name).copied().ok_or_else(|| {
                let finding = Finding::new(format!("the base has no {what} {}", quoted(name)))
                    .hint(suggest(name, known.keys().map(String::as_str)));
                match &owner.place {
                    Some(place) => finding.at(place.clone()),
                    None => finding,
                }
            }),
        };
        Ok((
            find(&owner.user, &self.users, "user")?,
            find(&owner.group, &self.groups, "group")?,
        ))
    }
}

/// The third field of each line by the first (passwd(5), group(5)).
fn names(text: &str) -> BTreeMap<String, u32> {
    let mut names = BTreeMap::from([("root".to_owned(), 0)]);
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.insert(name.to_owned(), id);
        }
    }
    names
}

/// The text of a file of `tree`; `None` where there is none.
pub(super) fn read_text(tree: &Tree, path: &str) -> Result<Option<String>> {
    let Some(id) = tree.lookup(path.as_bytes()) else {
        return Ok(None);
    };
    let InodeKind::File(content, blob) = &tree.inodes[id.0].kind else {
        return Ok(None);
    };
    let bytes = content
        .read(blob, MAX_FILE)
        .with_context(|| format!("cannot read /{path} of the base"))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// `shadow` with every password gone that somebody could log in with: root's whatever it is, and empty ones. `None`
/// where there is none of them.
pub(super) fn lock_passwords(shadow: &str) -> Option<String> {
    let mut locked = String::with_capacity(shadow.len());
    let mut changed = false;
    for line in shadow.split_inclusive('\n') {
        let mut fields = line.splitn(3, ':');
        match (fields.next(), fields.next(), fields.next()) {
            (Some(name), Some(password), Some(rest))
                if password.is_empty() || (name == "root" && !password.starts_with(['*', '!'])) =>
            {
                changed = true;
                locked.push_str(&format!("{name}:*:{rest}"));
            }
            _ => locked.push_str(line),
        }
    }
    changed.then_some(locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_passwords_of_root_and_empty_ones_are_locked() {
        let shadow = "root:$6$x$y:19000:0:::::\nuser::19000:0:::::\nother:$6$a$b:1::::::\nbin:*:1::::::\n";
        assert_eq!(
            lock_passwords(shadow).unwrap(),
            "root:*:19000:0:::::\nuser:*:19000:0:::::\nother:$6$a$b:1::::::\nbin:*:1::::::\n"
        );
        assert_eq!(lock_passwords("root:!x:1::::::\nbin:!:1::::::\n"), None);
        assert_eq!(lock_passwords("root::1::::::").unwrap(), "root:*:1::::::");
    }

    #[test]
    fn names_come_with_their_numbers() {
        let names = names("root:x:0:0:root:/root:/bin/sh\nbroken\nadm:x:4:\n");
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [("adm".into(), 4), ("root".into(), 0)]
        );
    }
}
