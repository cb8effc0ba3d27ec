//! A subvolume with a tree of its own: a read-only template that shares its data with the root beside it.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use std::fs;
use std::sync::Arc;

use btrfs_common::*;
use formats::btrfs::read::{Reader, View};
use formats::btrfs::{RoleVolume, SubvolumeContent, SubvolumeSpec, VolumeError, VolumeSpec, lay_out};
use formats::delta::Delta;
use formats::layer::{Body, Data, Layer};
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};
use testkit::compare::assert_same;
use testkit::listing;
use testkit::volume::{Access, LoopMount, btrfs, btrfs_check, btrfs_check_lowmem};

/// Where the data of a volume with two copies of its metadata starts.
const DATA: u64 = 17 << 20;

/// What a role is made of: `base` is in the template as well.
struct Role {
    base: Layer,
    overlay: Layer,
    container: Layer,
}

impl Role {
    fn new() -> Self {
        let mut base = builder();
        for number in 0..1500_u64 {
            let name = format!("usr/share/{}/{number}", number % 30);
            base.file(name.as_bytes(), mode(0o644), &noise(number as usize * 5, number))
                .unwrap();
            let name = format!("usr/lib/{}/{number}", number % 30);
            base.file(name.as_bytes(), mode(0o755), &text(number as usize * 90, number))
                .unwrap();
        }
        base.hardlink(b"usr/bin/linked", b"usr/lib/3/1203").unwrap();
        base.file(b"etc/issue", mode(0o644), b"Debian\n").unwrap();
        // Only in the root, and only in the template.
        base.file(b"boot/only", mode(0o644), &noise(70_000, 8)).unwrap();
        base.file(b"a/template/only", mode(0o644), &noise(90_000, 9))
            .unwrap();
        let mut overlay = builder();
        overlay.file(b"etc/issue", mode(0o644), b"node\n").unwrap();
        overlay
            .file(b"etc/node", mode(0o600), &noise(50_000, 10))
            .unwrap();
        let mut container = builder();
        container.file(b"etc/issue", mode(0o644), b"container\n").unwrap();
        container
            .file(b"etc/large", mode(0o644), &noise(33_000, 11))
            .unwrap();
        container
            .file(b"etc/text", mode(0o644), &text(200_000, 12))
            .unwrap();
        let [base, overlay, container] =
            [base, overlay, container].map(|layer| layer.finish_layer().unwrap());
        Self {
            base,
            overlay,
            container,
        }
    }

    /// The root file system of a node.
    fn root(&self, node: &Layer) -> Tree {
        let layers = [
            (&self.base, Share::Role),
            (&self.overlay, Share::Role),
            (node, Share::Node),
        ];
        let mut tree = Tree::stack(&layers, TIME).unwrap();
        tree.remove(b"a").unwrap();
        tree
    }

    fn template(&self) -> Tree {
        let layers = [(&self.base, Share::Role), (&self.container, Share::Role)];
        let mut tree = Tree::stack(&layers, TIME).unwrap();
        tree.remove(b"boot").unwrap();
        tree
    }
}

/// What is the own of a node, some of it too large to be inline.
fn node(name: &str) -> Layer {
    let mut layer = raw_builder();
    layer.file(b"etc/hostname", mode(0o644), name.as_bytes()).unwrap();
    let seed = u64::from(name.as_bytes()[0]);
    layer.file(b"etc/hosts", mode(0o644), &noise(9000, seed)).unwrap();
    layer.finish_layer().unwrap()
}

fn template_of(tree: Tree) -> SubvolumeSpec {
    SubvolumeSpec {
        content: SubvolumeContent::Tree(Arc::new(tree)),
        read_only: true,
        ..subvolume("@template", None)
    }
}

/// A card's subvolumes with a template at `position` among them.
fn spec_with(name: &str, position: usize, template: Tree) -> VolumeSpec {
    let mut spec = spec_without(name);
    spec.subvolumes.insert(position, template_of(template));
    spec
}

fn spec_without(name: &str) -> VolumeSpec {
    VolumeSpec {
        label: "card".to_owned(),
        subvolumes: card_subvolumes(),
        metadata_uuid: Some(formats::ids::uuid("role", &["hypervisor"])),
        ..spec(name)
    }
}

