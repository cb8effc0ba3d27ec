//! Who keeps whose backups, how often they are made and how long they are kept; who asks nodes how they are.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::people::key_fault;
use super::services::gateway;
use super::toml::FleetToml;
use super::{Fleet, Node, Origin, Role};
use crate::check::Check;
use crate::names::{quoted, suggest};
use crate::written::At;

/// What stands for no buddy.
pub(super) const NOBODY: &str = "none";

/// The port of ssh, by which nodes reach each other.
const SSH: u16 = 22;

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

    /// The nodes that run containers, in order of cluster and slot: a container may move to any of them.
    pub fn hypervisors(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| is_hypervisor(&self.roles, node))
    }

    /// The address by which `node` sees the monitor: its own, or that of the router that it is behind.
    pub fn monitor_of(&self, node: &Node) -> Option<Ipv4Addr> {
        let monitor = self.monitor?;
        let home = self.networks.values().find(|network| network.contains(monitor));
        let Some(home) = home else {
            return Some(monitor);
        };
        let port = node.internet.as_ref().map(|port| &port.network);
        if node.network == home.name || port == Some(&home.name) {
            return Some(monitor);
        }
        let router = gateway(&self.nodes, home).and_then(|router| router.internet.as_ref());
        Some(router.map_or(monitor, |port| port.address))
    }
}

fn is_hypervisor(roles: &BTreeMap<String, Role>, node: &Node) -> bool {
    roles.get(&node.role).is_some_and(|role| role.containers)
}

/// How often and how long.
pub(super) fn check_backup(check: &mut Check<'_>, written: &FleetToml) -> Backup {
    let default = Backup::default();
    let toml = &written.backup;
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
        hosts: check_hosts(check, written),
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
fn check_hosts(check: &mut Check<'_>, written: &FleetToml) -> Vec<BackupHost> {
    let mut hosts = Vec::new();
    for (name, toml) in &written.backup.hosts {
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
        if let Some(address) = check.address(&toml.address) {
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

/// Gives each node that runs containers its buddy: the one written, else the next in the next bus.
pub(super) fn check_buddies(
    check: &mut Check<'_>,
    written: &FleetToml,
    roles: &BTreeMap<String, Role>,
    nodes: &mut [Node],
) {
    let hypervisors: Vec<(String, String, u16)> = nodes
        .iter()
        .filter(|node| is_hypervisor(roles, node))
        .map(|node| (node.name.clone(), node.cluster.clone(), node.slot))
        .collect();
    let buses: Vec<&At<String>> = written.clusters.keys().collect();
    for host in written.backup.hosts.keys() {
        if nodes.iter().any(|node| node.name == host.value) {
            check
                .found(&host.span, format!("`{}` is a node of the fleet", host.value))
                .hint("a node is a buddy without this; give the host another name");
        }
    }
    let hosts: Vec<&str> = written.backup.hosts.names().collect();
    for node in nodes {
        let own = written
            .nodes
            .into_iter()
            .find_map(|(name, toml)| toml.buddy.as_ref().filter(|_| name.value == node.name));
        if !is_hypervisor(roles, node) {
            if let Some(own) = own.filter(|own| own.value != NOBODY) {
                let message = format!(
                    "`{}` has a buddy, but its role `{}` runs no containers",
                    node.name, node.role
                );
                check.found(&own.span, message).hint("leave `buddy` out");
            }
            continue;
        }
        let bus = buses
            .iter()
            .position(|bus| bus.value == node.cluster)
            .unwrap_or(0);
        let (buddy, span, note) = match own {
            Some(own) => {
                check_buddy(check, own, node, &hypervisors, &hosts);
                let buddy = Some(own.value.clone()).filter(|name| name != NOBODY);
                (buddy, own.span.clone(), None)
            }
            None => (
                next(&buses, bus, node, &hypervisors),
                buses[bus].span.clone(),
                Some("the next in the next bus".to_owned()),
            ),
        };
        let shown = buddy.as_deref().unwrap_or(NOBODY);
        node.origins
            .push(Origin::new(check.file, &span, "buddy", shown, note));
        node.buddy = buddy;
    }
}

fn check_buddy(
    check: &mut Check<'_>,
    own: &At<String>,
    node: &Node,
    hypervisors: &[(String, String, u16)],
    hosts: &[&str],
) {
    if own.value == node.name {
        check
            .found(&own.span, format!("`{}` would keep its own backups", node.name))
            .hint("a card that is lost takes them along: name a node of another bus, or \"none\"");
        return;
    }
    let names = hypervisors.iter().map(|(name, ..)| name.as_str());
    let known = names.chain(hosts.iter().copied()).chain([NOBODY]);
    if !known.clone().any(|name| name == own.value) {
        let message = format!(
            "no node that runs containers and no host of [backup.hosts] is called {}",
            quoted(own)
        );
        check.found(&own.span, message).hint(suggest(own, known));
    }
}

/// The node of the same slot in the next bus that has one to give, else the first behind that slot; in the node's own bus
/// where there is no other.
fn next(
    buses: &[&At<String>],
    own: usize,
    node: &Node,
    hypervisors: &[(String, String, u16)],
) -> Option<String> {
    let others = (1..=buses.len()).map(|step| buses[(own + step) % buses.len()]);
    others
        .filter_map(|bus| {
            let of_bus = hypervisors
                .iter()
                .filter(|(name, cluster, _)| *cluster == bus.value && *name != node.name);
            let wrapped = |slot: u16| (slot < node.slot, slot);
            of_bus.min_by_key(|(_, _, slot)| wrapped(*slot))
        })
        .map(|(name, ..)| name.clone())
        .next()
}

/// Finds nodes that would be shut out by their buddies.
pub(super) fn check_reach(check: &mut Check<'_>, fleet: &Fleet) {
    let accepts = fleet.accepted_by_nodes();
    for node in &fleet.nodes {
        let Some(buddy) = fleet.buddy(node) else {
            continue;
        };
        let reaches = accepts.iter().any(|accept| {
            let from = accept.anybody || accept.sources.iter().any(|net| net.contains(&node.address));
            from && (accept.everything || accept.tcp.contains(&SSH))
        });
        let origin = node.origins.iter().find(|origin| origin.name == "buddy");
        if let (false, Some(origin)) = (reaches, origin) {
            check
                .found(
                    &origin.place.span,
                    format!("`{}` may not reach its buddy `{}` by ssh", node.name, buddy.name),
                )
                .hint("add [[allow]] with from = [\"nodes\"], to = [\"nodes\"], tcp = [22], or buddy = \"none\"");
            return;
        }
    }
}

/// The address of the monitor.
pub(super) fn check_monitor(check: &mut Check<'_>, written: &FleetToml) -> Option<Ipv4Addr> {
    check.address(&written.monitor.as_ref()?.address)
}
