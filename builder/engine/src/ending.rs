//! How programs end when this one is told to, or is gone.
//!
//! Each program leads a process group of its own: mmdebstrap and emerge end by what reaches all of their processes, and one that
//! ends its own group does not end this process. A signal to this process is passed on to all groups, and the process waits for
//! them: mmdebstrap still has to unmount. A guardian reads a pipe that this process holds, so it hears of its end also where
//! nothing could be passed on, and ends the groups that are left.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Reads which groups there are, and ends those that are left when nobody writes any more. It leads a session of its own, so
/// that no terminal ends it.
const GUARDIAN: &str = "trap '' INT TERM HUP; groups=' '
while read -r sign group; do
    case $sign in
        +) groups=\"$groups$group \" ;;
        -) groups=\"${groups%% $group *} ${groups#* $group }\" ;;
    esac
done
for group in $groups; do kill -s TERM -- \"-$group\"; done";

/// How long programs have to end after they were told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long this process has to end by itself when its programs have.
const GRACE: Duration = Duration::from_secs(5);

/// The signal that ends this process, or 0.
static ENDING: AtomicI32 = AtomicI32::new(0);

static PROGRAMS: LazyLock<Mutex<Programs>> = LazyLock::new(Mutex::default);

/// The programs that run.
#[derive(Default)]
struct Programs {
    /// By their groups, each with the stage that started it.
    groups: BTreeMap<i32, Option<Arc<Stage>>>,
    guardian: Option<PipeWriter>,
}

/// One of two that run beside each other.
#[derive(Default)]
struct Stage {
    is_stopped: AtomicBool,
}

thread_local! {
    /// The stage that this thread works for.
    static STAGE: RefCell<Option<Arc<Stage>>> = const { RefCell::new(None) };
}

/// A program that runs and leads its group.
pub(super) struct Running {
    pub child: Child,
    group: Option<Pid>,
    stage: Option<Arc<Stage>>,
}

fn programs() -> MutexGuard<'static, Programs> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on signals that end this process end its programs first. To be called once, before any of them is started.
pub fn end_programs_first() -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // What whoever started this one wants to be ignored, as nohup does, stays ignored.
    let wanted = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| !is_ignored(&status, *signal));
    let mut signals = Signals::new(wanted).context("cannot wait for signals")?;
    let watch = move || {
        let Some(signal) = signals.forever().next() else {
            return;
        };
        ENDING.store(signal, Ordering::SeqCst);
        if programs().groups.is_empty() {
            leave(signal);
        }
        tell_all(Signal::TERM);
        // Whoever asks twice does not wait.
        thread::spawn(move || {
            if let Some(again) = signals.forever().next() {
                leave(again);
            }
        });
        let told = Instant::now();
        while !programs().groups.is_empty() && told.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(50));
        }
        tell_all(Signal::KILL);
        // What waited for a program says now that it ended, and takes back what was half made.
        thread::sleep(GRACE);
        leave(signal);
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

/// The exit code of a process that was told to end, as shells have it; `None` where nobody told this one.
pub fn ended_by() -> Option<u8> {
    let signal = ENDING.load(Ordering::SeqCst);
    (signal != 0).then(|| 128 + u8::try_from(signal).unwrap_or_default())
}

/// Whether a process ignores a signal, by what /proc says of it.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| (mask >> (signal - 1)) & 1 == 1)
}

fn leave(signal: i32) -> ! {
    std::process::exit(128 + signal)
}

fn tell_all(signal: Signal) {
    programs().tell(signal, |_| true);
}

