//! What the fleet itself says of its nodes: names, time, language, users, and values for templates.

use std::fs;

use engine::tarball::Tarball;
use model::project::Project;
use testkit::folder;

use crate::support::{link, read, repository};
use crate::workshop::{EMPTY, Workshop, tree, write_tar};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// What a Debian base has of all this.
const BASE: &[(&str, &str)] = &[
    (
        "./etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/usr/sbin/nologin\n",
    ),
    ("./etc/group", "root:x:0:\nadm:x:4:daemon\ndialout:x:20:\n"),
    ("./etc/gshadow", "root:*::\nadm:*::daemon\n"),
    ("./etc/shadow", "root:$6$salt$hash:19000:0:99999:7:::\n"),
    (
        "./etc/sudoers",
        "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    ),
    ("./etc/skel/.profile", "umask 022\n"),
    ("./usr/bin/sudo", ""),
    ("./usr/bin/bash", ""),
    ("./usr/sbin/nologin", ""),
    ("./usr/share/zoneinfo/Europe/Vienna", "TZif"),
    ("./usr/lib/locale/locale-archive", ""),
];
const BASE_LINKS: &[(&str, &str)] = &[("./bin", "usr/bin"), ("./sbin", "usr/sbin")];

/// The reference cluster with more tables in its fleet.toml.
fn workshop(tables: &str) -> Workshop {
    let mut workshop = Workshop::new();
    let root = workshop.folder.path().join("with-settings");
    for part in ["boards", "images", "kernel", "overlays"] {
        folder::copy(&repository().join(part), &root.join(part));
    }
    fs::copy(repository().join("sources.toml"), root.join("sources.toml")).unwrap();
    let path = root.join("images/fleet.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{tables}")).unwrap();
    workshop.project = Project::load(&root).unwrap_or_else(|findings| panic!("{findings}"));
    let base = workshop.folder.path().join("other-base.tar");
    write_tar(&base, BASE, BASE_LINKS);
    workshop.base = Tarball::from_file(&base).unwrap();
    workshop
}

/// Why a node cannot be made.
fn failure(tables: &str) -> String {
    let workshop = workshop(tables);
    let overlay = workshop.overlay(&[EMPTY]);
    format!("{:#}", workshop.role(&[&overlay]).err().unwrap())
}

#[test]
fn without_settings_nothing_is_laid() {
    let workshop = workshop("");
    let overlay = workshop.overlay(&[EMPTY]);
    let role = workshop.role(&[&overlay]).unwrap();
    let laid: Vec<_> = role
        .overlay
        .entries
        .iter()
        .map(|entry| entry.path.clone())
        .collect();
    for path in [
        "etc/localtime",
        "etc/passwd",
        "etc/sudoers.d/fleet",
        "etc/locale.conf",
        "home",
    ] {
        assert!(!laid.contains(&path.as_bytes().to_vec()), "{path}");
    }
}

