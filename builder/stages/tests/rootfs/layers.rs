//! The layers of a role and of its nodes, from a small base and the overlays of the repository or of a test.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use formats::layer::Body;
use formats::tree::{Share, Tree};
use model::fleet::Node;
use model::overlay::Overlay;
use model::project::Project;
use stages::engine::Engine;
use stages::rootfs::identity::{IdentityStore, Operator};
use stages::rootfs::{CardIds, NodeInputs, NodeLayer, RoleInputs, RoleLayers, Tarball, role_layers};
use testkit::oracle;

use crate::support::{self, TIME, link, paths, project, read};

const SHADOW: &str = "root:$6$salt$hash:19000:0:99999:7:::\nguest::19000:0:99999:7:::\nsshd:!*:19000::::::\n";

/// What a distribution brings, as far as the overlay `common` needs it.
const BASE: &[(&str, &str)] = &[
    (
        "./etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n",
    ),
    ("./etc/group", "root:x:0:\nadm:x:4:\n"),
    ("./etc/shadow", SHADOW),
    ("./etc/motd", "welcome\n"),
    ("./usr/bin/first", "one file, two names"),
    (
        "./usr/lib/systemd/system/ssh.service",
        "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
    ),
    (
        "./usr/lib/systemd/system/sshd-keygen.service",
        "[Install]\nWantedBy=ssh.service\n",
    ),
    (
        "./usr/lib/systemd/system/systemd-networkd.service",
        "[Install]\nWantedBy=multi-user.target\nAlso=systemd-networkd-wait-online.service\n",
    ),
    (
        "./usr/lib/systemd/system/systemd-networkd-wait-online.service",
        "[Install]\nWantedBy=network-online.target\n",
    ),
    (
        "./usr/lib/systemd/system/systemd-timesyncd.service",
        "[Install]\nWantedBy=sysinit.target\n",
    ),
    (
        "./usr/lib/systemd/system/apt-daily.timer",
        "[Install]\nWantedBy=timers.target\n",
    ),
];
const BASE_LINKS: &[(&str, &str)] = &[
    ("./lib", "usr/lib"),
    ("./bin", "usr/bin"),
    (
        "./etc/systemd/system/timers.target.wants/apt-daily.timer",
        "/usr/lib/systemd/system/apt-daily.timer",
    ),
    (
        "./etc/systemd/system/ssh.service.wants/sshd-keygen.service",
        "/usr/lib/systemd/system/sshd-keygen.service",
    ),
];

/// A folder with a base, modules, an engine and identities.
struct Workshop {
    folder: tempfile::TempDir,
    engine: Engine,
    project: Project,
    base: Tarball,
    modules: Tarball,
    store: IdentityStore,
    operator: Operator,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tarball = |name: &str, files: &[(&str, &str)], links: &[(&str, &str)]| {
            let path = folder.path().join(name);
            write_tar(&path, files, links);
            Tarball::from_file(&path).unwrap()
        };
        let modules = [("usr/lib/modules/6.12.0/modules.dep", "kernel/btrfs.ko:\n")];
        let store = IdentityStore::open(&folder.path().join("identity")).unwrap();
        Self {
            engine: support::engine(folder.path()),
            project: project(),
            base: tarball("base.tar", BASE, BASE_LINKS),
            modules: tarball("modules.tar", &modules, &[]),
            operator: store.operator().unwrap(),
            store,
            folder,
        }
    }

    /// The layers of the reference cluster's role with these overlays.
    fn role<'a>(&'a self, overlays: &[&'a Overlay]) -> anyhow::Result<RoleLayers<'a>> {
        role_layers(
            &self.engine,
            &RoleInputs {
                fleet: &self.project.fleet,
                overlays,
                board: &self.project.boards["odroid-c2"],
                layout: &self.project.layouts["card"],
                base: &self.base,
                modules: &self.modules,
                time: TIME,
            },
        )
    }

    fn node(&self, name: &str) -> &Node {
        self.project.node(name).unwrap()
    }

    fn node_layer<'a>(&'a self, role: &'a RoleLayers<'a>, name: &str) -> anyhow::Result<NodeLayer> {
        role.node_layer(&NodeInputs {
            node: self.node(name),
            identity: &self.store.node(name)?,
            operator: &self.operator,
            card: &CardIds {
                boot_partuuid: "c0ffee00-01".into(),
                root_partuuid: "c0ffee00-02".into(),
            },
        })
    }

    /// An overlay `test` of these files, beside which nothing is there.
    fn overlay(&self, files: &[(&str, &str)]) -> Overlay {
        self.overlay_named("test", files)
    }

    fn overlay_named(&self, name: &str, files: &[(&str, &str)]) -> Overlay {
        let root = self.folder.path().join("project");
        let overlay = root.join("overlays").join(name);
        for (path, text) in files {
            fs::create_dir_all(overlay.join(path).parent().unwrap()).unwrap();
            fs::write(overlay.join(path), text).unwrap();
        }
        Overlay::load(&root, name).unwrap_or_else(|findings| panic!("{findings}"))
    }

    /// The error that a role with this overlay gets, or its node red-07.
    fn failure(&self, files: &[(&str, &str)]) -> String {
        let overlay = self.overlay(files);
        let error = match self.role(&[&overlay]) {
            Err(error) => error,
            Ok(role) => self.node_layer(&role, "red-07").unwrap_err(),
        };
        format!("{error:#}")
    }
}

