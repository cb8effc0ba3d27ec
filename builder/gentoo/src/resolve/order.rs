//! What is installed before what: first what a package needs, then the package, then what it needs afterwards. Within a
//! cycle the first one that was asked for comes last.

use std::collections::HashSet;

use super::builds::PassedOver;
use super::pool::{Id, Origin, Pool};
use super::state::{State, View};
use super::upkeep::atoms;
use super::{Chosen, Resolution};
use crate::atom::Atom;
use crate::depend::Need;

/// The result that a state is.
pub(super) fn resolution<'a>(state: &State<'_, 'a, '_>, wanted: &[Atom]) -> Resolution<'a> {
    let pool = state.pool;
    let requested: Vec<Id> = wanted
        .iter()
        .filter_map(|atom| {
            let matching = state.matching(atom, View::Chosen);
            matching.max_by_key(|id| &pool.package(*id).cpv.version)
        })
        .collect();
    let mut order = Order {
        state,
        seen: HashSet::new(),
        done: Vec::new(),
    };
    for id in requested
        .iter()
        .copied()
        .chain(state.chosen().map(|standing| standing.id))
    {
        order.visit(id);
    }
    let chosen = order.done.into_iter().filter_map(|id| match pool.origin(id) {
        Origin::Installed => None,
        Origin::Source(source) => Some(Chosen {
            source,
            package: pool.package(id),
            requested: requested.contains(&id),
            replaces: pool.installed_in(pool.slot(id)).map(|id| pool.package(id)),
            passed_over: passed_over(pool, id),
        }),
    });
    let mut kept: Vec<Id> = Vec::new();
    for id in &requested {
        if pool.origin(*id) == Origin::Installed && !kept.contains(id) {
            kept.push(*id);
        }
    }
    Resolution {
        chosen: chosen.collect(),
        kept: kept.into_iter().map(|id| pool.package(id)).collect(),
    }
}

fn passed_over<'a>(pool: &Pool<'a, '_>, taken: Id) -> Vec<PassedOver<'a>> {
    let others = pool.passed_over(taken).into_iter();
    let others = others.filter_map(|(id, why)| match pool.origin(id) {
        Origin::Installed => None,
        Origin::Source(source) => Some(PassedOver {
            source,
            package: pool.package(id),
            why,
        }),
    });
    others.collect()
}

struct Order<'s, 'p, 'a, 'r> {
    state: &'s State<'p, 'a, 'r>,
    seen: HashSet<Id>,
    done: Vec<Id>,
}

impl Order<'_, '_, '_, '_> {
    /// Puts a package into the order, with all it needs.
    fn visit(&mut self, id: Id) {
        // Packages whose turn it is, each with those that it still waits for, the next one last.
        let mut waiting = Vec::new();
        let mut later = vec![id];
        while let Some(id) = later.pop() {
            self.enter(id, &mut waiting);
            while let Some((id, before)) = waiting.last_mut() {
                let id = *id;
                match before.pop() {
                    Some(other) => self.enter(other, &mut waiting),
                    None => {
                        waiting.pop();
                        self.done.push(id);
                        later.extend(self.needed(id).1);
                    }
                }
            }
        }
    }

    fn enter(&mut self, id: Id, waiting: &mut Vec<(Id, Vec<Id>)>) {
        if self.seen.insert(id) {
            let before = self.needed(id).0;
            waiting.push((id, before));
        }
    }

    /// The chosen packages that one needs before and after it, the first one last.
    fn needed(&self, id: Id) -> (Vec<Id>, Vec<Id>) {
        let pool = self.state.pool;
        if pool.origin(id) == Origin::Installed {
            return (Vec::new(), Vec::new());
        }
        let ids = |needs: &[Need]| {
            let atoms = needs.iter().flat_map(atoms).filter(|atom| atom.blocker.is_none());
            let mut ids: Vec<Id> = atoms
                .flat_map(|atom| self.state.matching(atom, View::Chosen).collect::<Vec<_>>())
                .collect();
            ids.reverse();
            ids
        };
        pool.needs(id).map_or_else(
            |_| Default::default(),
            |needs| (ids(&needs.before), ids(&needs.after)),
        )
    }
}
