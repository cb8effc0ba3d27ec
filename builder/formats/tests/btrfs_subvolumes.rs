//! The tree cut into subvolumes, as the kernel shows them.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use btrfs_common::*;
use formats::btrfs::{SubvolumeSpec, VolumeSpec};
use formats::layer::Attributes;
use formats::tree::Tree;
use formats::units::Time;
use testkit::compare::{assert_same, differences};
use testkit::volume::{Access, LoopMount, btrfs_check, dump_superblock};

/// A tree with something at and around every mount path of a card but `/.snapshots` and `/srv`.
fn root_file_system() -> Tree {
    let mut layer = builder();
    let time = Time {
        seconds: 1_600_000_000,
        nanoseconds: 5,
    };
    layer
        .directory(
            b"",
            Attributes {
                mode: 0o711,
                mtime: time,
                ..Attributes::default()
            },
        )
        .unwrap();
    layer.file(b"etc/fstab", mode(0o644), b"fstab").unwrap();
    layer
        .directory(
            b"var/log",
            Attributes {
                mode: 0o2775,
                gid: 4,
                mtime: time,
                ..with_xattr(b"user.log", b"yes")
            },
        )
        .unwrap();
    layer
        .file(b"var/log/syslog", mode(0o640), &text(50_000, 3))
        .unwrap();
    layer.hardlink(b"var/log/syslog.1", b"var/log/syslog").unwrap();
    layer
        .file(b"var/lib/dpkg/status", mode(0o644), &noise(70_000, 3))
        .unwrap();
    layer
        .file(b"var/lib/lxc/one/config", mode(0o600), b"lxc")
        .unwrap();
    tree(layer)
}

fn card() -> VolumeSpec {
    VolumeSpec {
        subvolumes: card_subvolumes(),
        ..spec("card")
    }
}

#[test]
fn the_subvolumes_of_a_card() {
    let tree = root_file_system();
    let written = write(&card(), &tree);
    btrfs_check(&written.path);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    // The default subvolume has empty directories as mount points.
    for path in ["var/log", "var/lib/lxc", "srv", ".snapshots"] {
        assert_eq!(
            std::fs::read_dir(mount.path().join(path)).unwrap().count(),
            0,
            "{path}"
        );
    }
    assert_mounted(mount, &card(), &shown(&tree, &card()));
}

#[test]
fn mount_points_look_like_what_is_mounted() {
    use std::os::unix::fs::MetadataExt;
    let written = write(&card(), &root_file_system());
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    let log = mount.path().join("var/log").metadata().unwrap();
    assert_eq!((log.mode() & 0o7777, log.gid(), log.mtime_nsec()), (0o2775, 4, 5));
}

#[test]
fn the_top_level_lists_the_subvolumes() {
    let written = write(&card(), &root_file_system());
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &["subvolid=5"]);
    let path = mount.path().to_str().unwrap();
    let list = testkit::volume::btrfs(&["subvolume", "list", "-u", path]);
    for (number, subvolume) in card_subvolumes().iter().enumerate() {
        let id = 256 + number;
        let line = format!(
            "ID {id} gen 1 top level 5 uuid {} path {}",
            subvolume.uuid, subvolume.name
        );
        assert!(list.contains(&line), "{line} is not in\n{list}");
    }
    let default = testkit::volume::btrfs(&["subvolume", "get-default", path]);
    assert!(
        default.contains("path @") && default.contains("ID 256"),
        "{default}"
    );
}

#[test]
fn a_tree_beside_subvolumes() {
    // Nothing is mounted at the root, so the top level holds the tree.
    let subvolumes = vec![subvolume("@home", Some("home")), subvolume("empty", None)];
    let mut layer = builder();
    layer.file(b"home/user/file", mode(0o600), b"home").unwrap();
    layer.file(b"etc/passwd", mode(0o644), b"root").unwrap();
    let tree = tree(layer);
    let written = write(
        &VolumeSpec {
            subvolumes,
            ..spec("beside")
        },
        &tree,
    );
    btrfs_check(&written.path);
    let mut mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    mount.add("@home", "home");
    let found = differences(mount.path(), &tree);
    assert_eq!(found.len(), 2, "the subvolumes are beside the tree: {found:?}");
    assert!(
        found
            .iter()
            .all(|line| line.contains("@home: presence") || line.contains("empty: presence"))
    );
}

