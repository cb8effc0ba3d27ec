//! Which nodes there are, for rules that rest on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, Role};

/// Which nodes there are, also those of which a value failed: what rests on one of these is not held against the rules, as
/// that would say the same mistake again.
pub(super) struct Roll {
    names: BTreeSet<String>,
    incomplete: bool,
    /// Those whose role runs no containers. One that is on such a node was told of.
    idle: BTreeSet<String>,
}

impl Roll {
    /// Of nodes with these `names`; `incomplete` where there are more whose names failed.
    pub fn new(names: BTreeSet<String>, incomplete: bool) -> Self {
        Self {
            names,
            incomplete,
            idle: BTreeSet::new(),
        }
    }

    /// Whether what is said of containers on `node` can be held against the rules.
    pub fn hosts(&self, node: &Node) -> bool {
        !self.idle.contains(&node.name)
    }

    /// Whether there is a node called `name`, or could be once what was found is mended.
    pub fn may_have(&self, name: &str) -> bool {
        self.incomplete || self.names.contains(name)
    }

    /// Whether a node failed, so that nobody can say that none of them is something.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The same when it is known which of them became `nodes`, and what these lack.
    pub fn less(self, nodes: &[Node], roles: &BTreeMap<String, Role>) -> Self {
        // A gateway without its second port is told of as that.
        let is_whole = |node: &Node| {
            let role = roles.get(&node.role);
            role.is_some_and(|role| !role.gateway || node.internet.is_some())
        };
        let incomplete = self.incomplete || nodes.len() < self.names.len() || !nodes.iter().all(is_whole);
        let idle = nodes.iter().filter(|node| node.runs_none(roles));
        Self {
            incomplete,
            idle: idle.map(|node| node.name.clone()).collect(),
            ..self
        }
    }
}
