//! What a project describes: fleet, boards, layouts, overlays, kernel.

use std::fs;
use std::os::unix::fs::symlink;

use crate::project::{C2, CARD, COMMON, FLEET, Project};

#[test]
fn fleet() {
    type Change = fn(&Project);
    let changes: [(Change, &[&str]); 12] = [
        (|project| project.remove(FLEET), &["images/fleet.toml"]),
        (|project| project.write(FLEET, ""), &["fleet.toml", "name"]),
        (
            |project| project.write(FLEET, b"name = \"\xff\""),
            &["fleet.toml", "UTF-8"],
        ),
        (
            |project| project.edit(FLEET, "[defaults]", "[defaults"),
            &["fleet.toml"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\nadress = \"172.16.1.9\"\n"),
            &["adress", "address"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\naddress = \"172.16.1.8\"\n"),
            &["172.16.1.8", "red-08"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\naddress = \"10.0.0.1\"\n"),
            &["10.0.0.1"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\nrole = \"hypervizor\"\n"),
            &["hypervizor", "hypervisor"],
        ),
        (
            |project| project.edit(FLEET, "overlays = [\"common\",", "overlays = [\"comon\","),
            &["comon", "common"],
        ),
        (
            |project| project.edit(FLEET, "admin-keys = []", "admin-keys = [\"secret\"]"),
            &["secret"],
        ),
        (
            |project| project.edit(FLEET, "slots = \"1-23\"", "slots = \"1-99\""),
            &["ports"],
        ),
        (
            |project| project.edit(FLEET, "gateway = \"172.16.0.1\"", "gateway = \"172.16.1.7\""),
            &["172.16.1.7"],
        ),
    ];
    for (change, named) in changes {
        let project = Project::new();
        change(&project);
        // With -C the folder need not look like a project.
        project.fails(&["-C", ".", "check"], 1, named);
    }
}

#[test]
fn boards_and_layouts() {
    let changes: [(&str, &str, &str, &[&str]); 8] = [
        (
            C2,
            "partition-table = \"mbr\"",
            "partition-table = \"gpt\"",
            &["odroid-c2", "bl1"],
        ),
        (C2, "last = 96", "last = 97", &["bl1", "fip"]),
        (
            C2,
            "source = \"node.dts\"",
            "source = \"none.dts\"",
            &["none.dts"],
        ),
        (
            C2,
            "partition-table = \"mbr\"",
            "partition-table = \"apm\"",
            &["apm"],
        ),
        (CARD, "mount = \"/srv\"", "mount = \"srv\"", &["srv"]),
        (CARD, "zstd = 3", "zstd = 99", &["99"]),
        (CARD, "size = \"128 MiB\"", "size = \"128 MIB\"", &["128 MIB"]),
        (
            CARD,
            "file-system = \"btrfs\"",
            "file-system = \"ext4\"",
            &["ext4"],
        ),
    ];
    for (file, from, to, named) in changes {
        let project = Project::new();
        project.edit(file, from, to);
        project.finds(named);
    }
}

#[test]
fn overlays_and_templates() {
    let project = Project::new();
    project.append(COMMON, "\n[unit]\nenable = []\n");
    project.finds(&["unit"]);

    let project = Project::new();
    project.edit(COMMON, "description", "remove = [\"/etc/../root\"]\ndescription");
    project.finds(&["/etc/../root"]);

    let project = Project::new();
    symlink("/etc/shadow", project.path("overlays/common/files/etc/stolen")).unwrap();
    project.finds(&["stolen"]);

    let project = Project::new();
    fs::create_dir(project.path("overlays/common/filez")).unwrap();
    project.finds(&["filez"]);

    let project = Project::new();
    let hostname = "overlays/common/templates/etc/hostname.hbs";
    project.edit(hostname, "node.name", "node.colour");
    project.finds(&["hostname.hbs:1", "red-01", "node.colour"]);
    project.fails(&["build", "--all"], 1, &["node.colour"]);
    project.write(hostname, "{{#if node.name}}");
    project.finds(&["hostname.hbs"]);
}

#[test]
fn kernel() {
    let project = Project::new();
    project.append("kernel/fragments/base.config", "CONFIG_NET=maybe\n");
    project.finds(&["base.config", "CONFIG_NET"]);

    let project = Project::new();
    project.append("kernel/fragments/base.config", "CONFIG_BTRFS_FS=m\n");
    project.finds(&["BTRFS_FS"]);

    let project = Project::new();
    // Of a fragment that comes with the program only the copy would be gone.
    project.edit("kernel/kernel.toml", "\"usb\"", "\"own-usb\"");
    project.finds(&["own-usb.config", "kernel/kernel.toml:"]);

    let project = Project::new();
    project.append("kernel/kernel.toml", "\n[[patch]]\nfile = \"0001-none.patch\"\n");
    project.finds(&["0001-none.patch"]);

    project.write("kernel/kernel.toml", "");
    project.finds(&["kernel.toml"]);

    let project = Project::new();
    project.write("linux.tar.xz", "no kernel");
    project.fails(
        &["kernel", "config", "--source", "linux.tar.xz"],
        1,
        &["linux.tar.xz"],
    );
    // Another series is not fetched to say that it is another.
    let project = Project::new();
    project.fails(
        &["kernel", "config", "--series", "6.99", "--offline"],
        1,
        &["sources.lock", "6.99", "--source FILE"],
    );
}
