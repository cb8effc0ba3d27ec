//! The layers of a role and of its nodes: what the overlay `common` makes of a small base.

use std::collections::BTreeSet;
use std::fs::{self, File};

use engine::is_verification_failure;
use engine::tarball::Tarball;
use testkit::oracle;

use crate::support::{TIME, link, paths, read};
use crate::workshop::{EMPTY, Workshop, tree, write_tar};

#[test]
fn the_overlay_common_gives_a_node_its_name_addresses_and_keys() {
    let workshop = Workshop::new();
    let role = workshop.role(&[&workshop.project.overlays["common"]]).unwrap();
    let node = workshop.node_layer(&role, "red-07").unwrap();
    let tree = tree(&role, &node);
    let identity = workshop.store.node("red-07").unwrap();
    assert_eq!(read(&tree, "etc/hostname"), "red-07\n");
    assert_eq!(
        read(&tree, "etc/machine-id"),
        format!("{}\n", identity.machine_id)
    );
    assert_eq!(read(&tree, "etc/ssh/ssh_host_ed25519_key"), identity.host_key);
    assert_eq!(
        read(&tree, "etc/ssh/ssh_host_ed25519_key.pub"),
        format!("{}\n", identity.host_key_public)
    );
    assert_eq!(
        read(&tree, "root/.ssh/authorized_keys"),
        format!("{}\n", workshop.operator.public_key)
    );
    assert_eq!(read(&tree, "etc/resolv.conf"), "nameserver 172.16.0.1\n");
    let hosts = read(&tree, "etc/hosts");
    assert_eq!(hosts.lines().count(), 3 + workshop.project.fleet.nodes.len());
    assert!(
        hosts.starts_with("127.0.0.1 localhost\n::1 localhost") && hosts.contains("\n172.16.2.23 blue-23\n")
    );
    let network = read(&tree, "etc/systemd/network/10-local.network");
    assert!(
        network.contains(
            "\n[Network]\nAddress=172.16.1.7/16\nAddress=fd54:ee1a:d2c6::1:7/48\n\
             Gateway=172.16.0.1\nGateway=fd54:ee1a:d2c6::1\n"
        ),
        "{network}"
    );
    assert!(!network.contains("[Link]"), "{network}");
    assert_eq!(
        read(&tree, "etc/fstab"),
        "PARTUUID=c0ffee00-02 / btrfs noatime,compress=zstd:3,subvol=@ 0 0\n\
         PARTUUID=c0ffee00-02 /.snapshots btrfs noatime,compress=zstd:3,nodev,nosuid,subvol=@snapshots 0 0\n\
         PARTUUID=c0ffee00-01 /boot vfat ro,noatime,umask=0077,nofail 0 0\n\
         PARTUUID=c0ffee00-02 /srv btrfs noatime,compress=zstd:3,nodev,nosuid,subvol=@srv 0 0\n\
         PARTUUID=c0ffee00-02 /var/lib/lxc btrfs noatime,compress=zstd:3,nodev,subvol=@lxc 0 0\n\
         PARTUUID=c0ffee00-02 /var/log btrfs noatime,compress=zstd:3,nodev,nosuid,subvol=@log 0 0\n"
    );
    for folder in [
        "boot",
        "var/lib/lxc",
        "var/log",
        ".snapshots",
        "srv",
        "dev",
        "proc",
        "run",
        "sys",
    ] {
        let id = tree
            .lookup(folder.as_bytes())
            .unwrap_or_else(|| panic!("{folder} is missing"));
        assert!(tree.names(id).is_some(), "{folder}");
    }
    let mode = |path: &str| {
        tree.inodes[tree.lookup(path.as_bytes()).unwrap().0]
            .attributes
            .mode
    };
    assert_eq!(mode("etc/ssh/ssh_host_ed25519_key"), 0o600);
    assert_eq!(mode("root/.ssh/authorized_keys"), 0o600);
    assert_eq!(mode("usr/lib/portadc/grow-root"), 0o755);
    assert_eq!(mode("etc/hosts"), 0o644);
}

