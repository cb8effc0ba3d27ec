//! The values of each node: its own, else its cluster's, else the fleet's default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use formats::units::Bytes;

use super::dhcp::fixed;
use super::mac::read_mac;
use super::nodes::{Clashes, Draft, Drafts};
use super::origins::origins;
use super::patterned::{ADDRESSES, ADDRESSES6, CONTAINERS, CONTAINERS6};
use super::sourced::{Choices, Own, Sourced};
use super::{FleetToml, Mac, Network, Node, Placed, Port};
use crate::check::Check;
use crate::finding::SourceFile;
use crate::size::parse_size;
use crate::written::At;

/// Least that compressed swap may hold.
const LEAST_ZRAM: Bytes = Bytes::mib(16);

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
        let addresses = ADDRESSES.of(&self, check);
        check_addresses(check, &self.nodes, &fixed(&addresses));
        let addresses6 = ADDRESSES6.of(&self, check);
        check_addresses(check, &self.nodes, &addresses6);
        let macs: Vec<_> = self.nodes.iter().map(|draft| draft.mac(check)).collect();
        check_macs(check, &self.nodes, &macs);
        let mut containers = CONTAINERS.of(&self, check).into_iter();
        let mut containers6 = CONTAINERS6.of(&self, check).into_iter();
        let ports: Vec<_> = self
            .nodes
            .iter()
            .map(|draft| draft.port(check, networks))
            .collect();
        let mut missing = Missing::new();
        let mut outside = Clashes::default();
        let mut nodes = Vec::new();
        let values = addresses.into_iter().zip(addresses6).zip(macs).zip(ports);
        for (draft, (((address, address6), mac), port)) in self.nodes.iter().zip(values) {
            let (containers, containers6) = (containers.next().flatten(), containers6.next().flatten());
            let (Some(choices), Some(address)) = (draft.choices(check, written, &mut missing), address)
            else {
                continue;
            };
            let Some(network) = networks.get(&choices.network.value) else {
                continue;
            };
            if let Some((fault, hint)) = address.value.and_then(|address| network.host_fault(address)) {
                let message = format!("address of `{}`: {fault} ({hint})", draft.name);
                outside.add(&choices.network.span, &address.span, || message);
            }
            if let Some(address6) = &address6
                && let Some((fault, hint)) = network.host_fault6(address6.value)
            {
                let message = format!("address of `{}`: {fault} ({hint})", draft.name);
                outside.add(&choices.network.span, &address6.span, || message);
            }
            let own = Own {
                choices,
                address,
                address6,
                mac,
                containers,
                containers6,
                port,
            };
            nodes.push(draft.node(check.file, written, own));
        }
        outside.report(
            check,
            "the network was chosen here",
            "correct the address, its pattern, or the network",
        );
        nodes
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
        let governor = self.nearest([
            own.and_then(|own| own.governor.as_ref()),
            shared.governor.as_ref(),
            defaults.governor.as_ref(),
        ]);
        let zram = self.nearest([
            own.and_then(|own| own.zram.as_ref()),
            shared.zram.as_ref(),
            defaults.zram.as_ref(),
        ]);
        let zram = match zram {
            None => None,
            Some((written, note)) => Some(Sourced {
                value: read_zram(check, written)?,
                span: written.span.clone(),
                note,
            }),
        };
        Some(Choices {
            governor: governor.map(|(written, note)| Sourced {
                value: written.value,
                span: written.span.clone(),
                note,
            }),
            zram,
            network: network?,
            role: role?,
            board: board?,
            layout: layout?,
        })
    }

    /// What the node itself says, else its cluster, else the fleet, and how it came about where that is not the node.
    fn nearest<'w, T>(&self, written: [Option<&'w At<T>>; 3]) -> Option<(&'w At<T>, Option<String>)> {
        let [own, shared, default] = written;
        own.map(|own| (own, None))
            .or_else(|| Some((shared?, Some(format!("cluster {}", self.cluster.value)))))
            .or_else(|| Some((default?, Some("default of the fleet".to_owned()))))
    }

    /// The node's MAC address, where it has one of its own.
    fn mac(&self, check: &mut Check<'_>) -> Option<Sourced<Mac>> {
        read_sourced_mac(check, self.own?.mac.as_ref()?)
    }

    /// The second port, where the node has one.
    fn port(&self, check: &mut Check<'_>, networks: &BTreeMap<String, Network>) -> Option<Sourced<Port>> {
        let written = self.own?.internet.as_ref()?;
        let address = check.address(&written.address);
        let address6 = written
            .address6
            .as_ref()
            .map(|written| (written, check.address6(written)));
        let mac = written
            .mac
            .as_ref()
            .and_then(|written| read_sourced_mac(check, written));
        let network = networks.get(&written.network.value)?;
        if let Some((fault, hint)) = address.and_then(|address| network.host_fault(address)) {
            check
                .found(&written.address.span, format!("the second port: {fault}"))
                .hint(hint);
        }
        if let Some((written, Some(address6))) = address6
            && let Some((fault, hint)) = network.host_fault6(address6)
        {
            check
                .found(&written.span, format!("the second port: {fault}"))
                .hint(hint);
        }
        Some(Sourced {
            value: Port {
                network: network.name.clone(),
                address: address?,
                address6: address6.and_then(|(_, address)| address),
                mac: mac.map(|mac| mac.value),
            },
            span: written.network.span.clone(),
            note: None,
        })
    }

    /// The finished node.
    fn node(&self, file: &Arc<SourceFile>, written: &FleetToml, own: Own) -> Node {
        let origins = origins(file, written, self, &own);
        let Own {
            choices,
            address,
            address6,
            mac,
            containers,
            containers6,
            port,
        } = own;
        Node {
            origins,
            name: self.name.clone(),
            cluster: self.cluster.value.clone(),
            slot: self.slot,
            address: address.value,
            address6: address6.map(|address| address.value),
            containers: containers.map(|network| network.value),
            containers6: containers6.map(|network| network.value),
            internet: port.map(|port| port.value),
            network: choices.network.value,
            mac: mac.map(|mac| mac.value),
            role: choices.role.value,
            board: choices.board.value,
            layout: choices.layout.value,
            governor: choices
                .governor
                .map(|governor| governor.value)
                .unwrap_or_default(),
            zram: choices
                .zram
                .filter(|zram| zram.value > Bytes(0))
                .map(|zram| Placed {
                    value: zram.value,
                    place: file.place(zram.span),
                }),
            buddy: None,
            vars: super::Vars::new(),
        }
    }
}

/// What compressed swap holds, or `None` with a finding.
fn read_zram(check: &mut Check<'_>, written: &At<String>) -> Option<Bytes> {
    let (fault, hint) = match parse_size(written) {
        Ok(size) if size == Bytes(0) || size >= LEAST_ZRAM => return Some(size),
        Ok(size) => (
            format!("{size} of swap are less than {LEAST_ZRAM}"),
            "that would help nobody; \"0 MiB\" is none".to_owned(),
        ),
        Err(fault) => fault,
    };
    check.found(&written.span, fault).hint(hint);
    None
}

/// A MAC address and where it was written, or `None` with a finding.
fn read_sourced_mac(check: &mut Check<'_>, written: &At<String>) -> Option<Sourced<Mac>> {
    Some(Sourced {
        value: read_mac(check, written)?,
        span: written.span.clone(),
        note: None,
    })
}

/// Finds addresses that two nodes have.
fn check_addresses<A: Ord + fmt::Display>(
    check: &mut Check<'_>,
    nodes: &[Draft<'_>],
    addresses: &[Option<Sourced<A>>],
) {
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
