//! Networks: what is written becomes [`Network`], and addresses are held against them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::Network;
use super::toml::NetworkToml;
use crate::check::Check;
use crate::names::quoted;
use crate::written::{At, Table};

/// Prefix lengths of a network that has room for hosts and a router, and is no whole continent of addresses.
const PREFIXES: RangeInclusive<u8> = 8..=30;

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
            name_servers: Vec::new(),
        };
        if let Some(written) = &toml.gateway {
            network.gateway = check.address(written);
            if let Some((fault, hint)) = network.gateway.and_then(|gateway| network.host_fault(gateway)) {
                check.found(&written.span, format!("gateway {fault}")).hint(hint);
            }
        }
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

impl Check<'_> {
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
