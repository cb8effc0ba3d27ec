//! Commands that only describe: the project, its nodes, the files' schemas, this program.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use model::finding::Findings;
use model::names::suggest;
use model::project::Project;
use model::{schema, show};
use serde_json::json;

use crate::arguments::{Arguments, Common};
use crate::output::{Coded, USAGE, print, print_json};
use crate::workplace;

/// `check`
pub fn check(common: &Common) -> Result<()> {
    let project = workplace::checked_project(&workplace::project_folder(common)?)?;
    let nodes = project.fleet.nodes.len();
    if common.json {
        return print_json(&json!([]));
    }
    if !common.quiet {
        print(&format!("{}: {nodes} nodes, nothing wrong\n", project.fleet.name))?;
    }
    Ok(())
}

/// `show NODE`
pub fn show(common: &Common, node: &str) -> Result<()> {
    let project = Project::load(&workplace::project_folder(common)?)?;
    let values = show::values(&project, node).map_err(Findings::from)?;
    if common.json {
        print_json(&show::json(&values))
    } else {
        print(&show::text(&values))
    }
}

/// `show --power`
pub fn power(common: &Common) -> Result<()> {
    let project = Project::load(&workplace::project_folder(common)?)?;
    let buses = &project.fleet.power;
    if common.json {
        print_json(&show::power_json(buses))
    } else {
        print(&show::power_text(buses))
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
