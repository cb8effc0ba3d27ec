//! How often backups are made, how long they are kept, and by whom.

use std::net::Ipv4Addr;

use self::toml::{BackupHostToml, BackupToml};
use crate::check::Check;
use crate::fleet::{Fleet, Node};
use crate::names::quoted;
use crate::users::key_fault;
use crate::written::{At, Table};

mod buddies;
mod context;
pub(in crate::fleet) mod toml;

pub(in crate::fleet) use buddies::{WrittenBuddies, check_reach, choose_buddies};
pub use context::{BackupContext, BuddyContext, GuestContext, HostContext};

/// The word for no buddy.
pub(in crate::fleet) const NOBODY: &str = "none";

/// How often nodes export backups, and how many of them their buddies keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Time between two backups, as systemd.time(7) has it: a number and `min`, `h` or `d`.
    pub every: String,
    /// Hours of which the last backup is kept.
    pub hourly: u16,
    /// Days of which the last backup is kept.
    pub daily: u16,
    /// Weeks of which the last backup is kept.
    pub weekly: u16,
    /// Hosts outside of the fleet that keep backups, in the order of their names.
    pub hosts: Vec<BackupHost>,
}

/// A host outside of the fleet that keeps backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupHost {
    /// Its name, which no node has.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its ssh host key: one line, `ssh-ed25519 AAAA...`.
    pub host_key: String,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            every: "1h".to_owned(),
            hourly: 24,
            daily: 7,
            weekly: 4,
            hosts: Vec::new(),
        }
    }
}

impl Fleet {
    /// The node that keeps what `node` exports.
    pub fn buddy(&self, node: &Node) -> Option<&Node> {
        let buddy = node.buddy.as_ref()?;
        self.nodes.iter().find(|other| other.name == *buddy)
    }

    /// The host outside of the fleet that keeps what `node` exports.
    pub fn buddy_host(&self, node: &Node) -> Option<&BackupHost> {
        let buddy = node.buddy.as_ref()?;
        self.backup.hosts.iter().find(|host| host.name == *buddy)
    }

    /// Those whose backups the node or host called `name` keeps, in order of cluster and slot.
    pub fn guests(&self, name: &str) -> impl Iterator<Item = &Node> {
        let is_guest = move |other: &&Node| other.buddy.as_deref() == Some(name);
        self.nodes.iter().filter(is_guest)
    }
}

/// How often and how long.
pub(in crate::fleet) fn check_backup(check: &mut Check<'_>, toml: &BackupToml) -> Backup {
    let default = Backup::default();
    let number =
        |written: &Option<At<u16>>, default: u16| written.as_ref().map_or(default, |number| number.value);
    let backup = Backup {
        every: match &toml.every {
            Some(every) => every.value.clone(),
            None => default.every,
        },
        hourly: number(&toml.keep.hourly, default.hourly),
        daily: number(&toml.keep.daily, default.daily),
        weekly: number(&toml.keep.weekly, default.weekly),
        hosts: check_hosts(check, &toml.hosts),
    };
    if let Some(every) = &toml.every
        && !is_span(every)
    {
        check
            .found(
                &every.span,
                format!("{} is no time between two backups", quoted(every)),
            )
            .hint("a number and its unit, from \"5min\" to \"30d\": \"1h\"");
    }
    if let Some(last) = &toml.keep.weekly
        && (backup.hourly, backup.daily, backup.weekly) == (0, 0, 0)
    {
        check
            .found(&last.span, "no backup would be kept")
            .hint("keep at least one hour, day or week");
    }
    backup
}

/// The hosts outside of the fleet that hold.
fn check_hosts(check: &mut Check<'_>, written: &Table<BackupHostToml>) -> Vec<BackupHost> {
    let mut hosts = Vec::new();
    for (name, toml) in written {
        check.name(name, "host");
        if name.value == NOBODY {
            check
                .found(&name.span, "a host cannot be called `none`, which is nobody")
                .hint("give it another name");
        }
        let key = &toml.host_key;
        if let Some((fault, _)) = key_fault(key) {
            check
                .found(&key.span, format!("this is no host key: {fault}"))
                .hint("paste the one line of /etc/ssh/ssh_host_ed25519_key.pub of that host");
        } else if !key.starts_with("ssh-ed25519 ") {
            check
                .found(
                    &key.span,
                    "the host key is not of type ssh-ed25519, which nodes ask for",
                )
                .hint("paste the one line of /etc/ssh/ssh_host_ed25519_key.pub of that host");
        }
        if let Some(address) = check.host_address(&toml.address) {
            hosts.push(BackupHost {
                name: name.value.clone(),
                address,
                host_key: key.value.clone(),
            });
        }
    }
    hosts.sort_by(|one, other| one.name.cmp(&other.name));
    hosts
}

/// Whether `text` is a number of minutes, hours or days, from five minutes to thirty days.
fn is_span(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let minutes = match &text[digits.len()..] {
        "min" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return false,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| is_number);
    number
        .and_then(|number| number.checked_mul(minutes))
        .is_some_and(|minutes| (5..=30 * 24 * 60).contains(&minutes))
}
