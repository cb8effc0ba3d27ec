//! A project of a test's own, so that the identities that it makes are, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A copy of what of the reference project is described, which goes with it.
pub struct Place(tempfile::TempDir);

impl Place {
    /// Makes one, in which nothing was built yet.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in [
            "boards",
            "images",
            "kernel",
            "overlays",
            "sources.toml",
            "sources.lock",
        ] {
            let copied = Command::new("cp")
                .arg("-a")
                .args([Path::new(PROJECT).join(name), place.path(name)])
                .status();
            assert!(copied.unwrap().success());
        }
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
