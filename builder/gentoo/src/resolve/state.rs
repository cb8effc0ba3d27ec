//! What is chosen so far, what it still takes, and how to go back.

use super::pool::{Id, Library, Origin, Pool, SlotId};
use crate::atom::Atom;
use crate::depend::Need;

/// A choice, by position among those that stand. Lower ones were made before.
pub(super) type Level = usize;

/// What has to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim<'p> {
    /// What a package, or the request, needs. No blocker, no group of all.
    Need(&'p Need),
    /// A library that a chosen package is linked with.
    Library(Library<'p>),
    /// Another build of an installed package, which does not go together with what is chosen.
    Rebuild(Id, Breach<'p>),
    /// Another version of an installed package, because a chosen one blocks it.
    Unblock(Id, &'p Atom),
}

/// What an installed package would miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach<'p> {
    /// One of its needs was met and is not any more.
    Need(&'p Need),
    /// A library that it is linked with.
    Library(Library<'p>),
}

/// Something to be reached, and who wants it.
#[derive(Debug, Clone)]
pub(super) struct Goal<'p> {
    pub aim: Aim<'p>,
    /// The package that wants it; none for the request.
    pub parent: Option<Id>,
    /// Choices without which nobody would want it.
    pub causes: Vec<Level>,
}

/// A package that stands in a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub id: Id,
    pub level: Level,
    /// The goal it was chosen for.
    pub goal: usize,
}

/// A package that must not be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'p> {
    pub atom: &'p Atom,
    /// Who blocks it.
    pub owner: Id,
    pub level: Level,
}

/// How much of a [`State`] there was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    taken: usize,
    goals: usize,
    blocks: usize,
    plain: (usize, usize),
    open: (usize, usize),
}

/// Goals in the order in which they came, and the first that was not looked at yet.
#[derive(Debug, Default)]
struct Queue {
    goals: Vec<usize>,
    next: usize,
}

impl Queue {
    fn pop(&mut self) -> Option<usize> {
        let goal = self.goals.get(self.next).copied();
        self.next += usize::from(goal.is_some());
        goal
    }
}

/// A view of which packages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Those that were chosen, be it that they stay.
    Chosen,
    /// Those that there will be: chosen ones, and installed ones in other slots.
    Now,
    /// Those that are installed before anything is.
    Before,
}

/// What is chosen so far.
pub(super) struct State<'p, 'a, 'r> {
    pub pool: &'p Pool<'a, 'r>,
    standing: Vec<Option<Standing>>,
    /// Slots that are taken, in the order in which they were.
    taken: Vec<SlotId>,
    goals: Vec<Goal<'p>>,
    blocks: Vec<Block<'p>>,
    /// Goals with one package in mind come first: what they bring decides between branches.
    plain: Queue,
    open: Queue,
}

impl<'p, 'a, 'r> State<'p, 'a, 'r> {
    pub fn new(pool: &'p Pool<'a, 'r>) -> Self {
        Self {
            pool,
            standing: vec![None; pool.slots()],
            taken: Vec::new(),
            goals: Vec::new(),
            blocks: Vec::new(),
            plain: Queue::default(),
            open: Queue::default(),
        }
    }

    pub fn mark(&self) -> Mark {
        Mark {
            taken: self.taken.len(),
            goals: self.goals.len(),
            blocks: self.blocks.len(),
            plain: (self.plain.goals.len(), self.plain.next),
            open: (self.open.goals.len(), self.open.next),
        }
    }

    /// Undoes all that was done since the mark was made.
    pub fn restore(&mut self, mark: &Mark) {
        for slot in self.taken.drain(mark.taken..) {
            self.standing[slot.0] = None;
        }
        self.goals.truncate(mark.goals);
        self.blocks.truncate(mark.blocks);
        for (queue, (length, next)) in [(&mut self.plain, mark.plain), (&mut self.open, mark.open)] {
            queue.goals.truncate(length);
            queue.next = next;
        }
    }

    pub fn push_goal(&mut self, goal: Goal<'p>) {
        let queue = match goal.aim {
            Aim::Need(Need::Any(_)) => &mut self.open,
            _ => &mut self.plain,
        };
        queue.goals.push(self.goals.len());
        self.goals.push(goal);
    }

    /// The next goal to look at.
    pub fn pop_goal(&mut self) -> Option<usize> {
        self.plain.pop().or_else(|| self.open.pop())
    }

