//! The container image: the base under overlays of its own, without identity.

use engine::tarball::Tarball;
use formats::blob::Blob;
use formats::tree::{InodeKind, Share, Tree};
use model::overlay::{Overlay, Placed};
use stages::rootfs::{RoleLayers, check_overlays};

use crate::support::{link, project, read};
use crate::workshop::{EMPTY, Workshop, tree, write_tar};

fn template(role: &RoleLayers<'_>) -> Tree {
    role.container_image.as_ref().unwrap().tree().unwrap()
}

/// Makes the role with the overlay `common`, and `container` in its template.
fn role(workshop: &Workshop) -> RoleLayers<'_> {
    let overlays = &workshop.project.overlays;
    workshop
        .role_with(&[&overlays["common"]], &[&overlays["container"]])
        .unwrap()
}

#[test]
fn it_is_the_base_under_its_own_overlays() {
    let workshop = Workshop::new();
    let role = role(&workshop);
    let tree = template(&role);
    assert_eq!(read(&tree, "usr/bin/second"), "one file, two names");
    assert_eq!(
        read(&tree, "etc/hosts"),
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
    );
    // Neither the kernel's modules nor anything of the node's overlays, of its card or of its own.
    for path in [
        "usr/lib/modules",
        "usr/lib/portadc/grow-root",
        "usr/lib/systemd/system/grow-root.service",
        "etc/fstab",
        "etc/hostname",
        "etc/systemd/network",
        "root/.ssh",
        "boot",
        "srv",
        ".snapshots",
    ] {
        assert!(tree.lookup(path.as_bytes()).is_none(), "{path}");
    }
    for folder in ["dev", "proc", "run", "sys"] {
        let id = tree.lookup(folder.as_bytes()).unwrap();
        assert!(tree.names(id).is_some(), "{folder}");
    }
    assert!(tree.inodes.iter().all(|inode| inode.share == Share::Role));
}

#[test]
fn its_units_are_its_own() {
    let workshop = Workshop::new();
    let role = role(&workshop);
    let node = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let template = template(&role);
    let at = |tree: &Tree, name: &str| link(tree, &format!("etc/systemd/system/{name}"));
    for unit in [
        "multi-user.target.wants/ssh.service",
        "multi-user.target.wants/systemd-networkd.service",
        "sysinit.target.wants/systemd-timesyncd.service",
    ] {
        assert!(at(&node, unit).is_some(), "{unit}");
        assert_eq!(at(&template, unit), None, "{unit}");
    }
    for unit in ["systemd-udevd.service", "console-getty.service"] {
        assert_eq!(at(&node, unit), None, "{unit}");
        assert_eq!(at(&template, unit).as_deref(), Some("/dev/null"), "{unit}");
    }
    // ssh makes host keys when it is enabled in a container; on a node they come from the identity store.
    let keygen = "ssh.service.wants/sshd-keygen.service";
    assert_eq!(at(&node, keygen), None);
    assert!(at(&template, keygen).is_some());
}

#[test]
fn no_account_can_log_in_with_a_password() {
    let workshop = Workshop::new();
    let tree = template(&role(&workshop));
    assert_eq!(
        read(&tree, "etc/shadow"),
        "root:*:19000:0:99999:7:::\nguest:*:19000:0:99999:7:::\nsshd:!*:19000::::::\n"
    );
}