#[test]
fn names_time_and_language_are_where_a_node_looks_for_them() {
    let workshop = workshop(
        "[system]\ndomain = \"example.org\"\ntime-zone = \"Europe/Vienna\"\nlocale = \"de_AT.UTF-8\"\n",
    );
    let common = &workshop.project.overlays["common"];
    let names = workshop.overlay_named(
        "names",
        &[
            EMPTY,
            (
                "templates/etc/names.hbs",
                "{{#each nodes}}{{name}}={{#each fqdns}}{{this}}{{/each}} {{/each}}",
            ),
        ],
    );
    // What the base lacks of `common` is its services.
    let files = ["/etc/hosts", "/etc/resolv.conf", "/etc/locale.conf"];
    let mut some = names.clone();
    some.entries.extend(
        common
            .entries
            .iter()
            .filter(|(path, _)| files.contains(&path.to_string().as_str()))
            .map(|(path, entry)| (path.clone(), entry.clone())),
    );
    let role = workshop.role(&[&some]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    assert!(read(&tree, "etc/hosts").contains("\n172.16.1.7 red-07.example.org red-07\n"));
    assert_eq!(
        read(&tree, "etc/resolv.conf"),
        "search example.org\nnameserver 172.16.0.1\n"
    );
    assert!(read(&tree, "etc/names").contains("red-07=red-07.example.org "));
    assert_eq!(
        link(&tree, "etc/localtime").unwrap(),
        "../usr/share/zoneinfo/Europe/Vienna"
    );
    assert_eq!(read(&tree, "etc/locale.conf"), "LANG=de_AT.UTF-8\n");
    assert_eq!(link(&tree, "etc/default/locale").unwrap(), "../locale.conf");
}

#[test]
fn a_zone_that_the_base_lacks_is_named() {
    let error = failure("[system]\ntime-zone = \"Europe/Viena\"\n");
    assert!(
        error.contains("the base has no time zone `Europe/Viena`: no /usr/share/zoneinfo/Europe/Viena")
            && error.contains("did you mean `Europe/Vienna`?")
            && error.contains("images/fleet.toml"),
        "{error}"
    );
}

#[test]
fn users_are_in_every_file_that_knows_users() {
    let hash = format!("$5$salt$./{}", "a".repeat(41));
    let workshop = workshop(&format!(
        "[users.bert]\npassword-hash = \"{hash}\"\nsudo = true\nuid = 1500\n\
         [users.anna]\nkeys = [\"{KEY} anna\"]\nsudo = true\ngroups = [\"adm\", \"dialout\"]\nuid = 1501\n"
    ));
    let overlay = workshop.overlay(&[
        (
            "overlay.toml",
            "description = \"a\"\n[paths]\n\"/etc/hers\" = { owner = \"anna:anna\" }\n",
        ),
        ("files/etc/hers", ""),
    ]);
    let role = workshop.role(&[&overlay]).unwrap();
    let node = workshop.node_layer(&role, "red-07").unwrap();
    let tree = tree(&role, &node);
    assert!(read(&tree, "etc/passwd").ends_with(
        "nologin\nanna:x:1501:1501::/home/anna:/bin/bash\nbert:x:1500:1500::/home/bert:/bin/bash\n"
    ));
    assert_eq!(
        read(&tree, "etc/group"),
        "root:x:0:\nadm:x:4:daemon,anna\ndialout:x:20:anna\nanna:x:1501:\nbert:x:1500:\n"
    );
    assert_eq!(
        read(&tree, "etc/gshadow"),
        "root:*::\nadm:*::daemon,anna\nanna:!::\nbert:!::\n"
    );
    assert_eq!(
        read(&tree, "etc/shadow"),
        format!("root:*:19000:0:99999:7:::\nanna:*::0:99999:7:::\nbert:{hash}::0:99999:7:::\n")
    );
    assert_eq!(
        read(&tree, "etc/sudoers.d/fleet"),
        "anna ALL=(ALL:ALL) NOPASSWD: ALL\nbert ALL=(ALL:ALL) ALL\n"
    );
    assert_eq!(
        read(&tree, "home/anna/.ssh/authorized_keys"),
        format!("{KEY} anna\n")
    );
    assert_eq!(read(&tree, "home/bert/.profile"), "umask 022\n");
    assert!(tree.lookup(b"home/bert/.ssh").is_none());
    for (path, expected) in [
        ("home/anna", (0o700, 1501, 1501)),
        ("home/anna/.ssh", (0o700, 1501, 1501)),
        ("home/anna/.ssh/authorized_keys", (0o600, 1501, 1501)),
        ("home/anna/.profile", (0o644, 1501, 1501)),
        ("etc/sudoers.d/fleet", (0o440, 0, 0)),
        ("etc/shadow", (0o640, 0, 42)),
        ("etc/hers", (0o644, 1501, 1501)),
    ] {
        let attributes = &tree.inodes[tree.lookup(path.as_bytes()).unwrap().0].attributes;
        assert_eq!(
            (attributes.mode, attributes.uid, attributes.gid),
            expected,
            "{path}"
        );
    }
    // A hash is in nothing that a pack has in the clear.
    let of_role = |path: &[u8]| role.overlay.entries.iter().any(|entry| entry.path == path);
    assert!(!of_role(b"etc/shadow") && of_role(b"etc/passwd"));
    assert!(node.layer.entries.iter().any(|entry| entry.path == b"etc/shadow"));
}

#[test]
fn an_overlay_brings_a_user_for_its_service() {
    let workshop = workshop("");
    let service = workshop.overlay(&[
        (
            "overlay.toml",
            "description = \"a\"\ndirectories = [\"/var/lib/meter\"]\n[users.meter]\ngroups = [\"dialout\"]\n\
             [paths]\n\"/var/lib/meter\" = { owner = \"meter:meter\", mode = \"0750\" }\n",
        ),
        ("files/etc/meter.conf", ""),
    ]);
    let uid = service.users[0].uid;
    let role = workshop.role_with(&[&service], &[&service]).unwrap();
    let node = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let container = role.container_image.as_ref().unwrap().tree().unwrap();
    for tree in [&node, &container] {
        let line = format!("meter:x:{uid}:{uid}::/nonexistent:/sbin/nologin\n");
        assert!(read(tree, "etc/passwd").ends_with(&line));
        assert!(read(tree, "etc/group").ends_with(&format!("dialout:x:20:meter\nmeter:x:{uid}:\n")));
        assert!(read(tree, "etc/shadow").ends_with("\nmeter:*::0:99999:7:::\n"));
        assert!(read(tree, "etc/shadow").starts_with("root:*:"));
        assert!(tree.lookup(b"home").is_none() && tree.lookup(b"nonexistent").is_none());
        let attributes = &tree.inodes[tree.lookup(b"var/lib/meter").unwrap().0].attributes;
        assert_eq!(
            (attributes.mode, attributes.uid, attributes.gid),
            (0o750, uid, uid)
        );
    }
    // The users of nodes are none of a container's that no overlay of its image brings.
    let role = workshop.role_with(&[&service], &[]).unwrap();
    let container = role.container_image.as_ref().unwrap().tree().unwrap();
    assert!(!read(&container, "etc/passwd").contains("meter"));
}

#[test]
fn users_that_the_base_cannot_have_are_refused_at_once() {
    let error = failure(&format!(
        "[users.games]\nkeys = [\"{KEY}\"]\nuid = 1500\n\
         [users.anna]\nkeys = [\"{KEY}\"]\ngroups = [\"amd\"]\nshell = \"/bin/zsh\"\n"
    ));
    for told in [
        "the base has a user or a group `games` already",
        "the base has no group `amd`",
        "did you mean `adm`?",
        "the base has no `/bin/zsh`, the shell of `anna`",
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn the_nearest_value_counts_and_only_what_differs_is_a_nodes_own() {
    let tables = "[vars]\nmotto = \"fleet\"\nfans = [1, 2]\nloud = false\n[nodes.red-07.vars]\nloud = true\n";
    let workshop = workshop(tables);
    let overlay = workshop.overlay(&[
        EMPTY,
        (
            "templates/etc/shared.hbs",
            "{{vars.motto}}{{#each vars.fans}} {{this}}{{/each}}",
        ),
        (
            "templates/etc/own.hbs",
            "{{#if vars.loud}}loud{{else}}quiet{{/if}}",
        ),
        ("templates/etc/all.hbs", "{{#each vars}}{{@key}} {{/each}}"),
    ]);
    let role = workshop.role(&[&overlay]).unwrap();
    let of_role = |path: &[u8]| role.overlay.entries.iter().any(|entry| entry.path == path);
    assert!(of_role(b"etc/shared") && !of_role(b"etc/own") && !of_role(b"etc/all"));
    for (node, loud) in [("red-07", "loud"), ("red-08", "quiet")] {
        let tree = tree(&role, &workshop.node_layer(&role, node).unwrap());
        assert_eq!(read(&tree, "etc/shared"), "fleet 1 2");
        assert_eq!(read(&tree, "etc/own"), loud);
        assert_eq!(read(&tree, "etc/all"), "fans loud motto ");
    }
}

#[test]
fn a_value_that_nobody_set_is_told_with_the_one_that_was_meant() {
    let workshop = workshop("[vars]\nmotto = \"fleet\"\n");
    for template in [
        "\n{{vars.moto}}",
        "\n{{#each nodes}}{{@root.vars.moto}}{{/each}}",
        "\n{{#if vars.moto}}{{/if}}",
    ] {
        let found = workshop.failure(&[EMPTY, ("templates/etc/foo.hbs", template)]);
        assert!(
            found.contains("vars.moto`")
                && found.contains("did you mean `motto`?")
                && found.contains("foo.hbs:2:"),
            "{template}: {found}"
        );
    }
}
