//! `portadc revoke`

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, Result, bail};
use identity::{IdentityStore, Replaced, Revocation};
use model::finding::Findings;
use serde_json::json;

use crate::arguments::Common;
use crate::output::{Coded, USAGE, print, print_json, say};
use crate::workplace;

/// Draws anew what lies on the card of `node`, with the containers of `guests`, and prints what is to be done.
pub fn run(common: &Common, node: &str, guests: &[String], is_sure: bool) -> Result<()> {
    let project = workplace::project(common)?;
    let node = project.node(node).map_err(Findings::from)?;
    let identity = project.root.join("identity");
    let store = IdentityStore::open_existing(&identity)?;
    let planned = IdentityStore::revocable(&identity, &project.fleet, node, guests)?;
    if !is_sure {
        confirm(&node.name, &planned)?;
    }
    let revoked = store.revoke(node, planned)?;
    if common.json {
        let replaced = |all: &[Replaced]| -> Vec<_> {
            let one = |one: &Replaced| json!({ "name": one.name, "old": one.old, "new": one.new });
            all.iter().map(one).collect()
        };
        return print_json(&json!({
            "node": node.name,
            "containers": revoked.containers,
            "build": revoked.nodes,
            "backup-host": revoked.backup_host,
            "i2p": replaced(&revoked.addresses),
            "tunnels": replaced(&revoked.tunnels),
        }));
    }
    print(&text(&node.name, &revoked))
}

/// Asks whoever sits at the terminal.
fn confirm(node: &str, planned: &Revocation) -> Result<()> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        let message =
            format!("the keys of {node} would be gone for good, and nobody can be asked: give --yes");
        return Err(Coded { code: USAGE, message }.into());
    }
    say(&format!(
        "The old keys of {node} will be gone for good{}; {} have to be built and flashed again.",
        match planned.containers.len() {
            0 => String::new(),
            1 => ", with those of 1 container".to_owned(),
            count => format!(", with those of {count} containers"),
        },
        cards(planned.nodes.len())
    ));
    write!(stderr(), "Revoke {node}? [y/N] ").context("cannot ask")?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("cannot read the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}

fn cards(count: usize) -> String {
    match count {
        1 => "1 card".to_owned(),
        _ => format!("{count} cards"),
    }
}

/// What is to be done, in the order in which it is to be done.
fn text(node: &str, revoked: &Revocation) -> String {
    let mut text = format!(
        "{node} is another one now: machine id, host key, and the keys of its backups and moves are new.\n\n\
         Until the cards below are flashed, their nodes take the stolen one for {node}. Images and packs that were made before know \
         its keys: make them anew.\n\n\
         portadc build {}\n",
        revoked.nodes.join(" ")
    );
    text += &format!("and flash {}.\n", cards(revoked.nodes.len()));
    if let Some(host) = &revoked.backup_host {
        text += &format!(
            "\n{host} keeps its backups: put the new line of {node} in its authorized_keys, from \
             `portadc render {node} --file /usr/share/portadc/backup-hosts`.\n"
        );
    }
    if !revoked.containers.is_empty() {
        text += &format!(
            "\nThe card had what was in these containers, host keys and whatever else is secret in them: {}.\n",
            revoked.containers.join(", ")
        );
        for (container, home) in &revoked.in_backups {
            text +=
                &format!("  {container} of {home}, in the backups that {node} kept: it goes on running\n");
        }
        text += "A container that goes on running, or comes back from a backup, keeps its old machine id and host key until you \
                 replace them within by those in identity/containers/.\n";
    }
    for Replaced { name, old, new } in &revoked.addresses {
        text += &format!("\nThe address of I2P of {name} is {new} now{}\n", before(old));
    }
    for Replaced { name, old, new } in &revoked.tunnels {
        text += &format!(
            "\nTell the provider of the tunnel {name} that its end here has WireGuard's public key {new} now{}\n",
            before(old)
        );
    }
    text
}

fn before(old: &str) -> String {
    match old {
        "" => ".".to_owned(),
        old => format!(", no longer {old}."),
    }
}
