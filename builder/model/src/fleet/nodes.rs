//! Which nodes there are: the slots of clusters, their exceptions, and single nodes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pattern::Pattern;
use super::roll::Roll;
use super::slots::{MAX_SLOT, parse_slots};
use super::toml::{ClusterToml, NodeToml};
use super::{FleetToml, Switch};
use crate::check::Check;
use crate::names::{host_fault, nearest, quoted};
use crate::written::At;

/// How nodes are named where their cluster does not say.
const NAMES: &str = "{cluster}-{slot:02}";

/// What to do about a host name that breaks the rules.
const HOST_HINT: &str = "host names are lower-case letters, digits and inner hyphens, 63 at most (RFC 1123)";

/// A node that is known by name, cluster and slot; its other values are still where they were written.
pub(super) struct Draft<'a> {
    /// Its name.
    pub name: String,
    /// Where the name was written, and how it came about if not literally.
    pub name_span: Range<usize>,
    /// The pattern that made the name.
    pub name_note: Option<String>,
    /// Its cluster.
    pub cluster: &'a At<String>,
    /// What the cluster says.
    pub shared: &'a ClusterToml,
    /// Its slot.
    pub slot: u16,
    /// Where the slot was written.
    pub slot_span: Range<usize>,
    /// What the node's own table says.
    pub own: Option<&'a NodeToml>,
}

/// Every node of the fleet, by cluster as written and slot.
pub(super) struct Drafts<'a> {
    /// The nodes.
    pub nodes: Vec<Draft<'a>>,
    /// Whether a cluster's slots or names could not be read, so that nodes are missing.
    incomplete: bool,
}

impl<'a> Drafts<'a> {
    /// Which nodes there are.
    pub fn roll(&self) -> Roll {
        let names = self.nodes.iter().map(|node| node.name.clone());
        Roll::new(names.collect(), self.incomplete)
    }

    /// The nodes of `written`.
    pub fn collect(check: &mut Check<'_>, written: &'a FleetToml) -> Self {
        let mut drafts = Self {
            nodes: Vec::new(),
            incomplete: false,
        };
        for (name, cluster) in &written.clusters {
            check.name(name, "cluster");
            drafts.add_cluster(check, name, cluster);
        }
        let by_name: BTreeMap<String, usize> = drafts
            .nodes
            .iter()
            .enumerate()
            .rev()
            .map(|(index, node)| (node.name.clone(), index))
            .collect();
        for (name, own) in &written.nodes {
            match by_name.get(name.as_str()) {
                Some(index) => drafts.except(check, *index, own),
                None => drafts.add_single(check, written, name, own),
            }
        }
        let order = |node: &Draft<'_>| (node.cluster.span.start, node.slot);
        drafts.nodes.sort_by_key(order);
        check_names(check, &drafts.nodes);
        drafts
    }

