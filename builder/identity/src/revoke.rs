//! A card was stolen: whatever lies on it in plain text is drawn anew, all of it or nothing. Public keys and machine ids that must
//! not come back are in `identity/revoked`, a line each.
//!
//! What is old is removed: nobody needs it, and it is a secret still to whoever has not stolen it yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use model::fleet::{Fleet, Node};

use super::files::{exists, read_private, write_new};
use super::{I2pKey, IdentityStore, WireGuardKey, check_name};

pub(super) const REVOKED: &str = "revoked";

/// A key that others know, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Whose it is: a service, or a tunnel.
    pub name: String,
    /// The address, or the public key, that must not be used any more.
    pub old: String,
    /// What takes its place.
    pub new: String,
}

/// What is drawn anew, and who has to hear of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocation {
    /// The containers whose machine ids and host keys are new, by name: those of the node, those in the backups that it kept, and
    /// those that were named.
    pub containers: Vec<String>,
    /// Of them, those that only lay in its backups, each with its node: they go on running.
    pub in_backups: Vec<(String, String)>,
    /// The nodes whose cards have something of the stolen one, in the order of the fleet: to be built and flashed again.
    pub nodes: Vec<String>,
    /// The host outside of the fleet that keeps its backups.
    pub backup_host: Option<String>,
    /// Addresses of I2P.
    pub addresses: Vec<Replaced>,
    /// WireGuard's keys, for the providers of tunnels.
    pub tunnels: Vec<Replaced>,
}

impl IdentityStore {
    /// What revoking `node` would draw anew: whatever lies on its card. `guests` are containers that had moved there. Nothing is
    /// made or changed, and no new keys are in it yet.
    pub fn revocable(folder: &Path, fleet: &Fleet, node: &Node, guests: &[String]) -> Result<Revocation> {
        for guest in guests {
            ensure!(
                fleet.container(guest).is_some(),
                "there is no container {} in the fleet",
                model::names::quoted(guest)
            );
        }
        let own = ["nodes", "links"].map(|kind| folder.join(kind).join(&node.name));
        let mut is_known = false;
        for path in &own {
            is_known |= exists(path)?;
        }
        ensure!(
            is_known,
            "{} has no identity of {}: no card was ever built with it here, so there is nothing to revoke; restore identity/ from \
             a backup if there should be one",
            folder.display(),
            node.name
        );
        let mut on_card: BTreeSet<&str> = guests.iter().map(String::as_str).collect();
        let of = |name: &str| {
            let containers = fleet.containers.iter();
            let of_node = containers.filter(move |container| container.node == name);
            of_node
                .map(|container| container.name.as_str())
                .collect::<Vec<_>>()
        };
        on_card.extend(of(&node.name));
        let mut in_backups = Vec::new();
        for kept in fleet.guests(&node.name) {
            let names = of(&kept.name).into_iter().filter(|name| !on_card.contains(name));
            in_backups.extend(names.map(|name| (name.to_owned(), kept.name.clone())));
        }
        let containers: BTreeSet<String> = on_card
            .into_iter()
            .map(str::to_owned)
            .chain(in_backups.iter().map(|(name, _)| name.clone()))
            .collect();
        // Those that run containers know each other's keys: a container may move to any of them.
        let movers: BTreeSet<&str> = fleet.hypervisors().map(|node| node.name.as_str()).collect();
        let moves = |other: &Node| movers.contains(other.name.as_str());
        let knows = |other: &&Node| {
            other.name == node.name
                || moves(node) && moves(other)
                || fleet
                    .containers
                    .iter()
                    .any(|container| container.node == other.name && containers.contains(&container.name))
        };
        let replaced = |name: &str, old: Option<String>| Replaced {
            name: name.to_owned(),
            old: old.unwrap_or_default(),
            new: String::new(),
        };
        let services = fleet.inproxied(node).filter(|service| service.i2p);
        Ok(Revocation {
            nodes: fleet
                .nodes
                .iter()
                .filter(knows)
                .map(|other| other.name.clone())
                .collect(),
            backup_host: fleet.buddy_host(node).map(|host| host.name.clone()),
            addresses: services
                .map(|service| {
                    let key = Self::made_i2p(folder, &service.name)?;
                    Ok(replaced(&service.name, key.map(|key| key.address())))
                })
                .collect::<Result<_>>()?,
            tunnels: fleet
                .tunnels_of(node)
                .map(|tunnel| {
                    let key = Self::made_tunnel(folder, &tunnel.name)?;
                    Ok(replaced(&tunnel.name, key.map(|key| key.public())))
                })
                .collect::<Result<_>>()?,
            containers: containers.into_iter().collect(),
            in_backups,
        })
    }

