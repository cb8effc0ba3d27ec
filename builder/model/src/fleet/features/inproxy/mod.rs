//! The reverse proxy of services: which node it is on, and by what it knows each of them.

use std::collections::BTreeMap;

use self::toml::InproxyToml;
use super::containers::toml::ContainerToml;
use super::ports::Protocol;
use super::services::gateway;
use super::services::toml::ServiceToml;
use crate::check::Check;
use crate::fleet::roll::Roll;
use crate::fleet::{Fleet, Network, Node, Service};
use crate::names::{domain_fault, quoted, suggest};
use crate::written::{At, Table};

mod context;
pub(in crate::fleet) mod toml;

pub use context::{HiddenSecrets, InproxyContext};

/// Ports of the inproxy that no service can have there: the port, and what is on it.
const OWN_PORTS: [(u16, &str); 4] = [
    (22, "its ssh"),
    (53, "its server of names"),
    (5666, "what its monitor asks"),
    (8404, "the page that shows which services are up"),
];

impl Fleet {
    /// The services that `node` is the reverse proxy of: those of containers whose network it is the gateway of.
    pub fn inproxied<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Service> {
        let services = match self.inproxy.as_ref() == Some(&node.name) {
            true => &self.services[..],
            false => &[],
        };
        services
            .iter()
            .filter(|service| service.protocol == Protocol::Tcp && service.is_open())
            .filter(|service| {
                let container = self.container(&service.container);
                let gateway = container.and_then(|container| self.gateway_of(container));
                gateway.is_some_and(|gateway| gateway.name == node.name)
            })
    }
}

/// The name of the node with the reverse proxy.
pub(in crate::fleet) fn check_inproxy(
    check: &mut Check<'_>,
    written: Option<&InproxyToml>,
    (services, containers): (&Table<ServiceToml>, &Table<ContainerToml>),
    networks: &BTreeMap<String, Network>,
    nodes: &[Node],
    roll: &Roll,
) -> Option<String> {
    check_host_names(check, services);
    for (name, toml) in services {
        check_service(check, written.is_some(), name, toml);
    }
    let wanted = &written?.node;
    let names = nodes.iter().map(|node| node.name.as_str());
    let Some(node) = nodes.iter().find(|node| node.name == wanted.value) else {
        if !roll.may_have(wanted) {
            check
                .found(&wanted.span, format!("there is no node {}", quoted(wanted)))
                .hint(suggest(wanted, names));
        }
        return None;
    };
    let is_gateway = networks
        .get(&node.network)
        .and_then(|network| gateway(nodes, network))
        .is_some_and(|gateway| gateway.name == node.name);
    if !is_gateway && networks.contains_key(&node.network) {
        let message = format!("`{}` is not the gateway of network `{}`", node.name, node.network);
        check.found(&wanted.span, message).hint(
            "who asks from outside comes by the node that has the address of the network's `gateway` and a port `internet`",
        );
    }
    let (behind, elsewhere): (Vec<_>, Vec<_>) = services.into_iter().partition(|(_, toml)| {
        let host = host_of(containers, nodes, toml).filter(|host| roll.hosts(host));
        host.is_none_or(|host| host.network == node.network)
    });
    check_ports(check, &behind);
    for (name, toml) in elsewhere {
        if !toml.hostnames.is_empty() || toml.i2p {
            let message = format!(
                "`{}` is on another network than `{}`, which has the reverse proxy",
                name.value, node.name
            );
            check
                .found(&name.span, message)
                .hint("move the container to a node of that network, or publish the service by a `public` port alone");
        }
    }
    Some(node.name.clone())
}

/// The node that the container of a service runs on, where both are there.
fn host_of<'a>(
    containers: &Table<ContainerToml>,
    nodes: &'a [Node],
    service: &ServiceToml,
) -> Option<&'a Node> {
    let container = containers.get(&service.container)?;
    nodes.iter().find(|node| node.name == container.node.value)
}

/// A host name that a service has.
struct Taken<'a> {
    service: &'a At<String>,
    host: &'a At<String>,
}

