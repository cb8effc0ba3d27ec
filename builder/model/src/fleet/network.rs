//! Networks: what is written becomes [`Network`], and addresses are checked against them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv6Net};

use super::Network;
use super::toml::NetworkToml;
use crate::check::Check;
use crate::names::quoted;
use crate::written::{At, Table};

/// Prefix lengths of a network that has room for hosts and a router, and is no whole continent of addresses.
const PREFIXES: RangeInclusive<u8> = 8..=30;

/// The same for IPv6.
const PREFIXES6: RangeInclusive<u8> = 32..=64;

impl Network {
    /// Its last address: the broadcast address.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() | !self.mask())
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.base.to_bits()
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Says why `address` cannot be that of a host of this network, and what to do. `None` where it can.
    pub(super) fn host_fault(&self, address: Ipv4Addr) -> Option<(String, String)> {
        let (first, last) = (self.base.to_bits() + 1, self.broadcast().to_bits() - 1);
        let hint = format!(
            "hosts of `{}` are {} to {}",
            self.name,
            Ipv4Addr::from_bits(first),
            Ipv4Addr::from_bits(last)
        );
        let fault = if !self.contains(address) {
            format!("{address} is outside of network `{}`, {self}", self.name)
        } else if address == self.base {
            format!("{address} is network `{}` itself, no host of it", self.name)
        } else if address == self.broadcast() {
            format!("{address} is the broadcast address of network `{}`", self.name)
        } else {
            return None;
        };
        Some((fault, hint))
    }
}

impl Network {
    /// The same for IPv6.
    pub(super) fn host_fault6(&self, address: Ipv6Addr) -> Option<(String, String)> {
        let Some(subnet) = self.subnet6 else {
            let fault = format!("network `{}` has no IPv6 addresses", self.name);
            return Some((fault, format!("add `subnet6` to [networks.{}]", self.name)));
        };
        let fault = if !subnet.contains(&address) {
            format!("{address} is outside of network `{}`, {subnet}", self.name)
        } else if address == subnet.network() {
            format!("{address} is network `{}` itself, no host of it", self.name)
        } else {
            return None;
        };
        Some((fault, format!("hosts of `{}` are in {subnet}", self.name)))
    }

    /// Whether `address` lies in it.
    fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.contains(address),
            IpAddr::V6(address) => self.subnet6.is_some_and(|subnet| subnet.contains(&address)),
        }
    }
}

