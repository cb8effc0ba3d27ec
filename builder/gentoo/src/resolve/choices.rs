//! How a goal can be reached, and what stands against the other ways.

use std::collections::BTreeSet;

use super::pool::{Id, Pool};
use super::state::{Aim, Breach, Level, State, View};
use crate::atom::Atom;
use crate::depend::Need;

/// One way to reach a goal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice<'p> {
    /// This package, in its slot.
    Take(Id),
    /// This branch of `|| ( )`.
    Branch(&'p Need),
}

/// The ways to reach a goal.
pub(super) struct Choices<'p> {
    /// The one to be preferred first.
    pub ways: Vec<Choice<'p>>,
    /// Choices that stand against other ways.
    pub against: BTreeSet<Level>,
}

/// What stands against a package.
pub(super) enum Obstacle<'p> {
    /// Another one is chosen for its slot.
    Slot(Id, Level),
    /// A chosen package blocks it.
    Blocked(Id, &'p Atom, Level),
    /// It blocks a chosen package.
    Blocks(Id, &'p Atom, Level),
}

/// The ways to an aim, as things stand.
pub(super) fn choices<'p>(state: &State<'p, '_, '_>, aim: &Aim<'p>) -> Choices<'p> {
    let pool = state.pool;
    let ids = match aim {
        Aim::Need(Need::Any(branches)) => {
            return Choices {
                ways: branches_of(state, branches),
                against: BTreeSet::new(),
            };
        }
        Aim::Need(_) | Aim::Library(_) | Aim::Rebuild(..) | Aim::Unblock(..) => candidates(pool, aim),
    };
    let mut choices = Choices {
        ways: Vec::with_capacity(ids.len()),
        against: BTreeSet::new(),
    };
    for id in ids {
        let obstacles = obstacles(state, id);
        if obstacles.is_empty() {
            choices.ways.push(Choice::Take(id));
        }
        choices.against.extend(obstacles.iter().map(Obstacle::level));
    }
    // An installed package may also stay, if another branch of what it needs can be reached.
    if let Aim::Rebuild(_, Breach::Need(need @ (Need::All(_) | Need::Any(_)))) = aim
        && distance(state, need) != Distance::Missing
    {
        choices.ways.push(Choice::Branch(need));
    }
    choices
}

/// The packages that would reach an aim if nothing stood against them, the one to be preferred first.
pub(super) fn candidates(pool: &Pool<'_, '_>, aim: &Aim<'_>) -> Vec<Id> {
    let admitted = |id: &Id| pool.exclusion(*id).is_none();
    match aim {
        Aim::Need(Need::Atom(atom)) => {
            let installed = pool.named(&atom.name).map_or(&[][..], |named| &named.installed);
            let installed = installed
                .iter()
                .copied()
                .filter(|id| atom.matches(pool.package(*id)));
            installed.chain(pool.offered(atom).filter(admitted)).collect()
        }
        Aim::Need(Need::All(_) | Need::Any(_)) => Vec::new(),
        Aim::Library(library) => pool.bringing(*library).into_iter().filter(admitted).collect(),
        // Never by an older one: what is installed was good enough for somebody. Behind them what would let it stay.
        Aim::Rebuild(id, breach) => {
            let replacements = replacements(pool, *id)
                .filter(|other| pool.package(*other).cpv.version >= pool.package(*id).cpv.version);
            let helpers: Vec<Id> = match breach {
                Breach::Need(Need::Atom(atom)) if atom.blocker.is_none() => pool.offered(atom).collect(),
                Breach::Need(_) => Vec::new(),
                Breach::Library(library) => pool.bringing(*library),
            };
            replacements.chain(helpers).filter(admitted).collect()
        }
        Aim::Unblock(id, atom) => replacements(pool, *id)
            .filter(|other| !atom.matches(pool.package(*other)))
            .filter(admitted)
            .collect(),
    }
}

/// Packages of sources that go into the slot of an installed one.
pub(super) fn replacements<'p>(pool: &'p Pool<'_, '_>, installed: Id) -> impl Iterator<Item = Id> + 'p {
    let offered = pool.preferred(&pool.package(installed).cpv.name).iter().copied();
    offered.filter(move |id| pool.slot(*id) == pool.slot(installed))
}

impl Obstacle<'_> {
    fn level(&self) -> Level {
        match self {
            Self::Slot(_, level) | Self::Blocked(_, _, level) | Self::Blocks(_, _, level) => *level,
        }
    }
}

/// What stands against a package; nothing if it can be chosen.
pub(super) fn obstacles<'p>(state: &State<'p, '_, '_>, id: Id) -> Vec<Obstacle<'p>> {
    let pool = state.pool;
    let package = pool.package(id);
    let mut obstacles = Vec::new();
    if let Some(standing) = state.standing(pool.slot(id)) {
        obstacles.push(Obstacle::Slot(standing.id, standing.level));
    }
    for block in state.blocks() {
        if block.owner != id && block.atom.matches(package) {
            obstacles.push(Obstacle::Blocked(block.owner, block.atom, block.level));
        }
    }
    // An installed one blocks what it may: it is replaced then, or the other is.
    if pool.installed_in(pool.slot(id)) != Some(id)
        && let Ok(needs) = pool.needs(id)
    {
        for need in needs.before.iter().chain(&needs.after) {
            if let Need::Atom(atom) = need
                && atom.blocker.is_some()
            {
                let blocked = state.blocked_by(id, atom);
                obstacles.extend(blocked.map(|other| Obstacle::Blocks(other.id, atom, other.level)));
            }
        }
    }
    obstacles
}

/// How near a branch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// All of it is there.
    Met,
    /// All its packages are installed, some in another version or build.
    Installed,
    /// There are packages for all of it.
    Offered,
    /// Something of it is nowhere, whatever else is chosen.
    Missing,
}

fn branches_of<'p>(state: &State<'p, '_, '_>, branches: &'p [Need]) -> Vec<Choice<'p>> {
    let ranked = branches.iter().map(|branch| (distance(state, branch), branch));
    let mut ranked: Vec<_> = ranked
        .filter(|(distance, _)| *distance != Distance::Missing)
        .collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked
        .into_iter()
        .map(|(_, branch)| Choice::Branch(branch))
        .collect()
}

fn distance<'p>(state: &State<'p, '_, '_>, need: &'p Need) -> Distance {
    let each = |needs: &'p [Need]| needs.iter().map(|need| distance(state, need)).collect::<Vec<_>>();
    match need {
        Need::All(needs) => each(needs).into_iter().max().unwrap_or(Distance::Met),
        Need::Any(needs) => each(needs).into_iter().min().unwrap_or(Distance::Missing),
        // Whether a blocker holds shows when its branch is taken.
        Need::Atom(atom) if atom.blocker.is_some() => Distance::Met,
        Need::Atom(atom) => {
            let pool = state.pool;
            if state.matching(atom, View::Now).next().is_some() {
                Distance::Met
            } else if candidates(pool, &Aim::Need(need)).is_empty() {
                Distance::Missing
            } else if pool
                .named(&atom.name)
                .is_some_and(|named| !named.installed.is_empty())
            {
                Distance::Installed
            } else {
                Distance::Offered
            }
        }
    }
}
