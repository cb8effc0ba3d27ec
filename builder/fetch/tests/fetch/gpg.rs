//! GnuPG, which we did not write, as the owner of keys.

use std::fs;

use fetch::Keyring;
use tempfile::TempDir;
use testkit::oracle::output;
use testmirror::keys::pinning;

pub const TEXT: &str = "Origin: Test\nSuite: trixie\n\n- a line with a dash\nlast\n";

/// GnuPG with a home of its own. The agent that it starts ends when the home goes.
pub struct Gpg {
    pub home: TempDir,
}

impl Gpg {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let home = self.home.path().to_string_lossy();
        let quiet = [
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            "--homedir",
            &home,
        ];
        let output = output("gpg", "gpg", quiet.iter().chain(arguments));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// The primary fingerprint of its first key.
    pub fn fingerprint(&self) -> String {
        let colons = String::from_utf8(self.run(&["--with-colons", "--list-keys"])).unwrap();
        let line = colons.lines().find_map(|line| line.strip_prefix("fpr:"));
        line.unwrap().trim_matches(':').to_owned()
    }

    /// Its keys as a keyring, of which the first is pinned.
    pub fn keyring(&self) -> Keyring {
        let folder = self.home.path().join("keys");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("k.asc"), self.run(&["--armor", "--export"])).unwrap();
        let signer = pinning("gpg", "keys/k.asc", vec![self.fingerprint()]);
        Keyring::load(self.home.path(), &signer).unwrap()
    }

    /// The text signed as `how` says, with further options.
    pub fn sign(&self, how: &str, options: &[&str]) -> Vec<u8> {
        let input = self.home.path().join("text");
        fs::write(&input, TEXT).unwrap();
        let input = input.to_string_lossy();
        self.run(&[options, &["--output", "-", how, &input]].concat())
    }
}