    pub fn goal(&self, at: usize) -> &Goal<'p> {
        &self.goals[at]
    }

    /// What `parent` needs becomes goals and blocks. Fails where a blocker forbids what is chosen, with the choices that
    /// this is due to.
    pub fn push_need(&mut self, need: &'p Need, parent: Option<Id>, level: Level) -> Result<(), Vec<Level>> {
        match (need, parent) {
            (Need::All(needs), _) => needs
                .iter()
                .try_for_each(|need| self.push_need(need, parent, level)),
            (Need::Atom(atom), Some(owner)) if atom.blocker.is_some() => {
                let against: Vec<Level> = self
                    .blocked_by(owner, atom)
                    .map(|standing| standing.level)
                    .collect();
                self.blocks.push(Block { atom, owner, level });
                if against.is_empty() { Ok(()) } else { Err(against) }
            }
            _ => {
                self.push_goal(Goal {
                    aim: Aim::Need(need),
                    parent,
                    causes: vec![level],
                });
                Ok(())
            }
        }
    }

    /// Chosen packages that a blocker of `owner` forbids. None blocks itself.
    pub fn blocked_by<'s>(&'s self, owner: Id, atom: &'s Atom) -> impl Iterator<Item = Standing> + 's {
        self.matching(atom, View::Chosen)
            .filter(move |id| *id != owner)
            .filter_map(|id| self.standing(self.pool.slot(id)))
    }

    /// A package takes its slot, which is free.
    pub fn take(&mut self, id: Id, level: Level, goal: usize) -> Result<(), Vec<Level>> {
        let slot = self.pool.slot(id);
        self.standing[slot.0] = Some(Standing { id, level, goal });
        self.taken.push(slot);
        if self.pool.origin(id) == Origin::Installed {
            return Ok(());
        }
        let pool = self.pool;
        // Whatever cannot be read was excluded before.
        if let Ok(needs) = pool.needs(id) {
            for need in needs.before.iter().chain(&needs.after) {
                self.push_need(need, Some(id), level)?;
            }
        }
        Ok(())
    }

    pub fn standing(&self, slot: SlotId) -> Option<Standing> {
        self.standing[slot.0]
    }

    pub fn blocks(&self) -> &[Block<'p>] {
        &self.blocks
    }

    /// What was chosen and is not installed, in the order of the choices.
    pub fn chosen(&self) -> impl Iterator<Item = Standing> {
        let standing = self.taken.iter().filter_map(|slot| self.standing(*slot));
        standing.filter(|standing| self.pool.origin(standing.id) != Origin::Installed)
    }

    /// The package that a slot has in a view.
    pub fn in_slot(&self, slot: SlotId, view: View) -> Option<Id> {
        let chosen = || self.standing(slot).map(|standing| standing.id);
        match view {
            View::Chosen => chosen(),
            View::Now => chosen().or_else(|| self.pool.installed_in(slot)),
            View::Before => self.pool.installed_in(slot),
        }
    }

    /// The packages of a view that an atom takes.
    pub fn matching<'s>(&'s self, atom: &'s Atom, view: View) -> impl Iterator<Item = Id> + 's {
        let slots = self.pool.named(&atom.name).map_or(&[][..], |named| &named.slots);
        slots
            .iter()
            .filter_map(move |slot| self.in_slot(*slot, view))
            .filter(|id| atom.matches(self.pool.package(*id)))
    }

    /// Whether a need of `owner` is met in a view.
    pub fn is_met(&self, need: &Need, owner: Option<Id>, view: View) -> bool {
        match need {
            Need::Atom(atom) if atom.blocker.is_some() => {
                self.matching(atom, view).all(|id| Some(id) == owner)
            }
            Need::Atom(atom) => self.matching(atom, view).next().is_some(),
            Need::All(needs) => needs.iter().all(|need| self.is_met(need, owner, view)),
            Need::Any(branches) => branches.iter().any(|need| self.is_met(need, owner, view)),
        }
    }

    /// Whether what is chosen meets a need, whatever is chosen besides. A blocker is never settled.
    pub fn is_settled(&self, need: &Need) -> bool {
        match need {
            Need::Atom(atom) => atom.blocker.is_none() && self.matching(atom, View::Chosen).next().is_some(),
            Need::All(needs) => needs.iter().all(|need| self.is_settled(need)),
            Need::Any(branches) => branches.iter().any(|need| self.is_settled(need)),
        }
    }
}