#[test]
fn findmnt_accepts_the_fstab() {
    let workshop = Workshop::new();
    let role = workshop.role(&[&workshop.project.overlays["common"]]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let path = workshop.folder.path().join("fstab");
    fs::write(&path, read(&tree, "etc/fstab")).unwrap();
    let output = oracle::output(
        "util-linux",
        "findmnt",
        ["--verify", "--tab-file", path.to_str().unwrap()],
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // Partitions and mount points of this machine are not the node's; everything else must be right.
    let faults = said.lines().filter(|line| line.contains("[E]"));
    let faults: Vec<_> = faults.filter(|line| !line.contains("unreachable")).collect();
    assert!(
        faults.is_empty() && summary.starts_with("0 parse errors,"),
        "{said}{summary}"
    );
}

#[test]
fn units_are_enabled_disabled_and_masked() {
    let workshop = Workshop::new();
    let role = workshop.role(&[&workshop.project.overlays["common"]]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let at = |name: &str| link(&tree, &format!("etc/systemd/system/{name}"));
    let unit = |name: &str| Some(format!("/usr/lib/systemd/system/{name}"));
    assert_eq!(at("multi-user.target.wants/ssh.service"), unit("ssh.service"));
    assert_eq!(at("sshd.service"), unit("ssh.service"));
    assert_eq!(
        at("multi-user.target.wants/grow-root.service"),
        unit("grow-root.service")
    );
    assert_eq!(
        at("sysinit.target.wants/systemd-timesyncd.service"),
        unit("systemd-timesyncd.service")
    );
    assert_eq!(at("timers.target.wants/apt-daily.timer"), None);
    assert_eq!(at("ssh.service.wants/sshd-keygen.service"), None);
    assert_eq!(
        at("systemd-networkd-wait-online.service").as_deref(),
        Some("/dev/null")
    );
    assert_eq!(
        at("network-online.target.wants/systemd-networkd-wait-online.service"),
        None
    );
}

#[test]
fn no_account_can_log_in_with_a_password() {
    let workshop = Workshop::new();
    let role = workshop.role(&[&workshop.project.overlays["common"]]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    assert_eq!(
        read(&tree, "etc/shadow"),
        "root:*:19000:0:99999:7:::\nguest:*:19000:0:99999:7:::\nsshd:!*:19000::::::\n"
    );
    let shadow = &tree.inodes[tree.lookup(b"etc/shadow").unwrap().0].attributes;
    assert_eq!((shadow.mode, shadow.gid), (0o640, 42));
}

#[test]
fn nodes_differ_in_content_alone() {
    let workshop = Workshop::new();
    let role = workshop.role(&[&workshop.project.overlays["common"]]).unwrap();
    let mut keys = BTreeSet::new();
    let first = workshop.node_layer(&role, "red-01").unwrap();
    for node in &workshop.project.fleet.nodes {
        let layer = workshop.node_layer(&role, &node.name).unwrap();
        assert_eq!(paths(&layer.layer), paths(&first.layer));
        keys.insert(layer.key);
    }
    assert_eq!(keys.len(), workshop.project.fleet.nodes.len());
    // Verbatim files are the role's, as are templates that know of no node; no path is both the role's and the node's.
    let of_role: BTreeSet<_> = paths(&role.overlay).into_iter().collect();
    let of_node: BTreeSet<_> = paths(&first.layer).into_iter().collect();
    assert!(of_role.is_disjoint(&of_node));
    assert!(of_role.contains("usr/lib/portadc/grow-root") && of_role.contains("etc/hosts"));
    assert!(of_node.contains("etc/hostname") && of_node.contains("etc/fstab"));
}

#[test]
fn the_same_inputs_give_the_same_layers() {
    let one = Workshop::new();
    let role = one.role(&[&one.project.overlays["common"]]).unwrap();
    let node = one.node_layer(&role, "red-07").unwrap();
    // Another folder, another number of threads, files with other times; the identities are the same.
    let mut other = Workshop::new();
    other.engine.jobs = 5;
    other.operator = one.operator.clone();
    fs::remove_dir_all(other.folder.path().join("identity")).unwrap();
    oracle::run(
        "coreutils",
        "cp",
        ["-a", "identity"]
            .iter()
            .map(|name| match *name {
                "identity" => one.folder.path().join("identity").into_os_string(),
                option => option.into(),
            })
            .chain([other.folder.path().join("identity").into_os_string()]),
    );
    let again = other.role(&[&other.project.overlays["common"]]).unwrap();
    let node_again = other.node_layer(&again, "red-07").unwrap();
    assert_eq!((&role.key, &node.key), (&again.key, &node_again.key));
    assert_eq!(role.base[0].entries, again.base[0].entries);
    assert_eq!(role.overlay.entries, again.overlay.entries);
    assert_eq!(node.layer.entries, node_again.layer.entries);
    for entry in role.overlay.entries.iter().chain(&node.layer.entries) {
        assert_eq!(
            entry.attributes.mtime,
            TIME,
            "{}",
            String::from_utf8_lossy(&entry.path)
        );
    }
}

#[test]
fn a_cached_layer_is_not_made_again_and_a_damaged_one_is_named() {
    let mut workshop = Workshop::new();
    // Small files are in the index, not in the blob.
    let path = workshop.folder.path().join("large.tar");
    let module = "module ".repeat(1000);
    write_tar(&path, &[("usr/lib/modules/6.12.0/large.ko", &module)], &[]);
    workshop.modules = Tarball::from_file(&path).unwrap();
    let overlay = workshop.overlay(&[EMPTY]);
    workshop.role(&[&overlay]).unwrap();
    // The tarballs are not needed any more.
    fs::remove_file(&workshop.base.path).unwrap();
    fs::remove_file(&workshop.modules.path).unwrap();
    workshop.role(&[&overlay]).unwrap();
    // Of base and modules, with what finds the damage: a blob is read where it is laid out.
    let at_once = || workshop.role(&[&overlay]).map(drop);
    let laid_out = || workshop.role(&[&overlay]).unwrap().verify();
    type Use<'a> = &'a dyn Fn() -> anyhow::Result<()>;
    let ways: [(&str, &str, Use); 3] = [
        ("index", "the index is damaged or cut short", &at_once),
        ("blob", "the blob is damaged at byte 0, in ", &laid_out),
        ("missing", "index is missing", &at_once),
    ];
    laid_out().unwrap();
    let mut damaged = 0;
    for entry in fs::read_dir(workshop.folder.path().join("cache/rootfs")).unwrap() {
        let folder = entry.unwrap().path();
        for (name, fault, found) in ways {
            let path = folder.join(if name == "missing" { "index" } else { name });
            let Ok(whole) = fs::read(&path) else { continue };
            let mut bytes = whole.clone();
            // A blob of small files is empty.
            let Some(byte) = bytes.get_mut(if name == "blob" { 0 } else { 20 }) else {
                continue;
            };
            *byte ^= 1;
            match name {
                "missing" => fs::remove_file(&path).unwrap(),
                _ => fs::write(&path, bytes).unwrap(),
            }
            let error = found().unwrap_err();
            assert!(is_verification_failure(&error));
            let advice = format!(
                "the cached output of rootfs is damaged: remove {}: {fault}",
                folder.display()
            );
            assert!(format!("{error:#}").starts_with(&advice), "{error:#}");
            fs::write(&path, whole).unwrap();
            damaged += 1;
        }
    }
    assert!(
        damaged >= 5,
        "two indexes, each damaged and missing, and a blob: {damaged}"
    );
    laid_out().unwrap();
}

#[test]
fn the_same_files_under_other_inputs_have_another_key() {
    let workshop = Workshop::new();
    let plain = workshop.overlay_named("plain", &[EMPTY, ("files/etc/issue", "a")]);
    let other = workshop.overlay_named("other", &[EMPTY, ("files/etc/issue", "b")]);
    let mode = workshop.overlay_named(
        "mode",
        &[
            (
                "overlay.toml",
                "description = \"a\"\n[paths]\n\"/etc/issue\" = { mode = \"0600\" }\n",
            ),
            ("files/etc/issue", "a"),
        ],
    );
    let removal = workshop.overlay_named(
        "removal",
        &[
            ("overlay.toml", "description = \"a\"\nremove = [\"/etc/motd\"]\n"),
            ("files/etc/issue", "a"),
        ],
    );
    let keys: BTreeSet<_> = [&plain, &other, &mode, &removal]
        .iter()
        .map(|overlay| workshop.role(&[overlay]).unwrap().key)
        .collect();
    assert_eq!(keys.len(), 4);
    assert_eq!(
        workshop.role(&[&plain]).unwrap().key,
        workshop.role(&[&plain]).unwrap().key
    );
}

#[test]
fn folders_of_the_modules_leave_those_of_the_base_alone() {
    let mut workshop = Workshop::new();
    let path = workshop.folder.path().join("folders.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    for name in ["usr/", "usr/lib/", "usr/lib/modules/", "usr/lib/modules/6.12.0/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o700);
        header.set_mtime(1_900_000_000);
        tar.append_data(&mut header, name, std::io::empty()).unwrap();
    }
    tar.finish().unwrap();
    workshop.modules = Tarball::from_file(&path).unwrap();
    let overlay = workshop.overlay(&[EMPTY]);
    let role = workshop.role(&[&overlay]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let attributes = |path: &str| &tree.inodes[tree.lookup(path.as_bytes()).unwrap().0].attributes;
    assert_eq!(
        (attributes("usr").mode, attributes("usr/lib").mode),
        (0o755, 0o755)
    );
    assert!(attributes("usr").mtime <= TIME);
    assert_eq!(attributes("usr/lib/modules/6.12.0").mode, 0o700);
}
