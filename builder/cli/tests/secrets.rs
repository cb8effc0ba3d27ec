//! What holds keys is written for nobody but its user: for who called sudo, where root works for somebody. What is given to
//! encrypt to is checked before anything is built.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use place::Place;
use testkit::oracle;

mod place;

/// Whoever calls sudo in these tests.
const CALLER: (u32, u32) = (65534, 65533);

/// The program with these arguments and a cache of its own.
fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(&["--cache", "cache"]);
    command.args(arguments);
    command
}

#[track_caller]
fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Everything in a folder, and the folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut paths = vec![folder.to_owned()];
    if folder.is_dir() {
        for entry in fs::read_dir(folder).unwrap() {
            paths.extend(all(&entry.unwrap().path()));
        }
    }
    paths
}

/// Makes a volume and identities, as root for `CALLER` where this test runs as root.
fn make(place: &Place) {
    fs::write(place.path("secret"), "of a node").unwrap();
    succeeds(
        Command::new("tar")
            .args(["-cf", "root.tar", "secret"])
            .current_dir(place.path("")),
    );
    for arguments in [
        &["-q", "volume", "root.tar", "-o", "volume"][..],
        &["render", "red-07"],
    ] {
        succeeds(
            command(place, arguments)
                .env("SUDO_UID", CALLER.0.to_string())
                .env("SUDO_GID", CALLER.1.to_string()),
        );
    }
}

#[test]
fn what_holds_keys_is_for_its_user_alone_who_is_who_called_sudo() {
    let place = Place::new();
    make(&place);
    let (volume, identity) = (place.path("volume"), place.path("identity"));
    assert_eq!(fs::metadata(&volume).unwrap().mode() & 0o7777, 0o600);
    // Whoever is not root keeps what is theirs, whatever the variables of sudo say.
    let me = fs::metadata(place.path("")).unwrap();
    let owner = match me.uid() {
        0 => CALLER,
        user => (user, me.gid()),
    };
    let made = all(&identity);
    assert!(made.len() > 100, "{}", made.len());
    for path in made.iter().chain([&volume]) {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner, "{}", path.display());
        assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
    }
    // It stays so when somebody revokes a node.
    succeeds(
        command(&place, &["revoke", "red-07", "--yes"])
            .env("SUDO_UID", CALLER.0.to_string())
            .env("SUDO_GID", CALLER.1.to_string()),
    );
    for path in all(&identity) {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner, "{}", path.display());
        assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn the_umask_opens_nothing() {
    let place = Place::new();
    let output = Command::new("sh")
        .args([
            "-c",
            "umask 000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_portadc"),
            "-q",
            "volume",
            "-",
        ])
        .args(["-o", "volume"])
        .current_dir(place.path(""))
        .stdin(Stdio::from(empty_tar(&place)))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(fs::metadata(place.path("volume")).unwrap().mode() & 0o7777, 0o600);
}

fn empty_tar(place: &Place) -> fs::File {
    fs::write(place.path("file"), "x").unwrap();
    succeeds(
        Command::new("tar")
            .args(["-cf", "root.tar", "file"])
            .current_dir(place.path("")),
    );
    fs::File::open(place.path("root.tar")).unwrap()
}

#[test]
fn who_cannot_be_encrypted_to_is_told_before_anything_is_built() {
    let place = Place::new();
    let key = place.path("key");
    oracle::run("age", "age-keygen", [OsStr::new("-o"), key.as_os_str()]);
    let text = fs::read_to_string(&key).unwrap();
    let private = text
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-"))
        .unwrap();
    let public = oracle::run("age", "age-keygen", [OsStr::new("-y"), key.as_os_str()]);
    let build = |format: &str, recipient: &str| {
        let arguments = [
            "build",
            "red-07",
            "--offline",
            "--format",
            format,
            "--encrypt-secrets",
            recipient,
        ];
        let output = command(&place, &arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        assert!(!place.path("out").exists() && !place.path("identity").exists());
        (output.status.code(), said)
    };
    for format in ["img", "zst"] {
        let (code, said) = build(format, public.trim());
        assert_eq!(code, Some(2));
        assert!(
            said.contains("--encrypt-secrets goes with --format pack"),
            "{said}"
        );
    }
    let (code, said) = build("pack", "age1nobody");
    assert_eq!(code, Some(1));
    assert!(said.contains("`age1nobody` is no recipient"), "{said}");
    let (_, said) = build("pack", private);
    assert!(
        said.contains("this is a private key of age") && !said.contains(private),
        "{said}"
    );
}
