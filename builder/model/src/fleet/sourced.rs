//! Values with the places that they were written at.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use formats::units::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};

use super::{Governor, Mac, Port};

/// A value and where it was written.
pub(super) struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Range<usize>,
    /// How it came about, where it was not written for this node.
    pub note: Option<String>,
}

/// What a node chose among the things that have names.
pub(super) struct Choices {
    /// Its network.
    pub network: Sourced<String>,
    /// Its role.
    pub role: Sourced<String>,
    /// Its board.
    pub board: Sourced<String>,
    /// Its card's layout.
    pub layout: Sourced<String>,
    /// How the clock of its processor is chosen, where somebody said so.
    pub governor: Option<Sourced<Governor>>,
    /// What its compressed swap holds, where somebody said so.
    pub zram: Option<Sourced<Bytes>>,
}

/// What a node has, each with its place.
pub(super) struct Own {
    /// What it chose.
    pub choices: Choices,
    /// Its address; none where a DHCP server gives it one.
    pub address: Sourced<Option<Ipv4Addr>>,
    /// Its IPv6 address.
    pub address6: Option<Sourced<Ipv6Addr>>,
    /// Its MAC address.
    pub mac: Option<Sourced<Mac>>,
    /// The network of its containers.
    pub containers: Option<Sourced<Ipv4Net>>,
    /// The same for IPv6.
    pub containers6: Option<Sourced<Ipv6Net>>,
    /// Its second port.
    pub port: Option<Sourced<Port>>,
}
