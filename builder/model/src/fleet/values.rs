//! The values of each node: its own, else its cluster's, else the fleet's default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use super::nodes::{Clashes, Draft, Drafts};
use super::origins::origins;
use super::pattern::Pattern;
use super::{FleetToml, Mac, Network, Node};
use crate::check::Check;
use crate::finding::SourceFile;
use crate::names::quoted;
use crate::written::At;

/// A value and where it was written.
pub(super) struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Range<usize>,
    /// How it came about, where it was not written for this node.
    pub note: Option<String>,
}

/// What a node chose among the things that have names.
pub(super) struct Choices {
    /// Its network.
    pub network: Sourced<String>,
    /// Its role.
    pub role: Sourced<String>,
    /// Its board.
    pub board: Sourced<String>,
    /// Its card's layout.
    pub layout: Sourced<String>,
}

/// A value that no table sets: which, and for the nodes of which cluster.
type Missing<'a> = BTreeSet<(&'static str, &'a str)>;

impl Drafts<'_> {
    /// The nodes whose every value is known. What is wrong with the others was found.
    pub fn into_nodes(
        self,
        check: &mut Check<'_>,
        written: &FleetToml,
        networks: &BTreeMap<String, Network>,
    ) -> Vec<Node> {
        let addresses = self.addresses(check);
        check_addresses(check, &self.nodes, &addresses);
        let macs: Vec<_> = self.nodes.iter().map(|draft| draft.mac(check)).collect();
        check_macs(check, &self.nodes, &macs);
        let mut missing = Missing::new();
        let mut outside = Clashes::default();
        let mut nodes = Vec::new();
        for ((draft, address), mac) in self.nodes.iter().zip(addresses).zip(macs) {
            let (Some(choices), Some(address)) = (draft.choices(check, written, &mut missing), address)
            else {
                continue;
            };
            let Some(network) = networks.get(&choices.network.value) else {
                continue;
            };
            if let Some((fault, hint)) = network.host_fault(address.value) {
                let message = format!("address of `{}`: {fault} ({hint})", draft.name);
                outside.add(&choices.network.span, &address.span, || message);
            }
            nodes.push(draft.node(check.file, written, choices, address, mac));
        }
        outside.report(
            check,
            "the network was chosen here",
            "correct the address, its pattern, or the network",
        );
        nodes
    }

    /// The address of each node.
    fn addresses(&self, check: &mut Check<'_>) -> Vec<Option<Sourced<Ipv4Addr>>> {
        // Each pattern once: what is wrong with it is wrong for all its nodes.
        let mut patterns: BTreeMap<usize, Option<Pattern>> = BTreeMap::new();
        let mut addresses = Vec::new();
        for draft in &self.nodes {
            if let Some(own) = draft.own.and_then(|own| own.address.as_ref()) {
                addresses.push(check.address(own).map(|value| Sourced {
                    value,
                    span: own.span.clone(),
                    note: None,
                }));
                continue;
            }
            let written = &draft.shared.address;
            let pattern = patterns
                .entry(written.span.start)
                .or_insert_with(|| self.address_pattern(check, draft));
            let text = pattern
                .as_ref()
                .map(|pattern| pattern.fill(draft.cluster, draft.slot));
            let value = text.as_ref().and_then(|text| text.parse().ok());
            if let Some(text) = text.filter(|_| value.is_none()) {
                let message = format!("{} of slot {} is no IPv4 address", quoted(&text), draft.slot);
                let found = check.found(&written.span, message);
                if written.contains("{slot:") {
                    found.hint("the numbers of an address have no leading zeros: write `{slot}`");
                } else {
                    found.hint("\"172.16.1.{slot}\" gives slot 7 the address 172.16.1.7; numbers end at 255");
                }
                *pattern = None;
            }
            addresses.push(value.map(|value| Sourced {
                value,
                span: written.span.clone(),
                note: Some(format!(
                    "pattern `{}` of cluster {}",
                    written.value, draft.cluster.value
                )),
            }));
        }
        addresses
    }

    /// The address pattern of a node's cluster, or `None` with a finding.
    fn address_pattern(&self, check: &mut Check<'_>, draft: &Draft<'_>) -> Option<Pattern> {
        let written = &draft.shared.address;
        // What is wrong with the pattern itself was found with its cluster.
        let pattern = Pattern::parse(written).ok()?;
        let users = self.nodes.iter().filter(|other| {
            other.cluster.value == draft.cluster.value && other.own.is_none_or(|own| own.address.is_none())
        });
        let count = users.count();
        if count > 1 && !pattern.tells_slots_apart() {
            let message = format!(
                "{count} nodes of cluster `{}` would have one address",
                draft.cluster.value
            );
            check
                .found(&written.span, message)
                .hint("put `{slot}` into `address`");
            return None;
        }
        Some(pattern)
    }
}

