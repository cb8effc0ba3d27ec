//! What nodes do beside being there. Each feature has one room: its part of `images/fleet.toml` (`toml`), its rules, and what
//! templates see of it (`context`).
//!
//! | module | owns |
//! |---|---|
//! | `containers` | containers, their networks, their limits |
//! | `services` | what containers serve, and to whom |
//! | `access` | who may open connections to whom |
//! | `inproxy` | the reverse proxy before services |
//! | `tunnels` | fixed addresses that come in from providers |
//! | `backup` | how often backups are made, how many are kept, and which node keeps whose |
//! | `moves` | nodes that containers move to |
//! | `monitor` | who asks nodes how they are |
//! | `ports` | ports, and the protocols that have them, for all of these |
//! | `power` | what a bus draws, and what its supply gives |
//!
//! A feature says nothing of the file as a whole: it gets what is its own of that, and nodes and networks that are checked.

use std::fmt::Display;

pub mod access;
pub mod backup;
pub mod containers;
pub mod inproxy;
pub mod monitor;
pub mod moves;
pub mod ports;
pub mod power;
pub mod services;
pub mod tunnels;

/// Values as templates take them: what is not there is a list of none.
pub fn texts<T: Display>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}
