//! Volumes of one role share their blocks: what is a node's own lies at the end.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use btrfs_common::*;
use formats::btrfs::{RoleVolume, VolumeError, VolumeSpec, lay_out};
use formats::layer::{Attributes, Layer};
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};

/// What all nodes of a role have.
fn role() -> Layer {
    let mut layer = builder();
    for number in 0..3000_u64 {
        let name = format!("usr/share/{}/{number}", number % 30);
        layer
            .file(name.as_bytes(), mode(0o644), &noise(number as usize * 3, number))
            .unwrap();
    }
    layer.directory(b"etc", mode(0o755)).unwrap();
    layer
        .file(b"etc/passwd", mode(0o644), b"root:x:0:0::/root:/bin/sh\n")
        .unwrap();
    layer.finish_layer().unwrap()
}

/// What is the own of the node of this name.
fn node(name: &str) -> Layer {
    let mut layer = raw_builder();
    layer.file(b"etc/hostname", mode(0o644), name.as_bytes()).unwrap();
    for key in 0..4_u64 {
        let file = format!("etc/ssh/key-{key}");
        layer
            .file(
                file.as_bytes(),
                mode(0o600),
                &noise(400, key + name.len() as u64 + u64::from(name.as_bytes()[4])),
            )
            .unwrap();
    }
    let list = noise(20_000, u64::from(name.as_bytes()[4]));
    layer.file(b"etc/hosts.of.this.node", mode(0o644), &list).unwrap();
    layer.finish_layer().unwrap()
}

fn spec_of(name: &str) -> VolumeSpec {
    VolumeSpec {
        label: "card".to_owned(),
        subvolumes: card_subvolumes(),
        metadata_uuid: Some(formats::ids::uuid("role", &["hypervisor"])),
        ..spec(name)
    }
}

fn tree_of(role: &Layer, node: &Layer) -> Tree {
    Tree::stack(&[(role, Share::Role), (node, Share::Node)], TIME).unwrap()
}

fn volume(name: &str, role: &Layer) -> SparseImage {
    let mut image = lay_out(&spec_of(name), &tree_of(role, &node(name)))
        .unwrap()
        .image;
    image.sort().unwrap();
    image
}

#[test]
fn two_nodes_differ_in_few_blocks() {
    let role = role();
    let [one, other] = ["red-01", "blu-02"].map(|name| volume(name, &role));
    let differing = differing_blocks(&one, &other);
    // Superblocks, data of the nodes, and both copies of the leaves of the nodes, the checksums and the extents.
    let mapped = one.mapped().0 / BLOCK;
    assert!(
        differing.len() <= 40,
        "{} of {mapped} blocks differ: {differing:?}",
        differing.len()
    );
    assert!(mapped > 3000);
}

#[test]
fn the_volume_of_a_node_is_sound() {
    let role = role();
    let node = node("red-01");
    let tree = Tree::stack(&[(&role, Share::Role), (&node, Share::Node)], TIME).unwrap();
    let metadata_uuid = Some(formats::ids::uuid("role", &["hypervisor"]));
    check_by_oracles(
        &VolumeSpec {
            metadata_uuid,
            ..spec("red-01")
        },
        &tree,
    );
}

#[test]
fn a_nodes_file_with_the_roles_data_shares_it() {
    let bytes = noise(1 << 20, 1);
    let mut layer = builder();
    layer.file(b"role", mode(0o644), &bytes).unwrap();
    layer.file(b"node", mode(0o644), &bytes).unwrap();
    let mut tree = tree(layer);
    let node = tree.lookup(b"node").unwrap();
    tree.inodes[node.0].share = Share::Node;
    let written = check_by_oracles(&spec("shared"), &tree);
    assert_eq!(written.volume.figures.data.0, 1 << 20);
}

#[test]
fn the_same_arguments_give_the_same_volume() {
    let role = role();
    let [one, again] = [(), ()].map(|()| volume("red-01", &role));
    assert_eq!(differing_blocks(&one, &again), [] as [u64; 0]);
}

/// Asserts that the volume of `node` over `base` is the one that the whole tree is laid out as.
fn assert_same_as_alone(base: &RoleVolume, role: &Layer, name: &str, node: &Layer) {
    let alone = lay_out(&spec_of(name), &tree_of(role, node)).unwrap();
    let over = base.volume(spec_of(name).fsid, node).unwrap();
    assert_eq!(over.figures, alone.figures);
    assert_eq!(
        differing_blocks(&over.image, &alone.image),
        [] as [u64; 0],
        "{name}"
    );
}

/// A node with one file of `size` bytes.
fn node_with(size: usize) -> Layer {
    let mut layer = raw_builder();
    layer.file(b"etc/hostname", mode(0o644), &noise(size, 3)).unwrap();
    layer.finish_layer().unwrap()
}

#[test]
fn a_volume_over_a_base_is_the_one_laid_out_alone() {
    let role = role();
    let base = RoleVolume::new(&spec_of("none"), &tree_of(&role, &node("red-01"))).unwrap();
    for name in ["red-01", "blu-02", "a-name-of-another-length"] {
        assert_same_as_alone(&base, &role, name, &node(name));
    }
    let base = RoleVolume::new(&spec_of("none"), &tree_of(&role, &node_with(0))).unwrap();
    for size in [0, 1, 2048, 2049, 4096, 100_000, 1 << 20] {
        assert_same_as_alone(&base, &role, "red-01", &node_with(size));
    }
}

#[test]
fn any_node_gives_the_same_base() {
    let role = role();
    let [one, other] = ["red-01", "blu-02"]
        .map(|name| RoleVolume::new(&spec_of(name), &tree_of(&role, &node(name))).unwrap());
    assert_eq!(differing_blocks(one.blank(), other.blank()), [] as [u64; 0]);
}

#[test]
fn what_does_not_fit_over_a_base_is_refused() {
    let role = role();
    let base = RoleVolume::new(&spec_of("none"), &tree_of(&role, &node_with(1))).unwrap();
    let fsid = spec_of("red-01").fsid;
    for node in [
        node_with(20 << 20),
        node("red-01"),
        raw_builder().finish_layer().unwrap(),
    ] {
        assert_eq!(base.volume(fsid, &node).unwrap_err(), VolumeError::BeyondBase);
    }
}

#[test]
fn a_nodes_own_directory_can_be_a_subvolume() {
    let role = role();
    let node = |number: u32, has_link: bool| {
        let mut layer = raw_builder();
        let own = Attributes {
            uid: 1000,
            ..mode(0o700)
        };
        layer.directory(b"srv", own).unwrap();
        layer
            .file(b"etc/hostname", mode(0o644), &noise(200, number.into()))
            .unwrap();
        if has_link {
            layer.hardlink(b"etc/name", b"etc/hostname").unwrap();
        }
        layer.finish_layer().unwrap()
    };
    let base = RoleVolume::new(&spec_of("none"), &tree_of(&role, &node(1, false))).unwrap();
    assert_same_as_alone(&base, &role, "red-01", &node(2, false));
    // A name that the base does not know is not lost.
    let refused = base.volume(spec_of("red-01").fsid, &node(2, true));
    assert_eq!(refused.unwrap_err(), VolumeError::BeyondBase);
}
