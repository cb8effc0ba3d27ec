//! `portadc identity`

use anyhow::Result;
use identity::IdentityStore;
use serde_json::json;

use crate::arguments::{Common, IdentityCommand};
use crate::output::{print, print_json};
use crate::workplace;

/// Changes what nodes are known by, and prints what is to be done.
pub fn run(common: &Common, command: &IdentityCommand) -> Result<()> {
    let project = workplace::project(common)?;
    let folder = project.root.join("identity");
    let store = IdentityStore::open_existing(&folder)?;
    let (told, text) = match command {
        IdentityCommand::Rename { old, new } => {
            store.rename(&project.fleet, old, new)?;
            let text = format!(
                "{new} is known by what {old} was: machine id, host key, and the keys of its backups and moves. Its name is on the \
                 cards of others, too: portadc build --all says which cards are new\n"
            );
            (json!({ "old": old, "new": new }), text)
        }
        IdentityCommand::Prune { yes } => {
            let nodes = IdentityStore::prunable(&folder, &project.fleet)?;
            if *yes && !nodes.is_empty() {
                store.prune(&nodes)?;
            }
            let text = match (nodes.is_empty(), yes) {
                (true, _) => "identity/ has nothing of nodes that the fleet does not have\n".to_owned(),
                (false, true) => format!("removed from identity/: {}\n", nodes.join(", ")),
                (false, false) => format!(
                    "--yes would remove from identity/, for good: {}\n",
                    nodes.join(", ")
                ),
            };
            (json!({ "nodes": nodes, "removed": *yes }), text)
        }
        IdentityCommand::RotateOperator => {
            let operator = store.rotate_operator()?;
            let text = format!(
                "{} is new. Cards that were flashed know only the one before, which is beside it: build all and flash them, and log \
                 in with identity/operator_ed25519_before until then\n",
                operator.key.display()
            );
            (json!({ "public-key": operator.public_key }), text)
        }
    };
    match common.json {
        true => print_json(&told),
        false => print(&text),
    }
}
