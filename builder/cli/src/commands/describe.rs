//! Commands that only describe: the project, its nodes, the files' schemas, this program.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use files::emit::{Readers, write_file};
use identity::IdentityStore;
use model::finding::Findings;
use model::fleet::{Node, Origin};
use model::graph::Graph;
use model::names::suggest;
use model::project::Project;
use model::show::Shown;
use model::{schema, show};

use crate::arguments::{Arguments, Common, Drawing};
use crate::output::{Coded, USAGE, counted, print, print_json};
use crate::workplace;

/// `check`
pub fn check(common: &Common) -> Result<()> {
    let project = workplace::checked_project(common)?;
    let nodes = project.fleet.nodes.len();
    if common.json {
        return print_json(&project.warnings.to_json());
    }
    if !common.quiet {
        let wrong = match project.warnings.0.len() {
            0 => "nothing wrong".to_owned(),
            count => counted(count, "warning"),
        };
        print(&format!("{}: {nodes} nodes, {wrong}\n", project.fleet.name))?;
    }
    Ok(())
}

/// `show NODE`
pub fn show(common: &Common, node: &str) -> Result<()> {
    let project = workplace::project(common)?;
    let mut values = show::values(&project, node).map_err(Findings::from)?;
    let node = project.node(node).map_err(Findings::from)?;
    let kept = outside(&project, &project.root.join("identity"), node, &mut values);
    if common.json {
        print_json(&show::json(&values))?;
    } else {
        print(&show::text(&values))?;
    }
    kept
}

/// By what others know the services and tunnels of `node`: addresses of I2P, and the keys that providers have to be told.
/// Both are of the identity store in `identity`, in which nothing is made here.
fn outside(project: &Project, identity: &Path, node: &Node, values: &mut Vec<Shown>) -> Result<()> {
    let or_later = |key: Option<String>| key.unwrap_or_else(|| "(a build makes its key)".to_owned());
    for service in project.fleet.inproxied(node).filter(|service| service.i2p) {
        let name = &service.name;
        let key = IdentityStore::made_i2p(identity, name)?;
        values.push(Shown::from(&Origin {
            name: "i2p".to_owned(),
            value: format!("{name} {}", or_later(key.map(|key| key.address()))),
            place: service.place.clone(),
            note: Some(format!("key identity/i2p/{name}")),
        }));
    }
    for tunnel in project.fleet.tunnels_of(node) {
        let name = &tunnel.name;
        let key = IdentityStore::made_tunnel(identity, name)?;
        let key = or_later(key.map(|key| key.public()));
        values.push(Shown::from(&Origin {
            name: "tunnel".to_owned(),
            value: format!("{name} {} by {key}", tunnel.address),
            place: tunnel.place.clone(),
            note: Some(format!(
                "WireGuard's public key of this end, of identity/tunnels/{name}"
            )),
        }));
    }
    Ok(())
}

/// `show --power`
pub fn power(common: &Common) -> Result<()> {
    let project = workplace::project(common)?;
    let buses = &project.fleet.power;
    if common.json {
        print_json(&show::power_json(buses))
    } else {
        print(&show::power_text(buses))
    }
}

/// `graph`
pub fn graph(common: &Common, output: Option<&Path>, format: Drawing) -> Result<()> {
    let project = workplace::checked_project(common)?;
    let graph = Graph::of(&project.fleet);
    let text = match format {
        Drawing::Svg => graph.svg(),
        Drawing::Mermaid => graph.mermaid(),
    };
    match output {
        Some(path) => write_file(path, text.as_bytes(), Readers::Anybody),
        None => print(&text),
    }
}

/// `schema [KIND]`
pub fn schema(kind: Option<&str>) -> Result<()> {
    let schemas = schema::schemas();
    let Some(kind) = kind else {
        let kinds: String = schemas.iter().map(|(kind, _)| format!("{kind}\n")).collect();
        return print(&kinds);
    };
    match schemas.iter().find(|(name, _)| *name == kind) {
        Some((_, schema)) => print_json(schema),
        None => {
            let hint = suggest(kind, schemas.iter().map(|(name, _)| *name));
            let message = format!("there is no schema {kind:?}: {hint}");
            Err(Coded { code: USAGE, message }.into())
        }
    }
}

/// `completion SHELL`
pub fn completion(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "portadc", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// `man FOLDER`
pub fn man(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Arguments::command(), folder)
        .with_context(|| format!("cannot write man pages into {}", folder.display()))
}
