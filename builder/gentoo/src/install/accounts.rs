//! Users and groups of the system: numbers for names, and those that packages of `acct-user` and `acct-group` bring.
//!
//! Gentoo's packages would call `useradd` and `groupadd` before and after they are merged; what they would make is in
//! the file for `sysusers.d` that each of them has.

use std::collections::BTreeSet;
use std::io::Write;

use formats::units::Time;

use super::error::Fault;
use super::root::Root;

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";
const SHADOW: &str = "etc/shadow";
const GSHADOW: &str = "etc/gshadow";

/// Files of accounts.
pub(super) const FILES: [&str; 4] = [PASSWD, GROUP, SHADOW, GSHADOW];

/// Numbers for accounts that ask for none, the highest first.
const DYNAMIC: std::ops::RangeInclusive<u32> = 101..=999;

/// One of the files: lines of fields with colons between.
#[derive(Debug, Default)]
struct Table {
    path: &'static str,
    lines: Vec<Vec<String>>,
    changed: bool,
}

#[derive(Debug)]
pub(super) struct Accounts {
    users: Table,
    groups: Table,
    shadow: Table,
    gshadow: Table,
    /// Days since 1970, for the field of `shadow` that says when a password was changed.
    day: i64,
}

/// What one file for `sysusers.d` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Group {
        name: String,
        id: Option<u32>,
    },
    User {
        name: String,
        id: Option<u32>,
        group: Option<String>,
        comment: String,
        home: String,
        shell: String,
    },
    Member {
        user: String,
        group: String,
    },
}

impl Accounts {
    /// Those of the system; a system without the files has none.
    pub fn read<W: Write>(root: &Root<W>, time: Time) -> Result<Self, Fault> {
        Ok(Self {
            users: Table::read(root, PASSWD, 7, &[2, 3])?,
            groups: Table::read(root, GROUP, 4, &[2])?,
            shadow: Table::read(root, SHADOW, 9, &[])?,
            gshadow: Table::read(root, GSHADOW, 4, &[])?,
            day: time.seconds.div_euclid(86_400).max(0),
        })
    }

    pub fn uid(&self, name: &[u8]) -> Option<u32> {
        self.users.number(name)
    }

    pub fn gid(&self, name: &[u8]) -> Option<u32> {
        self.groups.number(name)
    }

    /// A user's own group.
    pub fn group_of(&self, user: &str) -> Option<u32> {
        self.users.line(user)?.get(3)?.parse().ok()
    }

    /// Makes the accounts that a file for `sysusers.d` asks for, unless they are there.
    pub fn add(&mut self, path: &[u8], sysusers: &[u8]) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(sysusers);
        for (number, line) in text.lines().enumerate() {
            let fault = |what: String| Fault::Line {
                path: path.to_vec(),
                line: number + 1,
                what,
            };
            match wish(line).map_err(|what| fault(what.to_owned()))? {
                None => {}
                Some(Wish::Group { name, id }) => {
                    self.group(&name, id)?;
                }
                Some(Wish::User {
                    name,
                    id,
                    group,
                    comment,
                    home,
                    shell,
                }) => {
                    self.user(&name, id, group.as_deref(), [&comment, &home, &shell])
                        .map_err(|error| match error {
                            UserError::NoGroup(group) => fault(format!("there is no group {group}")),
                            UserError::Fault(fault) => fault,
                        })?;
                }
                Some(Wish::Member { user, group }) => {
                    if self.groups.line(&group).is_none() {
                        return Err(fault(format!("there is no group {group}")));
                    }
                    self.groups.add_member(&group, &user);
                    self.gshadow.add_member(&group, &user);
                }
            }
        }
        Ok(())
    }

    fn group(&mut self, name: &str, id: Option<u32>) -> Result<u32, Fault> {
        if let Some(gid) = self.gid(name.as_bytes()) {
            return Ok(gid);
        }
        let gid = self.groups.free(id, "group", name)?;
        self.groups.push([name, "x", &gid.to_string(), ""]);
        self.gshadow.push([name, "!", "", ""]);
        Ok(gid)
    }

    fn user(
        &mut self,
        name: &str,
        id: Option<u32>,
        group: Option<&str>,
        [comment, home, shell]: [&str; 3],
    ) -> Result<(), UserError> {
        if self.uid(name.as_bytes()).is_some() {
            return Ok(());
        }
        let uid = self.users.free(id, "user", name)?;
        let gid = match group {
            None => self.group(name, Some(uid))?,
            Some(group) => match group.parse() {
                Ok(gid) => gid,
                Err(_) => self
                    .gid(group.as_bytes())
                    .ok_or_else(|| UserError::NoGroup(group.to_owned()))?,
            },
        };
        let numbers = [uid.to_string(), gid.to_string()];
        self.users
            .push([name, "x", &numbers[0], &numbers[1], comment, home, shell]);
        // No password: nobody can log in with one.
        let day = self.day.to_string();
        self.shadow.push([name, "!", &day, "", "", "", "", "", ""]);
        Ok(())
    }

    /// Writes the files that changed.
    pub fn finish<W: Write>(&self, root: &mut Root<W>) -> Result<(), Fault> {
        for (table, mode) in [
            (&self.users, 0o644),
            (&self.groups, 0o644),
            (&self.shadow, 0o640),
            (&self.gshadow, 0o640),
        ] {
            if table.changed {
                let lines = table.lines.iter().map(|fields| fields.join(":") + "\n");
                let bytes = lines.collect::<String>().into_bytes();
                root.write_text(table.path.as_bytes(), mode, bytes)?;
            }
        }
        Ok(())
    }
}

