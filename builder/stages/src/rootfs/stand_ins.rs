//! What stands for keys and identifiers where templates are rendered, or their variables shown, without those of a node.

use std::collections::BTreeMap;

use anyhow::Result;
use identity::{I2pKey, Identity, KeyPair, Links, Operator, Secrets, WireGuardKey};
use model::fleet::{Node, PublicKeys};
use model::project::Project;

/// What stands for everything in `identity/` that is not one node's secret.
pub(super) struct StandIns {
    pub identity: Identity,
    pub operator: Operator,
    /// Of each container of the fleet.
    pub containers: BTreeMap<String, Identity>,
    /// Of all nodes that run containers.
    pub known: BTreeMap<String, PublicKeys>,
}

impl StandIns {
    pub fn of(project: &Project) -> Self {
        let identity = Identity {
            machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
            host_key: "a private key\n".to_owned(),
            host_key_public: "ssh-ed25519 AAAA root@node".to_owned(),
        };
        let containers = project.fleet.containers.iter();
        let keys = PublicKeys {
            host: identity.host_key_public.clone(),
            backup: "ssh-ed25519 AAAA backup@node".to_owned(),
            moving: "ssh-ed25519 AAAA move@node".to_owned(),
        };
        let hypervisors = project.fleet.hypervisors();
        Self {
            operator: Operator::stand_in("ssh-ed25519 AAAA operator"),
            containers: containers
                .map(|container| (container.name.clone(), identity.clone()))
                .collect(),
            known: hypervisors
                .map(|node| (node.name.clone(), keys.clone()))
                .collect(),
            identity,
        }
    }
}

/// What stands for the secrets of `node`.
pub(super) fn secrets(project: &Project, node: &Node) -> Result<Secrets> {
    let pair = KeyPair {
        private: "a private key\n".to_owned(),
        public: "ssh-ed25519 AAAA node".to_owned(),
    };
    let i2p = project.fleet.inproxied(node).filter(|service| service.i2p);
    Ok(Secrets {
        links: Links {
            backup: pair.clone(),
            moving: pair,
        },
        i2p: i2p
            .map(|service| Ok((service.name.clone(), I2pKey::draw()?)))
            .collect::<Result<_>>()?,
        tunnels: project
            .fleet
            .tunnels_of(node)
            .map(|tunnel| Ok((tunnel.name.clone(), WireGuardKey::draw()?)))
            .collect::<Result<_>>()?,
    })
}