#[test]
fn it_has_no_identity() {
    let files = [
        ("./etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("./etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("./etc/ssh/moduli", "kept\n"),
        ("./etc/ssh/ssh_host_ed25519_key", "secret\n"),
        ("./etc/ssh/ssh_host_ed25519_key.pub", "public\n"),
        ("./etc/ssh/ssh_host_rsa_key", "secret\n"),
        ("./var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ];
    for (files, dbus) in [(&files[..], None), (&files[..6], Some("/etc/machine-id"))] {
        let mut workshop = Workshop::new();
        let path = workshop.folder.path().join("used.tar");
        let links: Vec<_> = dbus
            .iter()
            .map(|target| ("./var/lib/dbus/machine-id", *target))
            .collect();
        write_tar(&path, files, &links);
        workshop.base = Tarball::from_file(&path).unwrap();
        let role = workshop.role(&[]).unwrap();
        let tree = template(&role);
        assert_eq!(read(&tree, "etc/machine-id"), "");
        let folder = tree.lookup(b"etc/ssh").unwrap();
        let names: Vec<_> = tree.names(folder).unwrap().keys().collect();
        assert_eq!(names, [b"moduli"]);
        assert_eq!(link_or_none(&tree, "var/lib/dbus/machine-id").as_deref(), dbus);
        // The root file system of a node has what the base has.
        let root = Tree::stack(&role.layers(), crate::support::TIME).unwrap();
        assert!(root.lookup(b"etc/ssh/ssh_host_rsa_key").is_some());
    }
    // A base without a machine id.
    let workshop = Workshop::new();
    assert_eq!(read(&template(&role(&workshop)), "etc/machine-id"), "");
}

fn link_or_none(tree: &Tree, path: &str) -> Option<String> {
    tree.lookup(path.as_bytes())?;
    link(tree, path)
}

#[test]
fn an_overlay_removes_from_the_template_alone() {
    let workshop = Workshop::new();
    let lean = workshop.overlay(&[(
        "overlay.toml",
        "description = \"a\"\nremove = [\"/etc/motd\", \"/bin/first\"]\n",
    )]);
    let role = workshop.role_with(&[], &[&lean]).unwrap();
    let tree = template(&role);
    assert!(tree.lookup(b"etc/motd").is_none() && tree.lookup(b"usr/bin/first").is_none());
    assert_eq!(read(&tree, "usr/bin/second"), "one file, two names");
    let root = Tree::stack(&role.layers(), crate::support::TIME).unwrap();
    assert_eq!(read(&root, "etc/motd"), "welcome\n");
}

#[test]
fn its_files_are_the_roots_own() {
    // The same bytes of the same blob: a volume stores them once.
    let workshop = Workshop::new();
    let big: String = "a large file of the base\n".repeat(9000);
    let path = workshop.folder.path().join("big.tar");
    write_tar(&path, &[("./usr/big", &big)], &[]);
    let base = Tarball::from_file(&path).unwrap();
    let workshop = Workshop { base, ..workshop };
    let role = workshop.role(&[]).unwrap();
    let root = Tree::stack(&role.layers(), crate::support::TIME).unwrap();
    let [one, other] = [&root, &template(&role)].map(|tree| {
        let id = tree.lookup(b"usr/big").unwrap();
        match &tree.inodes[id.0].kind {
            InodeKind::File(content, blob) => (content.clone(), Blob::address(blob)),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(one, other);
}

#[test]
fn it_is_part_of_the_roles_key() {
    let workshop = Workshop::new();
    let common = &workshop.project.overlays["common"];
    let key = |template: &[&Overlay]| workshop.role_with(&[common], template).unwrap().key;
    let container = &workshop.project.overlays["container"];
    let lean = workshop.overlay(&[("overlay.toml", "description = \"a\"\nremove = [\"/etc/motd\"]\n")]);
    let keys = [key(&[]), key(&[container]), key(&[&lean])];
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
    assert_eq!(key(&[container]), keys[1]);
}

#[test]
fn a_layout_without_a_template_has_none() {
    let mut workshop = Workshop::new();
    let layout = workshop.project.layouts.get_mut("card").unwrap();
    for partition in &mut layout.partitions {
        if let model::layout::FileSystem::Btrfs(btrfs) = &mut partition.file_system {
            btrfs.container_image = None;
        }
    }
    assert!(workshop.role(&[]).unwrap().container_image.is_none());
}

#[test]
fn its_templates_know_of_no_node() {
    let workshop = Workshop::new();
    let overlay = workshop.overlay(&[
        EMPTY,
        ("templates/etc/fleet.hbs", "{{fleet.name}} {{nodes.[6].name}}\n"),
    ]);
    let role = workshop.role_with(&[], &[&overlay]).unwrap();
    assert_eq!(
        read(&template(&role), "etc/fleet"),
        "portable-datacenter red-07\n"
    );
    let own = workshop.overlay_named("own", &[EMPTY, ("templates/etc/name.hbs", "{{node.name}}\n")]);
    let error = format!("{:#}", workshop.role_with(&[], &[&own]).err().unwrap());
    assert!(
        error.contains("`/etc/name` is rendered for each node") && error.contains("etc/name.hbs:1:1"),
        "{error}"
    );
}

/// What checking the cluster of the tests finds with these overlays in the container image of its role.
fn found_with(overlays: &[&Overlay]) -> String {
    let mut project = project();
    let role = project.fleet.roles.get_mut("hypervisor").unwrap();
    let place = role.container_image[0].place.clone();
    role.container_image = overlays
        .iter()
        .map(|overlay| Placed {
            value: overlay.name.clone(),
            place: place.clone(),
        })
        .collect();
    for overlay in overlays {
        project.overlays.insert(overlay.name.clone(), (*overlay).clone());
    }
    check_overlays(&project).unwrap().to_string()
}

#[test]
fn its_overlays_are_checked_before_anything_is_built() {
    let workshop = Workshop::new();
    let first = workshop.overlay_named("first", &[EMPTY, ("files/etc/foo", "")]);
    let second = workshop.overlay_named("second", &[EMPTY, ("files/etc/foo/inside", "")]);
    let found = found_with(&[&first, &second]);
    assert!(found.contains("`/etc/foo/inside`"), "{found}");
    let own = workshop.overlay_named("own", &[EMPTY, ("templates/etc/name.hbs", "{{node.name}}\n")]);
    let found = found_with(&[&first, &own]);
    assert!(
        found.contains("`/etc/name` is rendered for each node, but a container image is one for all of them")
            && found.contains("overlays/own/templates/etc/name.hbs:1:1")
            && found.contains("help: use none of `node`, `mounts`, `identity`"),
        "{found}"
    );
    let wrong = workshop.overlay_named("wrong", &[EMPTY, ("templates/etc/fleet.hbs", "{{fleet.colour}}")]);
    let found = found_with(&[&wrong]);
    assert_eq!(found.matches("cannot render `/etc/fleet`").count(), 1, "{found}");
}