/// Bytes that the extents of a layer's file take.
fn stored(layer: &Layer, path: &[u8]) -> u64 {
    let entry = layer.entries.iter().find(|entry| entry.path == path).unwrap();
    match &entry.body {
        Body::File(content) => match &content.data {
            Data::Extents(extents) => extents.iter().map(|extent| extent.stored_length).sum(),
            Data::Inline { .. } => 0,
        },
        _ => panic!("no file"),
    }
}

/// The bytes of `range` of an image.
fn bytes(image: &SparseImage, start: u64, length: u64) -> Vec<u8> {
    let mut image = image.clone();
    image.sort().unwrap();
    let mut bytes = vec![0; length as usize];
    formats::source::ReadAt::read_exact_at(&image, &mut bytes, start).unwrap();
    bytes
}

fn same(one: &SparseImage, other: &SparseImage) -> bool {
    let [one, other] = [one, other].map(|image| {
        let mut image = image.clone();
        image.sort().unwrap();
        image
    });
    one.size == other.size && Delta::between(&one, &other).unwrap().runs.is_empty()
}

#[test]
fn what_a_template_has_in_common_with_the_root_is_stored_once() {
    let role = Role::new();
    let root = role.root(&node("red-01"));
    let without = lay_out(&spec_without("red-01"), &root).unwrap();
    let own = stored(&role.base, b"a/template/only")
        + stored(&role.container, b"etc/large")
        + stored(&role.container, b"etc/text");
    assert!(own > 120_000);
    let nodes = 12 << 10;
    for position in [5, 0] {
        let spec = spec_with("red-01", position, role.template());
        let with = lay_out(&spec, &root).unwrap();
        assert_eq!(with.figures.data.0, without.figures.data.0 + own);
        assert!(with.figures.metadata > without.figures.metadata);
        // The role's data lies where it did, what only the template has behind it, then the node's.
        let shared = without.figures.data.0 - nodes;
        let [one, other] = [&with, &without].map(|volume| bytes(&volume.image, DATA, shared));
        assert!(one == other, "template at {position}");
        let [one, other] = [(&with, shared + own), (&without, shared)]
            .map(|(volume, offset)| bytes(&volume.image, DATA + offset, nodes));
        assert!(one == other, "template at {position}");
    }
}

#[test]
fn a_template_of_what_the_root_has_costs_no_data() {
    let role = Role::new();
    let root = role.root(&node("red-01"));
    let mut template = Tree::stack(&[(&role.base, Share::Role)], TIME).unwrap();
    template.remove(b"a").unwrap();
    let without = lay_out(&spec_without("red-01"), &root).unwrap();
    let with = lay_out(&spec_with("red-01", 5, template), &root).unwrap();
    assert_eq!(with.figures.data, without.figures.data);
}

#[test]
fn a_volume_over_a_base_with_a_template_is_the_one_laid_out_alone() {
    let role = Role::new();
    for position in [5, 0] {
        let spec = |name| spec_with(name, position, role.template());
        let base = RoleVolume::new(&spec("none"), &role.root(&node("red-01"))).unwrap();
        for name in ["red-01", "blue-02"] {
            let alone = lay_out(&spec(name), &role.root(&node(name))).unwrap();
            let over = base.volume(spec(name).fsid, &node(name)).unwrap();
            assert_eq!(over.figures, alone.figures);
            assert!(same(&over.image, &alone.image), "{name}, template at {position}");
        }
    }
}

#[test]
fn nodes_with_a_template_differ_in_as_few_blocks_as_without() {
    let role = Role::new();
    let differing = |template: bool| {
        let [one, other] = ["red-01", "blue-02"].map(|name| {
            let spec = match template {
                true => spec_with(name, 5, role.template()),
                false => spec_without(name),
            };
            let mut image = lay_out(&spec, &role.root(&node(name))).unwrap().image;
            image.sort().unwrap();
            image
        });
        Delta::between(&one, &other).unwrap().bytes()
    };
    assert_eq!(differing(true), differing(false));
}

