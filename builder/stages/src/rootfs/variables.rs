//! What the templates of a node can use, as a person reads it: each variable in the words of a template, and its value.

use anyhow::{Context as _, Result};
use model::finding::Findings;
use model::fleet::Node;
use model::project::Project;
use serde_json::{Map, Value};

use super::context::{ALL_NAMES, NodeInputs, PartitionIds, Shared};
use super::stand_ins::{StandIns, secrets};

/// Names of what comes from `identity/`. Nothing of that is read here; what stands for it would only mislead.
const OF_IDENTITY: [&str; 14] = [
    "authorized_keys",
    "b32",
    "backup_key_public",
    "host_key",
    "host_key_base64",
    "host_key_public",
    "identity",
    "keys_base64",
    "machine_id",
    "move_key_public",
    "move_private_key",
    "private_key",
    "public",
    "public_key",
];

/// What is shown of it.
const HIDDEN: &str = "(of identity/)";

/// All variables that a template of `node` can use, by their names. What comes from `identity/` is not shown.
pub fn variables(project: &Project, node: &Node, card: &PartitionIds) -> Result<Value> {
    let stand_ins = StandIns::of(project);
    let role = &project.fleet.roles[&node.role];
    let board = &project.boards[&node.board];
    let platform = project.sources.set(None).map_err(Findings::from)?.base.platform();
    let layout = project.layout_of(&node.role, &node.layout, platform);
    let shared = Shared::new(
        &project.fleet,
        role,
        board,
        layout,
        &stand_ins.operator,
        &stand_ins.known,
    );
    let inputs = NodeInputs {
        node,
        identity: &stand_ins.identity,
        containers: &stand_ins.containers,
        secrets: &secrets(project, node)?,
        card,
    };
    let value = serde_json::to_value(shared.of_node(&inputs, true));
    let mut value = value.context("cannot make the values that templates use")?;
    hide(&mut value);
    Ok(value)
}

/// Hides what comes from `identity/`.
fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                // `public` is also the number of a port.
                match OF_IDENTITY.contains(&name.as_str()) && !value.is_number() {
                    true => hide_all(value),
                    false => hide(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        _ => {}
    }
}

fn hide_all(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(hide_all),
        Value::Array(values) => values.iter_mut().for_each(hide_all),
        other => *other = HIDDEN.into(),
    }
}

/// `variables` as lines of name and value, as a template writes the name: those below `wanted`, or all but what grows with the fleet,
/// of which only the number is told.
pub fn lines(variables: &Value, wanted: Option<&str>) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    match wanted {
        None => {
            for (name, value) in variables.as_object().into_iter().flatten() {
                match value {
                    Value::Array(values) if ALL_NAMES.contains(&name.as_str()) => {
                        lines.push((name.clone(), format!("({})", values.len())));
                    }
                    value => flatten(name, value, &mut lines),
                }
            }
        }
        Some(wanted) => {
            let mut all = Vec::new();
            for (name, value) in variables.as_object().into_iter().flatten() {
                flatten(name, value, &mut all);
            }
            let below = |name: &str| {
                let rest = name.strip_prefix(wanted);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            lines.extend(all.into_iter().filter(|(name, _)| below(name)));
        }
    }
    lines
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => flatten_fields(name, fields, lines),
        Value::Array(values) if values.iter().any(|value| value.is_object()) => {
            for (index, value) in values.iter().enumerate() {
                flatten(&format!("{name}.[{index}]"), value, lines);
            }
        }
        Value::String(text) => lines.push((name.to_owned(), text.trim_end().to_owned())),
        other => lines.push((name.to_owned(), other.to_string())),
    }
}

fn flatten_fields(name: &str, fields: &Map<String, Value>, lines: &mut Vec<(String, String)>) {
    for (field, value) in fields {
        flatten(&format!("{name}.{field}"), value, lines);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_from_the_store_is_hidden_and_lists_have_the_form_of_templates() {
        let mut value = json!({
            "node": { "name": "a", "ipv4": ["10.0.0.1"], "containers": [{ "name": "web", "host_key_base64": "KEY" }],
                      "backup": [{ "private_key": "KEY", "every": "hourly" }], "published": [{ "public": 80 }] },
            "nodes": [{ "name": "a" }, { "name": "b" }],
            "identity": { "host_key": "KEY\n", "machine_id": "KEY" },
        });
        hide(&mut value);
        assert!(!value.to_string().contains("KEY"), "{value}");
        let shown: Vec<String> = lines(&value, None)
            .into_iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        assert!(shown.contains(&"nodes (2)".to_owned()), "{shown:?}");
        assert!(shown.contains(&"node.containers.[0].name web".to_owned()));
        assert!(shown.contains(&"node.ipv4 [\"10.0.0.1\"]".to_owned()));
        assert!(shown.contains(&"node.published.[0].public 80".to_owned()));
        let nodes = lines(&value, Some("nodes"));
        assert_eq!(nodes.len(), 2);
        assert_eq!(lines(&value, Some("node.name")).len(), 1);
        assert!(lines(&value, Some("nod")).is_empty());
    }
}
