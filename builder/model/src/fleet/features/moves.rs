//! Nodes that containers move to, as they know each other.
//!
//! | of | are |
//! |---|---|
//! | of `peers` | `name`, `ipv4`, `ipv6` (none or one), `host_key_public`, `move_key_public` |

use std::collections::BTreeMap;

use serde::Serialize;

use super::texts;
use crate::fleet::{Fleet, Node, PublicKeys};

/// A node that containers move to.
#[derive(Debug, Serialize)]
pub struct PeerContext<'a> {
    name: &'a str,
    ipv4: String,
    ipv6: Vec<String>,
    host_key_public: &'a str,
    move_key_public: &'a str,
}

impl Fleet {
    /// The nodes that run containers, in order of cluster and slot: a container may move to any of them.
    pub fn hypervisors(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.runs_containers(&self.roles))
    }
}

impl<'a> PeerContext<'a> {
    /// All nodes of the fleet that run containers; `known` has their keys, by their names.
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