#[test]
fn the_kernel_shows_the_template_beside_the_root() {
    let role = Role::new();
    let (root, template) = (role.root(&node("red-01")), role.template());
    let spec = VolumeSpec {
        subvolumes: vec![subvolume("@", Some("/")), template_of(template.clone())],
        ..spec_without("red-01")
    };
    let written = write(&spec, &root);
    btrfs_check(&written.path);
    btrfs_check_lowmem(&written.path);

    let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &["subvolid=5"]);
    let at = |name: &str| mount.path().join(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    assert_same(&at("@"), &root);
    assert_same(&at("@template"), &template);
    assert_eq!(
        btrfs(&["property", "get", &text("@template"), "ro"]).trim(),
        "ro=true"
    );
    let error = fs::write(at("@template/new"), b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);

    // A container: a snapshot that can be written to, while neither the template nor the root changes.
    btrfs(&["subvolume", "snapshot", &text("@template"), &text("container")]);
    assert_same(&at("container"), &template);
    for number in 0..300_u64 {
        let file = |folder: &str| at(&format!("container/usr/{folder}/{}/{number}", number % 30));
        fs::write(file("share"), noise(20_000, number)).unwrap();
        fs::remove_file(file("lib")).unwrap();
    }
    fs::write(at("container/etc/machine-id"), "0123\n").unwrap();
    btrfs(&["filesystem", "sync", mount.path().to_str().unwrap()]);
    assert_same(&at("@"), &root);
    assert_same(&at("@template"), &template);
    drop(mount);
    btrfs_check(&written.path);
}

#[test]
fn our_own_reader_shows_the_template() {
    let role = Role::new();
    let template = role.template();
    let spec = spec_with("red-01", 2, template.clone());
    let mut image = lay_out(&spec, &role.root(&node("red-01"))).unwrap().image;
    image.sort().unwrap();
    let reader = Reader::open(&image).unwrap();
    let subvolumes = reader.subvolumes().unwrap();
    let found = subvolumes
        .into_iter()
        .find(|subvolume| subvolume.path == b"@template")
        .unwrap();
    assert!(found.read_only && !found.is_default);
    let view = View::of(found);
    listing::assert_equal(&listing::of_reader(&reader, &view), &listing::of_tree(&template));
    let verification = reader.verify();
    assert!(verification.faults.is_empty(), "{verification:?}");
}

#[test]
fn extents_of_many_files_in_both() {
    // More references than an extent's item has room for, from two subvolumes.
    let mut layer = builder();
    for number in 0..100 {
        let name = format!("same/{number}");
        layer
            .file(name.as_bytes(), mode(0o644), &noise(10_000, 1))
            .unwrap();
    }
    let tree = tree(layer);
    let spec = VolumeSpec {
        subvolumes: vec![subvolume("@", Some("/")), template_of(tree.clone())],
        ..spec("many")
    };
    let written = check_by_oracles(&spec, &tree);
    assert_eq!(written.volume.figures.data.0, 12 << 10);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &["subvol=@template"]);
    assert_same(mount.path(), &tree);
}

#[test]
fn a_template_has_nothing_of_a_node() {
    let role = Role::new();
    let node = node("red-01");
    let spec = spec_with("red-01", 5, role.root(&node));
    let expected = VolumeError::Structure {
        path: "@template/etc/hostname".to_owned(),
        reason: "is a node's own, but the subvolume is alike on all nodes",
    };
    let root = role.root(&node);
    assert_eq!(lay_out(&spec, &root).unwrap_err(), expected);
    assert_eq!(RoleVolume::new(&spec, &root).unwrap_err(), expected);
}

#[test]
fn the_root_of_a_template_is_a_directory() {
    let mut template = tree(builder());
    template.inodes[0].kind = formats::tree::InodeKind::Fifo;
    let spec = spec_with("red-01", 5, template);
    let expected = VolumeError::Structure {
        path: "@template/".to_owned(),
        reason: "the root of the tree is not a directory",
    };
    assert_eq!(lay_out(&spec, &tree(builder())).unwrap_err(), expected);
}