enum UserError {
    NoGroup(String),
    Fault(Fault),
}

impl From<Fault> for UserError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Table {
    /// Reads a file whose lines have `fields` fields, those of `numbers` numeric.
    fn read<W: Write>(
        root: &Root<W>,
        path: &'static str,
        fields: usize,
        numbers: &[usize],
    ) -> Result<Self, Fault> {
        let bytes = root.read(path.as_bytes())?.unwrap_or_default();
        let mut table = Self {
            path,
            ..Self::default()
        };
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let fault = |what: String| Fault::Line {
                path: path.into(),
                line: number + 1,
                what,
            };
            let line = str::from_utf8(line).map_err(|_| fault("it is no UTF-8".to_owned()))?;
            let split: Vec<String> = line.split(':').map(str::to_owned).collect();
            if split.len() != fields || split[0].is_empty() {
                let found = split.len();
                return Err(fault(format!(
                    "a name and {} more fields have to be here, not {found} in all",
                    fields - 1
                )));
            }
            if let Some(bad) = numbers
                .iter()
                .find(|field| split[**field].parse::<u32>().is_err())
            {
                return Err(fault(format!(
                    "field {} is no number: {:?}",
                    bad + 1,
                    split[*bad]
                )));
            }
            table.lines.push(split);
        }
        Ok(table)
    }

    fn line(&self, name: &str) -> Option<&Vec<String>> {
        self.lines.iter().find(|fields| fields[0] == name)
    }

    fn number(&self, name: &[u8]) -> Option<u32> {
        let line = self.lines.iter().find(|fields| fields[0].as_bytes() == name)?;
        line.get(2)?.parse().ok()
    }

    /// The wished number if nobody has it, else the highest that is free.
    fn free(&self, wished: Option<u32>, what: &'static str, name: &str) -> Result<u32, Fault> {
        let used: BTreeSet<u32> = self
            .lines
            .iter()
            .filter_map(|fields| fields[2].parse().ok())
            .collect();
        let free = wished
            .into_iter()
            .chain(DYNAMIC.rev())
            .find(|number| !used.contains(number));
        free.ok_or_else(|| Fault::NoNumber {
            what,
            name: name.to_owned(),
        })
    }

    fn push<const FIELDS: usize>(&mut self, fields: [&str; FIELDS]) {
        if self.line(fields[0]).is_none() {
            self.lines.push(fields.map(str::to_owned).to_vec());
            self.changed = true;
        }
    }

    /// Adds a user to the list in the last field of a group.
    fn add_member(&mut self, group: &str, user: &str) {
        let Some(line) = self.lines.iter_mut().find(|fields| fields[0] == group) else {
            return;
        };
        if let Some(members) = line.last_mut()
            && !members.split(',').any(|member| member == user)
        {
            if !members.is_empty() {
                members.push(',');
            }
            members.push_str(user);
            self.changed = true;
        }
    }
}

