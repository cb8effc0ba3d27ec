//! What the kernel does to a volume after us: it is a file system like any other.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use std::fs;
use std::path::Path;

use btrfs_common::*;
use formats::btrfs::{VolumeSize, VolumeSpec};
use formats::units::Bytes;
use testkit::compare::assert_same;
use testkit::volume::{Access, LoopMount, btrfs, btrfs_check};

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn written_grown_copied_balanced_scrubbed() {
    let tree = tree(many_files());
    let size = VolumeSize::Exact(Bytes::mib(600));
    let spec = VolumeSpec {
        size,
        subvolumes: vec![subvolume("@", Some("/"))],
        ..spec("life")
    };
    let written = write(&spec, &tree);
    let grown = fs::File::options().write(true).open(&written.path).unwrap();
    grown.set_len(2 << 30).unwrap();
    let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &["subvolid=5"]);
    let path = text_of(mount.path());
    let at = mount.path().join("@");

    btrfs(&["filesystem", "resize", "max", path]);
    btrfs(&[
        "subvolume",
        "snapshot",
        "-r",
        text_of(&at),
        &format!("{path}/before"),
    ]);
    for number in 0..500_u64 {
        fs::write(
            at.join(format!("new-{number}")),
            noise(3000 * number as usize, number),
        )
        .unwrap();
        fs::remove_file(at.join(format!("inline/{}/{number}", number % 20))).unwrap();
        fs::write(at.join(format!("text/{}/{number}", number % 20)), text(5000, 1)).unwrap();
    }
    fs::hard_link(at.join("linked"), at.join("linked-again")).unwrap();
    btrfs(&["balance", "start", "--full-balance", path]);
    let scrub = btrfs(&["scrub", "start", "-B", path]);
    assert!(scrub.contains("no errors found"), "{scrub}");
    // The snapshot has what we wrote, whatever was done beside it.
    assert_same(&mount.path().join("before"), &tree);
    btrfs(&["subvolume", "set-default", "5", path]);
    btrfs(&["subvolume", "delete", "--commit-after", &format!("{path}/@")]);
    btrfs(&["filesystem", "sync", path]);
    drop(mount);
    btrfs_check(&written.path);

    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &["subvolid=5"]);
    assert_same(&mount.path().join("before"), &tree);
}

#[test]
fn everything_can_be_removed() {
    // Each item that the kernel takes out must be exactly the one that we put in.
    let tree = tree(many_files());
    let written = write(&spec("removed"), &tree);
    let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &[]);
    for entry in fs::read_dir(mount.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
    }
    btrfs(&["filesystem", "sync", text_of(mount.path())]);
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);
    drop(mount);
    btrfs_check(&written.path);
}

#[test]
fn it_fills_up_and_shrinks() {
    let written = write(
        &VolumeSpec {
            size: VolumeSize::Exact(Bytes::mib(512)),
            ..spec("full")
        },
        &tree(many_files()),
    );
    let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &[]);
    let filler = mount.path().join("filler");
    let error = fs::write(&filler, vec![1; 512 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    fs::remove_file(&filler).unwrap();
    btrfs(&["filesystem", "sync", text_of(mount.path())]);
    btrfs(&["filesystem", "resize", "300M", text_of(mount.path())]);
    drop(mount);
    btrfs_check(&written.path);
}
