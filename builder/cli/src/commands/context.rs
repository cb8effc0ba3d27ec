//! `portadc context`

use anyhow::{Result, anyhow};
use model::finding::Findings;
use model::names::{quoted, suggest};
use serde_json::Value;
use stages::build::partition_ids;
use stages::rootfs::{lines, variables};

use crate::arguments::Common;
use crate::output::{print, print_json, table};
use crate::workplace;

/// Shows what the templates of a node can use, or what of it is below one variable.
pub fn run(common: &Common, node: &str, variable: Option<&str>) -> Result<()> {
    let project = workplace::project(common)?;
    let node = project.node(node).map_err(Findings::from)?;
    let variables = variables(&project, node, &partition_ids(&project, node))?;
    if common.json && variable.is_none() {
        return print_json(&variables);
    }
    let lines = lines(&variables, variable);
    if let (Some(variable), true) = (variable, lines.is_empty()) {
        let names = variables
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        return Err(anyhow!(
            "templates have no variable {}: {}",
            quoted(variable),
            suggest(variable, names)
        ));
    }
    if common.json {
        let fields = lines.into_iter().map(|(name, value)| (name, Value::from(value)));
        return print_json(&fields.collect());
    }
    let rows: Vec<Vec<String>> = lines.into_iter().map(|(name, value)| vec![name, value]).collect();
    print(&table(&rows, &[]))
}