/// Finds host names that are none, and those that two services of one kind have.
fn check_host_names(check: &mut Check<'_>, services: &Table<ServiceToml>) {
    let mut taken: BTreeMap<(bool, String), Taken<'_>> = BTreeMap::new();
    for (service, toml) in services {
        for host in &toml.hostnames {
            if let Some(fault) = domain_fault(host) {
                check
                    .found(&host.span, format!("host name {} {fault}", quoted(host)))
                    .hint("letters, digits, inner hyphens and dots: \"www.example.org\"");
            }
            let key = (toml.tls, host.to_ascii_lowercase());
            if let Some(other) = taken.get(&key) {
                let kind = if toml.tls { "TLS" } else { "HTTP" };
                let message = format!(
                    "by {kind}, `{}` would be both `{}` and `{}`",
                    key.1, other.service.value, service.value
                );
                check
                    .found(&host.span, message)
                    .related(&other.host.span, "the other one")
                    .hint("a host name leads to one service");
            } else {
                taken.insert(key, Taken { service, host });
            }
        }
    }
}

/// Finds what the keys of one service say against each other, and against the fleet, which has a reverse proxy or not.
fn check_service(check: &mut Check<'_>, has_inproxy: bool, name: &At<String>, toml: &ServiceToml) {
    let mut find = |message: String, hint: &str| {
        check.found(&name.span, message).hint(hint);
    };
    let service = &name.value;
    let (by_name, udp) = (!toml.hostnames.is_empty(), toml.protocol == Protocol::Udp);
    if (by_name || toml.i2p) && !has_inproxy {
        find(
            format!("`{service}` is reached by host name or by I2P, but the fleet has no reverse proxy"),
            "name the gateway that runs it: [inproxy] with `node`",
        );
    }
    if (by_name || toml.i2p || toml.tls) && udp {
        find(
            format!("`{service}` is of UDP: it has no host names, TLS or I2P"),
            "leave `protocol` out, or give it a `public` port alone",
        );
    }
    if toml.tls && !by_name {
        find(
            format!("`{service}` speaks TLS, but has no host name by which it is chosen"),
            "add `hostnames`, or leave `tls` out: a `public` port passes on whatever it is",
        );
    }
    if toml.proxy_protocol && toml.i2p {
        find(
            format!("`{service}` is reached by I2P as well, which does not speak the PROXY protocol"),
            "make it two services, on two ports",
        );
    }
    if toml.proxy_protocol && by_name && !toml.tls {
        find(
            format!(
                "`{service}` would be spoken to by HTTP with the PROXY protocol, which the inproxy does not do"
            ),
            "by HTTP it says who asks in X-Forwarded-For: leave `proxy-protocol` out, or make it two services, on two ports",
        );
        return;
    }
    let passed_on = toml.tls || toml.public.is_some();
    if toml.proxy_protocol && (udp || !passed_on || !has_inproxy) {
        find(
            format!("nothing speaks the PROXY protocol to `{service}`"),
            "the inproxy does with `tls` and with a `public` port of TCP; by HTTP it says who asks in X-Forwarded-For",
        );
    }
}

/// Finds public ports of the services behind the inproxy that it needs itself.
fn check_ports(check: &mut Check<'_>, behind: &[&(At<String>, ServiceToml)]) {
    let services = || behind.iter().map(|(_, toml)| toml);
    let by_name = |tls| services().any(|toml| toml.tls == tls && !toml.hostnames.is_empty());
    let mut own = OWN_PORTS.to_vec();
    own.extend(by_name(false).then_some((80, "HTTP by host name")));
    own.extend(by_name(true).then_some((443, "TLS by host name")));
    for port in services()
        .filter(|toml| toml.protocol == Protocol::Tcp)
        .filter_map(|toml| toml.public.as_ref())
    {
        if let Some((number, what)) = own.iter().find(|(number, _)| *number == port.value) {
            check
                .found(
                    &port.span,
                    format!("port {number} of the inproxy is taken by {what}"),
                )
                .hint("choose another `public` port, or `hostnames` in its place");
        }
    }
}
