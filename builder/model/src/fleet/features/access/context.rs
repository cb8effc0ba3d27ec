//! Who may open connections, as templates see it: what a container or a node `accepts`.
//!
//! | of | are |
//! |---|---|
//! | of `accepts` | `anybody`, `sources4`, `sources6`, `everything`, `tcp`, `udp`, `icmp`: the lists as nftables takes them, `80, 443` |

use serde::Serialize;

use super::super::texts;
use super::Accept;

/// What a container or a node takes from whom.
#[derive(Debug, Clone, Serialize)]
pub struct AcceptContext {
    anybody: bool,
    sources4: Vec<String>,
    sources6: Vec<String>,
    everything: bool,
    tcp: Vec<String>,
    udp: Vec<String>,
    icmp: bool,
}

impl From<Accept> for AcceptContext {
    fn from(accept: Accept) -> Self {
        let joined = |texts: Vec<String>| match texts.is_empty() {
            true => Vec::new(),
            false => vec![texts.join(", ")],
        };
        Self {
            anybody: accept.anybody,
            sources4: joined(texts(accept.sources)),
            sources6: joined(texts(accept.sources6)),
            everything: accept.everything,
            tcp: joined(texts(accept.tcp)),
            udp: joined(texts(accept.udp)),
            icmp: accept.icmp,
        }
    }
}