/// What a line of `sysusers.d` asks for (sysusers.d(5)); `None` for an empty line or a comment.
fn wish(line: &str) -> Result<Option<Wish>, &'static str> {
    let words = words(line)?;
    let given = |at: usize| {
        let word = words.get(at).map(String::as_str);
        word.filter(|word| !word.is_empty() && *word != "-")
            .map(str::to_owned)
    };
    let id = |text: &str| match text {
        "-" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "its number is none"),
    };
    let Some(kind) = words.first().filter(|kind| !kind.starts_with('#')) else {
        return Ok(None);
    };
    let name = given(1).ok_or("it has no name")?;
    let is_legal = |name: &str| {
        name.len() <= 32
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte))
            && !name.starts_with(|c: char| c == '-' || c.is_ascii_digit())
    };
    if !is_legal(&name) {
        return Err("its name is none of an account");
    }
    let text = |at: usize, default: &str| match given(at) {
        Some(text) if text.contains([':', '\n']) => Err("a field has a colon or a line break"),
        text => Ok(text.unwrap_or_else(|| default.to_owned())),
    };
    let number = words.get(2).map_or("-", String::as_str);
    Ok(Some(match &kind[..] {
        "g" => Wish::Group {
            name,
            id: id(number)?,
        },
        "u" | "u!" => {
            let (uid, group) = match number.split_once(':') {
                None => (number, None),
                Some((uid, group)) if is_legal(group) || group.parse::<u32>().is_ok() => {
                    (uid, Some(group.to_owned()))
                }
                Some(_) => return Err("its group is none"),
            };
            Wish::User {
                name,
                id: id(uid)?,
                group,
                comment: text(3, "")?,
                home: text(4, "/dev/null")?,
                shell: text(5, "/sbin/nologin")?,
            }
        }
        "m" => Wish::Member {
            user: name,
            group: given(2).ok_or("it has no group")?,
        },
        _ => return Err("it asks for something else than a user, a group or a member"),
    }))
}

/// The words of a line: quotes and backslashes keep what is between words together.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word
                .get_or_insert_default()
                .push(chars.next().ok_or("it ends with a backslash")?),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysusers_lines_as_gentoo_writes_them() {
        assert_eq!(wish("# c").unwrap(), None);
        assert_eq!(wish("").unwrap(), None);
        assert_eq!(
            wish("g\tsvc\t987").unwrap(),
            Some(Wish::Group {
                name: "svc".into(),
                id: Some(987)
            })
        );
        let user = wish(r"u	ntp	123:ntp	user\ for\ ntp	/dev/null	-").unwrap();
        let expected = Wish::User {
            name: "ntp".into(),
            id: Some(123),
            group: Some("ntp".into()),
            comment: "user for ntp".into(),
            home: "/dev/null".into(),
            shell: "/sbin/nologin".into(),
        };
        assert_eq!(user, Some(expected));
        let member = Wish::Member {
            user: "ntp".into(),
            group: "net".into(),
        };
        assert_eq!(wish("m ntp net").unwrap(), Some(member));
    }

    #[test]
    fn what_is_no_account_is_refused() {
        for (line, reason) in [
            ("g", "no name"),
            ("g x y", "number is none"),
            ("g x -1", "number is none"),
            ("g 1x 5", "name is none"),
            ("g a:b 5", "name is none"),
            ("u x 5:a:b", "group is none"),
            ("u x 5 a:b", "colon"),
            ("u x 5 \"a", "not closed"),
            ("u x 5 a\\", "backslash"),
            ("r - 5-6", "no name"),
            ("z x 5", "something else"),
            ("m x", "no group"),
        ] {
            let error = wish(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
