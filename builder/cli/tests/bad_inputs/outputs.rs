//! Tarballs, what is made of them, and where it is written.

use std::fs;
use std::process::Command;

use crate::project::{Project, assert_fails};

/// Has GNU tar make an archive in the project's folder.
fn tar(project: &Project, name: &str, options: &[&str]) {
    let status = Command::new("tar")
        .current_dir(project.folder.path())
        .args(["-cf", name])
        .args(options)
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn tarballs() {
    let project = Project::new();
    let volume = |tar: &str| ["volume", tar, "-o", "volume.btrfs"].map(String::from);
    let fails = |tar: &str, named: &[&str]| {
        let arguments = volume(tar);
        project.fails(&arguments.each_ref().map(String::as_str), 1, named);
        assert!(!project.path("volume.btrfs").exists());
    };
    fails("none.tar", &["none.tar"]);
    fails("images", &["images"]);
    project.write("garbage.tar", [7; 2000]);
    fails("garbage.tar", &["garbage.tar"]);
    project.write("empty.tar", "");
    fails("empty.tar", &["empty"]);
    tar(&project, "absolute.tar", &["-P", "--transform=s,^,/,", "boards"]);
    fails("absolute.tar", &["/boards"]);
    tar(&project, "outside.tar", &["-P", "--transform=s,^,../,", "boards"]);
    fails("outside.tar", &["../boards"]);
    tar(
        &project,
        "twice.tar",
        &["sources.toml", "sources.toml", "--hard-dereference"],
    );
    fails("twice.tar", &["sources.toml"]);
    tar(&project, "good.tar", &["boards"]);
    let bytes = fs::read(project.path("good.tar")).unwrap();
    project.write("cut.tar", &bytes[..bytes.len() / 2]);
    fails("cut.tar", &["cut.tar"]);
}

#[test]
fn outputs() {
    let project = Project::new();
    tar(&project, "good.tar", &["boards"]);
    project.fails(
        &["volume", "good.tar", "-o", "no/such/folder/v"],
        1,
        &["no/such/folder"],
    );
    project.fails(&["volume", "good.tar", "-o", "boards"], 1, &["boards"]);
    project.fails(&["volume", "good.tar", "-o", "v", "--size", "1 MiB"], 1, &["109"]);
    project.fails(&["volume", "good.tar", "-o", "v", "--size", "much"], 2, &["much"]);
    project.fails(
        &["volume", "good.tar", "-o", "v", "--subvol", "@:relative"],
        2,
        &["@:relative"],
    );
    // sysfs: nobody can make a file there, not even root.
    project.fails(
        &["volume", "good.tar", "-o", "/sys/kernel/v"],
        1,
        &["/sys/kernel"],
    );
    project.fails(
        &["build", "red-07", "--out", "/sys/kernel/out"],
        1,
        &["/sys/kernel/out"],
    );
    project.write("file", "");
    project.fails(&["--cache", "file", "build", "red-07"], 1, &["cache"]);
    assert!(!project.path("v").exists());
}

#[test]
fn a_full_disk_leaves_nothing() {
    let project = Project::new();
    tar(&project, "good.tar", &["boards"]);
    let small = project.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(mounted.success(), "mounting a small tmpfs needs root");
    let output = project
        .command(&["volume", "good.tar", "-o", "small/v"])
        .output()
        .unwrap();
    let left = fs::read_dir(&small).unwrap().count();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert_fails(&output, 1, &["small/v", "bytes"]);
    assert_eq!(left, 0);
}
