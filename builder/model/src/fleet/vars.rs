//! Values for templates that mean something to the user alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::toml::VarToml;
use super::{Fleet, FleetToml, Node, Origin, Placed, Role};
use crate::check::Check;
use crate::names::{MAX_NAME, quoted};
use crate::written::{At, Table};

/// Values by name.
pub type Vars = BTreeMap<String, Placed<Value>>;

impl Fleet {
    /// What templates of a role know that are no single node's: the role's values over the fleet's.
    pub fn vars_of_role<'a>(&'a self, role: &'a Role) -> BTreeMap<&'a str, &'a Value> {
        plain(self.vars.iter().chain(&role.vars))
    }

    /// What templates of a node know: its values over those of its role, and these over the fleet's.
    pub fn vars_of_node<'a>(&'a self, node: &'a Node) -> BTreeMap<&'a str, &'a Value> {
        let role = self.roles.get(&node.role).map(|role| &role.vars);
        plain(
            self.vars
                .iter()
                .chain(role.into_iter().flatten())
                .chain(&node.vars),
        )
    }

    /// The names that a node of the role has a value of its own for: what uses one of these is each node's own.
    pub fn own_vars<'a>(&'a self, role: &str) -> BTreeSet<&'a str> {
        let nodes = self.nodes.iter().filter(|node| node.role == role);
        nodes
            .flat_map(|node| node.vars.keys().map(String::as_str))
            .collect()
    }
}

fn plain<'a>(vars: impl Iterator<Item = (&'a String, &'a Placed<Value>)>) -> BTreeMap<&'a str, &'a Value> {
    vars.map(|(name, var)| (name.as_str(), &var.value)).collect()
}

/// The values of a table that hold.
pub(super) fn check_vars(check: &mut Check<'_>, written: &Table<At<VarToml>>) -> Vars {
    let mut vars = Vars::new();
    for (name, var) in written {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(is_inner)
            && name.len() <= MAX_NAME
            && name.value != "this";
        if !is_name {
            check
                .found(&name.span, format!("{} cannot name a value", quoted(name)))
                .hint(
                    "templates read it as {{vars.NAME}}: letters, digits and `_`, a letter first, 63 at most",
                );
            continue;
        }
        match value(&var.0) {
            Some(value) => {
                let place = check.place(&var.span);
                vars.insert(name.value.clone(), Placed { value, place });
            }
            None => {
                check
                    .found(&var.span, format!("{} has no such number", quoted(name)))
                    .hint("a number is finite; anything else is a text in quotes");
            }
        }
    }
    vars
}

/// Gives nodes the values of their own, and tells where each of all values that they have was written.
pub(super) fn assign_vars(
    check: &mut Check<'_>,
    written: &FleetToml,
    fleet: &Vars,
    roles: &BTreeMap<String, Role>,
    nodes: &mut [Node],
) {
    for (name, toml) in &written.nodes {
        let vars = check_vars(check, &toml.vars);
        if let Some(node) = nodes.iter_mut().find(|node| node.name == name.value) {
            node.vars = vars;
        }
    }
    for node in nodes {
        let role = roles.get(&node.role);
        let mut origins: BTreeMap<&str, Origin> = BTreeMap::new();
        let levels = [
            (Some(fleet), Some("default of the fleet".to_owned())),
            (role.map(|role| &role.vars), Some(format!("role {}", node.role))),
            (Some(&node.vars), None),
        ];
        for (vars, note) in levels {
            for (name, var) in vars.into_iter().flatten() {
                let origin = Origin {
                    name: format!("vars.{name}"),
                    value: shown(&var.value),
                    place: var.place.clone(),
                    note: note.clone(),
                };
                origins.insert(name, origin);
            }
        }
        node.origins.extend(origins.into_values());
    }
}

/// As `show` prints it: a text as it is, all else as JSON has it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    }
}

/// The value as templates know it; `None` for a number that none can write. Tables and dates were refused with the file.
fn value(written: &toml::Value) -> Option<Value> {
    match written {
        toml::Value::String(text) => Some(Value::from(text.as_str())),
        toml::Value::Integer(number) => Some(Value::from(*number)),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number).map(Value::Number),
        toml::Value::Boolean(yes) => Some(Value::from(*yes)),
        toml::Value::Array(items) => items.iter().map(value).collect(),
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
