//! A project of a test's own, so that the identities that it makes are, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A copy of the project of the tests, which goes with it.
pub struct Place(tempfile::TempDir);

impl Place {
    /// Makes one, in which nothing was built yet.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        testkit::folder::copy(Path::new(testkit::fleet::PROJECT), place.0.path());
        place
    }

    /// What is called `name` in there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with these arguments, in there.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portadc"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }
}
