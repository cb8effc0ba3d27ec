//! What has to hold beyond what was asked for, once all goals are reached: what was installed goes on working, nothing
//! that stays is blocked, and every library is there that a chosen package is linked with.

use std::collections::HashSet;

use super::pool::{Id, Library, libraries_of};
use super::state::{Aim, Breach, Goal, Level, State, View};
use crate::atom::Atom;
use crate::depend::Need;

/// What is still to be done; nothing where all holds.
pub(super) fn goals<'p>(state: &State<'p, '_, '_>) -> Vec<Goal<'p>> {
    if state.chosen().next().is_none() {
        return Vec::new();
    }
    let mut goals = unblocked(state);
    let (before, now) = (libraries(state, View::Before), libraries(state, View::Now));
    for standing in state.chosen() {
        let package = state.pool.package(standing.id);
        let missing = libraries_of(&package.requires).filter(|library| !now.contains(library));
        goals.extend(missing.map(|library| Goal {
            aim: Aim::Library(library),
            parent: Some(standing.id),
            causes: vec![standing.level],
        }));
    }
    for id in state.pool.all_installed() {
        if state.in_slot(state.pool.slot(id), View::Now) != Some(id) {
            continue;
        }
        let broken_need = || broken_need(state, id).map(|need| (Breach::Need(need), touched(state, need)));
        let lost_library = || {
            let mut required = libraries_of(&state.pool.package(id).requires);
            let library = required.find(|library| before.contains(library) && !now.contains(library))?;
            Some((Breach::Library(library), replacing(state, library)))
        };
        if let Some((breach, culprits)) = broken_need().or_else(lost_library) {
            goals.push(Goal {
                aim: Aim::Rebuild(id, breach),
                parent: culprits.first().map(|(culprit, _)| *culprit),
                causes: culprits.into_iter().map(|(_, level)| level).collect(),
            });
        }
    }
    goals
}

/// Whether a library is there.
pub(super) fn is_brought(state: &State<'_, '_, '_>, library: Library<'_>) -> bool {
    packages(state, View::Now).any(|id| brings(state, id, library))
}

fn brings(state: &State<'_, '_, '_>, id: Id, library: Library<'_>) -> bool {
    libraries_of(&state.pool.package(id).provides).any(|brought| brought == library)
}

/// Installed packages that stay though a chosen one blocks them.
fn unblocked<'p>(state: &State<'p, '_, '_>) -> Vec<Goal<'p>> {
    let mut goals = Vec::new();
    for block in state.blocks() {
        for id in state.matching(block.atom, View::Now) {
            let stays = state.pool.installed_in(state.pool.slot(id)) == Some(id);
            if stays && id != block.owner {
                goals.push(Goal {
                    aim: Aim::Unblock(id, block.atom),
                    parent: Some(block.owner),
                    causes: vec![block.level],
                });
            }
        }
    }
    goals
}

/// The first need of an installed package that was met before anything was chosen, and is not now.
fn broken_need<'p>(state: &State<'p, '_, '_>, id: Id) -> Option<&'p Need> {
    let pool = state.pool;
    let needs = pool.needs(id).ok()?;
    let met = |need, view| state.is_met(need, Some(id), view);
    let mut needs = needs.before.iter().chain(&needs.after);
    needs.find(|need| !met(need, View::Now) && met(need, View::Before))
}

/// Chosen packages that a need names, with their choices.
fn touched(state: &State<'_, '_, '_>, need: &Need) -> Vec<(Id, Level)> {
    let mut touched = Vec::new();
    for atom in atoms(need) {
        let slots = state.pool.named(&atom.name).map_or(&[][..], |named| &named.slots);
        let standing = slots.iter().filter_map(|slot| state.standing(*slot));
        touched.extend(standing.map(|standing| (standing.id, standing.level)));
    }
    touched
}

/// Chosen packages that stand where the library was before, with their choices.
fn replacing(state: &State<'_, '_, '_>, library: Library<'_>) -> Vec<(Id, Level)> {
    let replaced = |id: Id| {
        state
            .pool
            .installed_in(state.pool.slot(id))
            .is_some_and(|installed| installed != id && brings(state, installed, library))
    };
    let chosen = state.chosen().filter(|standing| replaced(standing.id));
    chosen.map(|standing| (standing.id, standing.level)).collect()
}

/// The atoms of a need, all its branches' too.
pub(super) fn atoms(need: &Need) -> Vec<&Atom> {
    match need {
        Need::Atom(atom) => vec![atom],
        Need::All(needs) | Need::Any(needs) => needs.iter().flat_map(atoms).collect(),
    }
}

/// The packages of a view, installed ones first.
fn packages<'s>(state: &'s State<'_, '_, '_>, view: View) -> impl Iterator<Item = Id> + 's {
    let kept = state
        .pool
        .all_installed()
        .filter(move |id| view == View::Before || state.in_slot(state.pool.slot(*id), view) == Some(*id));
    let chosen = state.chosen().map(|standing| standing.id);
    kept.chain(chosen.filter(move |_| view != View::Before))
}

/// The libraries that the packages of a view bring.
fn libraries<'p>(state: &State<'p, '_, '_>, view: View) -> HashSet<Library<'p>> {
    let pool = state.pool;
    packages(state, view)
        .flat_map(|id| libraries_of(&pool.package(id).provides))
        .collect()
}
