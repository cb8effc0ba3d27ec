//! A role in small: a base, modules, identities, and overlays made for a test.

use std::collections::BTreeMap;

use std::fs::{self, File};
use std::path::Path;

use engine::Engine;
use engine::tarball::Tarball;
use formats::tree::{Share, Tree};
use identity::{IdentityStore, Operator};
use model::files::Files;
use model::fleet::{Node, PublicKeys};
use model::overlay::Overlay;
use model::project::Project;
use stages::rootfs::{NodeInputs, NodeLayer, PartitionIds, RoleInputs, RoleLayers, role_layers};

use crate::support::{self, TIME, project};

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
pub struct Workshop {
    pub folder: tempfile::TempDir,
    pub engine: Engine,
    pub project: Project,
    pub base: Tarball,
    pub modules: Tarball,
    pub store: IdentityStore,
    pub operator: Operator,
    pub known: BTreeMap<String, PublicKeys>,
}

impl Workshop {
    pub fn new() -> Self {
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
            known: store.public_keys(&project().fleet).unwrap(),
            store,
            folder,
        }
    }

    /// The layers of the cluster of the tests's role with these overlays, and none over the base in its template.
    pub fn role<'a>(&'a self, overlays: &[&'a Overlay]) -> anyhow::Result<RoleLayers<'a>> {
        self.role_with(overlays, &[])
    }

    /// The layers of the cluster of the tests's role with these overlays and those of its container image.
    pub fn role_with<'a>(
        &'a self,
        overlays: &[&'a Overlay],
        container_image: &[&'a Overlay],
    ) -> anyhow::Result<RoleLayers<'a>> {
        let subvolumes = overlays.iter().flat_map(|overlay| &overlay.subvolumes);
        let layout = self.project.layouts["card"].with(subvolumes.map(|subvolume| &subvolume.value));
        role_layers(
            &self.engine,
            &RoleInputs {
                fleet: &self.project.fleet,
                role: &self.project.fleet.roles["hypervisor"],
                overlays,
                container_image,
                board: &self.project.boards["odroid-c2"],
                layout: &layout,
                operator: &self.operator,
                known: &self.known,
                base: &self.base,
                modules: &self.modules,
                time: TIME,
            },
        )
    }

    pub fn node(&self, name: &str) -> &Node {
        self.project.node(name).unwrap()
    }

    pub fn node_layer<'a>(&'a self, role: &'a RoleLayers<'a>, name: &str) -> anyhow::Result<NodeLayer> {
        role.node_layer(&NodeInputs {
            node: self.node(name),
            identity: &self.store.node(name)?,
            containers: &self.store.containers_of(&self.project.fleet, self.node(name))?,
            secrets: &self.store.secrets(&self.project.fleet, self.node(name))?,
            card: &PartitionIds {
                boot_partuuid: "c0ffee00-01".into(),
                root_partuuid: "c0ffee00-02".into(),
            },
        })
    }

    /// An overlay `test` of these files, beside which nothing is there.
    pub fn overlay(&self, files: &[(&str, &str)]) -> Overlay {
        self.overlay_named("test", files)
    }

    pub fn overlay_named(&self, name: &str, files: &[(&str, &str)]) -> Overlay {
        let root = self.folder.path().join("project");
        let overlay = root.join("overlays").join(name);
        for (path, text) in files {
            fs::create_dir_all(overlay.join(path).parent().unwrap()).unwrap();
            fs::write(overlay.join(path), text).unwrap();
        }
        Overlay::load(&Files::of(&root), name).unwrap_or_else(|findings| panic!("{findings}"))
    }

    /// The error that a role with this overlay gets, or its node red-07.
    pub fn failure(&self, files: &[(&str, &str)]) -> String {
        let overlay = self.overlay(files);
        let error = match self.role(&[&overlay]) {
            Err(error) => error,
            Ok(role) => self.node_layer(&role, "red-07").unwrap_err(),
        };
        format!("{error:#}")
    }
}

pub fn write_tar(path: &Path, files: &[(&str, &str)], links: &[(&str, &str)]) {
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

/// The root file system of a node.
pub fn tree(role: &RoleLayers<'_>, node: &NodeLayer) -> Tree {
    let mut layers = role.layers().to_vec();
    layers.push((&node.layer, Share::Node));
    Tree::stack(&layers, TIME).unwrap()
}

/// An `overlay.toml` that says nothing.
pub const EMPTY: (&str, &str) = ("overlay.toml", "description = \"a test\"\n");
