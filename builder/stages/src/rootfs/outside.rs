//! What templates can use of how the fleet is reached from outside: services behind the inproxy, and tunnels.
//!
//! | of | are |
//! |---|---|
//! | `node` | `inproxy` (none or one), `tunnels` |
//! | `inproxy` | `http`, `tls`, `tcp`, `i2p`: the services that are reached so, each with `service`, `ipv4`, `ipv6`, `port` |
//! | of `http` and `tls` | `hostnames`, at least one |
//! | of `tcp` | `public` |
//! | of `tls` and `tcp` | `proxy_protocol` |
//! | of `i2p` | `b32` (the address), `keys_base64` |
//! | of `tunnels` | `name`, `interface`, `endpoint`, `public_key`, `private_key`, `address`, `port`, `keepalive`, `container`, `container_ipv4`, `table`, `mark` |

use identity::Secrets;
use model::fleet::{Fleet, Node, Service};
use serde::Serialize;

use super::network::texts;

/// The first table of routes of tunnels, and the first mark of their connections; systemd knows those below 256 by name.
const FIRST_TABLE: usize = 1000;

#[derive(Clone, Serialize)]
pub(super) struct OutsideContext<'a> {
    inproxy: Vec<InproxyContext<'a>>,
    tunnels: Vec<TunnelContext<'a>>,
}

#[derive(Clone, Serialize)]
struct InproxyContext<'a> {
    http: Vec<ServiceContext<'a>>,
    tls: Vec<ServiceContext<'a>>,
    tcp: Vec<PublicContext<'a>>,
    i2p: Vec<HiddenContext<'a>>,
}

#[derive(Debug, Clone, Serialize)]
struct ServiceContext<'a> {
    service: &'a str,
    hostnames: &'a [String],
    ipv4: Vec<String>,
    ipv6: Vec<String>,
    port: u16,
    proxy_protocol: bool,
}

#[derive(Debug, Clone, Serialize)]
struct PublicContext<'a> {
    public: u16,
    #[serde(flatten)]
    service: ServiceContext<'a>,
}

#[derive(Clone, Serialize)]
struct HiddenContext<'a> {
    b32: String,
    keys_base64: String,
    #[serde(flatten)]
    service: ServiceContext<'a>,
}

#[derive(Clone, Serialize)]
struct TunnelContext<'a> {
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

impl<'a> OutsideContext<'a> {
    pub fn of(fleet: &'a Fleet, node: &'a Node, secrets: &Secrets) -> Self {
        let stands_before = fleet.inproxy.as_ref() == Some(&node.name);
        let tunnels = fleet.tunnels_of(node).enumerate().filter_map(|(index, tunnel)| {
            let container = fleet.container(&tunnel.container)?;
            Some(TunnelContext {
                name: &tunnel.name,
                interface: tunnel.interface(),
                endpoint: &tunnel.endpoint,
                public_key: &tunnel.public_key,
                private_key: secrets.tunnels.get(&tunnel.name)?.private(),
                address: tunnel.address.to_string(),
                port: tunnel.port,
                keepalive: tunnel.keepalive,
                container: &tunnel.container,
                container_ipv4: container.address.to_string(),
                table: FIRST_TABLE + index,
                mark: FIRST_TABLE + index,
            })
        });
        Self {
            inproxy: stands_before
                .then(|| InproxyContext::of(fleet, node, secrets))
                .into_iter()
                .collect(),
            tunnels: tunnels.collect(),
        }
    }
}

impl<'a> InproxyContext<'a> {
    fn of(fleet: &'a Fleet, node: &'a Node, secrets: &Secrets) -> Self {
        let services: Vec<(&Service, ServiceContext<'a>)> = fleet
            .inproxied(node)
            .filter_map(|service| Some((service, ServiceContext::of(fleet, service)?)))
            .collect();
        let by_name = |tls| {
            let chosen = services
                .iter()
                .filter(move |(service, _)| service.tls == tls && !service.hostnames.is_empty());
            chosen.map(|(_, context)| context.clone()).collect()
        };
        let tcp = services.iter().filter_map(|(service, context)| {
            Some(PublicContext {
                public: service.public?,
                service: context.clone(),
            })
        });
        let i2p = services.iter().filter_map(|(service, context)| {
            let key = secrets.i2p.get(&service.name)?;
            Some(HiddenContext {
                b32: key.address(),
                keys_base64: key.to_base64(),
                service: context.clone(),
            })
        });
        Self {
            http: by_name(false),
            tls: by_name(true),
            tcp: tcp.collect(),
            i2p: i2p.collect(),
        }
    }
}

impl<'a> ServiceContext<'a> {
    fn of(fleet: &'a Fleet, service: &'a Service) -> Option<Self> {
        let container = fleet.container(&service.container)?;
        Some(Self {
            service: &service.name,
            hostnames: &service.hostnames,
            ipv4: vec![container.address.to_string()],
            ipv6: texts(container.address6),
            port: service.port,
            proxy_protocol: service.proxy_protocol,
        })
    }
}
