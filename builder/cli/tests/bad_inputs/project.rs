//! The project that is spoiled, and the program in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::folder::copy;

pub const FLEET: &str = "images/fleet.toml";
pub const C2: &str = "boards/odroid-c2/board.toml";
pub const CARD: &str = "images/layouts/card.toml";
pub const COMMON: &str = "overlays/common/overlay.toml";

/// The project of the tests in a folder of its own.
pub struct Project {
    pub folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(Path::new(testkit::fleet::PROJECT), folder.path());
        Self { folder }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Replaces `from`, which the file must have, by `to`.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        fs::write(self.path(path), text.replacen(from, to, 1)).unwrap();
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(path), bytes).unwrap();
    }

    pub fn append(&self, path: &str, text: &str) {
        let old = fs::read_to_string(self.path(path)).unwrap();
        self.write(path, old + text);
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portadc"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Runs the program, which must fail with `code` and name every one of `named`.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], code: i32, named: &[&str]) {
        assert_fails(&self.command(arguments).output().unwrap(), code, named);
    }

    /// `check` must find each of `named`.
    #[track_caller]
    pub fn finds(&self, named: &[&str]) {
        self.fails(&["check"], 1, named);
    }
}

#[track_caller]
pub fn assert_fails(output: &Output, code: i32, named: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    for name in named {
        assert!(errors.contains(name), "{name:?} is not named in:\n{errors}");
    }
}
