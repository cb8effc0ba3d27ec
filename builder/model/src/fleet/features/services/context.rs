//! Services as templates of their gateway see them: `published`.
//!
//! | of | are |
//! |---|---|
//! | `node` | `published` |
//! | of `published` | `service`, `protocol`, `public`, `port`, `ipv4`, `ipv6` |

use serde::Serialize;

use super::super::ports::Protocol;
use super::super::texts;
use super::Published;

/// A service that a gateway publishes.
#[derive(Debug, Clone, Serialize)]
pub struct PublishedContext<'a> {
    service: &'a str,
    protocol: Protocol,
    public: u16,
    port: u16,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
}

impl<'a> From<Published<'a>> for PublishedContext<'a> {
    fn from(published: Published<'a>) -> Self {
        Self {
            service: &published.service.name,
            protocol: published.service.protocol,
            public: published.public,
            port: published.service.port,
            ipv4: vec![published.address.to_string()],
            ipv6: texts(published.address6),
        }
    }
}
