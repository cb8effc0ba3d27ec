//! Tunnels as templates of the node see them whose end they are.
//!
//! | of | are |
//! |---|---|
//! | `node` | `tunnels` |
//! | of `tunnels` | `name`, `interface`, `endpoint`, `public_key`, `private_key`, `address`, `port`, `keepalive`, `container`, `container_ipv4`, `table`, `mark` |

use serde::Serialize;

use crate::fleet::{Fleet, Node};

/// The first table of routes of tunnels, and the first mark of their connections; systemd knows those below 256 by name.
const FIRST_TABLE: usize = 1000;

/// A tunnel.
#[derive(Clone, Serialize)]
pub struct TunnelContext<'a> {
    name: &'a str,
    interface: String,
    endpoint: &'a str,
    public_key: &'a str,
    private_key: String,
    address: String,
    port: u16,
    keepalive: u16,
    container: &'a str,
    container_ipv4: String,
    table: usize,
    mark: usize,
}

impl<'a> TunnelContext<'a> {
    /// Those whose end is `node`: `private_key` has that of a tunnel, by its name.
    pub fn all(fleet: &'a Fleet, node: &'a Node, private_key: impl Fn(&str) -> Option<String>) -> Vec<Self> {
        let tunnels = fleet.tunnels_of(node).enumerate().filter_map(|(index, tunnel)| {
            let container = fleet.container(&tunnel.container)?;
            Some(Self {
                name: &tunnel.name,
                interface: tunnel.interface(),
                endpoint: &tunnel.endpoint,
                public_key: &tunnel.public_key,
                private_key: private_key(&tunnel.name)?,
                address: tunnel.address.to_string(),
                port: tunnel.port,
                keepalive: tunnel.keepalive,
                container: &tunnel.container,
                container_ipv4: container.address.to_string(),
                table: FIRST_TABLE + index,
                mark: FIRST_TABLE + index,
            })
        });
        tunnels.collect()
    }
}
