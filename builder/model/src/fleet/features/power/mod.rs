//! What the buses draw, and whether their supplies give it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use self::toml::{DrawToml, Governor, SupplyToml};
use crate::check::Check;
use crate::fleet::Node;
use crate::written::At;

pub(in crate::fleet) mod toml;

/// Thousandths of a unit: of an ampere, a volt or a watt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub u64);

/// Largest voltage or current that anything here has: a thousand.
const MOST: f64 = 1000.0;

/// What the nodes of a bus draw together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusPower {
    /// The cluster.
    pub cluster: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// The current with nothing to do, in milliamperes.
    pub idle: Milli,
    /// The current at worst: all processors, or the network, busy at once on all nodes.
    pub worst: Milli,
    /// The voltage of its supply.
    pub volts: Milli,
    /// The current that its supply gives.
    pub supply: Milli,
}

/// What one board draws, in milliamperes.
#[derive(Debug, Clone, Copy)]
struct Draw {
    idle: Milli,
    worst: Milli,
}

impl BusPower {
    /// The power of `current` at the bus's voltage.
    pub fn watts(&self, current: Milli) -> Milli {
        Milli(current.0.saturating_mul(self.volts.0) / 1000)
    }

    /// How much of what the supply gives is drawn at worst, in percent, rounded up.
    pub fn load(&self) -> u64 {
        (self.worst.0 * 100).div_ceil(self.supply.0.max(1))
    }
}

impl fmt::Display for Milli {
    /// With two decimals, as the meters have them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0 + 5) / 10;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl fmt::Display for Governor {
    /// As Linux calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Performance => "performance",
            Self::Ondemand => "ondemand",
            Self::Powersave => "powersave",
        })
    }
}

/// A bus with its supply, as written.
pub(in crate::fleet) struct Supplied<'a> {
    /// The cluster.
    pub cluster: &'a At<String>,
    /// Where its nodes come from.
    pub slots: &'a Range<usize>,
    /// Its supply.
    pub supply: &'a At<SupplyToml>,
}

/// What each of these buses draws. One that draws more than its supply gives is found.
pub(in crate::fleet) fn check_power<'a>(
    check: &mut Check<'_>,
    written: &BTreeMap<Governor, DrawToml>,
    supplied: impl Iterator<Item = Supplied<'a>>,
    nodes: &[Node],
) -> Vec<BusPower> {
    let draws: BTreeMap<Governor, Option<Draw>> = written
        .iter()
        .map(|(governor, toml)| (*governor, draw(check, toml)))
        .collect();
    let mut buses = Vec::new();
    for Supplied {
        cluster,
        slots,
        supply,
    } in supplied
    {
        let (volts, amperes) = (
            milli(check, &supply.volts, "volts"),
            milli(check, &supply.amperes, "amperes"),
        );
        let of_bus: Vec<&Node> = nodes
            .iter()
            .filter(|node| node.cluster == cluster.value)
            .collect();
        let Some(draws) = draws_of(check, &of_bus, &draws, supply) else {
            continue;
        };
        let (Some(volts), Some(amperes)) = (volts, amperes) else {
            continue;
        };
        let bus = BusPower {
            cluster: cluster.value.clone(),
            nodes: of_bus.len(),
            idle: Milli(draws.iter().map(|draw| draw.idle.0).sum()),
            worst: Milli(draws.iter().map(|draw| draw.worst.0).sum()),
            volts,
            supply: amperes,
        };
        if bus.worst > bus.supply {
            let message = format!(
                "the {} nodes of cluster `{}` draw up to {} A, but their supply gives {} A",
                bus.nodes, bus.cluster, bus.worst, bus.supply
            );
            check
                .found(&supply.amperes.span, message)
                .related(slots, "the nodes come from here")
                .hint("take nodes off the bus, or give some the governor `powersave`");
        }
        buses.push(bus);
    }
    buses
}

/// What each of these nodes draws, or `None` with a finding where that is not known.
fn draws_of(
    check: &mut Check<'_>,
    nodes: &[&Node],
    draws: &BTreeMap<Governor, Option<Draw>>,
    supply: &At<SupplyToml>,
) -> Option<Vec<Draw>> {
    let unknown = nodes.iter().find(|node| !draws.contains_key(&node.governor));
    if let Some(node) = unknown {
        let message = format!(
            "what `{}` draws with the governor `{}` is not known, so nobody knows whether the supply will do",
            node.name, node.governor
        );
        check.found(&supply.span, message).hint(format!(
            "measure a board and add `idle` and `busy` in amperes to [power.{}], or leave out `supply`",
            node.governor
        ));
        return None;
    }
    nodes.iter().map(|node| *draws.get(&node.governor)?).collect()
}

fn draw(check: &mut Check<'_>, toml: &DrawToml) -> Option<Draw> {
    let idle = milli(check, &toml.idle, "amperes");
    let busy = milli(check, &toml.busy, "amperes");
    let network = match &toml.network {
        Some(written) => Some(milli(check, written, "amperes")?),
        None => None,
    };
    let (idle, busy) = (idle?, busy?);
    Some(Draw {
        idle,
        worst: [idle, busy].into_iter().chain(network).max().unwrap_or(busy),
    })
}

/// A positive number with at most a thousand of its unit, or `None` with a finding.
fn milli(check: &mut Check<'_>, written: &At<f64>, unit: &str) -> Option<Milli> {
    let span: &Range<usize> = &written.span;
    if !(written.value > 0.0 && written.value <= MOST) {
        check
            .found(
                span,
                format!("{} {unit} are not within 0 to {MOST}", written.value),
            )
            .hint("a board draws 0.3 to 0.7 A; the supply of a bus gives 5 V and 40 A");
        return None;
    }
    // In range, so nothing is cut off.
    Some(Milli((written.value * 1000.0).round() as u64))
}
