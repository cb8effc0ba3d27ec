//! The order of preference among the packages of sources that have a name.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use super::super::builds::{Deviation, Why, texts};
use super::{Id, Named, Origin, Pool};
use crate::atom::Atom;
use crate::depend::Need;

/// Packages that are looked at to count what others bring: some for each package that is brought by one of two builds that
/// are alike otherwise. An index that takes more is made to waste time.
const MAX_LOOKS: usize = 2_000_000;

/// Builds of which is told why they were not taken.
const MAX_PASSED_OVER: usize = 8;

/// A package of a source, and how it compares with other builds of its version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    id: Id,
    source: usize,
    /// Whether its flags are against what starts the node.
    against_init: bool,
    /// Flags that the node would set otherwise.
    deviations: usize,
}

/// How many packages each brings, as far as it is known, and what it took.
#[derive(Debug, Default)]
pub(super) struct Brought {
    known: RefCell<HashMap<Id, usize>>,
    looks: Cell<usize>,
}

impl<'a> Pool<'a, '_> {
    /// The packages of sources of a name, compared by all but what they bring.
    fn ranked<'p>(&'p self, named: &'p Named) -> &'p [Ranked] {
        named.ranked.get_or_init(|| {
            let mut ranked: Vec<Ranked> = named.offered.iter().map(|id| self.rank(*id)).collect();
            // The sort keeps the order of the index.
            ranked.sort_by(|a, b| {
                let (newer, older) = (self.package(b.id), self.package(a.id));
                (newer.cpv.version.cmp(&older.cpv.version))
                    .then(a.against_init.cmp(&b.against_init))
                    .then(a.source.cmp(&b.source))
                    .then(a.deviations.cmp(&b.deviations))
                    .then(newer.build_time.cmp(&older.build_time))
                    .then(newer.build_id.cmp(&older.build_id))
            });
            ranked
        })
    }

    fn rank(&self, id: Id) -> Ranked {
        let Deviation { init, others } = self.deviation(id);
        Ranked {
            id,
            source: match self.origin(id) {
                Origin::Installed => 0,
                Origin::Source(source) => source,
            },
            against_init: !init.is_empty(),
            deviations: others.len(),
        }
    }

    fn deviation(&self, id: Id) -> Deviation<'a> {
        let package = self.package(id);
        let other_slot = || self.named(&package.cpv.name)?.installed.first().copied();
        let installed = self.installed_in(self.slot(id)).or_else(other_slot);
        self.flags
            .deviation(package, installed.map(|installed| self.package(installed)))
    }

    /// The packages of sources of a name, the one to be preferred first.
    pub fn refined(&self, named: &Named) -> Vec<Id> {
        let ranked = self.ranked(named);
        let is_alike = |a: &Ranked, b: &Ranked| {
            self.package(a.id).cpv.version == self.package(b.id).cpv.version
                && (a.against_init, a.source, a.deviations) == (b.against_init, b.source, b.deviations)
        };
        let mut refined = Vec::with_capacity(ranked.len());
        for run in ranked.chunk_by(is_alike) {
            let first = refined.len();
            refined.extend(run.iter().map(|one| one.id));
            let needs = |id: Id| {
                let package = self.package(id);
                [&package.rdepend, &package.pdepend, &package.idepend]
            };
            if run.iter().any(|one| needs(one.id) != needs(run[0].id)) {
                refined[first..].sort_by_cached_key(|id| self.brought(*id));
            }
        }
        refined
    }

    /// How many packages would be installed for one, itself not counted: what nothing installed meets, each the first that
    /// would be preferred. Nothing after [`MAX_LOOKS`].
    fn brought(&self, id: Id) -> usize {
        if let Some(known) = self.brought.known.borrow().get(&id) {
            return *known;
        }
        let mut brought = HashSet::from([id]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            self.brought.looks.set(self.brought.looks.get() + 1);
            if self.brought.looks.get() > MAX_LOOKS {
                return 0;
            }
            if let Ok(needs) = self.needs(id) {
                for need in needs.before.iter().chain(&needs.after) {
                    self.bring(need, &mut brought, &mut open);
                }
            }
        }
        let count = brought.len() - 1;
        self.brought.known.borrow_mut().insert(id, count);
        count
    }

    fn bring(&self, need: &Need, brought: &mut HashSet<Id>, open: &mut Vec<Id>) {
        match need {
            Need::All(needs) => needs.iter().for_each(|need| self.bring(need, brought, open)),
            Need::Any(branches) => {
                if !branches.iter().any(|branch| self.is_installed(branch))
                    && let Some(branch) = branches.iter().find(|branch| self.is_there(branch))
                {
                    self.bring(branch, brought, open);
                }
            }
            Need::Atom(atom) if atom.blocker.is_some() || self.is_installed(need) => {}
            Need::Atom(atom) => {
                if let Some(first) = self.first(atom)
                    && brought.insert(first)
                {
                    open.push(first);
                }
            }
        }
    }

    /// The package of a source that an atom takes first, without a look at what it brings.
    fn first(&self, atom: &Atom) -> Option<Id> {
        let named = self.named(&atom.name)?;
        let mut ids = self.ranked(named).iter().map(|ranked| ranked.id);
        ids.find(|id| {
            let looks = &self.brought.looks;
            looks.set(looks.get().saturating_add(1));
            looks.get() <= MAX_LOOKS && atom.matches(self.package(*id)) && self.exclusion(*id).is_none()
        })
    }

    fn is_installed(&self, need: &Need) -> bool {
        match need {
            Need::All(needs) => needs.iter().all(|need| self.is_installed(need)),
            Need::Any(needs) => needs.iter().any(|need| self.is_installed(need)),
            Need::Atom(atom) => {
                let installed = self.named(&atom.name).map_or(&[][..], |named| &named.installed);
                let is_met = installed.iter().any(|id| atom.matches(self.package(*id)));
                is_met == atom.blocker.is_none()
            }
        }
    }

    /// Whether all of a need is installed or in a source.
    fn is_there(&self, need: &Need) -> bool {
        match need {
            Need::All(needs) => needs.iter().all(|need| self.is_there(need)),
            Need::Any(needs) => needs.iter().any(|need| self.is_there(need)),
            Need::Atom(atom) => {
                self.is_installed(need) || atom.blocker.is_none() && self.first(atom).is_some()
            }
        }
    }

    /// Other builds of a package's version that its slot could have, the one to be preferred first, and what decided
    /// against each; at most [`MAX_PASSED_OVER`].
    pub fn passed_over(&self, taken: Id) -> Vec<(Id, Why)> {
        let package = self.package(taken);
        let is_other = |id: &Id| {
            *id != taken
                && self.slot(*id) == self.slot(taken)
                && self.package(*id).cpv.version == package.cpv.version
                && self.exclusion(*id).is_none()
        };
        let ids = self.preferred(&package.cpv.name);
        let place = ids.iter().position(|id| *id == taken).unwrap_or_default();
        let better = ids[..place].iter().filter(|id| is_other(id));
        let better = better.map(|id| (*id, Why::Unfit));
        let others = ids[place..].iter().filter(|id| is_other(id));
        let others = better.chain(others.map(|id| (*id, self.why(taken, *id))));
        others.take(MAX_PASSED_OVER).collect()
    }

    /// What decides for `taken` and against `other`, which comes behind it.
    fn why(&self, taken: Id, other: Id) -> Why {
        let [ours, theirs] = [taken, other].map(|id| (self.rank(id), self.deviation(id)));
        if theirs.0.against_init != ours.0.against_init {
            return Why::Init(texts(&theirs.1.init));
        }
        if theirs.0.source != ours.0.source {
            return Why::Source;
        }
        if theirs.0.deviations != ours.0.deviations {
            return Why::Flags {
                theirs: texts(&theirs.1.others),
                taken: texts(&ours.1.others),
            };
        }
        match [taken, other].map(|id| self.brought(id)) {
            [taken, theirs] if taken != theirs => Why::Packages { theirs, taken },
            _ => Why::Older,
        }
    }
}
