//! Programs end when the process that started them is told to, or is killed, and are waited for where that is possible. This
//! test's own program is that process: it starts itself again.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::{Log, Tool, beside, end_programs_first, ended_by};
use rustix::process::{Pid, Signal, kill_process};

/// Where the process that is started works.
const FOLDER: &str = "ENDING_FOLDER";

/// As mmdebstrap does: the first process waits for the second, which takes its time to clean up. Nobody reads any more what it
/// says where the process that started it was killed.
const PROGRAM: &str = "trap : TERM
sh -c 'trap \"sleep 0.3; echo > cleaned; exit 1\" TERM; echo > started; while :; do sleep 0.1; done' 2> errors &
wait $!; wait $!; exit 1";

/// Not a test of its own: what the tests below start.
#[test]
fn the_process_that_starts_a_program() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    end_programs_first().unwrap();
    let mut log = Log::create(&folder.join("log")).unwrap();
    let tool = Tool::new("sh", "dash").args(["-c", PROGRAM]).folder(&folder);
    let error = tool.run(&mut log, |_| {}).unwrap_err();
    assert!(error.to_string().contains("was told to end"), "{error}");
    let again = Tool::new("true", "coreutils").output().unwrap_err();
    assert!(again.to_string().contains("told to end"), "{again}");
    std::process::exit(ended_by().unwrap().into());
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The exit code of the process after `signal`, and whether the program had cleaned up by then.
fn after(signal: Signal) -> (Option<i32>, bool, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_starts_a_program", "--nocapture"])
        .env(FOLDER, folder.path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&folder.path().join("started"));
    kill_process(Pid::from_child(&child), signal).unwrap();
    let code = child.wait().unwrap().code();
    let has_cleaned = fs::exists(folder.path().join("cleaned")).unwrap();
    (code, has_cleaned, folder)
}

#[test]
fn a_signal_is_passed_on_and_the_program_waited_for() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (found, has_cleaned, _folder) = after(signal);
        assert_eq!((found, has_cleaned), (Some(code), true));
    }
}

#[test]
fn a_program_does_not_outlive_a_process_that_was_killed() {
    let (code, _, folder) = after(Signal::KILL);
    assert_eq!(code, None);
    wait_for(&folder.path().join("cleaned"));
}

#[test]
fn what_fails_stops_what_runs_beside_it() {
    let begun = Instant::now();
    let failing = || Tool::new("sh", "dash").args(["-c", "sleep 0.2; exit 3"]).output();
    let lasting = || {
        Tool::new("sleep", "coreutils").arg("300").output()?;
        Tool::new("sleep", "coreutils").arg("300").output()
    };
    for (first, second) in [(true, false), (false, true)] {
        let run = |fails: bool| if fails { failing() } else { lasting() };
        let errors = beside(|| run(first), || run(second)).unwrap_err();
        let [error] = &errors[..] else {
            panic!("{errors:?}")
        };
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(100));
    assert_eq!(beside(|| Ok(1), || Ok(2)).unwrap(), (1, 2));
    // Nothing of what was stopped is left to this thread.
    Tool::new("true", "coreutils").output().unwrap();
}
