//! What the kernel does to a volume after us: it is a file system like any other.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use std::fs;
use std::path::Path;

use btrfs_common::*;
use formats::btrfs::{RoleVolume, VolumeSize, VolumeSpec};
use formats::ids;
use formats::layer::Layer;
use formats::tree::{Share, Tree};
use formats::units::Bytes;
use testkit::compare::{assert_same, differences};
use testkit::oracle::run;
use testkit::volume::{Access, LoopMount, btrfs, btrfs_check, dump_superblock};

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Compares what `btrfs receive` made with the tree that was sent. It makes every inode in the root directory first, whose
/// time the kernel does not always send again after the last one.
fn assert_received(folder: &Path, tree: &Tree) {
    let time = format!("{}: time is", folder.display());
    let mut found = differences(folder, tree);
    found.retain(|line| !line.starts_with(&time));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn written_grown_sent_balanced_scrubbed() {
    let tree = every_kind();
    let size = VolumeSize::Exact(Bytes::mib(600));
    let spec = VolumeSpec {
        size,
        subvolumes: vec![subvolume("@", Some("/"))],
        ..spec("life")
    };
    let written = write(&spec, &tree);
    let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &["subvolid=5"]);
    let path = text_of(mount.path());
    let at = mount.path().join("@");
    let of_volume = |name: &str| format!("{path}/{name}");

    // The card is larger than the image: the device grows under the mounted volume, and the volume after it.
    let device = fs::File::options().write(true).open(&written.path).unwrap();
    device.set_len(60_000_000_000).unwrap();
    run("mount", "losetup", ["--set-capacity", mount.device()]);
    btrfs(&["filesystem", "resize", "max", path]);
    let usage = btrfs(&["filesystem", "usage", "--raw", path]);
    let size = usage.lines().find(|line| line.contains("Device size:")).unwrap();
    let size: u64 = size.split_whitespace().last().unwrap().parse().unwrap();
    assert_eq!(size, 60_000_000_000 / 4096 * 4096);

    // What a backup does.
    btrfs(&["subvolume", "snapshot", "-r", text_of(&at), &of_volume("before")]);
    let stream = written.folder.path().join("stream");
    btrfs(&["send", "--quiet", "-f", text_of(&stream), &of_volume("before")]);
    fs::create_dir(of_volume("received")).unwrap();
    btrfs(&[
        "receive",
        "--quiet",
        "-f",
        text_of(&stream),
        &of_volume("received"),
    ]);
    assert_received(Path::new(&of_volume("received/before")), &tree);

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
    btrfs(&["subvolume", "delete", "--commit-after", &of_volume("@")]);
    btrfs(&["filesystem", "sync", path]);
    drop(mount);
    btrfs_check(&written.path);

    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &["subvolid=5"]);
    assert_same(&mount.path().join("before"), &tree);
    assert_received(&mount.path().join("received/before"), &tree);
}

#[test]
fn two_nodes_live_side_by_side() {
    let role = many_files().finish_layer().unwrap();
    let own = |node: &str| {
        let mut layer = raw_builder();
        layer.file(b"etc/hostname", mode(0o644), node.as_bytes()).unwrap();
        let key = noise(9000, node.len() as u64);
        layer.file(b"etc/key", mode(0o600), &key).unwrap();
        layer.finish_layer().unwrap()
    };
    let stack = |node: &Layer| Tree::stack(&[(&role, Share::Role), (node, Share::Node)], TIME).unwrap();
    let nodes = ["side-1", "side-by-2"];
    let spec_of = |node| VolumeSpec {
        metadata_uuid: Some(ids::uuid("role", &["side by side"])),
        subvolumes: card_subvolumes(),
        ..spec(node)
    };
    let base = RoleVolume::new(&spec_of("none"), &stack(&own("none"))).unwrap();
    let written = nodes.map(|node| {
        let volume = base.volume(spec_of(node).fsid, &own(node)).unwrap();
        write_volume(volume)
    });
    // They are one file system by the name of their blocks, and two by what mount and blkid know them as.
    for (node, written) in nodes.iter().zip(&written) {
        btrfs_check(&written.path);
        let superblock = dump_superblock(&written.path);
        assert!(superblock.contains("METADATA_UUID"), "{superblock}");
        let known = run(
            "util-linux",
            "blkid",
            ["-po", "value", "-s", "UUID", text_of(&written.path)],
        );
        assert_eq!(known.trim(), spec_of(node).fsid.to_string());
    }

    let lives = |written: &Written| LoopMount::new(&written.path, 0, Access::ReadWrite, &[]);
    let mounts = written.each_ref().map(lives);
    for number in 0..300_u64 {
        for (node, mount) in nodes.iter().zip(&mounts) {
            let at = mount.path();
            let bytes = noise(2000 * number as usize, number + node.len() as u64);
            fs::write(at.join(format!("new-{number}")), bytes).unwrap();
            fs::remove_file(at.join(format!("noise/{}/{number}", number % 20))).unwrap();
            fs::write(at.join("etc/hostname"), format!("{node} {number}")).unwrap();
        }
    }
    drop(mounts);
    for written in &written {
        btrfs_check(&written.path);
    }
    let mounts = written.each_ref().map(lives);
    for (node, mount) in nodes.iter().zip(&mounts) {
        let at = mount.path();
        assert_eq!(
            fs::read_to_string(at.join("etc/hostname")).unwrap(),
            format!("{node} 299")
        );
        let own_noise = noise(9000, node.len() as u64);
        assert!(fs::read(at.join("etc/key")).unwrap() == own_noise);
        for number in 0..300_u64 {
            let bytes = noise(2000 * number as usize, number + node.len() as u64);
            assert!(fs::read(at.join(format!("new-{number}"))).unwrap() == bytes);
        }
    }
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
