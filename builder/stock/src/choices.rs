//! What a new project is of.

use std::net::Ipv4Addr;

use anyhow::{Result, bail, ensure};
use ipnet::Ipv4Net;
use model::names::{name_fault, quoted};

/// Most nodes of a new fleet: the slots that two digits of an address count.
pub const MOST_NODES: u16 = 99;

/// Longest prefix of its network: the nodes' addresses count from 101.
pub const LONGEST: u8 = 24;

/// What a new project is of.
#[derive(Debug, Clone)]
pub struct Choices {
    /// The fleet's name.
    pub fleet: String,
    /// The board of all nodes.
    pub board: String,
    /// How many nodes there are.
    pub nodes: u16,
    /// The network that they are on.
    pub subnet: Ipv4Net,
    /// Its router.
    pub gateway: Ipv4Addr,
    /// Its name servers.
    pub name_servers: Vec<Ipv4Addr>,
    /// Whether the nodes run containers.
    pub containers: bool,
    /// OpenSSH public keys that may log in.
    pub admin_keys: Vec<String>,
}

impl Choices {
    /// What keeps these from being a fleet, as far as no line of a file can show it.
    pub fn check(&self) -> Result<()> {
        if let Some(fault) = name_fault(&self.fleet) {
            bail!(
                "the name of the fleet {} {fault}: lower-case letters, digits and inner hyphens, 63 at most",
                quoted(&self.fleet)
            );
        }
        ensure!(
            (1..=MOST_NODES).contains(&self.nodes),
            "a new fleet has 1 to {MOST_NODES} nodes, not {}: more are another bus in images/fleet.toml",
            self.nodes
        );
        ensure!(
            self.subnet.prefix_len() <= LONGEST,
            "{} is too small a network, /{LONGEST} is the smallest: the nodes' addresses count from 101",
            self.subnet
        );
        Ok(())
    }
}