impl Draft<'_> {
    /// What the node chose, or `None` with a finding where nothing was.
    fn choices<'s>(
        &'s self,
        check: &mut Check<'_>,
        written: &FleetToml,
        missing: &mut Missing<'s>,
    ) -> Option<Choices> {
        let (own, shared, defaults) = (self.own, self.shared, &written.defaults);
        let mut choose =
            |what, own: Option<&At<String>>, shared: &Option<At<String>>, default: &Option<At<String>>| {
                let cluster = || Some(format!("cluster {}", self.cluster.value));
                let chosen = own
                    .map(|own| (own, None))
                    .or_else(|| Some((shared.as_ref()?, cluster())))
                    .or_else(|| Some((default.as_ref()?, Some("default of the fleet".to_owned()))));
                if chosen.is_none() && missing.insert((what, self.cluster.as_str())) {
                    let cluster = &self.cluster.value;
                    check
                        .found(
                            &self.cluster.span,
                            format!("nodes of cluster `{cluster}` have no {what}"),
                        )
                        .hint(format!("set `{what}` in [defaults] or in [clusters.{cluster}]"));
                }
                chosen.map(|(written, note)| Sourced {
                    value: written.value.clone(),
                    span: written.span.clone(),
                    note,
                })
            };
        let network = choose(
            "network",
            own.and_then(|own| own.network.as_ref()),
            &shared.network,
            &defaults.network,
        );
        let role = choose(
            "role",
            own.and_then(|own| own.role.as_ref()),
            &shared.role,
            &defaults.role,
        );
        let board = choose(
            "board",
            own.and_then(|own| own.board.as_ref()),
            &shared.board,
            &defaults.board,
        );
        let layout = choose(
            "layout",
            own.and_then(|own| own.layout.as_ref()),
            &shared.layout,
            &defaults.layout,
        );
        Some(Choices {
            network: network?,
            role: role?,
            board: board?,
            layout: layout?,
        })
    }

    /// The node's MAC address, where it has one of its own.
    fn mac(&self, check: &mut Check<'_>) -> Option<Sourced<Mac>> {
        let written = self.own?.mac.as_ref()?;
        match written.parse() {
            Ok(value) => Some(Sourced {
                value,
                span: written.span.clone(),
                note: None,
            }),
            Err(fault) => {
                check
                    .found(
                        &written.span,
                        format!("{} is no MAC address of a node: {fault}", quoted(written)),
                    )
                    .hint("six octets in hexadecimal; one of your own starts with 02: \"02:00:00:00:01:07\"");
                None
            }
        }
    }

    /// The finished node.
    fn node(
        &self,
        file: &Arc<SourceFile>,
        written: &FleetToml,
        choices: Choices,
        address: Sourced<Ipv4Addr>,
        mac: Option<Sourced<Mac>>,
    ) -> Node {
        Node {
            origins: origins(file, written, self, &choices, &address, mac.as_ref()),
            name: self.name.clone(),
            cluster: self.cluster.value.clone(),
            slot: self.slot,
            address: address.value,
            network: choices.network.value,
            mac: mac.map(|mac| mac.value),
            role: choices.role.value,
            board: choices.board.value,
            layout: choices.layout.value,
        }
    }
}

/// Finds addresses that two nodes have.
fn check_addresses(check: &mut Check<'_>, nodes: &[Draft<'_>], addresses: &[Option<Sourced<Ipv4Addr>>]) {
    check_distinct(
        check,
        nodes,
        addresses,
        "address",
        "give each node its own; clusters differ in the third number",
    );
}

/// Finds MAC addresses that two nodes have.
fn check_macs(check: &mut Check<'_>, nodes: &[Draft<'_>], macs: &[Option<Sourced<Mac>>]) {
    check_distinct(
        check,
        nodes,
        macs,
        "MAC address",
        "a switch knows its ports by MAC address: give each node its own",
    );
}

fn check_distinct<T: Ord + fmt::Display>(
    check: &mut Check<'_>,
    nodes: &[Draft<'_>],
    values: &[Option<Sourced<T>>],
    what: &str,
    hint: &str,
) {
    let mut first: BTreeMap<&T, (&Draft<'_>, &Range<usize>)> = BTreeMap::new();
    let mut clashes = Clashes::default();
    for (node, sourced) in nodes.iter().zip(values) {
        let Some(sourced) = sourced else {
            continue;
        };
        match first.get(&sourced.value) {
            Some((other, span)) => clashes.add(span, &sourced.span, || {
                format!(
                    "`{}` and `{}` have the same {what}, {}",
                    other.name, node.name, sourced.value
                )
            }),
            None => {
                first.insert(&sourced.value, (node, &sourced.span));
            }
        }
    }
    clashes.report(check, "the other one", hint);
}

impl FromStr for Mac {
    type Err = &'static str;

    /// Six octets of two hexadecimal digits with colons between; unicast and not all zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            *octet = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or("it is not six pairs of hexadecimal digits with colons between")?;
        }
        if parts.next().is_some() {
            return Err("it has more than six octets");
        }
        if octets[0] & 1 == 1 {
            return Err("its first octet is odd, which makes it a group's address");
        }
        if octets == [0; 6] {
            return Err("it is all zero");
        }
        Ok(Self(octets))
    }
}