    /// Draws anew what lies on the card of `node`, and completes what is said of it. Cut off anywhere, either nothing has
    /// changed, or the next to open the store completes it.
    pub fn revoke(&self, node: &Node, mut revocation: Revocation) -> Result<Revocation> {
        let _lock = self.lock()?;
        let mut revoked = self.revoked()?;
        let mut gone: BTreeSet<String> = BTreeSet::from([node.name.clone()]);
        self.change([], |drawing| {
            for (kind, name) in [("nodes", &node.name), ("links", &node.name)]
                .into_iter()
                .chain(revocation.containers.iter().map(|name| ("containers", name)))
            {
                check_name(name, "node or container")?;
                let old = self.folder.join(kind).join(name);
                if !exists(&old)? {
                    continue;
                }
                revoked.extend(marks(&old)?);
                gone.insert(name.clone());
                super::make_whole(&drawing.join(kind), name, |part| match kind {
                    "links" => super::make_links(part, name),
                    _ => super::make_identity(part, name),
                })?;
            }
            for replaced in &mut revocation.addresses {
                let key = I2pKey::draw()?;
                replaced.new = key.address();
                write_new(
                    &super::i2p_file(drawing, &replaced.name)?,
                    key.to_text().as_bytes(),
                )?;
            }
            for replaced in &mut revocation.tunnels {
                let key = WireGuardKey::draw()?;
                replaced.new = key.public();
                write_new(
                    &super::tunnel_file(drawing, &replaced.name)?,
                    key.to_text().as_bytes(),
                )?;
            }
            let replaced = revocation.addresses.iter().chain(&revocation.tunnels);
            revoked.extend(
                replaced
                    .map(|replaced| replaced.old.clone())
                    .filter(|old| !old.is_empty()),
            );
            let lines: String = revoked.into_iter().map(|mark| mark + "\n").collect();
            write_new(&drawing.join(REVOKED), lines.as_bytes())?;
            self.draw_known_hosts(drawing, &gone.iter().map(String::as_str).collect())
        })?;
        Ok(revocation)
    }

    /// What must not come back: public keys, machine ids, addresses.
    fn revoked(&self) -> Result<BTreeSet<String>> {
        let path = self.folder.join(REVOKED);
        if !exists(&path)? {
            return Ok(BTreeSet::new());
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Refuses what was revoked: `marks` are public keys, as lines or alone, machine ids or addresses of `name`.
    pub(super) fn refuse_revoked<'a>(
        &self,
        name: &str,
        marks: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let revoked = self.revoked()?;
        let words = marks.into_iter().flat_map(str::split_whitespace);
        let Some(mark) = words.into_iter().find(|word| revoked.contains(*word)) else {
            return Ok(());
        };
        bail!(
            "{name} has something again that was revoked, which lies on a stolen card (`{mark}`): identity/ was restored from an older \
             backup; run `portadc revoke` once more, or restore a newer one"
        )
    }
}

/// What the things in a folder of the store are known by: each public key, without its comment, and the machine id. What is
/// damaged is known by nothing.
fn marks(folder: &Path) -> Result<Vec<String>> {
    let mut marks = Vec::new();
    let cannot = || format!("cannot look into {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let is_public = path.extension().is_some_and(|extension| extension == "pub");
        let is_id = path.file_name().is_some_and(|name| name == super::MACHINE_ID);
        if is_public {
            marks.extend(
                read_private(&path)?
                    .split(' ')
                    .nth(1)
                    .map(|key| key.trim_end().to_owned()),
            );
        } else if is_id {
            marks.push(read_private(&path)?.trim_end().to_owned());
        }
    }
    marks.retain(|mark| !mark.is_empty());
    Ok(marks)
}
