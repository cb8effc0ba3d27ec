//! What each node of a bus has by a pattern of its slot: addresses, networks of containers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::dhcp::DHCP;
use super::nodes::{Draft, Drafts};
use super::pattern::Pattern;
use super::sourced::Sourced;
use super::toml::{ClusterToml, NodeToml};
use crate::check::Check;
use crate::names::quoted;
use crate::written::At;

/// A value that a cluster's pattern gives to its nodes.
pub(super) struct Patterned<T> {
    /// What it is, for errors.
    what: &'static str,
    /// Its key in the table of the cluster.
    key: &'static str,
    /// The cluster's pattern.
    shared: fn(&ClusterToml) -> Option<&At<String>>,
    /// What the node's own table says instead.
    own: fn(&NodeToml) -> Option<&At<String>>,
    /// The value of that, or `None` with a finding.
    read: fn(&mut Check<'_>, &At<String>) -> Option<T>,
    /// The value of a text, in the form that people write.
    parse: fn(&str) -> Option<T>,
    /// What to do about a text that is none.
    hint: &'static str,
}

/// IPv4 addresses; none where a DHCP server gives them.
pub(super) const ADDRESSES: Patterned<Option<Ipv4Addr>> = Patterned {
    what: "IPv4 address",
    key: "address",
    shared: |cluster| Some(&cluster.address),
    own: |node| node.address.as_ref(),
    read: |check, written| match written.as_str() {
        DHCP => Some(None),
        _ => check.address(written).map(Some),
    },
    parse: |text| match text {
        DHCP => Some(None),
        _ => text.parse().ok().map(Some),
    },
    hint: "\"172.16.1.{slot}\" gives slot 7 the address 172.16.1.7; numbers end at 255",
};

/// IPv6 addresses.
pub(super) const ADDRESSES6: Patterned<Ipv6Addr> = Patterned {
    what: "IPv6 address",
    key: "address6",
    shared: |cluster| cluster.address6.as_ref(),
    own: |node| node.address6.as_ref(),
    read: |check, written| check.address6(written),
    parse: |text| text.parse().ok(),
    hint: "\"fd54:ee1a:d2c6::1:{slot}\" gives slot 7 the address fd54:ee1a:d2c6::1:7",
};

/// Networks of containers.
pub(super) const CONTAINERS: Patterned<Ipv4Net> = Patterned {
    what: "IPv4 subnet that starts at its first address",
    key: "containers",
    shared: |cluster| cluster.containers.as_ref(),
    own: |node| node.containers.as_ref(),
    read: |check, written| read_net(check, written, net4(written), "\"192.168.1.128/29\""),
    parse: net4,
    hint: "\"172.16.1{slot:02}.0/24\" gives the containers of slot 7 the network 172.16.107.0/24; numbers end at 255",
};

/// Networks of containers for IPv6.
pub(super) const CONTAINERS6: Patterned<Ipv6Net> = Patterned {
    what: "IPv6 subnet that starts at its first address",
    key: "containers6",
    shared: |cluster| cluster.containers6.as_ref(),
    own: |node| node.containers6.as_ref(),
    read: |check, written| read_net(check, written, net6(written), "\"fd54:ee1a:d2c6:107::/64\""),
    parse: net6,
    hint: "\"fd54:ee1a:d2c6:1{slot:02}::/64\" gives the containers of slot 7 the network fd54:ee1a:d2c6:107::/64",
};

fn net4(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().filter(|net: &Ipv4Net| *net == net.trunc())
}

fn net6(text: &str) -> Option<Ipv6Net> {
    text.parse().ok().filter(|net: &Ipv6Net| *net == net.trunc())
}

/// The network of a single node's containers, or `None` with a finding.
fn read_net<N>(check: &mut Check<'_>, written: &At<String>, net: Option<N>, example: &str) -> Option<N> {
    if net.is_none() {
        let message = format!(
            "{} is no subnet that starts at its first address",
            quoted(written)
        );
        check
            .found(&written.span, message)
            .hint(format!("first address and prefix length: {example}"));
    }
    net
}

impl<T> Patterned<T> {
    /// The value of each node, `None` where it has none. What is wrong with a pattern is found once.
    pub fn of(&self, drafts: &Drafts<'_>, check: &mut Check<'_>) -> Vec<Option<Sourced<T>>> {
        // Each pattern once: what is wrong with it is wrong for all its nodes.
        let mut patterns: BTreeMap<usize, Option<Pattern>> = BTreeMap::new();
        let mut values = Vec::new();
        for draft in &drafts.nodes {
            if let Some(written) = draft.own.and_then(self.own) {
                values.push((self.read)(check, written).map(|value| Sourced {
                    value,
                    span: written.span.clone(),
                    note: None,
                }));
                continue;
            }
            let Some(written) = (self.shared)(draft.shared) else {
                values.push(None);
                continue;
            };
            let pattern = patterns
                .entry(written.span.start)
                .or_insert_with(|| self.pattern(check, drafts, draft, written));
            let text = match pattern
                .as_ref()
                .map(|known| known.fill(draft.cluster, draft.slot))
            {
                None => None,
                Some(Ok(text)) => Some(text),
                Some(Err((part, fault))) => {
                    let span = check.part(written, part);
                    check.found(&span, fault);
                    *pattern = None;
                    None
                }
            };
            let value = text.as_ref().and_then(|text| (self.parse)(text));
            if let Some(text) = text.filter(|_| value.is_none()) {
                let message = format!("{} of slot {} is no {}", quoted(&text), draft.slot, self.what);
                let found = check.found(&written.span, message);
                if self.key == "address" && written.contains(':') {
                    found.hint("the numbers of an address have no leading zeros: write `{slot}`");
                } else {
                    found.hint(self.hint);
                }
                *pattern = None;
            }
            values.push(value.map(|value| Sourced {
                value,
                span: written.span.clone(),
                note: Some(format!(
                    "pattern `{}` of cluster {}",
                    written.value, draft.cluster.value
                )),
            }));
        }
        values
    }

    /// The pattern of a node's cluster, or `None` with a finding.
    fn pattern(
        &self,
        check: &mut Check<'_>,
        drafts: &Drafts<'_>,
        draft: &Draft<'_>,
        written: &At<String>,
    ) -> Option<Pattern> {
        // What is wrong with the pattern itself was found with its cluster.
        let pattern = Pattern::parse(written).ok()?;
        let users = drafts.nodes.iter().filter(|other| {
            other.cluster.value == draft.cluster.value && other.own.and_then(self.own).is_none()
        });
        let count = users.count();
        let one_for_all = self.key == "address" && written.value == DHCP;
        if count > 1 && !one_for_all && !pattern.tells_slots_apart() {
            let cluster = &draft.cluster.value;
            let message = match self.key {
                "address" | "address6" => {
                    format!("{count} nodes of cluster `{cluster}` would have one address")
                }
                _ => format!("the containers of {count} nodes of cluster `{cluster}` would have one network"),
            };
            check
                .found(&written.span, message)
                .hint(format!("put `{{slot}}` into `{}`", self.key));
            return None;
        }
        Some(pattern)
    }
}
