//! Who the users of a name space are outside of it: a range of numbers that belongs to nobody else.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::process::{getegid, geteuid};

use crate::{Preflight, Requirement, Tool, find_program};

/// Users and groups of a name space: 0 to 65535, as every distribution numbers its own.
pub const COUNT: u32 = 65536;

/// Whom root maps them to: numbers that no distribution gives away, neither to users nor to containers. Never itself: files
/// of /proc/sys and of the host would be its own.
const FIRST_OF_ROOT: u32 = 0x7000_0000;

/// First of the numbers that Debian gives to users for such ranges.
const FIRST_SUBORDINATE: u32 = 100_000;

/// How users and groups of a name space are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// By root, who may map them to any: 0 to this number, and so on.
    Range(u32),
    /// By newuidmap: 0 to this user and group, those from 1 on to ranges that `/etc/subuid` and `/etc/subgid` give them.
    Subordinate {
        /// The user.
        user: u32,
        /// Its group.
        group: u32,
        /// First of the range of users.
        users: u32,
        /// First of the range of groups.
        groups: u32,
    },
}

impl Users {
    /// How this process may map them.
    pub fn of_this_process() -> Result<Self> {
        let user = geteuid();
        if user.is_root() {
            return Ok(Self::Range(FIRST_OF_ROOT));
        }
        let user = user.as_raw();
        let name = fs::read_to_string("/etc/passwd")
            .ok()
            .and_then(|text| name_of(&text, user));
        let texts = ["/etc/subuid", "/etc/subgid"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let [users, groups] = &texts;
        let range = |text: &str| range_of(text, name.as_deref(), user);
        match (range(users), range(groups)) {
            (Some(users), Some(groups)) => Ok(Self::Subordinate {
                user,
                group: getegid().as_raw(),
                users,
                groups,
            }),
            (users, groups) => {
                let name = name.clone().unwrap_or_else(|| user.to_string());
                bail!(mending(&name, users.is_some(), groups.is_some(), &texts))
            }
        }
    }

    /// Maps them in the name space of the process `pid`.
    pub fn map(&self, pid: u32) -> Result<()> {
        match *self {
            Self::Range(first) => {
                for file in ["uid_map", "gid_map"] {
                    let path = format!("/proc/{pid}/{file}");
                    fs::write(&path, format!("0 {first} {COUNT}\n"))
                        .with_context(|| format!("cannot map users: cannot write {path}"))?;
                }
                Ok(())
            }
            Self::Subordinate {
                user,
                group,
                users,
                groups,
            } => {
                for (program, own, first) in [("newuidmap", user, users), ("newgidmap", group, groups)] {
                    let numbers = [0, own, 1, 1, first, COUNT - 1].map(|number| number.to_string());
                    Tool::new(program, "uidmap")
                        .arg(pid.to_string())
                        .args(numbers)
                        .output()
                        .context("cannot map users")?;
                }
                Ok(())
            }
        }
    }

    /// Gives a folder, which this process made, to the root of the name space.
    pub fn give(&self, folder: &Path) -> Result<()> {
        match *self {
            Self::Range(first) => std::os::unix::fs::chown(folder, Some(first), Some(first))
                .with_context(|| format!("cannot give {} away", folder.display())),
            Self::Subordinate { .. } => Ok(()),
        }
    }
}

/// Asks for what a name space needs from this machine. `purpose` says what it is for.
pub fn requirements(preflight: &mut Preflight, purpose: &str) {
    preflight.programs([
        Requirement::new("unshare", "util-linux", purpose),
        Requirement::new("setsid", "util-linux", purpose),
        Requirement::new("pivot_root", "util-linux", purpose),
        Requirement::new("mount", "mount", purpose),
        Requirement::new("tar", "tar", purpose),
    ]);
    if !geteuid().is_root() {
        preflight.programs([Requirement::new("newuidmap", "uidmap", "maps users without root")]);
    }
    if let Err(error) = Users::of_this_process() {
        preflight.problem(format!("{error:#}"));
    }
    // Settings forbid name spaces, and so do security modules and containers: only a try tells.
    if find_program("unshare").is_some()
        && let Err(error) = try_name_spaces()
    {
        let setting = |name: &str| {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            fs::read_to_string(path).ok()
        };
        preflight.problem(match forbidding(setting, geteuid().is_root()) {
            Some((name, allowing)) => {
                format!("{purpose}: the kernel gives no user name spaces: as root, sysctl {name}={allowing}")
            }
            None => format!(
                "{purpose}: there are no name spaces for this user ({error:#}): the kernel has to have them, and its security \
                 module, or the container that this runs in, to allow them"
            ),
        });
    }
}

/// Makes name spaces of all kinds that a root is entered in, and ends them.
fn try_name_spaces() -> Result<()> {
    let kinds = ["--user", "--mount", "--pid", "--net", "--ipc", "--uts"];
    let tool = Tool::new("unshare", "util-linux").args(kinds);
    tool.args(["--map-root-user", "--fork", "--", "true"])
        .output()
        .map(drop)
}

/// The kernel's setting that forbids user name spaces, and the value that allows them. `setting` is the value of one by its
/// name; two of them bind only users that are not root.
fn forbidding(
    setting: impl Fn(&str) -> Option<String>,
    is_root: bool,
) -> Option<(&'static str, &'static str)> {
    let settings = [
        ("user.max_user_namespaces", "0", "15000", true),
        ("kernel.unprivileged_userns_clone", "0", "1", false),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0", false),
    ];
    settings
        .into_iter()
        .filter(|(.., binds_root)| *binds_root || !is_root)
        .find(|(name, forbids, ..)| setting(name).is_some_and(|value| value.trim() == *forbids))
        .map(|(name, _, allows, _)| (name, allows))
}

/// What is missing for the user called `name`, and the command that mends it. `texts` are those of /etc/subuid and /etc/subgid.
fn mending(name: &str, has_users: bool, has_groups: bool, texts: &[String; 2]) -> String {
    let free = texts
        .iter()
        .map(|text| first_free(text))
        .max()
        .unwrap_or(FIRST_SUBORDINATE);
    let numbers = format!("{free}-{}", free + (COUNT - 1));
    let (mut files, mut options) = (Vec::new(), String::new());
    for (has, file, option) in [
        (has_users, "/etc/subuid", "--add-subuids"),
        (has_groups, "/etc/subgid", "--add-subgids"),
    ] {
        if !has {
            files.push(file);
            options += &format!(" {option} {numbers}");
        }
    }
    let have = if files.len() == 1 { "has" } else { "have" };
    format!(
        "{} {have} no range of {} numbers for {name}, by which programs work without root: as root, usermod{options} {name}",
        files.join(" and "),
        COUNT - 1
    )
}

/// The first number behind all ranges of /etc/subuid or /etc/subgid.
fn first_free(text: &str) -> u32 {
    let ends = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':').skip(1);
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // One that ends where numbers do leaves no room behind it.
        first.checked_add(count).filter(|end| *end < FIRST_OF_ROOT)
    });
    ends.max().unwrap_or_default().max(FIRST_SUBORDINATE)
}

