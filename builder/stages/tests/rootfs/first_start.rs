//! What a Gentoo node does at its first start for packages of its image, and how it comes to trust package sources of one's
//! own: the nodes' scripts with programs that only say what they were asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use std::os::unix::fs::PermissionsExt;

use testkit::oracle;

use crate::support::repository;

/// A folder that stands for a node, and programs of its own.
struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(node.path("bin")).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program that notes how it was called, then does this.
    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        let asked = self.path("asked");
        fs::write(
            &path,
            format!("#!/bin/sh\necho \"{name} $*\" >>{}\n{script}\n", asked.display()),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script of the overlay with this node's folders in place of its own.
    fn run(&self, name: &str, folders: &[(&str, &str)], arguments: &[&str]) -> Output {
        let script = repository()
            .join("overlays/first-start/files/usr/lib/portadc")
            .join(name);
        let mut text = fs::read_to_string(script).unwrap();
        for (theirs, ours) in folders {
            assert!(text.contains(theirs), "{theirs}");
            text = text.replace(theirs, self.path(ours).to_str().unwrap());
        }
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        let own = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut shell = Command::new("dash");
        shell.arg(&path).args(arguments).env("PATH", own);
        shell.output().unwrap()
    }

    /// How the programs were called, and forgets it.
    fn asked(&self) -> Vec<String> {
        let asked = self.path("asked");
        let text = fs::read_to_string(&asked).unwrap_or_default();
        if asked.exists() {
            fs::remove_file(asked).unwrap();
        }
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

const PLACES: [(&str, &str); 2] = [
    ("/var/lib/portadc/first-start", "left"),
    ("/etc/locale.gen", "locale.gen"),
];

/// A node on which these things are left to do.
fn left(names: &[&str]) -> Node {
    let node = Node::new();
    fs::create_dir(node.path("left")).unwrap();
    for name in names {
        fs::write(node.path("left").join(name), "").unwrap();
    }
    for program in [
        "ldconfig",
        "update-ca-certificates",
        "locale-gen",
        "systemd-hwdb",
        "journalctl",
        "sync",
    ] {
        node.program(program, "");
    }
    node
}

const ALL: [&str; 5] = [
    "library-cache",
    "certificates",
    "locales",
    "hardware-database",
    "catalog",
];

#[test]
fn what_is_left_is_done_once() {
    let node = left(&ALL);
    fs::write(
        node.path("locale.gen"),
        "# de_AT ISO-8859-1\n de_DE.UTF-8 UTF-8\n",
    )
    .unwrap();
    assert!(
        node.run("first-start", &PLACES, &["library-cache"])
            .status
            .success()
    );
    assert_eq!(node.asked(), ["ldconfig -X", "sync"]);
    assert!(node.run("first-start", &PLACES, &[]).status.success());
    let expected = [
        "update-ca-certificates",
        "sync",
        "locale-gen",
        "sync",
        "systemd-hwdb update",
        "sync",
        "journalctl --update-catalog",
        "sync",
    ];
    assert_eq!(node.asked(), expected);
    assert!(!node.path("left").exists());
    assert!(node.run("first-start", &PLACES, &[]).status.success());
    assert_eq!(node.asked(), [] as [&str; 0]);
}

#[test]
fn what_fails_or_hangs_is_left_and_keeps_nothing_else() {
    let node = left(&ALL[1..]);
    node.program("update-ca-certificates", "exit 3");
    node.program("systemd-hwdb", "exec sleep 600");
    // Each has its own time; this one is short of it.
    node.program(
        "timeout",
        "shift; seconds=$1; shift; [ \"$1\" = systemd-hwdb ] && exit 124; exec \"$@\"",
    );
    let output = node.run("first-start", &PLACES, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("certificates: failed with 3;") && said.contains("hardware-database: failed with 124;"),
        "{said}"
    );
    let mut names: Vec<_> = fs::read_dir(node.path("left"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    // No entry of locale.gen asks for a locale: there is nothing to make.
    assert_eq!(names, ["certificates", "hardware-database"]);
    assert!(node.asked().iter().all(|line| !line.starts_with("locale-gen")));
}

#[test]
fn nothing_of_the_folder_is_a_command() {
    let node = left(&[]);
    fs::write(node.path("left/reboot"), "reboot").unwrap();
    fs::write(node.path("left/$(reboot)"), "").unwrap();
    node.program("reboot", "");
    assert!(node.run("first-start", &PLACES, &[]).status.success());
    assert_eq!(node.asked(), [] as [&str; 0]);
    assert_eq!(
        node.run("first-start", &PLACES, &["reboot"]).status.code(),
        Some(1)
    );
    assert_eq!(node.asked(), [] as [&str; 0]);
}

const KEYS: [(&str, &str); 2] = [
    ("/usr/share/openpgp-keys/portadc.asc", "portadc.asc"),
    ("/etc/portage/gnupg", "gnupg"),
];

/// What getuto makes of a folder that is not there: keys of Gentoo are of no matter here.
const GETUTO: &str = r#"
[ ! -d "$GNUPGHOME" ] || exit 0
mkdir -m 755 "$GNUPGHOME"
echo secret >"$GNUPGHOME/pass"
gpg --quiet --batch --pinentry-mode loopback --passphrase-file "$GNUPGHOME/pass" --quick-generate-key 'Trust <portage@localhost>' ed25519 cert never
gpg --quiet --batch --check-trustdb
"#;

/// A signer: a key of its own, and something that it signed.
fn signer(node: &Node, name: &str) -> PathBuf {
    let home = node.path(&format!("home-{name}"));
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let common = ["--homedir", home.to_str().unwrap(), "--batch", "--quiet"];
        oracle::run("gpg", "gpg", common.iter().chain(arguments))
    };
    let key = format!("{name} <{name}@localhost>");
    let empty = ["--pinentry-mode", "loopback", "--passphrase", ""];
    gpg(&[
        &empty[..],
        &["--quick-generate-key", &key, "ed25519", "sign", "never"],
    ]
    .concat());
    let keys = node.path("portadc.asc");
    let there = fs::read_to_string(&keys).unwrap_or_default();
    fs::write(keys, there + &gpg(&["--armor", "--export"])).unwrap();
    let text = node.path(name);
    fs::write(&text, "signed\n").unwrap();
    let signed = node.path(&format!("{name}.asc"));
    gpg(&[
        "--output",
        signed.to_str().unwrap(),
        "--clearsign",
        text.to_str().unwrap(),
    ]);
    oracle::run(
        "gpg",
        "gpgconf",
        ["--homedir", home.to_str().unwrap(), "--kill", "gpg-agent"],
    );
    signed
}

/// Whether portage would take a signature, by what it looks for in the answer of gpg.
fn is_trusted(node: &Node, signed: &Path) -> bool {
    let mut gpg = Command::new("gpg");
    gpg.args([
        "--verify",
        "--batch",
        "--no-tty",
        "--no-auto-check-trustdb",
        "--status-fd",
        "1",
    ]);
    gpg.arg(signed).env("GNUPGHOME", node.path("gnupg"));
    let said = String::from_utf8(gpg.output().unwrap().stdout).unwrap();
    said.contains("GOODSIG") && (said.contains("TRUST_FULLY") || said.contains("TRUST_ULTIMATE"))
}

#[test]
fn packages_of_ones_own_sources_are_trusted_as_gentoos() {
    let node = Node::new();
    node.program("getuto", GETUTO);
    // Without keys of one's own it is getuto.
    assert!(node.run("trust-keys", &KEYS, &["-v"]).status.success());
    assert_eq!(node.asked(), ["getuto -v"]);
    let signed = ["one", "two"].map(|name| signer(&node, name));
    let run = || {
        let output = node.run("trust-keys", &KEYS, &[]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stdout.is_empty());
    };
    assert!(signed.iter().all(|signed| !is_trusted(&node, signed)));
    run();
    run();
    assert!(signed.iter().all(|signed| is_trusted(&node, signed)));
    // Another key in the file of a later image.
    let third = signer(&node, "three");
    assert!(!is_trusted(&node, &third));
    run();
    assert!(is_trusted(&node, &third));
    // Where Gentoo's keys cannot be had, nothing is said to be well.
    node.program("getuto", "exit 7");
    assert_eq!(node.run("trust-keys", &KEYS, &[]).status.code(), Some(7));
}
