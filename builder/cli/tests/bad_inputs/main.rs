//! What a person, a mirror or a disk can do wrong, tried on the program itself: each gives one clear error that names
//! what is wrong, exit code 1 (or 2 for wrong usage), no panic, and nothing half-written.

#![allow(clippy::unwrap_used, missing_docs)]

mod described;
mod outputs;
mod project;
mod sources;

use project::{COMMON, Project, assert_fails};
use testkit::server::{Answer, Server};

#[test]
fn the_project_itself_is_right() {
    let output = Project::new().command(&["check"]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn missing_programs_are_listed_at_once() {
    let project = Project::new();
    let output = project
        .command(&["build", "red-07"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_fails(
        &output,
        1,
        &["`make`", "mmdebstrap", "gcc-aarch64-linux-gnu", "apt-get install"],
    );
    // Also what compiling Gentoo's packages takes, and before a server is asked for anything.
    let mirror = Server::start(|_| Answer::status(404));
    let output = project
        .command(&["update", "--sources", "gentoo", "--mirror", &mirror.url()])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_fails(
        &output,
        1,
        &["`unshare`", "compiles Gentoo's packages", "apt-get install"],
    );
    assert!(mirror.requests().is_empty());
}

#[test]
fn usage() {
    let project = Project::new();
    for arguments in [
        &["build"][..],
        &["build", "--all", "red-07"],
        &["frobnicate"],
        &["check", "-j", "0"],
        &["volume", "a.tar"],
        &["boot"],
        &["boot", "red-07", "--timeout", "3"],
        &["boot", "red-07", "--keep"],
        &["schema", "flet"],
        &["-q", "-v", "check"],
        &["update", "--locked"],
        &["kernel", "config", "--series", "new"],
    ] {
        project.fails(arguments, 2, &[]);
    }
    project.fails(&["show", "red-70"], 1, &["red-70", "red-07"]);
    project.fails(&["build", "red-07", "blau-01"], 1, &["blau-01", "blue-01"]);
    project.fails(&["boot", "red-07", "--check"], 1, &["red-07", "portadc build"]);
    project.fails(
        &["boot", "blue-01", "--tap", "lo"],
        1,
        &["blue-01 are 2 and the taps 1"],
    );
    project.fails(
        &["boot", "red-07", "--tap", "lo,lo"],
        1,
        &["red-07 are 1 and the taps 2"],
    );
    project.fails(
        &["boot", "red-07", "--tap", "nosuchtap"],
        1,
        &["nosuchtap", "ip tuntap add"],
    );
    project.fails(&["-C", "cache", "check"], 1, &["images/fleet.toml"]);
}

#[test]
fn a_reader_that_went_away_changes_nothing() {
    let project = Project::new();
    project.append(COMMON, "\n[unit]\nenable = []\n");
    for arguments in [&["check"][..], &["check", "--json"]] {
        let mut command = project.command(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(1), "{arguments:?}");
    }
}