impl std::fmt::Display for Network {
    /// The subnet: `172.16.0.0/16`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The networks that hold, by name.
pub(super) fn check_networks(
    check: &mut Check<'_>,
    written: &Table<NetworkToml>,
) -> BTreeMap<String, Network> {
    let mut networks: Vec<(Network, &At<String>)> = Vec::new();
    for (name, toml) in written {
        check.name(name, "network");
        let Some((base, prefix)) = subnet(check, &toml.subnet) else {
            continue;
        };
        let mut network = Network {
            name: name.value.clone(),
            base,
            prefix,
            gateway: None,
            subnet6: toml.subnet6.as_ref().and_then(|written| subnet6(check, written)),
            gateway6: None,
            uplink: toml
                .uplink
                .as_ref()
                .map(|written| written.value)
                .unwrap_or_default(),
            routes: Vec::new(),
            name_servers: Vec::new(),
        };
        if let Some(written) = &toml.gateway {
            network.gateway = check.address(written);
            if let Some((fault, hint)) = network.gateway.and_then(|gateway| network.host_fault(gateway)) {
                check.found(&written.span, format!("gateway {fault}")).hint(hint);
            }
        }
        if let Some(written) = &toml.gateway6 {
            network.gateway6 = check.address6(written);
            if let Some((fault, hint)) = network.gateway6.and_then(|gateway| network.host_fault6(gateway)) {
                check.found(&written.span, format!("gateway {fault}")).hint(hint);
            }
        }
        network.routes = static_routes(check, &toml.routes, &network);
        network.name_servers = toml
            .name_servers
            .iter()
            .filter_map(|server| check.address(server))
            .collect();
        check.distinct(&toml.name_servers, "name server");
        for (other, place) in &networks {
            if other.contains(network.base) || network.contains(other.base) {
                let message = format!(
                    "network `{name}`, {network}, overlaps `{}`, {other}",
                    other.name,
                    name = name.value
                );
                check
                    .found(&toml.subnet.span, message)
                    .related(&place.span, format!("`{}` is {other}", other.name))
                    .hint("give each network its own addresses, or the nodes cannot route between them");
            }
            if let (Some(one), Some(two), Some(written)) = (network.subnet6, other.subnet6, &toml.subnet6)
                && (one.contains(&two) || two.contains(&one))
            {
                let message = format!(
                    "network `{}`, {one}, overlaps `{}`, {two}",
                    name.value, other.name
                );
                check
                    .found(&written.span, message)
                    .hint("give each network its own addresses, or the nodes cannot route between them");
            }
        }
        networks.push((network, &toml.subnet));
    }
    networks
        .into_iter()
        .map(|(network, _)| (network.name.clone(), network))
        .collect()
}

/// First address and prefix length.
fn subnet(check: &mut Check<'_>, written: &At<String>) -> Option<(Ipv4Addr, u8)> {
    let parsed = written.split_once('/').and_then(|(base, prefix)| {
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        Some((
            base.parse::<Ipv4Addr>().ok()?,
            prefix.parse::<u8>().ok().filter(|_| digits)?,
        ))
    });
    let Some((base, prefix)) = parsed else {
        check
            .found(&written.span, format!("{} is no IPv4 subnet", quoted(written)))
            .hint("write first address and prefix length: \"172.16.0.0/16\"");
        return None;
    };
    if !PREFIXES.contains(&prefix) {
        check
            .found(
                &written.span,
                format!("prefix length {prefix} is not within 8 to 30"),
            )
            .hint("172.16.0.0/16 has 65534 hosts, 192.168.1.0/24 has 254");
        return None;
    }
    let first = Ipv4Addr::from_bits(base.to_bits() >> (32 - prefix) << (32 - prefix));
    if first != base {
        check
            .found(
                &written.span,
                format!("{base}/{prefix} does not start at its first address"),
            )
            .hint(format!("write \"{first}/{prefix}\""));
    }
    if first.is_loopback() || first.is_multicast() || first.is_link_local() || first.octets()[0] >= 240 {
        check
            .found(
                &written.span,
                format!("{first}/{prefix} is reserved, hosts cannot have its addresses"),
            )
            .hint("private networks are 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16");
        return None;
    }
    Some((first, prefix))
}

/// First IPv6 address and prefix length.
fn subnet6(check: &mut Check<'_>, written: &At<String>) -> Option<Ipv6Net> {
    let example = "write first address and prefix length: \"fd54:ee1a:d2c6::/48\"";
    let Ok(net) = written.parse::<Ipv6Net>() else {
        check
            .found(&written.span, format!("{} is no IPv6 subnet", quoted(written)))
            .hint(example);
        return None;
    };
    if !PREFIXES6.contains(&net.prefix_len()) {
        let message = format!("prefix length {} is not within 32 to 64", net.prefix_len());
        check
            .found(&written.span, message)
            .hint("a network of hosts has 64; one with networks of containers in it has fewer, such as 48");
        return None;
    }
    if net != net.trunc() {
        check
            .found(
                &written.span,
                format!("{net} does not start at its first address"),
            )
            .hint(format!("write \"{}\"", net.trunc()));
    }
    let first = net.network();
    if first.is_multicast() || first.is_unicast_link_local() || first.is_loopback() || first.is_unspecified()
    {
        check
            .found(
                &written.span,
                format!("{net} is reserved, hosts cannot have its addresses"),
            )
            .hint("networks of your own are within fd00::/8 (RFC 4193)");
        return None;
    }
    Some(net.trunc())
}

/// What hosts of `network` reach besides, and by whom.
fn static_routes(
    check: &mut Check<'_>,
    written: &Table<At<String>>,
    network: &Network,
) -> Vec<(IpNet, IpAddr)> {
    let mut routes = Vec::new();
    for (destination, via) in written {
        let net = destination
            .parse::<IpNet>()
            .ok()
            .filter(|net| *net == net.trunc());
        if net.is_none() {
            check
                .found(
                    &destination.span,
                    format!(
                        "{} is no subnet that starts at its first address",
                        quoted(destination)
                    ),
                )
                .hint("\"172.16.0.0/16\" = \"192.168.0.2\": what is reached, and the router's address");
        }
        let router: Option<IpAddr> = via.parse().ok();
        if router.is_none() {
            check
                .found(&via.span, format!("{} is no address", quoted(via)))
                .hint("the router's address on this network: \"192.168.0.2\"");
        }
        let (Some(net), Some(router)) = (net, router) else {
            continue;
        };
        if !network.has(router) {
            check
                .found(
                    &via.span,
                    format!("the router {router} is outside of network `{}`", network.name),
                )
                .hint("its hosts reach a router only by an address of their own network");
        }
        if net.addr().is_ipv4() != router.is_ipv4() {
            check
                .found(&via.span, format!("{net} and {router} are not of one family"))
                .hint("IPv4 and IPv6 have routes of their own");
        }
        routes.push((net, router));
    }
    routes
}

impl Check<'_> {
    /// An IPv6 address as written, or `None` with a finding.
    pub(super) fn address6(&mut self, written: &At<String>) -> Option<Ipv6Addr> {
        let address = written.parse().ok();
        if address.is_none() {
            self.found(&written.span, format!("{} is no IPv6 address", quoted(written)))
                .hint("such as \"fd54:ee1a:d2c6::1:7\", without a prefix length");
        }
        address
    }

    /// The IPv4 address of one host, as written, or `None` with a finding.
    pub(super) fn host_address(&mut self, written: &At<String>) -> Option<Ipv4Addr> {
        let address = self.address(written)?;
        let what = match address {
            _ if address.is_unspecified() || address.octets()[0] == 0 => "stands for no host",
            _ if address.is_loopback() => "is each machine's own",
            _ if address.is_link_local() => "is only good on one cable",
            _ if address.is_multicast() => "is a group's",
            _ if address.octets()[0] >= 240 => "is no host's",
            _ => return Some(address),
        };
        self.found(&written.span, format!("{address} {what}"))
            .hint("write the address of one host");
        None
    }

    /// An IPv4 address as written, or `None` with a finding.
    pub(super) fn address(&mut self, written: &At<String>) -> Option<Ipv4Addr> {
        let address = written.parse().ok();
        if address.is_none() {
            let finding = self.found(&written.span, format!("{} is no IPv4 address", quoted(written)));
            if written.contains('/') {
                finding.hint("an address has no prefix length; that belongs to the network's `subnet`");
            } else {
                finding.hint("four numbers from 0 to 255 without leading zeros: \"172.16.1.7\"");
            }
        }
        address
    }
}
