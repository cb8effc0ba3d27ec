//! A small volume as btrfs-progs reads it, word by word, and its bytes by their digest.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use btrfs_common::*;
use formats::btrfs::{VolumeSize, VolumeSpec};
use formats::layer::Device;
use formats::tree::{Share, Tree};
use formats::units::Bytes;
use sha2::{Digest, Sha256};

fn small() -> (VolumeSpec, Tree) {
    let mut layer = builder();
    layer.directory(b"", mode(0o755)).unwrap();
    layer.directory(b"dev", mode(0o755)).unwrap();
    layer
        .character_device(b"dev/null", mode(0o666), Device { major: 1, minor: 3 })
        .unwrap();
    layer.file(b"etc/issue", mode(0o644), b"Debian\n").unwrap();
    layer
        .file(b"srv/data", with_xattr(b"user.kind", b"text"), &text(300_000, 1))
        .unwrap();
    layer.file(b"srv/noise", mode(0o600), &noise(5000, 1)).unwrap();
    layer.file(b"srv/copy", mode(0o600), &noise(5000, 1)).unwrap();
    layer.hardlink(b"srv/data2", b"srv/data").unwrap();
    layer
        .symlink(b"init", mode(0o777), b"lib/systemd/systemd")
        .unwrap();
    let role = layer.finish_layer().unwrap();
    let mut layer = raw_builder();
    layer.file(b"etc/hostname", mode(0o644), b"red-07\n").unwrap();
    let node = layer.finish_layer().unwrap();
    let tree = Tree::stack(&[(&role, Share::Role), (&node, Share::Node)], TIME).unwrap();
    let spec = VolumeSpec {
        size: VolumeSize::Exact(Bytes::mib(128)),
        subvolumes: vec![subvolume("@", Some("/")), subvolume("@srv", Some("/srv"))],
        ..spec("small")
    };
    (spec, tree)
}

/// The lines of a dump that all versions of btrfs-progs print alike: trees, blocks, keys and sizes of items.
fn skeleton(dump: &str) -> String {
    let is_kept = |line: &&str| {
        let starts = ["leaf", "node", "\titem", "\tkey"];
        line.ends_with("tree")
            || line.contains("tree key (")
            || starts.iter().any(|start| line.starts_with(start))
    };
    let without_flags = |line: &&str| !line.contains(" flags ");
    dump.lines()
        .filter(is_kept)
        .filter(without_flags)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_trees_of_a_small_volume() {
    let (spec, tree) = small();
    let written = write(&spec, &tree);
    insta::assert_snapshot!("trees", skeleton(&testkit::volume::dump_tree(&written.path)));
    let superblock = testkit::volume::dump_superblock(&written.path);
    for feature in [
        "FREE_SPACE_TREE_VALID",
        "DEFAULT_SUBVOL",
        "COMPRESS_ZSTD",
        "EXTENDED_IREF",
        "SKINNY_METADATA",
        "NO_HOLES",
    ] {
        assert!(superblock.contains(feature), "{feature} is not in\n{superblock}");
    }
    assert!(
        !superblock.contains("METADATA_UUID") && !superblock.contains("DON'T MATCH"),
        "{superblock}"
    );
}

/// Changes with every change of the format: then look at what changed in the snapshots, and note it.
#[test]
fn the_bytes_of_a_small_volume() {
    let (spec, tree) = small();
    let written = write(&spec, &tree);
    let digest = Sha256::digest(std::fs::read(&written.path).unwrap());
    insta::assert_snapshot!(format!("{digest:x}"));
}
