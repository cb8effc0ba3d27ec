//! Progress of a build: its steps, told from what make prints.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use engine::{Engine, Task};

/// How many steps a build has: as many as the last one had. Progress only; nothing that is made depends on it.
#[derive(Debug)]
pub struct Estimate {
    stage: &'static str,
    path: PathBuf,
    steps: u64,
}

/// The steps of a running build.
#[derive(Debug)]
pub struct Steps<'a> {
    task: &'a Task,
    done: u64,
}

impl Estimate {
    /// What the last build of `stage` noted; 0 steps where there was none.
    pub fn load(engine: &Engine, stage: &'static str) -> Self {
        let path = engine.cache.root().join(format!("{stage}-steps"));
        let steps = fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        Self { stage, path, steps }
    }

    /// A task of so many steps.
    pub fn task(&self, engine: &Engine) -> Task {
        engine.progress.steps(self.stage, self.steps)
    }

    /// Notes how many it were.
    pub fn save(&self, engine: &Engine, steps: Steps) -> Result<()> {
        let (stage, done, expected) = (self.stage, steps.done, self.steps);
        engine
            .progress
            .detail(format!("{stage}: {done} steps, {expected} were expected"));
        fs::write(&self.path, format!("{done}\n"))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl<'a> Steps<'a> {
    /// The first of a build that `task` shows.
    pub fn of(task: &'a Task) -> Self {
        Self { task, done: 0 }
    }

    /// A line that make printed.
    pub fn line(&mut self, line: &str) {
        if let Some(file) = step(line) {
            self.done += 1;
            self.task.position(self.done);
            self.task.message(file.to_owned());
        }
    }
}

/// The file that a line of make's output says is being made: `  CC [M]  net/ipv4/tunnel4.o`.
fn step(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("  ")?.split_whitespace();
    let command = words.next()?;
    let is_command = command
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let file = words.find(|word| *word != "[M]")?;
    is_command.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_from_other_lines() {
        for (line, file) in [
            ("  CC      kernel/fork.o", Some("kernel/fork.o")),
            ("  CC [M]  net/ipv4/tunnel4.o", Some("net/ipv4/tunnel4.o")),
            ("  LD      vmlinux", Some("vmlinux")),
            ("make[2]: Entering directory", None),
            ("  note: in expansion of macro", None),
            ("  CC", None),
        ] {
            assert_eq!(step(line), file, "{line}");
        }
    }
}