    /// The nodes in the slots of a cluster.
    fn add_cluster(&mut self, check: &mut Check<'_>, cluster: &'a At<String>, shared: &'a ClusterToml) {
        let slots = parse_slots(&shared.slots).map_err(|(part, fault)| (&shared.slots, part, fault));
        let names = shared.names.as_ref().map_or(NAMES, |names| names.as_str());
        let pattern = Pattern::parse(names)
            .map_err(|(part, fault)| (shared.names.as_ref().unwrap_or(cluster), part, fault));
        let patterns = [
            Some(&shared.address),
            shared.address6.as_ref(),
            shared.containers.as_ref(),
            shared.containers6.as_ref(),
        ];
        let faults = patterns.into_iter().flatten().map(|written| {
            Pattern::parse(written)
                .map_err(|(part, fault)| (written, part, fault))
                .err()
        });
        let first = [slots.as_ref().err().cloned(), pattern.as_ref().err().cloned()];
        for (written, part, fault) in first.into_iter().chain(faults).flatten() {
            let span = check.part(written, part.clone());
            check.found(&span, fault.clone());
        }
        let (Ok(slots), Ok(pattern)) = (slots, pattern) else {
            self.incomplete = true;
            return;
        };
        let span = shared.names.as_ref().map_or(&cluster.span, |names| &names.span);
        if slots.len() > 1 && !pattern.tells_slots_apart() {
            let message = format!(
                "all {} nodes of cluster {} would have one name",
                slots.len(),
                quoted(cluster)
            );
            check
                .found(span, message)
                .hint("put `{slot}` or `{slot:02}` into `names`");
            self.incomplete = true;
            return;
        }
        let mut names_of_slots = Vec::with_capacity(slots.len());
        for slot in &slots {
            match pattern.fill(cluster, *slot) {
                Ok(name) => names_of_slots.push(name),
                Err((part, fault)) => {
                    // The pattern that stands for none counts nothing.
                    let written = shared.names.as_ref().unwrap_or(cluster);
                    let span = check.part(written, part);
                    check.found(&span, fault);
                    self.incomplete = true;
                    return;
                }
            }
        }
        let fault = names_of_slots
            .iter()
            .find_map(|name| host_fault(name).map(|fault| (name, fault)));
        // A bad name of the cluster is found already and is what makes these names bad.
        if let Some((name, fault)) = fault.filter(|_| host_fault(cluster).is_none()) {
            check
                .found(span, format!("host name {} {fault}", quoted(name)))
                .hint(HOST_HINT);
        }
        let named = slots.into_iter().zip(names_of_slots);
        self.nodes.extend(named.map(|(slot, name)| Draft {
            name,
            name_span: span.clone(),
            name_note: Some(format!("pattern `{names}` of cluster {}", cluster.value)),
            cluster,
            shared,
            slot,
            slot_span: shared.slots.span.clone(),
            own: None,
        }));
    }

    /// A table of a node that its cluster has made already.
    fn except(&mut self, check: &mut Check<'_>, index: usize, own: &'a NodeToml) {
        let node = &mut self.nodes[index];
        let home = format!(
            "`{}` is slot {} of cluster `{}`",
            node.name, node.slot, node.cluster.value
        );
        let hint =
            "leave `cluster` and `slot` out of an exception; another place is another node with another name";
        if let Some(cluster) = own
            .cluster
            .as_ref()
            .filter(|name| name.value != node.cluster.value)
        {
            check
                .found(&cluster.span, format!("{home}, not of {}", quoted(cluster)))
                .hint(hint);
        }
        if let Some(slot) = own.slot.as_ref().filter(|slot| slot.value != node.slot) {
            check
                .found(&slot.span, format!("{home}, not {}", slot.value))
                .hint(hint);
        }
        node.own = Some(own);
    }

    /// One more node.
    fn add_single(
        &mut self,
        check: &mut Check<'_>,
        written: &'a FleetToml,
        name: &'a At<String>,
        own: &'a NodeToml,
    ) {
        let (Some(cluster), Some(slot)) = (&own.cluster, &own.slot) else {
            if !self.incomplete {
                let names = self.nodes.iter().map(|node| node.name.as_str());
                let hint = match nearest(name, names) {
                    Some(near) => format!("did you mean `{near}`? one more node needs `cluster` and `slot`"),
                    None => "one more node needs `cluster` and `slot`".to_owned(),
                };
                check
                    .found(&name.span, format!("no cluster has a node {}", quoted(name)))
                    .hint(hint);
            }
            return;
        };
        if let Some(fault) = host_fault(name) {
            check
                .found(&name.span, format!("host name {} {fault}", quoted(name)))
                .hint(HOST_HINT);
        }
        if !(1..=MAX_SLOT).contains(&slot.value) {
            check.found(
                &slot.span,
                format!("a slot is a number from 1 to {MAX_SLOT}, not {}", slot.value),
            );
            return;
        }
        let Some((cluster, shared)) = written
            .clusters
            .into_iter()
            .find(|(key, _)| key.value == cluster.value)
        else {
            return;
        };
        let taken = self
            .nodes
            .iter()
            .find(|node| node.cluster.value == cluster.value && node.slot == slot.value);
        if let Some(other) = taken {
            check
                .found(
                    &slot.span,
                    format!(
                        "slot {} of cluster `{}` is taken by `{}`",
                        slot.value, cluster.value, other.name
                    ),
                )
                .related(&other.slot_span, format!("`{}`", other.name))
                .hint(format!(
                    "give `{}` a free slot, or take {} out of `slots`",
                    name.value, slot.value
                ));
        }
        self.nodes.push(Draft {
            name: name.value.clone(),
            name_span: name.span.clone(),
            name_note: None,
            cluster,
            shared,
            slot: slot.value,
            slot_span: slot.span.clone(),
            own: Some(own),
        });
    }

