//! What overlays may ask for, and what is said when they ask for what cannot be.

use formats::layer::Body;
use model::fleet::Role;
use stages::rootfs::check_overlays;

use crate::support::{link, project, read};
use crate::workshop::{EMPTY, Workshop, tree};

#[test]
fn template_faults_are_told_with_file_line_and_node() {
    let workshop = Workshop::new();
    for (template, message, line) in [
        (
            "a\nb {{node.adress}}\n",
            "there is no variable `node.adress`",
            ":2:3",
        ),
        (
            "a\n{{#if node.colour}}x{{/if}}\n",
            "there is no variable `node.colour`",
            ":2:",
        ),
        (
            "{{#unless colour}}x{{/unless}}\n",
            "there is no variable `colour`",
            ":1:",
        ),
        (
            "\n\n{{#each nodes}}\n{{name}} {{slott}}\n{{/each}}\n",
            "there is no variable `slott`",
            ":4:",
        ),
        (
            "{{#each nowhere}}{{/each}}",
            "there is no variable `nowhere`",
            ":1:",
        ),
        (
            "{{#with nowhere}}{{/with}}",
            "there is no variable `nowhere`",
            ":1:",
        ),
        ("{{uppercase node.name}}", "there is no helper `uppercase`", ":1:"),
        ("{{log node.name}}", "there is no helper `log`", ":1:"),
        ("{{> other}}", "there is no partial `other`", ":1:"),
    ] {
        let found = workshop.failure(&[EMPTY, ("templates/etc/foo.hbs", template)]);
        // What knows of no node is rendered for all at once.
        let told = ["red-07", "all nodes"]
            .map(|whom| found.contains(&format!("cannot render `/etc/foo` for {whom}: ")));
        assert!(told[0] != told[1], "{template}: {found}");
        assert!(found.contains(message), "{template}: {found}");
        let place = format!("overlays/test/templates/etc/foo.hbs{line}");
        assert!(found.contains(&place), "{template}: {found}");
    }
    for (template, meant) in [
        ("{{node.nam}}", "did you mean `node.name`?"),
        ("{{#each nodes}}{{slott}}{{/each}}", "did you mean `slot`?"),
        ("{{unles node.name}}", "did you mean `unless`?"),
    ] {
        let found = workshop.failure(&[EMPTY, ("templates/etc/foo.hbs", template)]);
        assert!(found.contains(meant), "{template}: {found}");
    }
    let found = workshop.failure(&[EMPTY, ("templates/etc/foo.hbs", "a\n{{#if node.name}}\nb\n")]);
    assert!(
        found.contains("the template of `/etc/foo` is not valid: `{{#if}}` is never closed"),
        "{found}"
    );
    assert!(found.contains("overlays/test/templates/etc/foo.hbs:"), "{found}");
}

