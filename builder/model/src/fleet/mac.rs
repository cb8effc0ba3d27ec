//! MAC addresses.

use std::fmt;
use std::str::FromStr;

use crate::check::Check;
use crate::names::quoted;
use crate::written::At;

/// A MAC address (EUI-48) of one interface: unicast, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = &'static str;

    /// Six octets of two hexadecimal digits with colons between; unicast and not all zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            *octet = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or("it is not six pairs of hexadecimal digits with colons between")?;
        }
        if parts.next().is_some() {
            return Err("it has more than six octets");
        }
        if octets[0] & 1 == 1 {
            return Err("its first octet is odd, which makes it a group's address");
        }
        if octets == [0; 6] {
            return Err("it is all zero");
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Mac {
    /// Lower-case hexadecimal octets with colons: `02:00:00:00:01:07`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A MAC address as written, or `None` with a finding.
pub(super) fn read_mac(check: &mut Check<'_>, written: &At<String>) -> Option<Mac> {
    match written.parse() {
        Ok(mac) => Some(mac),
        Err(fault) => {
            check
                .found(
                    &written.span,
                    format!("{} is no MAC address of a node: {fault}", quoted(written)),
                )
                .hint("six octets in hexadecimal; one of your own starts with 02: \"02:00:00:00:01:07\"");
            None
        }
    }
}
