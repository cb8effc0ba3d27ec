//! The reverse proxy as templates of its node see it.
//!
//! | of | are |
//! |---|---|
//! | `node` | `inproxy` (none or one) |
//! | `inproxy` | `http`, `tls`, `tcp`, `i2p`: the services that are reached so, each with `service`, `ipv4`, `ipv6`, `port` |
//! | of `http` and `tls` | `hostnames`, at least one |
//! | of `tcp` | `public` |
//! | of `tls` and `tcp` | `proxy_protocol` |
//! | of `i2p` | `b32` (the address), `keys_base64` |

use serde::Serialize;

use super::super::texts;
use crate::fleet::{Fleet, Node, Service};

/// The services that a node is the reverse proxy of.
#[derive(Clone, Serialize)]
pub struct InproxyContext<'a> {
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
    #[serde(flatten)]
    secrets: HiddenSecrets,
    #[serde(flatten)]
    service: ServiceContext<'a>,
}

/// By what a service is reached by I2P.
#[derive(Clone, Serialize)]
pub struct HiddenSecrets {
    /// Its address: `....b32.i2p`.
    pub b32: String,
    /// Its keys as i2pd reads them, in base64.
    pub keys_base64: String,
}

impl<'a> InproxyContext<'a> {
    /// The reverse proxy that is on `node`, if any is: `secrets` has those of a service, by its name.
    pub fn on(
        fleet: &'a Fleet,
        node: &'a Node,
        secrets: impl Fn(&str) -> Option<HiddenSecrets>,
    ) -> Option<Self> {
        if fleet.inproxy.as_ref() != Some(&node.name) {
            return None;
        }
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
            Some(HiddenContext {
                secrets: secrets(&service.name)?,
                service: context.clone(),
            })
        });
        Some(Self {
            http: by_name(false),
            tls: by_name(true),
            tcp: tcp.collect(),
            i2p: i2p.collect(),
        })
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