#[test]
fn a_subvolume_within_a_subvolume_path() {
    let subvolumes = vec![
        subvolume("@", Some("/")),
        subvolume("@var", Some("/var/")),
        subvolume("@cache", Some("/var/cache/deep")),
    ];
    let mut layer = builder();
    layer.directory(b"", mode(0o755)).unwrap();
    layer.file(b"var/cache/deep/file", mode(0o644), b"1").unwrap();
    layer.file(b"var/cache/other", mode(0o644), b"2").unwrap();
    let tree = tree(layer);
    let written = write(
        &VolumeSpec {
            subvolumes,
            ..spec("nested")
        },
        &tree,
    );
    btrfs_check(&written.path);
    let mut mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    mount.add("@var", "var");
    mount.add("@cache", "var/cache/deep");
    assert_same(mount.path(), &tree);
}

#[test]
fn a_read_only_subvolume() {
    let mut subvolumes = vec![subvolume("@", Some("/")), subvolume("@sealed", Some("/sealed"))];
    subvolumes[1].read_only = true;
    let mut layer = builder();
    layer.file(b"sealed/file", mode(0o644), b"sealed").unwrap();
    let written = write(
        &VolumeSpec {
            subvolumes,
            ..spec("read-only")
        },
        &tree(layer),
    );
    let mut mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &[]);
    mount.add("@sealed", "sealed");
    let error = std::fs::write(mount.path().join("sealed/new"), b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    std::fs::write(mount.path().join("new"), b"x").unwrap();
}

#[test]
fn another_metadata_uuid() {
    let tree = root_file_system();
    let shared = formats::ids::uuid("role", &["hypervisor"]);
    let specs = ["red-01", "red-02"].map(|node| VolumeSpec {
        metadata_uuid: Some(shared),
        ..spec(node)
    });
    let written = specs.each_ref().map(|spec| write(spec, &tree));
    let mounts = written.each_ref().map(|written| {
        btrfs_check(&written.path);
        // Both at once: for the kernel they are two file systems.
        LoopMount::new(&written.path, 0, Access::ReadWrite, &[])
    });
    for mount in &mounts {
        assert_same(mount.path(), &tree);
        std::fs::write(mount.path().join("new"), b"x").unwrap();
    }
    drop(mounts);
    for (written, spec) in written.iter().zip(&specs) {
        btrfs_check(&written.path);
        let dump = dump_superblock(&written.path);
        assert!(
            dump.contains(&spec.fsid.to_string()) && dump.contains("METADATA_UUID"),
            "{dump}"
        );
    }
}

#[test]
fn a_metadata_uuid_that_is_the_fsid_is_none() {
    let plain = spec("plain");
    let same = VolumeSpec {
        metadata_uuid: Some(plain.fsid),
        ..plain.clone()
    };
    let tree = root_file_system();
    let [plain, same] = [plain, same].map(|spec| write(&spec, &tree));
    assert!(std::fs::read(&plain.path).unwrap() == std::fs::read(&same.path).unwrap());
}

#[test]
fn the_order_of_subvolumes_is_that_of_their_ids() {
    let mut subvolumes: Vec<SubvolumeSpec> = card_subvolumes();
    subvolumes.reverse();
    let written = write(
        &VolumeSpec {
            subvolumes,
            ..spec("reverse")
        },
        &root_file_system(),
    );
    btrfs_check(&written.path);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &["subvolid=260"]);
    assert!(mount.path().join("etc/fstab").exists());
}
