//! The cluster: networks, clusters, nodes, roles and who administers them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::finding::Place;

/// `images/fleet.toml`, checked.
#[derive(Debug, Clone)]
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
}

/// An IPv4 network.
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
    /// Name servers of its hosts.
    pub name_servers: Vec<Ipv4Addr>,
}

/// What a node is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Overlays laid over the base, first to last.
    pub overlays: Vec<String>,
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
    /// Its address on `network`.
    pub address: Ipv4Addr,
    /// The network it is on.
    pub network: String,
    /// Its role.
    pub role: String,
    /// Its board.
    pub board: String,
    /// Its card's layout.
    pub layout: String,
    /// Each value that `show` prints, with the place it comes from.
    pub origins: Vec<Origin>,
}

/// A value of a node and where it was written.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The value's name (`address`).
    pub name: String,
    /// The value as text.
    pub value: String,
    /// Where it was written.
    pub place: Place,
    /// How it came about, where it is not written literally ("pattern of cluster red").
    pub note: Option<String>,
}
