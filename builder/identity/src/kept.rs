//! What the store has of nodes that the fleet no longer has, and what a person does about it: a new name, or none.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use model::finding::{Finding, Findings};
use model::fleet::Fleet;
use model::names::{name_fault, nearest, quoted, suggest};

use super::files::{exists, read_private, write_atomically, write_new};
use super::fleet::{FLEET, KNOWN_HOSTS};
use super::ssh::{generate_key, private_text, public_path, public_text};
use super::{BEFORE, IdentityStore, OPERATOR_KEY, Operator, check_name, make_private_folder};

/// What is a node's own in the store.
const OF_NODE: [&str; 2] = ["nodes", "links"];

/// What the store in `folder` and `fleet` say against each other. Nothing is made there, and there may be no store yet.
pub fn findings(folder: &Path, fleet: &Fleet) -> Result<Findings> {
    let mut findings = Findings::default();
    // Of what another user keeps nothing can be said, and nothing is wrong with that.
    if fs::read_dir(folder).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return Ok(findings);
    }
    if let Some(other) = recorded(folder)?.filter(|name| *name != fleet.name) {
        findings.push(of_another_fleet(&other, &fleet.name));
    }
    let kept = kept_nodes(folder)?;
    let vanished = vanished(&kept, fleet);
    if vanished.is_empty() {
        return Ok(findings);
    }
    for node in fleet.nodes.iter().filter(|node| !kept.contains(&node.name)) {
        let old = match &vanished[..] {
            [one] => Some(*one),
            all => nearest(&node.name, all.iter().copied()),
        };
        let Some(old) = old else { continue };
        let message = format!(
            "node `{}` has no identity yet, and identity/ has one of `{old}`, which is no node of the fleet",
            node.name
        );
        findings.push(Finding::warning(message).hint(format!(
            "if it is the same one with a new name: `portadc identity rename {old} {}`; else a build makes it a new one",
            node.name
        )));
    }
    Ok(findings)
}

impl IdentityStore {
    /// Holds the fleet's name against the one that the store was made for; one that has none yet gets this one.
    pub fn record(&self, fleet: &Fleet) -> Result<()> {
        match recorded(&self.folder)? {
            None => write_atomically(&self.folder.join(FLEET), format!("{}\n", fleet.name).as_bytes()),
            Some(name) if name == fleet.name => Ok(()),
            Some(other) => Err(Findings::from(of_another_fleet(&other, &fleet.name)).into()),
        }
    }

    /// Gives the identity of the node called `old`, which left the fleet, to `new`, which came.
    pub fn rename(&self, fleet: &Fleet, old: &str, new: &str) -> Result<()> {
        check_name(old, "node")?;
        check_name(new, "node")?;
        let _lock = self.lock()?;
        let kept = kept_nodes(&self.folder)?;
        let vanished = vanished(&kept, fleet);
        ensure!(
            kept.contains(old),
            "identity/ has nothing of a node {}: {}",
            quoted(old),
            suggest(old, vanished.iter().copied())
        );
        let has = |name: &str| fleet.nodes.iter().any(|node| node.name == name);
        ensure!(
            !has(old),
            "{} is a node of the fleet: give it its new name in images/fleet.toml first",
            quoted(old)
        );
        let names = fleet.nodes.iter().map(|node| node.name.as_str());
        ensure!(
            has(new),
            "there is no node {} in the fleet: {}",
            quoted(new),
            suggest(new, names)
        );
        for kind in OF_NODE {
            let own = self.folder.join(kind).join(new);
            ensure!(
                !exists(&own)?,
                "{new} has an identity of its own, {}: if no card has it, remove it and identity/{{nodes,links}}/{new}",
                own.display()
            );
        }
        let of_old = self.kinds_of(old)?;
        self.change(of_old.iter().map(|kind| (*kind, old)), |drawing| {
            for kind in &of_old {
                copy(&self.folder.join(kind).join(old), &drawing.join(kind).join(new))?;
            }
            self.draw_known_hosts(drawing, &BTreeSet::from([old]))
        })
    }

