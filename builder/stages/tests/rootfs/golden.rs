//! The bytes of layers and images that a small base and overlays of the test's own come to.

use engine::tarball::layer_of;
use formats::btrfs::{Profile, RoleVolume, SubvolumeContent, SubvolumeSpec, VolumeSize, VolumeSpec};
use formats::delta::Delta;
use formats::fat::FatFile;
use formats::ids;
use formats::layer::{Index, Layer};
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use model::overlay::Overlay;
use stages::card::{CardRequest, assemble};
use stages::rootfs::{NodeLayer, RoleLayers};
use testkit::golden;

use crate::support::TIME;
use crate::workshop::{Workshop, tree};

const OVERLAY: &str = r#"description = "a bit of everything"
remove = ["/etc/motd"]

[units]
enable = ["ssh.service"]
disable = ["apt-daily.timer"]
"#;

/// An overlay that has files, templates of the role and of a node, and units.
fn overlay(workshop: &Workshop) -> Overlay {
    workshop.overlay(&[
        ("overlay.toml", OVERLAY),
        ("files/etc/plain", "plain\n"),
        (
            "files/usr/lib/systemd/system/own.service",
            "[Service]\nExecStart=/bin/true\n",
        ),
        ("templates/etc/role.hbs", "{{#each nodes}}{{name}}\n{{/each}}"),
        ("templates/etc/hostname.hbs", "{{node.name}}\n"),
    ])
}

/// All bytes that a layer is: its index and its blob.
fn bytes(layer: &Layer) -> Vec<u8> {
    let length = layer.blob.length().unwrap();
    let mut blob = vec![0; length as usize];
    layer.blob.read_exact_at(&mut blob, 0).unwrap();
    let index = Index {
        entries: layer.entries.clone(),
        blob_length: length,
    };
    [index.to_bytes(), blob].concat()
}

fn all(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn the_layer_of_a_tarball() {
    let workshop = Workshop::new();
    let entry = layer_of(&workshop.engine, &workshop.base, 3).unwrap().entry;
    let names = entry.names().unwrap();
    golden::check(
        "rootfs",
        names.iter().map(|name| (name, entry.read(name).unwrap())),
    );
}

#[test]
fn the_layers_of_a_role_and_of_a_node() {
    let workshop = Workshop::new();
    let overlay = overlay(&workshop);
    let role = workshop.role(&[&overlay]).unwrap();
    let layers = role
        .layers()
        .into_iter()
        .map(|(layer, _)| ("layer", bytes(layer)));
    golden::check("role", layers);
    let node = workshop.node_layer(&role, "red-07").unwrap();
    golden::check("node", [("layer", bytes(&node.layer))]);
}

/// The card of `name` with the root file system `root`.
fn card(workshop: &Workshop, name: &str, root: SparseImage) -> SparseImage {
    let request = CardRequest {
        fleet: "fleet",
        node: name,
        board: &workshop.project.boards["odroid-c2"],
        layout: &workshop.project.layouts["card"],
        boot_files: vec![
            FatFile::from_bytes("Image", b"kernel ".repeat(50_000)),
            FatFile::from_bytes("dtbs/amlogic/meson-gxbb-odroidc2.dtb", b"tree ".repeat(5000)),
        ],
        kernel_arguments: &[],
        firmware: None,
        root,
        time: TIME,
        size: None,
    };
    assemble(request).unwrap().image
}

/// What the nodes of the role have in common, laid out with a container image.
fn base(role: &RoleLayers<'_>, node: &NodeLayer) -> RoleVolume {
    let subvolume = |name: &str, content, is_template| SubvolumeSpec {
        name: name.to_owned(),
        content,
        default: name == "@",
        read_only: is_template,
        uuid: ids::uuid("subvolume", &[name]),
    };
    let mount = |name: &str, path: &str| subvolume(name, SubvolumeContent::Mount(path.into()), false);
    let template = role.container_image.as_ref().unwrap().tree().unwrap();
    let metadata_uuid = ids::uuid("root file system", &["golden"]);
    let spec = VolumeSpec {
        label: "root".to_owned(),
        fsid: metadata_uuid,
        metadata_uuid: Some(metadata_uuid),
        time: TIME,
        size: VolumeSize::Minimal { free: Bytes::mib(1) },
        metadata: Profile::Dup,
        subvolumes: vec![
            mount("@", "/"),
            mount("@srv", "/srv"),
            subvolume("@template", SubvolumeContent::Tree(template.into()), true),
        ],
    };
    RoleVolume::new(&spec, &tree(role, node)).unwrap()
}

#[test]
fn the_cards_of_two_nodes_and_what_they_do_not_share() {
    let workshop = Workshop::new();
    let (of_node, of_template) = (
        overlay(&workshop),
        workshop.overlay_named(
            "inside",
            &[
                ("overlay.toml", "description = \"inside\"\n"),
                ("files/etc/inside", "inside\n"),
            ],
        ),
    );
    let role = workshop.role_with(&[&of_node], &[&of_template]).unwrap();
    let node = |name| workshop.node_layer(&role, name).unwrap();
    let base = base(&role, &node("red-07"));
    let blank = card(&workshop, "blank", base.blank().clone());
    let cards = ["red-07", "blue-23"].map(|name| {
        let volume = base
            .volume(ids::uuid("root", &[name]), &node(name).layer)
            .unwrap();
        (name, card(&workshop, name, volume.image))
    });
    golden::check("image", cards.iter().map(|(name, card)| (name, all(card))));
    golden::check(
        "delta",
        cards
            .iter()
            .map(|(name, card)| (name, Delta::between(&blank, card).unwrap().to_bytes())),
    );
}
