//! The cluster: networks, clusters, nodes, roles and who administers them.
//!
//! | module | owns |
//! |---|---|
//! | `toml` | the file as written |
//! | `check`, `known` | the order of the rules; roles and references, and what these may refer to |
//! | `network` | subnets, gateways, what an address may be |
//! | `slots`, `pattern` | `1-6, 8-23` and `red-{slot:02}` |
//! | `nodes` | which nodes there are |
//! | `values`, `sourced` | what each of them has, and the places that it was written at |
//! | `roll` | which nodes there are, for rules that rest on them |
//! | `mac` | MAC addresses |
//! | `origins` | where that was written |
//! | `people` | admin keys and time servers |
//! | `system` | names, time and language of nodes |
//! | `vars` | values for templates that mean something to the user alone |
//! | `provided` | what the fleet asks of nodes and no overlay of their role does |
//! | `patterned` | what a bus has by a pattern of slots: addresses, networks of containers |
//! | `dhcp` | nodes whose address a DHCP server gives |
//! | `features` | what nodes do: containers, services, firewall policy, backups and so on, each in its own room |

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use check::check_fleet;
pub use features::access::{Accept, Passage};
pub use features::backup::{Backup, BackupHost};
pub use features::containers::toml::Uplink;
pub use features::containers::{Container, INTERFACE_PREFIX};
pub use features::ports::Protocol;
pub use features::power::toml::Governor;
pub use features::power::{BusPower, Milli};
pub use features::services::{Published, Service};
pub use features::tunnels::Tunnel;
pub use known::Known;
pub use mac::Mac;
pub use system::System;
pub use toml::FleetToml;
pub use vars::Vars;

pub use crate::written::Origin;

use formats::units::Bytes;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::overlay::{self, Overlay};
use crate::sources::Distribution;
use crate::users::{self, User};
use crate::written::{At, Placed};

pub mod features;

mod check;
mod dhcp;
mod known;
mod mac;
mod network;
mod nodes;
mod origins;
mod pattern;
mod patterned;
mod people;
mod provided;
mod roll;
mod slots;
mod sourced;
mod system;
mod toml;
mod values;
mod vars;

/// What rules mean all containers, and all nodes, by.
const ALL_OF_A_KIND: [&str; 2] = ["containers", "nodes"];

/// `images/fleet.toml`, checked.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Its name: part of every derived identifier, so that two fleets never share one.
    pub name: String,
    /// Networks by name.
    pub networks: BTreeMap<String, Network>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Nodes in order of cluster and slot.
    pub nodes: Vec<Node>,
    /// OpenSSH public keys (one line each) that may log in as root on every node.
    pub admin_keys: Vec<String>,
    /// NTP servers, host names or addresses.
    pub time_servers: Vec<String>,
    /// Names, time and language of nodes.
    pub system: System,
    /// Users of all nodes beside root and those that overlays bring, in the order of their names.
    pub users: Vec<User>,
    /// Values for templates.
    pub vars: Vars,
    /// What each bus draws, in the order of the buses.
    pub power: Vec<BusPower>,
    /// The switches of clusters, by cluster.
    pub switches: BTreeMap<String, Switch>,
    /// Containers in the order of their names.
    pub containers: Vec<Container>,
    /// What they serve, in the order of the names.
    pub services: Vec<Service>,
    /// The node with the reverse proxy.
    pub inproxy: Option<String>,
    /// Fixed addresses that come in from providers, in the order of their names.
    pub tunnels: Vec<Tunnel>,
    /// How often backups are made, and how long they are kept.
    pub backup: Backup,
    /// Where the monitor is.
    pub monitor: Option<Ipv4Addr>,
    /// Who may open connections to whom, as it was written.
    passages: Vec<Passage>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name it is referred to by.
    pub name: String,
    /// Its first address.
    pub base: Ipv4Addr,
    /// Bits of the network part, 0..=32.
    pub prefix: u8,
    /// The router of its hosts.
    pub gateway: Option<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub subnet6: Option<Ipv6Net>,
    /// The router of its hosts for IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// How containers on its nodes are reached.
    pub uplink: Uplink,
    /// What else its hosts reach, and by whom: an address of the network.
    pub routes: Vec<(IpNet, IpAddr)>,
    /// Name servers of its hosts.
    pub name_servers: Vec<Ipv4Addr>,
}

