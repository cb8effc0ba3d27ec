//! Progress: bars on a terminal, plain lines elsewhere.

use std::borrow::Cow;
use std::io::{IsTerminal, Write as _, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and results only.
    Quiet,
    /// What is being done.
    Normal,
    /// Details of what is being done.
    Verbose,
}

/// Where progress is shown.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    drawn: bool,
    verbosity: Verbosity,
}

/// One line of progress: a stage at work.
#[derive(Debug)]
pub struct Task {
    name: String,
    bar: ProgressBar,
    progress: Progress,
}

impl Progress {
    /// Bars if standard error is a terminal that can draw them, else lines.
    pub fn new(verbosity: Verbosity) -> Self {
        let drawn = verbosity > Verbosity::Quiet
            && stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let target = if drawn {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            drawn,
            verbosity,
        }
    }

    /// Prints a line, above the bars if there are any.
    pub fn say(&self, line: impl AsRef<str>) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        if self.drawn {
            // Only a closed terminal refuses a line; there is nobody left to tell.
            self.bars.println(line).ok();
        } else {
            // Whoever read them may have seen enough (`2>&1 | head`).
            writeln!(stderr(), "{}", line.as_ref()).ok();
        }
    }

    /// Prints a line for those who asked for details.
    pub fn detail(&self, line: impl AsRef<str>) {
        if self.verbosity == Verbosity::Verbose {
            self.say(line);
        }
    }

    /// A task with `steps` of something (files, lines); 0 where nobody knows how many.
    pub fn steps(&self, name: &str, steps: u64) -> Task {
        self.task(name, steps, "{prefix:>10} {wide_bar:.dim} {pos}/{len} {msg}")
    }

    /// A task with a number of bytes; 0 where nobody knows how many.
    pub fn bytes(&self, name: &str, bytes: u64) -> Task {
        self.task(
            name,
            bytes,
            "{prefix:>10} {wide_bar:.dim} {bytes}/{total_bytes} {bytes_per_sec} {msg}",
        )
    }

    fn task(&self, name: &str, length: u64, template: &str) -> Task {
        let bar = self.bars.add(ProgressBar::new(length));
        let template = if length == 0 {
            "{prefix:>10} {spinner} {elapsed} {wide_msg}"
        } else {
            template
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        if self.drawn {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            self.say(format!("{name}: started"));
        }
        Task {
            name: name.to_owned(),
            bar,
            progress: self.clone(),
        }
    }
}

impl Task {
    /// `count` more steps or bytes are done.
    pub fn advance(&self, count: u64) {
        self.bar.inc(count);
    }

    /// So many steps or bytes are done in all.
    pub fn position(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// What is being done right now; shown by bars only.
    pub fn message(&self, message: impl Into<Cow<'static, str>>) {
        self.bar.set_message(message);
    }

    /// The task is done: its bar goes, a line says what came out.
    pub fn done(self, result: impl AsRef<str>) {
        self.bar.finish_and_clear();
        self.progress.say(format!("{}: {}", self.name, result.as_ref()));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // A task that failed leaves no half bar under the error.
        self.bar.finish_and_clear();
    }
}