/// The name of a user in /etc/passwd.
fn name_of(passwd: &str, user: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    })
}

/// The first number of a range in /etc/subuid or /etc/subgid that is long enough.
fn range_of(text: &str, name: Option<&str>, user: u32) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let is_own = Some(owner) == name || owner.parse() == Ok(user);
        (is_own && count >= COUNT - 1 && first.checked_add(count).is_some() && first > 0).then_some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_number_where_it_is_long_enough() {
        let text = "# x\nother:100000:65536\nme:7:1000\nme:165536:65536\n1001:300000:65535\n1002:4294967295:65536\nbad:x:y\n";
        assert_eq!(range_of(text, Some("me"), 1000), Some(165_536));
        assert_eq!(range_of(text, None, 1001), Some(300_000));
        assert_eq!(range_of(text, None, 1002), None);
        assert_eq!(range_of(text, Some("bad"), 1003), None);
        assert_eq!(range_of("", Some("me"), 1000), None);
        let passwd = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nhalf\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("me"));
        assert_eq!(name_of(passwd, 1), None);
    }

    #[test]
    fn the_command_that_mends_takes_numbers_that_nobody_has() {
        let texts = [
            "other:100000:65536\n".to_owned(),
            "other:200000:65536\nx\n".to_owned(),
        ];
        assert_eq!(
            mending("me", false, false, &texts),
            "/etc/subuid and /etc/subgid have no range of 65535 numbers for me, by which programs work without root: as root, \
             usermod --add-subuids 265536-331071 --add-subgids 265536-331071 me"
        );
        let empty = [String::new(), String::new()];
        assert!(mending("me", true, false, &empty).ends_with("usermod --add-subgids 100000-165535 me"));
        assert_eq!(first_free("a:4294967290:5\n"), FIRST_SUBORDINATE);
    }

    #[test]
    fn the_setting_that_forbids_name_spaces_is_named() {
        let of = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| format!("{value}\n"))
        };
        for (name, forbids, allows) in [
            ("kernel.unprivileged_userns_clone", "0", "1"),
            ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ] {
            assert_eq!(forbidding(of(name, forbids), false), Some((name, allows)));
            assert_eq!(forbidding(of(name, forbids), true), None);
            assert_eq!(forbidding(of(name, allows), false), None);
        }
        let most = "user.max_user_namespaces";
        assert_eq!(forbidding(of(most, "0"), true), Some((most, "15000")));
        assert_eq!(forbidding(of(most, "100"), false), None);
        assert_eq!(forbidding(|_| None, false), None);
    }
}
