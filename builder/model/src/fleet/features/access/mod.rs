//! Who may open connections to whom: what `allow` says and what services publish, as each container and each node
//! takes it.

use std::collections::BTreeSet;

use ipnet::{Ipv4Net, Ipv6Net};

use self::toml::AllowToml;
use super::ports::{Protocol, check_port};
use crate::check::Check;
use crate::fleet::{ALL_OF_A_KIND, Fleet, Node};
use crate::names::{quoted, suggest};
use crate::written::At;

mod context;
pub(in crate::fleet) mod toml;

pub use context::AcceptContext;

/// The port of NRPE, by which a monitor asks nodes how they are.
const NRPE: u16 = 5666;

/// The port of ssh, by which people and nodes reach nodes.
pub(in crate::fleet) const SSH: u16 = 22;

/// A rule as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    from: Vec<String>,
    to: Vec<String>,
    what: What,
}

/// What may be opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Anything.
    Everything,
    /// These ports, and perhaps the echo.
    Some {
        tcp: Vec<u16>,
        udp: Vec<u16>,
        icmp: bool,
    },
}

/// What a container or a node takes from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// From anybody; the lists of sources are empty then.
    pub anybody: bool,
    /// IPv4 sources, ascending.
    pub sources: Vec<Ipv4Net>,
    /// IPv6 sources, ascending.
    pub sources6: Vec<Ipv6Net>,
    /// Anything is taken; ports are empty then.
    pub everything: bool,
    /// TCP ports, ascending.
    pub tcp: Vec<u16>,
    /// UDP ports, ascending.
    pub udp: Vec<u16>,
    /// The echo of `ping`.
    pub icmp: bool,
}

impl Accept {
    /// Whether it takes connections to this port of TCP from anybody at all.
    pub(in crate::fleet) fn takes(&self, port: u16) -> bool {
        let has_source = self.anybody || !self.sources.is_empty() || !self.sources6.is_empty();
        has_source && (self.everything || self.tcp.contains(&port))
    }
}

impl Fleet {
    /// What the container called `container` takes: its open services from anybody, then what `allow` says in its order.
    pub fn accepted_by(&self, container: &str) -> Vec<Accept> {
        let mut accepts = Vec::new();
        let published = |protocol| {
            let ports: BTreeSet<u16> = self
                .services
                .iter()
                .filter(|service| service.container == container && service.is_open())
                .filter(|service| service.protocol == protocol)
                .map(|service| service.port)
                .collect();
            ports.into_iter().collect::<Vec<_>>()
        };
        let (tcp, udp) = (published(Protocol::Tcp), published(Protocol::Udp));
        if !(tcp.is_empty() && udp.is_empty()) {
            accepts.push(Accept {
                anybody: true,
                sources: Vec::new(),
                sources6: Vec::new(),
                everything: false,
                tcp,
                udp,
                icmp: false,
            });
        }
        accepts.extend(self.passages_to(&[container, "containers"]));
        accepts
    }

    /// What `node` takes where it runs containers: what the monitor asks, then what `allow` says of all such nodes.
    pub fn accepted_by_node(&self, node: &Node) -> Vec<Accept> {
        let monitor = self.monitor_of(node).map(|monitor| Accept {
            anybody: false,
            sources: vec![Ipv4Net::from(monitor)],
            sources6: Vec::new(),
            everything: false,
            tcp: vec![NRPE],
            udp: Vec::new(),
            icmp: true,
        });
        monitor.into_iter().chain(self.accepted_by_nodes()).collect()
    }

    /// What `allow` says of all nodes that run containers.
    pub(in crate::fleet) fn accepted_by_nodes(&self) -> Vec<Accept> {
        self.passages_to(&["nodes"]).collect()
    }

    fn passages_to<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = Accept> + 'a {
        let to_them = |passage: &&Passage| passage.to.iter().any(|to| names.contains(&to.as_str()));
        self.passages
            .iter()
            .filter(to_them)
            .map(|passage| self.resolved(passage))
    }

    /// A rule with addresses for names. One that has no source left takes nothing.
    fn resolved(&self, passage: &Passage) -> Accept {
        let mut sources = Vec::new();
        let mut sources6 = Vec::new();
        for from in &passage.from {
            match from.as_str() {
                "containers" => {
                    sources.extend(self.nodes.iter().filter_map(|node| node.containers));
                    sources6.extend(self.nodes.iter().filter_map(|node| node.containers6));
                }
                "nodes" => {
                    let addresses = self.nodes.iter().filter_map(|node| node.address);
                    sources.extend(addresses.map(Ipv4Net::from));
                    sources6.extend(
                        self.nodes
                            .iter()
                            .filter_map(|node| node.address6.map(Ipv6Net::from)),
                    );
                }
                name => {
                    let container = self.container(name);
                    sources.extend(container.map(|container| Ipv4Net::from(container.address)));
                    sources6.extend(container.and_then(|container| container.address6.map(Ipv6Net::from)));
                    let network = self.networks.get(name);
                    sources
                        .extend(network.and_then(|network| Ipv4Net::new(network.base, network.prefix).ok()));
                    sources6.extend(network.and_then(|network| network.subnet6));
                }
            }
        }
        let (everything, tcp, udp, icmp) = match &passage.what {
            What::Everything => (true, Vec::new(), Vec::new(), false),
            What::Some { tcp, udp, icmp } => (false, tcp.clone(), udp.clone(), *icmp),
        };
        Accept {
            anybody: false,
            // Overlapping elements are refused by nftables.
            sources: Ipv4Net::aggregate(&sources),
            sources6: Ipv6Net::aggregate(&sources6),
            everything,
            tcp,
            udp,
            icmp,
        }
    }
}

/// The rules of `allow`, each name in them known: of one of the `containers` or, where it is a source, of `networks`.
pub(in crate::fleet) fn check_passages<'a>(
    check: &mut Check<'_>,
    written: &[AllowToml],
    containers: impl Iterator<Item = &'a str>,
    networks: impl Iterator<Item = &'a str>,
) -> Vec<Passage> {
    let targets: Vec<&str> = containers.chain(ALL_OF_A_KIND).collect();
    let sources: Vec<&str> = targets.iter().copied().chain(networks).collect();
    written
        .iter()
        .map(|rule| {
            check_names(check, &rule.from, &sources, "from");
            check_names(check, &rule.to, &targets, "to");
            for port in rule.tcp.iter().chain(&rule.udp) {
                check_port(check, port);
            }
            Passage {
                from: rule.from.iter().map(|name| name.value.clone()).collect(),
                to: rule.to.iter().map(|name| name.value.clone()).collect(),
                what: what(rule),
            }
        })
        .collect()
}

fn check_names(check: &mut Check<'_>, names: &[At<String>], known: &[&str], key: &str) {
    check.distinct(names, "name");
    for name in names {
        if known.contains(&name.as_str()) {
            continue;
        }
        let message = format!("`{key}` cannot be {}: there is no such thing", quoted(name));
        check
            .found(&name.span, message)
            .hint(suggest(name, known.iter().copied()));
    }
}

fn what(rule: &AllowToml) -> What {
    let ports = |ports: &[At<u16>]| {
        let ports: BTreeSet<u16> = ports.iter().map(|port| port.value).collect();
        ports.into_iter().collect::<Vec<_>>()
    };
    if rule.tcp.is_empty() && rule.udp.is_empty() && !rule.icmp {
        return What::Everything;
    }
    What::Some {
        tcp: ports(&rule.tcp),
        udp: ports(&rule.udp),
        icmp: rule.icmp,
    }
}
