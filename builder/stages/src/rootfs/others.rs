//! What templates can use of other nodes: who keeps whose backups, where containers move to, and how a monitor sees all.
//!
//! | of | are |
//! |---|---|
//! | `node` | `buddy` (none or one), `guests`, `backup` (one), `move_private_key`, `monitor` (none or one address) |
//! | `buddy` | `name`, `ipv4`, `host_key_public` |
//! | of `guests` | `name`, `ipv4`, `backup_key_public` |
//! | `backup` | `every` (systemd.time(7)), `hourly`, `daily`, `weekly`, `private_key` |
//! | of `peers` | `name`, `ipv4`, `ipv6` (none or one), `host_key_public`, `move_key_public` |
//! | of `hosts` | `name`, `guests`, each with `from` (none or one address): hosts outside of the fleet that keep backups |
//! | of `clusters` | `name`, `router` (none or one name), `switched` (names of the nodes behind its switch) |

use std::collections::BTreeMap;

use identity::{PublicKeys, Secrets};
use model::fleet::{Fleet, Node};
use serde::Serialize;

use super::network::texts;

#[derive(Clone, Serialize)]
pub(super) struct OthersContext<'a> {
    buddy: Vec<BuddyContext<'a>>,
    guests: Vec<GuestContext<'a>>,
    backup: Vec<BackupContext<'a>>,
    move_private_key: &'a str,
    monitor: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct BuddyContext<'a> {
    name: &'a str,
    ipv4: String,
    host_key_public: &'a str,
}

#[derive(Debug, Clone, Serialize)]
struct GuestContext<'a> {
    name: &'a str,
    ipv4: String,
    backup_key_public: &'a str,
}

#[derive(Clone, Serialize)]
struct BackupContext<'a> {
    every: &'a str,
    hourly: u16,
    daily: u16,
    weekly: u16,
    private_key: &'a str,
}

/// A host outside of the fleet that keeps backups.
#[derive(Debug, Serialize)]
pub(super) struct HostContext<'a> {
    name: &'a str,
    guests: Vec<HostedContext<'a>>,
}

/// A node whose backups a host outside of the fleet keeps.
#[derive(Debug, Serialize)]
struct HostedContext<'a> {
    /// The node's address where the host sees it: where the host is on the node's network. Elsewhere routers stand in for it.
    from: Vec<String>,
    #[serde(flatten)]
    guest: GuestContext<'a>,
}

/// A node that containers move to.
#[derive(Debug, Serialize)]
pub(super) struct PeerContext<'a> {
    name: &'a str,
    ipv4: String,
    ipv6: Vec<String>,
    host_key_public: &'a str,
    move_key_public: &'a str,
}

/// A bus.
#[derive(Debug, Serialize)]
pub(super) struct ClusterContext<'a> {
    name: &'a str,
    router: Vec<&'a str>,
    switched: Vec<&'a str>,
}

impl<'a> OthersContext<'a> {
    pub fn of(
        fleet: &'a Fleet,
        node: &'a Node,
        secrets: &'a Secrets,
        known: &'a BTreeMap<String, PublicKeys>,
    ) -> Self {
        let buddy = fleet.buddy(node).and_then(|buddy| {
            Some(BuddyContext {
                name: &buddy.name,
                ipv4: buddy.address?.to_string(),
                host_key_public: &known.get(&buddy.name)?.host,
            })
        });
        let host = fleet.buddy_host(node).map(|host| BuddyContext {
            name: &host.name,
            ipv4: host.address.to_string(),
            host_key_public: &host.host_key,
        });
        Self {
            buddy: buddy.into_iter().chain(host).collect(),
            guests: fleet
                .guests(&node.name)
                .filter_map(|guest| GuestContext::of(guest, known))
                .collect(),
            backup: vec![BackupContext {
                every: &fleet.backup.every,
                hourly: fleet.backup.hourly,
                daily: fleet.backup.daily,
                weekly: fleet.backup.weekly,
                private_key: &secrets.links.backup.private,
            }],
            move_private_key: &secrets.links.moving.private,
            monitor: texts(fleet.monitor_of(node)),
        }
    }
}

impl<'a> GuestContext<'a> {
    fn of(guest: &'a Node, known: &'a BTreeMap<String, PublicKeys>) -> Option<Self> {
        Some(Self {
            name: &guest.name,
            ipv4: guest.address?.to_string(),
            backup_key_public: &known.get(&guest.name)?.backup,
        })
    }
}

impl<'a> HostContext<'a> {
    /// All hosts outside of the fleet that keep backups.
    pub fn all(fleet: &'a Fleet, known: &'a BTreeMap<String, PublicKeys>) -> Vec<Self> {
        let hosts = fleet.backup.hosts.iter().map(|host| Self {
            name: &host.name,
            guests: fleet
                .guests(&host.name)
                .filter_map(|guest| {
                    let network = fleet.networks.get(&guest.network)?;
                    let sees_it = network.contains(host.address);
                    Some(HostedContext {
                        from: texts(guest.address.filter(|_| sees_it)),
                        guest: GuestContext::of(guest, known)?,
                    })
                })
                .collect(),
        });
        hosts.collect()
    }
}

impl<'a> PeerContext<'a> {
    /// All nodes of the fleet that run containers.
    pub fn all(fleet: &'a Fleet, known: &'a BTreeMap<String, PublicKeys>) -> Vec<Self> {
        let peers = fleet.hypervisors().filter_map(|node| {
            let keys = known.get(&node.name)?;
            Some(Self {
                name: &node.name,
                ipv4: node.address?.to_string(),
                ipv6: texts(node.address6),
                host_key_public: &keys.host,
                move_key_public: &keys.moving,
            })
        });
        peers.collect()
    }
}

impl<'a> ClusterContext<'a> {
    /// All buses, in the order of their first nodes.
    pub fn all(fleet: &'a Fleet) -> Vec<Self> {
        let mut clusters: Vec<Self> = Vec::new();
        for node in &fleet.nodes {
            let known = clusters.iter().position(|cluster| cluster.name == node.cluster);
            let at = known.unwrap_or(clusters.len());
            if known.is_none() {
                clusters.push(Self {
                    name: &node.cluster,
                    router: Vec::new(),
                    switched: Vec::new(),
                });
            }
            if node.internet.is_some() {
                continue;
            }
            let cluster = &mut clusters[at];
            if cluster.switched.is_empty() {
                cluster.router = fleet
                    .router_of(node)
                    .map(|router| router.name.as_str())
                    .into_iter()
                    .collect();
            }
            cluster.switched.push(&node.name);
        }
        clusters
    }
}