fn write_tar(path: &Path, files: &[(&str, &str)], links: &[(&str, &str)]) {
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(if name.ends_with("shadow") { 0o640 } else { 0o644 });
        header.set_gid(if name.ends_with("shadow") { 42 } else { 0 });
        header.set_mtime(1_600_000_000);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    for (name, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, name, target).unwrap();
    }
    if files.iter().any(|(name, _)| *name == "./usr/bin/first") {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        tar.append_link(&mut header, "./usr/bin/second", "./usr/bin/first")
            .unwrap();
    }
    tar.finish().unwrap();
}

fn tree(role: &RoleLayers<'_>, node: &NodeLayer) -> Tree {
    let mut layers = role.layers().to_vec();
    layers.push((&node.layer, Share::Node));
    Tree::stack(&layers, TIME).unwrap()
}

const EMPTY: (&str, &str) = ("overlay.toml", "description = \"a test\"\n");

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
    let network = read(&tree, "etc/systemd/network/10-eth0.network");
    assert!(
        network.contains("\n[Network]\nAddress=172.16.1.7/16\nGateway=172.16.0.1\n"),
        "{network}"
    );
    assert!(!network.contains("[Link]"), "{network}");
    assert_eq!(
        read(&tree, "etc/fstab"),
        "PARTUUID=c0ffee00-02 / btrfs noatime,compress=zstd:3,subvol=@ 0 0\n\
         PARTUUID=c0ffee00-02 /.snapshots btrfs noatime,compress=zstd:3,subvol=@snapshots 0 0\n\
         PARTUUID=c0ffee00-01 /boot vfat ro,noatime,umask=0077,nofail 0 0\n\
         PARTUUID=c0ffee00-02 /srv btrfs noatime,compress=zstd:3,subvol=@srv 0 0\n\
         PARTUUID=c0ffee00-02 /var/lib/lxc btrfs noatime,compress=zstd:3,subvol=@lxc 0 0\n\
         PARTUUID=c0ffee00-02 /var/log btrfs noatime,compress=zstd:3,subvol=@log 0 0\n"
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
    // Verbatim files are the role's, templates the node's, and no path is both.
    let of_role: BTreeSet<_> = paths(&role.overlay).into_iter().collect();
    let of_node: BTreeSet<_> = paths(&first.layer).into_iter().collect();
    assert!(of_role.is_disjoint(&of_node));
    assert!(of_role.contains("usr/lib/portadc/grow-root") && of_node.contains("etc/hosts"));
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
    assert_eq!(role.base.entries, again.base.entries);
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
    let workshop = Workshop::new();
    let overlay = workshop.overlay(&[EMPTY]);
    workshop.role(&[&overlay]).unwrap();
    // The tarballs are not needed any more.
    fs::remove_file(&workshop.base.path).unwrap();
    fs::remove_file(&workshop.modules.path).unwrap();
    workshop.role(&[&overlay]).unwrap();
    for entry in fs::read_dir(workshop.folder.path().join("cache/rootfs")).unwrap() {
        let index = entry.unwrap().path().join("index");
        if index.exists() {
            fs::write(&index, "pdclayer").unwrap();
        }
    }
    let error = format!("{:#}", workshop.role(&[&overlay]).err().unwrap());
    assert!(
        error.contains("the cached layer of") && error.contains("is damaged: remove /"),
        "{error}"
    );
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
        assert!(
            found.contains("cannot render `/etc/foo` for red-07: "),
            "{template}: {found}"
        );
        assert!(found.contains(message), "{template}: {found}");
        let place = format!("overlays/test/templates/etc/foo.hbs{line}");
        assert!(found.contains(&place), "{template}: {found}");
    }
    let found = workshop.failure(&[EMPTY, ("templates/etc/foo.hbs", "a\n{{#if node.name}}\nb\n")]);
    assert!(
        found.contains("the template of `/etc/foo` is not valid"),
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
            "[Install]\nWantedBy=multi-user.target\n",
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
