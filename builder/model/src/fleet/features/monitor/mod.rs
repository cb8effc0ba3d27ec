//! Who asks nodes how they are.

use std::net::Ipv4Addr;

use self::toml::MonitorToml;
use super::services::gateway;
use crate::check::Check;
use crate::fleet::{Fleet, Node};

mod context;
pub(in crate::fleet) mod toml;

pub use context::ClusterContext;

impl Fleet {
    /// The address by which `node` sees the monitor: its own, or that of the router that it is behind.
    pub fn monitor_of(&self, node: &Node) -> Option<Ipv4Addr> {
        let monitor = self.monitor?;
        let home = self.networks.values().find(|network| network.contains(monitor));
        let Some(home) = home else {
            return Some(monitor);
        };
        let port = node.internet.as_ref().map(|port| &port.network);
        if node.network == home.name || port == Some(&home.name) {
            return Some(monitor);
        }
        let router = gateway(&self.nodes, home).and_then(|router| router.internet.as_ref());
        Some(router.map_or(monitor, |port| port.address))
    }
}

/// The address of the monitor.
pub(in crate::fleet) fn check_monitor(check: &mut Check<'_>, written: &MonitorToml) -> Option<Ipv4Addr> {
    check.host_address(&written.address)
}
