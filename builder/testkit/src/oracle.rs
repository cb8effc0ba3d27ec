//! Programs we did not write, as oracles of the bytes we did.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// Runs `program` and returns what it printed.
///
/// # Panics
/// When the program is missing (naming the Debian `package` that brings it) or does not succeed: an oracle that cannot be
/// heard fails the test.
pub fn run<A: AsRef<OsStr>>(package: &str, program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let output = output(package, program, arguments);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} says {}:\n{stdout}{stderr}",
        output.status
    );
    stdout
}

/// Runs `program` and returns all it said, also when it failed.
///
/// # Panics
/// When the program is missing, naming the Debian `package` that brings it.
pub fn output<A: AsRef<OsStr>>(
    package: &str,
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{program} (Debian package {package}) does not run: {error}"),
    }
}
