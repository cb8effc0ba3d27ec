//! Why there is no solution: who needs what, on whose account, and what there is instead.

use std::fmt;

use super::choices::{Obstacle, candidates, obstacles, replacements};
use super::pool::{Exclusion, Id, Library, Origin, Pool};
use super::state::{Aim, Breach, Goal, State};
use super::upkeep::atoms;
use crate::atom::Atom;
use crate::package::Package;
use crate::use_dependency::{UseDemand, UseState};

/// Most packages that a message lists.
const LISTED: usize = 8;

/// A need that cannot be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// Who needs it, and who needs them: the requested package first. Empty where the request itself asks for it.
    pub chain: Vec<String>,
    /// What they need, as a predicate: `needs lib/foo`, `blocks lib/foo-1 (installed)`.
    pub need: String,
    /// What comes near, each with what is wrong with it.
    pub available: Vec<String>,
    /// What there would have to be, where nothing comes near.
    pub wanting: &'static str,
    /// Packages that are neither installed nor in any source.
    pub unknown: Vec<String>,
    /// The sources that were looked in.
    pub sources: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.chain.is_empty() {
            "the request".to_owned()
        } else {
            self.chain.join(" -> ")
        };
        write!(f, "{who} {}", self.need)?;
        if !self.available.is_empty() {
            write!(f, ", available {}", self.available.join(", "))?;
        }
        if !self.unknown.is_empty() {
            let sources = match &self.sources[..] {
                [] => "there is none".to_owned(),
                sources => format!("looked in {}", sources.join(", ")),
            };
            let unknown = self.unknown.join(" and ");
            let verb = if self.unknown.len() == 1 { "is" } else { "are" };
            write!(
                f,
                "; {unknown} {verb} in no package source ({sources}): add a binhost or a folder of packages with it"
            )?;
        } else if self.available.is_empty() {
            write!(f, ", and no package source has {}", self.wanting)?;
        }
        Ok(())
    }
}

impl Failure {
    /// Why a goal cannot be reached, as things stand.
    pub(super) fn of(state: &State<'_, '_, '_>, goal: &Goal<'_>) -> Self {
        let pool = state.pool;
        let mut failure = Self {
            chain: chain(state, goal.parent),
            wanting: match goal.aim {
                Aim::Need(_) => "such a package",
                Aim::Library(_) => "a package that brings it",
                Aim::Rebuild(..) | Aim::Unblock(..) => "one to replace it",
            },
            sources: pool.sources().iter().map(|name| (*name).to_owned()).collect(),
            ..Self::default()
        };
        let near: Vec<(Id, String)> = match &goal.aim {
            Aim::Need(need) => {
                failure.need = format!("needs {need}");
                let mut near = Vec::new();
                for atom in atoms(need).into_iter().filter(|atom| atom.blocker.is_none()) {
                    let Some(named) = pool.named(&atom.name) else {
                        failure.unknown.push(atom.name.to_string());
                        continue;
                    };
                    let all = named.installed.iter().chain(pool.preferred(&atom.name));
                    near.extend(all.map(|id| (*id, mismatch(atom, pool.package(*id)))));
                }
                failure.unknown.dedup();
                near
            }
            Aim::Library(library) => {
                failure.need = format!("is linked with {}", shown(*library));
                pool.bringing(*library)
                    .into_iter()
                    .map(|id| (id, String::new()))
                    .collect()
            }
            Aim::Rebuild(id, breach) => {
                let breach = match breach {
                    Breach::Need(need) => format!("which needs {need}"),
                    Breach::Library(library) => format!("which is linked with {}", shown(*library)),
                };
                failure.need = format!("breaks {}, {breach}", name(pool, *id));
                replacements(pool, *id)
                    .map(|other| (other, String::new()))
                    .collect()
            }
            Aim::Unblock(id, atom) => {
                failure.need = format!("blocks {} with {atom}", name(pool, *id));
                replacements(pool, *id)
                    .map(|other| (other, String::new()))
                    .collect()
            }
        };
        let fitting = candidates(pool, &goal.aim);
        let more = near.len().saturating_sub(LISTED);
        for (id, mismatch) in near.into_iter().take(LISTED) {
            let mut faults = vec![place(pool, id)];
            if !mismatch.is_empty() {
                faults.push(mismatch);
            }
            if let (Some(exclusion), Origin::Source(_)) = (pool.exclusion(id), pool.origin(id)) {
                faults.push(match exclusion {
                    Exclusion::Masked(mask) => format!("masked by {}: {}", mask.atom, mask.reason),
                    Exclusion::Foreign(chost) => format!("built for {chost}"),
                    Exclusion::Unreadable(error) => error.to_string(),
                });
            }
            if fitting.contains(&id) {
                faults.extend(
                    obstacles(state, id)
                        .first()
                        .map(|obstacle| standing_against(pool, obstacle)),
                );
            }
            let package = pool.package(id);
            let which = match &goal.aim {
                Aim::Need(need) if atoms(need).len() == 1 => package.cpv.version.to_string(),
                _ => package.cpv.to_string(),
            };
            failure.available.push(format!("{which} ({})", faults.join("; ")));
        }
        if more > 0 {
            failure.available.push(format!("and {more} more"));
        }
        failure
    }
}

/// The packages from the request to this one.
fn chain(state: &State<'_, '_, '_>, parent: Option<Id>) -> Vec<String> {
    let mut chain = Vec::new();
    let mut next = parent;
    while let Some(id) = next {
        chain.push(name(state.pool, id));
        // Who asked for it was chosen before it.
        next = state
            .standing(state.pool.slot(id))
            .filter(|standing| standing.id == id)
            .and_then(|standing| state.goal(standing.goal).parent);
    }
    chain.reverse();
    chain
}

fn place(pool: &Pool<'_, '_>, id: Id) -> String {
    match pool.origin(id) {
        Origin::Installed => "installed".to_owned(),
        Origin::Source(at) => pool.source(at).to_owned(),
    }
}

fn name(pool: &Pool<'_, '_>, id: Id) -> String {
    format!("{} ({})", pool.package(id).cpv, place(pool, id))
}

fn shown((kind, soname): Library<'_>) -> String {
    format!("{soname} ({kind})")
}

/// What other than its version keeps an atom from taking a package of its name; empty where nothing does.
fn mismatch(atom: &Atom, package: &Package) -> String {
    if !atom.matches_version(&package.cpv.version) {
        return String::new();
    }
    if !atom.slot.matches(&package.slot, &package.subslot) {
        return format!("slot {}/{}", package.slot, package.subslot);
    }
    let wrong: Vec<String> = atom
        .use_dependencies
        .iter()
        .filter(|dependency| !dependency.accepts(package))
        .map(
            |dependency| match (package.flag(&dependency.flag), dependency.demand) {
                (None, _) => format!("without a flag {}", dependency.flag),
                (Some(_), UseDemand::Is(UseState::Enabled)) => format!("built with -{}", dependency.flag),
                (Some(_), _) => format!("built with {}", dependency.flag),
            },
        )
        .collect();
    wrong.join(", ")
}

fn standing_against(pool: &Pool<'_, '_>, obstacle: &Obstacle<'_>) -> String {
    match obstacle {
        Obstacle::Slot(other, _) => {
            format!(
                "{} is chosen for slot {}",
                name(pool, *other),
                pool.package(*other).slot
            )
        }
        Obstacle::Blocked(by, atom, _) => format!("{} blocks it with {atom}", name(pool, *by)),
        Obstacle::Blocks(other, atom, _) => format!("it blocks {} with {atom}", name(pool, *other)),
    }
}
