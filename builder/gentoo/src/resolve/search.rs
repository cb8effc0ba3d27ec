//! One choice after the other. A goal that cannot be reached undoes the last choice that stood against it.

use std::collections::BTreeSet;

use super::choices::{Choice, choices};
use super::explain::Failure;
use super::pool::Pool;
use super::state::{Aim, Goal, Level, Mark, State, View};
use super::{MAX_STEPS, ResolveError, upkeep};
use crate::depend::Need;

/// A choice that stands, and what is left if it has to go.
struct Frame<'p> {
    goal: usize,
    ways: Vec<Choice<'p>>,
    /// The first way that was not tried.
    next: usize,
    /// Earlier choices that stood against the ways so far.
    against: BTreeSet<Level>,
    /// The state before it.
    mark: Mark,
}

/// A search and its obstacles.
pub(super) struct Search<'p, 'a, 'r> {
    state: State<'p, 'a, 'r>,
    frames: Vec<Frame<'p>>,
    steps: usize,
    /// The first goal that could not be reached whatever else is chosen, and the first that could not for other choices.
    hopeless: Option<Box<Failure>>,
    obstructed: Option<Box<Failure>>,
}

impl<'p, 'a, 'r> Search<'p, 'a, 'r> {
    pub fn new(pool: &'p Pool<'a, 'r>, wanted: &'p [Need]) -> Self {
        let mut state = State::new(pool);
        for need in wanted {
            state.push_goal(Goal {
                aim: Aim::Need(need),
                parent: None,
                causes: Vec::new(),
            });
        }
        Self {
            state,
            frames: Vec::new(),
            steps: 0,
            hopeless: None,
            obstructed: None,
        }
    }

    /// The state in which all goals are reached.
    pub fn run(mut self) -> Result<State<'p, 'a, 'r>, ResolveError> {
        loop {
            let Some(goal) = self.state.pop_goal() else {
                let goals = upkeep::goals(&self.state);
                if goals.is_empty() {
                    return Ok(self.state);
                }
                for goal in goals {
                    self.state.push_goal(goal);
                }
                continue;
            };
            if self.is_reached(goal) {
                continue;
            }
            let choices = choices(&self.state, &self.state.goal(goal).aim);
            if choices.ways.is_empty() {
                self.note_failure(goal, choices.against.is_empty());
            }
            self.frames.push(Frame {
                goal,
                ways: choices.ways,
                next: 0,
                against: choices.against,
                mark: self.state.mark(),
            });
            if !self.advance()? {
                let failure = self.hopeless.or(self.obstructed);
                return Err(ResolveError::Unsatisfied(failure.unwrap_or_default()));
            }
        }
    }

    fn is_reached(&self, goal: usize) -> bool {
        let state = &self.state;
        let goal = state.goal(goal);
        match goal.aim {
            Aim::Need(need) => state.is_settled(need),
            Aim::Library(library) => upkeep::is_brought(state, library),
            Aim::Rebuild(id, _) | Aim::Unblock(id, _) => {
                state.in_slot(state.pool.slot(id), View::Now) != Some(id)
            }
        }
    }

    /// Tries the next way of the last choice; where there is none, goes back to the last choice that is to blame. False
    /// where none is left.
    fn advance(&mut self) -> Result<bool, ResolveError> {
        while let Some(level) = self.frames.len().checked_sub(1) {
            let frame = &mut self.frames[level];
            if let Some(way) = frame.ways.get(frame.next).copied() {
                frame.next += 1;
                self.steps += 1;
                if self.steps > MAX_STEPS {
                    let failure = self.obstructed.take().or(self.hopeless.take());
                    return Err(ResolveError::Steps(failure.unwrap_or_default()));
                }
                let goal = frame.goal;
                self.state.restore(&frame.mark);
                let taken = match way {
                    Choice::Take(id) => self.state.take(id, level, goal),
                    Choice::Branch(need) => {
                        let parent = self.state.goal(goal).parent;
                        self.state.push_need(need, parent, level)
                    }
                };
                match taken {
                    Ok(()) => return Ok(true),
                    Err(levels) => {
                        self.note_failure(goal, false);
                        let earlier = levels.into_iter().filter(|other| *other != level);
                        self.frames[level].against.extend(earlier);
                    }
                }
                continue;
            }
            let mut against = std::mem::take(&mut frame.against);
            against.extend(&self.state.goal(frame.goal).causes);
            let Some(target) = against.pop_last() else {
                return Ok(false);
            };
            self.frames.truncate(target + 1);
            self.frames[target].against.extend(against);
        }
        Ok(false)
    }

    /// Remembers the first failure of each kind: it lies on the way that was preferred.
    fn note_failure(&mut self, goal: usize, hopeless: bool) {
        let noted = if hopeless {
            &mut self.hopeless
        } else {
            &mut self.obstructed
        };
        if noted.is_none() {
            *noted = Some(Box::new(Failure::of(&self.state, self.state.goal(goal))));
        }
    }
}