    /// The switches by cluster. Finds clusters with more nodes than their switch has ports.
    pub fn check_switches(&self, check: &mut Check<'_>, written: &FleetToml) -> BTreeMap<String, Switch> {
        let mut switches = BTreeMap::new();
        for (name, cluster) in &written.clusters {
            let Some(switch) = &cluster.switch else {
                continue;
            };
            let kept = Switch {
                ports: switch.ports.value,
                uplinks: switch.uplinks,
            };
            switches.insert(name.value.clone(), kept);
            let nodes = self
                .nodes
                .iter()
                .filter(|node| node.cluster.value == name.value)
                .count();
            if nodes + usize::from(switch.uplinks) > usize::from(switch.ports.value) {
                let uplinks = switch.uplinks;
                let plural = if uplinks == 1 { "" } else { "s" };
                let message = format!(
                    "cluster `{}` has {nodes} nodes and {uplinks} uplink{plural}, but its switch has {} ports",
                    name.value, switch.ports.value
                );
                check
                    .found(&switch.ports.span, message)
                    .related(&cluster.slots.span, "most of the nodes come from here")
                    .hint("remove nodes, or move some to another cluster with a switch of its own");
            }
        }
        switches
    }
}

/// Finds names that two nodes have, once for each pair of places they come from.
fn check_names(check: &mut Check<'_>, nodes: &[Draft<'_>]) {
    let mut first: BTreeMap<&str, &Draft<'_>> = BTreeMap::new();
    let mut clashes = Clashes::default();
    for node in nodes {
        match first.get(node.name.as_str()) {
            Some(other) => clashes.add(&other.name_span, &node.name_span, || {
                format!(
                    "`{}` names two nodes: slot {} of `{}` and slot {} of `{}`",
                    node.name, other.slot, other.cluster.value, node.slot, node.cluster.value
                )
            }),
            None => {
                first.insert(&node.name, node);
            }
        }
    }
    clashes.report(
        check,
        "the other name",
        "put `{cluster}` and `{slot:02}` into `names`",
    );
}

/// Clashes between two places, of which each may be the pattern of many nodes: one finding for each pair of places.
#[derive(Default)]
pub(super) struct Clashes(BTreeMap<(usize, usize), Clash>);

struct Clash {
    first: Range<usize>,
    second: Range<usize>,
    message: String,
    count: usize,
}

impl Clashes {
    /// Adds a clash of what was written at `first` and `second`.
    pub fn add(&mut self, first: &Range<usize>, second: &Range<usize>, message: impl FnOnce() -> String) {
        self.0
            .entry((first.start, second.start))
            .or_insert_with(|| Clash {
                first: first.clone(),
                second: second.clone(),
                message: message(),
                count: 0,
            })
            .count += 1;
    }

    /// Reports them.
    pub fn report(self, check: &mut Check<'_>, label: &str, hint: &str) {
        for clash in self.0.into_values() {
            let more = match clash.count {
                1 => String::new(),
                count => format!(", and {} more like this", count - 1),
            };
            let found = check
                .found(&clash.second, format!("{}{more}", clash.message))
                .hint(hint);
            if clash.first != clash.second {
                found.related(&clash.first, label);
            }
        }
    }
}
