//! Backups as templates see them: of a node, of those whose backups it keeps, and of hosts outside of the fleet.
//!
//! | of | are |
//! |---|---|
//! | `node` | `buddy` (none or one), `guests`, `backup` (one) |
//! | `buddy` | `name`, `ipv4`, `host_key_public` |
//! | of `guests` | `name`, `ipv4`, `backup_key_public` |
//! | `backup` | `every` (systemd.time(7)), `hourly`, `daily`, `weekly`, `private_key` |
//! | of `hosts` | `name`, `guests`, each with `from` (none or one address): hosts outside of the fleet that keep backups |

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::texts;
use crate::fleet::{Fleet, Node, PublicKeys};

/// Who keeps the backups of a node.
#[derive(Debug, Clone, Serialize)]
pub struct BuddyContext<'a> {
    name: &'a str,
    ipv4: String,
    host_key_public: &'a str,
}

/// A node whose backups another keeps.
#[derive(Debug, Clone, Serialize)]
pub struct GuestContext<'a> {
    name: &'a str,
    ipv4: String,
    backup_key_public: &'a str,
}

/// How often backups are made and how many are kept.
#[derive(Clone, Serialize)]
pub struct BackupContext<'a> {
    every: &'a str,
    hourly: u16,
    daily: u16,
    weekly: u16,
    private_key: &'a str,
}

/// A host outside of the fleet that keeps backups.
#[derive(Debug, Serialize)]
pub struct HostContext<'a> {
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

impl<'a> BuddyContext<'a> {
    /// Who keeps the backups of `node`, be it a node or a host; `known` has the keys of nodes, by their names.
    pub fn of(fleet: &'a Fleet, node: &'a Node, known: &'a BTreeMap<String, PublicKeys>) -> Option<Self> {
        if let Some(host) = fleet.buddy_host(node) {
            return Some(Self {
                name: &host.name,
                ipv4: host.address.to_string(),
                host_key_public: &host.host_key,
            });
        }
        let buddy = fleet.buddy(node)?;
        Some(Self {
            name: &buddy.name,
            ipv4: buddy.address?.to_string(),
            host_key_public: &known.get(&buddy.name)?.host,
        })
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

    /// Those whose backups `node` keeps; `known` has their keys, by their names.
    pub fn all(fleet: &'a Fleet, node: &'a Node, known: &'a BTreeMap<String, PublicKeys>) -> Vec<Self> {
        let guests = fleet.guests(&node.name);
        guests.filter_map(|guest| Self::of(guest, known)).collect()
    }
}

impl<'a> BackupContext<'a> {
    /// As the fleet has it; a node exports its backups by `private_key`.
    pub fn of(fleet: &'a Fleet, private_key: &'a str) -> Self {
        Self {
            every: &fleet.backup.every,
            hourly: fleet.backup.hourly,
            daily: fleet.backup.daily,
            weekly: fleet.backup.weekly,
            private_key,
        }
    }
}

impl<'a> HostContext<'a> {
    /// All hosts outside of the fleet that keep backups; `known` has the keys of nodes, by their names.
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