/// The switch of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// Ports it has.
    pub ports: u16,
    /// Those of them that lead elsewhere.
    pub uplinks: u16,
}

/// By what other nodes know a node: lines as in `.pub` files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// Its host key.
    pub host: String,
    /// Exports its backups.
    pub backup: String,
    /// Brings its containers.
    pub moving: String,
}

/// What a node is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Overlays laid over the base, first to last.
    pub overlays: Vec<String>,
    /// Overlays laid over the base, first to last, for the image of containers; empty where no card of the role has one.
    pub container_image: Vec<Placed<String>>,
    /// Whether its nodes run containers.
    pub containers: bool,
    /// Whether its nodes are routers with a second port.
    pub gateway: bool,
    /// What the kernel's command line of its nodes has behind what its overlays ask for.
    pub kernel_arguments: Vec<Placed<String>>,
    /// Values for the templates of its nodes.
    pub vars: Vars,
}

/// The second port of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The network it is on.
    pub network: String,
    /// Its address there.
    pub address: Ipv4Addr,
    /// Its IPv6 address there.
    pub address6: Option<Ipv6Addr>,
    /// The MAC address to set on it; `None` keeps its own.
    pub mac: Option<Mac>,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// `red-07`: host name, image name, and what every identifier derives from.
    pub name: String,
    /// The cluster (power bus) it belongs to.
    pub cluster: String,
    /// Its place on the bus, from 1.
    pub slot: u16,
    /// Its address on `network`; `None` where it takes the one that a DHCP server gives it.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address on `network`.
    pub address6: Option<Ipv6Addr>,
    /// The network of its containers, a part of `network`.
    pub containers: Option<Ipv4Net>,
    /// The same for IPv6.
    pub containers6: Option<Ipv6Net>,
    /// The second port of a gateway.
    pub internet: Option<Port>,
    /// The network it is on.
    pub network: String,
    /// The MAC address to set on its port; `None` keeps the board's own.
    pub mac: Option<Mac>,
    /// Its role.
    pub role: String,
    /// Its board.
    pub board: String,
    /// Its card's layout.
    pub layout: String,
    /// How the clock of its processor is chosen.
    pub governor: Governor,
    /// Swap in its memory, compressed: what it holds at most, and where that stands.
    pub zram: Option<Placed<Bytes>>,
    /// The node, or host outside of the fleet, that keeps its backups; none where it runs no containers.
    pub buddy: Option<String>,
    /// Values for templates that are its own.
    pub vars: Vars,
    /// Each value that `show` prints, with the place it comes from.
    pub origins: Vec<Origin>,
}

impl Fleet {
    /// The users of a node that has `overlays`, in the order of their names.
    pub fn users_with<'u>(&'u self, overlays: impl IntoIterator<Item = &'u Overlay>) -> Vec<&'u User> {
        let brought = overlays.into_iter().flat_map(|overlay| &overlay.users);
        users::by_name(self.users.iter().chain(brought))
    }

    /// The packages that `overlays`, those of a role, and what the fleet says of all nodes need on a base of `distribution`.
    pub fn packages_with<'o>(
        &self,
        overlays: impl IntoIterator<Item = &'o Overlay>,
        distribution: Distribution,
    ) -> BTreeSet<String> {
        let own = self
            .system
            .packages(distribution)
            .chain(users::packages(&self.users, distribution));
        let mut packages = overlay::packages(overlays, distribution);
        packages.extend(own.map(str::to_owned));
        packages
    }
}

impl Node {
    /// Whether containers run on it, which its role says.
    pub(crate) fn runs_containers(&self, roles: &BTreeMap<String, Role>) -> bool {
        roles.get(&self.role).is_some_and(|role| role.containers)
    }

    /// Whether it is known that none run on it. Of a role that there is not nobody knows.
    pub(crate) fn runs_none(&self, roles: &BTreeMap<String, Role>) -> bool {
        roles.get(&self.role).is_some_and(|role| !role.containers)
    }
}

/// Texts without the places that they were written at.
fn texts(written: &[At<String>]) -> Vec<String> {
    written.iter().map(|value| value.value.clone()).collect()
}