/// Runs two at once, the first in a thread of its own. Where one fails, the programs of the other are told to end, and what it
/// says of that is left out: so there is one error, or two where both had failed already.
pub fn beside<A: Send, B>(
    first: impl FnOnce() -> Result<A> + Send,
    second: impl FnOnce() -> Result<B>,
) -> Result<(A, B), Vec<Error>> {
    let stages = [Arc::new(Stage::default()), Arc::new(Stage::default())];
    let [one, two] = &stages;
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| Stage::run(one, two, first));
        let second = Stage::run(two, one, second);
        let panicked = |_| Err(anyhow!("a stage panicked"));
        (first.join().unwrap_or_else(panicked), second)
    });
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => {
            let failed = [(first.err(), one), (second.err(), two)].into_iter();
            let own = failed.filter_map(|(error, stage)| error.filter(|_| !stage.is_stopped()));
            Err(own.collect())
        }
    }
}

impl Stage {
    /// Runs `work` as this stage; where it fails by itself, `other` is stopped.
    fn run<T>(this: &Arc<Self>, other: &Arc<Self>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = STAGE.replace(Some(this.clone()));
        let done = work();
        STAGE.set(before);
        if done.is_err() && !this.is_stopped() {
            other.is_stopped.store(true, Ordering::SeqCst);
            programs().tell(Signal::TERM, |stage| {
                stage.is_some_and(|stage| Arc::ptr_eq(stage, other))
            });
        }
        done
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }
}

impl Running {
    /// Starts `command` as the leader of its group. `start` starts it.
    pub fn start(mut command: Command, start: impl FnOnce(&mut Command) -> Result<Child>) -> Result<Self> {
        command.process_group(0);
        // Whoever passes a signal on waits until this one is counted.
        let mut programs = programs();
        let stage = STAGE.with_borrow(Clone::clone);
        if was_told(stage.as_deref()) {
            bail!("no program is started any more: this was told to end");
        }
        programs.guard()?;
        let child = start(&mut command)?;
        let group = Pid::from_child(&child);
        programs
            .groups
            .insert(group.as_raw_nonzero().get(), stage.clone());
        programs.note('+', group);
        Ok(Self {
            child,
            group: Some(group),
            stage,
        })
    }

    /// Whether it was told to end from elsewhere.
    pub fn was_told(&self) -> bool {
        was_told(self.stage.as_deref())
    }

    /// Asks it to end, and all that it started.
    pub fn ask_to_end(&self) {
        if let Some(group) = self.group {
            // It may have ended already; either way nothing is left to do about an error.
            kill_process_group(group, Signal::TERM).ok();
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait();
        self.forget();
        status
    }

    fn forget(&mut self) {
        if let Some(group) = self.group.take() {
            let mut programs = programs();
            programs.groups.remove(&group.as_raw_nonzero().get());
            programs.note('-', group);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody waited: it was not to go on.
        if self.group.is_some() {
            self.ask_to_end();
            self.wait().ok();
        }
    }
}

impl Programs {
    /// Signals the groups of these stages.
    fn tell(&self, signal: Signal, of: impl Fn(Option<&Arc<Stage>>) -> bool) {
        let told = self.groups.iter().filter(|(_, stage)| of(stage.as_ref()));
        for group in told.filter_map(|(group, _)| Pid::from_raw(*group)) {
            // It may have ended in the meantime.
            kill_process_group(group, signal).ok();
        }
    }

    /// Starts the guardian, where there is none yet.
    fn guard(&mut self) -> Result<()> {
        if self.guardian.is_some() {
            return Ok(());
        }
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARDIAN])
            .current_dir("/")
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        command
            .spawn()
            .context("cannot start `sh`, which ends programs when portadc is gone")?;
        self.guardian = Some(writer);
        Ok(())
    }

    fn note(&mut self, sign: char, group: Pid) {
        if let Some(guardian) = &mut self.guardian {
            // Without it programs still end with the thread that started them.
            writeln!(guardian, "{sign} {}", group.as_raw_nonzero()).ok();
        }
    }
}

fn was_told(stage: Option<&Stage>) -> bool {
    ended_by().is_some() || stage.is_some_and(Stage::is_stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_stays_so() {
        let status = "Name:\tx\nSigIgn:\t0000000000000002\n";
        assert!(is_ignored(status, SIGINT));
        assert!(!is_ignored(status, SIGTERM) && !is_ignored("", SIGINT));
    }
}
