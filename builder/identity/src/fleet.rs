//! What the nodes and containers of a fleet know each other by, and whoever logs in. Each has to have its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use model::fleet::{Fleet, PublicKeys};

use super::files::{exists, write_atomically};
use super::{Identity, IdentityStore};

pub(super) const KNOWN_HOSTS: &str = "known_hosts";

/// The name of the fleet that the store was made for.
pub(super) const FLEET: &str = "fleet";

impl IdentityStore {
    /// By what the nodes of `fleet` that run containers know each other, by name. What is missing is made.
    pub fn public_keys(&self, fleet: &Fleet) -> Result<BTreeMap<String, PublicKeys>> {
        let mut owners = Owners::default();
        let keys = fleet.hypervisors().map(|node| {
            let links = self.links(&node.name)?;
            for pair in [&links.backup, &links.moving] {
                let key = pair.public.split(' ').nth(1).unwrap_or_default();
                owners.claim(key, &node.name, "key by which it reaches other nodes")?;
            }
            let keys = PublicKeys {
                host: self.node(&node.name)?.host_key_public,
                backup: links.backup.public,
                moving: links.moving.public,
            };
            Ok((node.name.clone(), keys))
        });
        keys.collect()
    }

    /// The nodes and containers of `fleet` that `known_hosts` of this store knows by another key than they have now: their
    /// identities were lost, or replaced by hand.
    pub fn changed(&self, fleet: &Fleet) -> Result<Vec<String>> {
        let path = self.folder.join(KNOWN_HOSTS);
        if !exists(&path)? {
            return Ok(Vec::new());
        }
        let name_and_key = |line: &'_ str| {
            let (hosts, key) = line.split_once(' ')?;
            let (_, name) = hosts.split_once(',')?;
            Some((name.to_owned(), key.trim_end().to_owned()))
        };
        let written = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let known: BTreeMap<String, String> = written.lines().filter_map(name_and_key).collect();
        let now = self.known_hosts(fleet)?;
        let changed = now.lines().filter_map(name_and_key).filter(|(name, key)| {
            let before = known.get(name);
            before.is_some_and(|before| before != key)
        });
        Ok(changed.map(|(name, _)| name).collect())
    }

    /// Writes the host keys of all nodes of `fleet` to `known_hosts` of this store, and returns its path. Identities
    /// that are missing are made.
    pub fn write_known_hosts(&self, fleet: &Fleet) -> Result<PathBuf> {
        let path = self.folder.join(KNOWN_HOSTS);
        let text = self.known_hosts(fleet)?;
        if fs::read(&path).is_ok_and(|written| written == text.as_bytes()) {
            return Ok(path);
        }
        write_atomically(&path, text.as_bytes())?;
        Ok(path)
    }

    /// What is written of hosts, without those of these names.
    pub(super) fn known_hosts_without(&self, gone: &BTreeSet<&str>) -> Result<String> {
        let path = self.folder.join(KNOWN_HOSTS);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let stays = |line: &&str| {
            let name = line.split(' ').next().and_then(|hosts| hosts.split_once(','));
            name.is_none_or(|(_, name)| !gone.contains(name))
        };
        Ok(text.split_inclusive('\n').filter(stays).collect())
    }

    /// One line a node and a container, sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT": `172.16.1.7,red-07 ssh-ed25519 AAAA...`.
    fn known_hosts(&self, fleet: &Fleet) -> Result<String> {
        let mut text = String::new();
        let (mut host_keys, mut machine_ids) = (Owners::default(), Owners::default());
        let mut add = |address: Option<Ipv4Addr>, name: &str, identity: Identity| {
            let mut words = identity.host_key_public.split(' ');
            let (Some(kind), Some(key)) = (words.next(), words.next()) else {
                bail!("the host key of {name} has no two words")
            };
            let address = address.map(|address| format!("{address},")).unwrap_or_default();
            text.push_str(&format!("{address}{name} {kind} {key}\n"));
            host_keys.claim(key, name, "host key")?;
            machine_ids.claim(&identity.machine_id, name, "machine id")
        };
        for node in &fleet.nodes {
            add(node.address, &node.name, self.node(&node.name)?)?;
        }
        for container in &fleet.containers {
            add(
                Some(container.address),
                &container.name,
                self.container(&container.name)?,
            )?;
        }
        Ok(text)
    }
}

/// Who has something that only one may have.
#[derive(Default)]
struct Owners(BTreeMap<String, String>);

impl Owners {
    /// Fails where somebody else has `value`, too; `what` is that in words.
    fn claim(&mut self, value: &str, name: &str, what: &str) -> Result<()> {
        match self.0.insert(value.to_owned(), name.to_owned()) {
            Some(other) => bail!(
                "{other} and {name} have the same {what}, so nobody could tell them apart: a folder of identity/ was copied; \
                 move the one that is wrong away to have a new one made"
            ),
            None => Ok(()),
        }
    }
}