    /// The nodes that the store has something of and the fleet no longer has.
    pub fn prunable(folder: &Path, fleet: &Fleet) -> Result<Vec<String>> {
        let kept = kept_nodes(folder)?;
        Ok(vanished(&kept, fleet).into_iter().map(str::to_owned).collect())
    }

    /// Removes what the store has of `nodes`. What was revoked of them stays known.
    pub fn prune(&self, nodes: &[String]) -> Result<()> {
        let _lock = self.lock()?;
        let mut gone = Vec::new();
        for node in nodes {
            check_name(node, "node")?;
            gone.extend(self.kinds_of(node)?.into_iter().map(|kind| (kind, node.as_str())));
        }
        let names = nodes.iter().map(String::as_str).collect();
        self.change(gone, |drawing| self.draw_known_hosts(drawing, &names))
    }

    /// Draws the operator's key anew; what was there is kept beside it, as nodes that run know only that.
    pub fn rotate_operator(&self) -> Result<Operator> {
        let _lock = self.lock()?;
        self.change([], |drawing| {
            let (old, before) = (self.folder.join(OPERATOR_KEY), drawing.join(BEFORE));
            for (old, before) in [
                (old.clone(), before.clone()),
                (public_path(&old), public_path(&before)),
            ] {
                if exists(&old)? {
                    write_new(&before, read_private(&old)?.as_bytes())?;
                }
            }
            let (key, pair) = (drawing.join(OPERATOR_KEY), generate_key("portadc operator")?);
            write_new(&key, private_text(&pair)?.as_bytes())?;
            write_new(&public_path(&key), public_text(&pair)?.as_bytes())
        })?;
        self.operator()
    }

    /// The folders of a node that are there.
    fn kinds_of(&self, name: &str) -> Result<Vec<&'static str>> {
        let mut kinds = Vec::new();
        for kind in OF_NODE {
            if exists(&self.folder.join(kind).join(name))? {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    /// Draws the list of host keys without those of `gone`, if there is a list.
    pub(super) fn draw_known_hosts(&self, drawing: &Path, gone: &BTreeSet<&str>) -> Result<()> {
        if !exists(&self.folder.join(KNOWN_HOSTS))? {
            return Ok(());
        }
        let known = self.known_hosts_without(gone)?;
        write_new(&drawing.join(KNOWN_HOSTS), known.as_bytes())
    }
}

/// The fleet that the store in `folder` was made for; those of old do not say.
fn recorded(folder: &Path) -> Result<Option<String>> {
    let path = folder.join(FLEET);
    if !exists(&path)? {
        return Ok(None);
    }
    Ok(Some(read_private(&path)?.trim_end().to_owned()))
}

fn of_another_fleet(other: &str, name: &str) -> Finding {
    Finding::new(format!(
        "the fleet is called {} now, and identity/ has the keys of {}",
        quoted(name),
        quoted(other)
    ))
    .hint(format!(
        "what flashed cards are known by comes from the name: put `name = \"{other}\"` back into images/fleet.toml; if they are all \
         to be made anew, write the new name into identity/{FLEET}, where the old one stands"
    ))
}

/// The nodes that the store in `folder` has something of.
fn kept_nodes(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for kind in OF_NODE {
        let folder = folder.join(kind);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.and_then(Iterator::collect::<std::io::Result<Vec<_>>>),
        };
        let entries = entries.with_context(|| format!("cannot look into {}", folder.display()))?;
        let all = entries
            .into_iter()
            .filter_map(|entry| entry.file_name().into_string().ok());
        // What was being made when somebody cut it off has no such name.
        names.extend(all.filter(|name| name_fault(name).is_none()));
    }
    Ok(names)
}

fn vanished<'k>(kept: &'k BTreeSet<String>, fleet: &Fleet) -> Vec<&'k str> {
    let is_gone = |name: &&str| fleet.nodes.iter().all(|node| node.name != *name);
    kept.iter().map(String::as_str).filter(is_gone).collect()
}

/// Copies the files of a folder of the store to a new one.
fn copy(from: &Path, to: &Path) -> Result<()> {
    make_private_folder(to)?;
    let cannot = || format!("cannot look into {}", from.display());
    for entry in fs::read_dir(from).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default();
        write_new(&to.join(name), read_private(&path)?.as_bytes())?;
    }
    super::sync_folder(to)
}