#[test]
fn nothing_is_escaped_and_no_value_renders_as_nothing() {
    let mut workshop = Workshop::new();
    let strange = "ssh-ed25519 AAAA <admin> & \"co\"".to_owned();
    workshop.project.fleet.admin_keys = vec![strange.clone(), strange.clone()];
    let overlay = workshop.overlay(&[
        EMPTY,
        (
            "templates/etc/foo.hbs",
            "{{#each authorized_keys}}\n{{this}}\n{{/each}}\n",
        ),
        (
            "templates/etc/bar.hbs",
            "{{#each node.macs}}{{this}}{{else}}none{{/each}} {{board.consoles}}",
        ),
    ]);
    let role = workshop.role(&[&overlay]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    assert_eq!(
        read(&tree, "etc/foo"),
        format!("{strange}\n{}\n", workshop.operator.public_key)
    );
    assert_eq!(read(&tree, "etc/bar"), "none [ttyAMA0, ttyAML0]");
}

#[test]
fn units_that_are_missing_are_told_with_overlay_and_line() {
    let workshop = Workshop::new();
    let toml =
        "description = \"a test\"\n[units]\nenable = [\n    \"ssh.service\",\n    \"shh.service\",\n]\n";
    let found = workshop.failure(&[("overlay.toml", toml)]);
    assert!(
        found.contains("overlay test: there is no unit `shh.service`"),
        "{found}"
    );
    assert!(found.contains("overlays/test/overlay.toml:5:5"), "{found}");
    let found = workshop.failure(&[
        (
            "overlay.toml",
            "description = \"a test\"\n[units]\nenable = [\"own.service\"]\n",
        ),
        (
            "templates/usr/lib/systemd/system/own.service.hbs",
            "[Unit]\nDescription={{node.name}}\n[Install]\nWantedBy=multi-user.target\n",
        ),
    ]);
    assert!(
        found.contains("`/usr/lib/systemd/system/own.service` is a template"),
        "{found}"
    );
}

#[test]
fn owners_are_looked_up_in_the_base() {
    let workshop = Workshop::new();
    let overlay = workshop.overlay_named(
        "owned",
        &[
            (
                "overlay.toml",
                "description = \"a\"\n[paths]\n\"/etc/foo\" = { owner = \"sshd:adm\" }\n\"/etc/bar\" = { owner = \"7:8\" }\n",
            ),
            ("files/etc/foo", ""),
            ("templates/etc/bar.hbs", ""),
        ],
    );
    let role = workshop.role(&[&overlay]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let owner = |path: &str| {
        let attributes = &tree.inodes[tree.lookup(path.as_bytes()).unwrap().0].attributes;
        (attributes.uid, attributes.gid)
    };
    assert_eq!((owner("etc/foo"), owner("etc/bar")), ((101, 4), (7, 8)));
    let found = workshop.failure(&[
        (
            "overlay.toml",
            "description = \"a\"\n[paths]\n\"/etc/foo\" = { owner = \"shhd:adm\" }\n",
        ),
        ("files/etc/foo", ""),
    ]);
    assert!(
        found.contains("the base has no user `shhd`")
            && found.contains("overlay.toml:3:")
            && found.contains("did you mean `sshd`?"),
        "{found}"
    );
}

#[test]
fn removals_take_away_trees_links_and_first_names() {
    let workshop = Workshop::new();
    let overlay = workshop.overlay(&[(
        "overlay.toml",
        "description = \"a\"\nremove = [\"/etc/motd\", \"/lib/systemd\", \"/bin/first\", \"/not/there\"]\n",
    )]);
    let role = workshop.role(&[&overlay]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    for gone in ["etc/motd", "usr/lib/systemd", "usr/bin/first"] {
        assert!(tree.lookup(gone.as_bytes()).is_none(), "{gone}");
    }
    // The file that had two names lives on under the other.
    assert_eq!(read(&tree, "usr/bin/second"), "one file, two names");
    assert!(tree.lookup(b"usr/lib/modules/6.12.0/modules.dep").is_some());
}

#[test]
fn settings_of_the_kernel_are_on_the_node_and_in_the_template() {
    let workshop = Workshop::new();
    let overlay = workshop.overlay(&[(
        "overlay.toml",
        "description = \"a\"\n[sysctls]\n\"net.core.somaxconn\" = 1024\n",
    )]);
    let role = workshop.role_with(&[&overlay], &[&overlay]).unwrap();
    let node = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let container = role.container_image.as_ref().unwrap().tree().unwrap();
    for tree in [&node, &container] {
        assert_eq!(
            read(tree, "etc/sysctl.d/60-test.conf"),
            "net.core.somaxconn = 1024\n"
        );
    }
}

#[test]
fn a_subvolume_is_mounted_where_the_overlay_says() {
    let workshop = Workshop::new();
    let overlay = workshop.overlay(&[
        (
            "overlay.toml",
            "description = \"a\"\nsubvolumes = [\n{ name = \"@db\", mount = \"/var/lib/db\", data = true },\n\
             { name = \"@web\", mount = \"/var/www\" },\n]\n",
        ),
        (
            "templates/etc/mounts.hbs",
            "{{#each mounts}}{{path}} {{options}}\n{{/each}}",
        ),
    ]);
    let role = workshop.role(&[&overlay]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    let mounts = read(&tree, "etc/mounts");
    for line in [
        "\n/var/lib/db noatime,compress=zstd:3,nodev,nosuid,subvol=@db\n/var/lib/lxc ",
        "\n/var/www noatime,compress=zstd:3,nodev,subvol=@web\n",
    ] {
        assert!(mounts.contains(line), "{mounts}");
    }
    for folder in ["var/lib/db", "var/www"] {
        let id = tree.lookup(folder.as_bytes()).unwrap();
        assert!(tree.names(id).is_some(), "{folder}");
    }
}

#[test]
fn a_later_overlay_wins_and_can_take_back() {
    let workshop = Workshop::new();
    let first = workshop.overlay_named(
        "first",
        &[
            (
                "overlay.toml",
                "description = \"a\"\n[units]\nenable = [\"ssh.service\", \"apt-daily.timer\"]\n",
            ),
            ("files/etc/foo", "first"),
            ("files/etc/bar", "first"),
            ("files/etc/gone/deep", "first"),
        ],
    );
    let second = workshop.overlay_named(
        "second",
        &[
            (
                "overlay.toml",
                "description = \"a\"\nremove = [\"/etc/gone\"]\n[units]\ndisable = [\"apt-daily.timer\"]\n",
            ),
            ("files/etc/foo", "second"),
            ("templates/etc/bar.hbs", "{{node.name}}"),
        ],
    );
    let role = workshop.role(&[&first, &second]).unwrap();
    let node = workshop.node_layer(&role, "red-07").unwrap();
    let tree = tree(&role, &node);
    assert_eq!(read(&tree, "etc/foo"), "second");
    assert_eq!(read(&tree, "etc/bar"), "red-07");
    assert!(tree.lookup(b"etc/gone").is_none());
    assert_eq!(
        link(&tree, "etc/systemd/system/timers.target.wants/apt-daily.timer"),
        None
    );
    assert!(role.overlay.entries.iter().all(|entry| entry.path != b"etc/bar"));
    let conflicting = workshop.overlay_named("conflicting", &[EMPTY, ("files/etc/foo/inside", "")]);
    let error = format!("{:#}", workshop.role(&[&first, &conflicting]).err().unwrap());
    assert!(
        error.contains("`/etc/foo/inside` (overlays/conflicting/files/etc/foo/inside) lies in `/etc/foo`"),
        "{error}"
    );
}

#[test]
fn a_layer_over_a_base_that_it_does_not_fit_is_refused() {
    let workshop = Workshop::new();
    let found = workshop.failure(&[EMPTY, ("files/usr/bin", "a file where the base has a directory")]);
    assert!(found.contains("do not fit together"), "{found}");
    let found = workshop.failure(&[(
        "overlay.toml",
        "description = \"a\"\n[links]\n\"/usr/lib\" = \"../lib\"\n",
    )]);
    assert!(found.contains("do not fit together"), "{found}");
}

#[test]
fn verbatim_files_and_links_are_as_they_were_written() {
    let workshop = Workshop::new();
    let bytes: String = (0..9000)
        .map(|number| char::from(b' ' + (number % 90) as u8))
        .collect();
    let overlay = workshop.overlay(&[
        (
            "overlay.toml",
            "description = \"a\"\n[links]\n\"/etc/link\" = \"../nowhere {{node.name}}\"\n",
        ),
        ("files/etc/braces", "{{node.name}} <&>"),
        ("files/etc/long", &bytes),
    ]);
    let role = workshop.role(&[&overlay]).unwrap();
    let tree = tree(&role, &workshop.node_layer(&role, "red-07").unwrap());
    assert_eq!(read(&tree, "etc/braces"), "{{node.name}} <&>");
    assert_eq!(read(&tree, "etc/long"), bytes);
    assert_eq!(link(&tree, "etc/link").unwrap(), "../nowhere {{node.name}}");
    assert!(matches!(
        role.overlay
            .entries
            .iter()
            .find(|entry| entry.path == b"etc/long")
            .unwrap()
            .body,
        Body::File(_)
    ));
}

#[test]
fn overlays_are_checked_before_anything_is_built() {
    let mut project = project();
    let found = check_overlays(&project).unwrap();
    assert!(found.0.is_empty(), "{found}");
    let workshop = Workshop::new();
    let broken = workshop.overlay(&[
        EMPTY,
        ("templates/etc/foo.hbs", "{{node.colour}}"),
        ("templates/etc/bar.hbs", "{{#if"),
        ("templates/etc/braces.hbs", "{node.name} ${node.name}"),
    ]);
    let late = workshop.overlay_named("late", &[EMPTY, ("templates/etc/foo.hbs", "{{node.colour}}")]);
    for overlay in [broken, late] {
        project.overlays.insert(overlay.name.clone(), overlay);
    }
    let mut found_with = |overlay: &str| {
        // Two roles that have the fault in common.
        let names = ["hypervisor", "other"];
        project.fleet.roles = names
            .map(|name| {
                let overlays = vec!["common".to_owned(), overlay.to_owned()];
                (
                    name.to_owned(),
                    Role {
                        name: name.to_owned(),
                        overlays,
                        container_image: Vec::new(),
                        containers: false,
                        gateway: false,
                        kernel_arguments: Vec::new(),
                        vars: Default::default(),
                    },
                )
            })
            .into();
        check_overlays(&project).unwrap().to_string()
    };
    let found = found_with("test");
    assert_eq!(
        found
            .matches("warning: `{node.name}` is no variable: it stays as it is")
            .count(),
        1,
        "{found}"
    );
    assert_eq!(
        found.matches("the template of `/etc/bar` is not valid").count(),
        1,
        "{found}"
    );
    let found = found_with("late");
    assert_eq!(
        found.matches("cannot render `/etc/foo` for red-02: ").count(),
        1,
        "{found}"
    );
    assert!(!found.contains("for red-03"), "{found}");
}
