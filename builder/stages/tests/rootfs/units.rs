//! The links of units, compared with those that `systemctl --root` makes.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::Path;

use formats::layer::{Compression, Devices, Inline, Limits, Packing, TarOptions, from_tar};
use formats::tree::{Share, Tree};
use stages::rootfs::units::{UnitError, UnitLinks};
use testkit::oracle;

use crate::support;

/// Units with every kind of `[Install]` section.
const UNITS: &[(&str, &str)] = &[
    (
        "usr/lib/systemd/system/plain.service",
        "[Install]\nWantedBy=multi-user.target other.target\n",
    ),
    (
        "usr/lib/systemd/system/required.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nRequiredBy=basic.target\n",
    ),
    (
        "usr/lib/systemd/system/aliased.service",
        "[Install]\nAlias=second.service third.service\nWantedBy=multi-user.target\n",
    ),
    (
        "usr/lib/systemd/system/chain.service",
        "[Install]\nWantedBy=multi-user.target\nAlso=chain.socket chain.timer\n",
    ),
    (
        "usr/lib/systemd/system/chain.socket",
        "[Install]\nWantedBy=sockets.target\nAlso=chain.service\n",
    ),
    (
        "usr/lib/systemd/system/chain.timer",
        "[Install]\nWantedBy=timers.target\n",
    ),
    (
        "usr/lib/systemd/system/getty@.service",
        "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
    ),
    (
        "usr/lib/systemd/system/serial@.service",
        "[Install]\nWantedBy=getty.target\n",
    ),
    (
        "usr/lib/systemd/system/drop@.service",
        "[Install]\nWantedBy=getty.target\nAlias=fallen@.service\n",
    ),
    (
        "usr/lib/systemd/system/wanted-by-instance@.service",
        "[Install]\nWantedBy=peer@%i.service\n",
    ),
    (
        "usr/lib/systemd/system/specified-a@.service",
        "[Install]\nWantedBy=%p-%i.target %j@%i.service\nAlias=%p-also@%i.service\n",
    ),
    (
        "usr/lib/systemd/system/continued.service",
        "# [Install]\n[Install]\nWantedBy=a.target \\\n# inside\n   b.target\nRequiredBy=x.target\nRequiredBy=\nRequiredBy=y.target\n",
    ),
    (
        "usr/lib/systemd/system/shadowed.service",
        "[Install]\nWantedBy=never.target\n",
    ),
    (
        "usr/local/lib/systemd/system/shadowed.service",
        "[Install]\nWantedBy=local.target\n",
    ),
    (
        "etc/systemd/system/own.service",
        "[Install]\nWantedBy=multi-user.target\nAlias=owned.service\n",
    ),
    (
        "usr/lib/systemd/system/also-only.service",
        "[Install]\nAlso=plain.service\n",
    ),
    (
        "usr/lib/systemd/system/dropped.service",
        "[Service]\nExecStart=/bin/true\n",
    ),
    (
        "etc/systemd/system/dropped.service.d/install.conf",
        "[Install]\nWantedBy=dropped.target\n",
    ),
    (
        "usr/lib/systemd/system/static.service",
        "[Service]\nExecStart=/bin/true\n",
    ),
];

/// What is enabled, in this order.
const ENABLED: &[&str] = &[
    "plain.service",
    "required.service",
    "aliased.service",
    "chain.socket",
    "getty@.service",
    "getty@tty7.service",
    "serial@ttyAML0.service",
    "drop@x.service",
    "wanted-by-instance@y.service",
    "specified-a@z.service",
    "continued.service",
    "shadowed.service",
    "own.service",
    "also-only.service",
    "dropped.service",
];

fn unit_tree() -> Tree {
    support::tree(UNITS, &[])
}

fn unit_folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in UNITS {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(root.path().join("etc/systemd/system")).unwrap();
    root
}

fn systemctl(root: &Path, verb: &str, unit: &str) {
    let root = format!("--root={}", root.display());
    oracle::run("systemd", "systemctl", [&root, "--quiet", verb, unit]);
}

/// The symbolic links below `etc/systemd/system` of a folder.
fn links_in(root: &Path) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    let mut folders = vec![root.join("etc/systemd/system")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                let target = fs::read_link(&path).unwrap().to_str().unwrap().to_owned();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                links.insert(name, target);
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    links
}

fn enabled(tree: &Tree, units: &[&str]) -> BTreeMap<String, String> {
    let mut links = UnitLinks::new(tree);
    for unit in units {
        links
            .enable(unit)
            .unwrap_or_else(|error| panic!("{unit}: {error}"));
    }
    links.into_changes().0
}

#[test]
fn enabling_links_what_systemctl_links() {
    let tree = unit_tree();
    for unit in ENABLED {
        let root = unit_folder();
        systemctl(root.path(), "enable", unit);
        assert_eq!(enabled(&tree, &[unit]), links_in(root.path()), "{unit}");
    }
    let root = unit_folder();
    for unit in ENABLED {
        systemctl(root.path(), "enable", unit);
    }
    let links = links_in(root.path());
    assert_eq!(enabled(&tree, ENABLED), links);
    assert_eq!(links.len(), 25, "{links:#?}");
}

#[test]
fn disabling_takes_away_what_systemctl_takes_away() {
    let tree = unit_tree();
    let all = enabled(&tree, ENABLED);
    let links: Vec<_> = all
        .iter()
        .map(|(path, target)| (path.as_str(), target.as_str()))
        .collect();
    // As a base that comes with the links.
    let enabled_tree = support::tree(UNITS, &links);
    for unit in [
        "plain.service",
        "aliased.service",
        "chain.service",
        "getty@.service",
        "getty@tty7.service",
        "own.service",
    ] {
        let root = unit_folder();
        for (path, target) in &links {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        systemctl(root.path(), "disable", unit);
        let mut changes = UnitLinks::new(&enabled_tree);
        assert!(changes.disable(unit).unwrap());
        let (added, removed) = changes.into_changes();
        assert!(added.is_empty());
        let mut left = all.clone();
        left.retain(|path, _| !removed.contains(path));
        assert_eq!(left, links_in(root.path()), "{unit}");
    }
}

#[test]
fn masking_links_what_systemctl_links_and_wins_over_enabling() {
    let tree = unit_tree();
    let root = unit_folder();
    systemctl(root.path(), "mask", "plain.service");
    let mut links = UnitLinks::new(&tree);
    assert!(links.mask("plain.service").unwrap());
    assert_eq!(
        links.enable("plain.service"),
        Err(UnitError::Masked("plain.service".into()))
    );
    // What only comes along is left alone.
    assert_eq!(links.enable("also-only.service"), Ok(()));
    assert!(!links.mask("nobody.service").unwrap());
    let (mut added, _) = links.into_changes();
    assert_eq!(
        added.remove("etc/systemd/system/nobody.service").unwrap(),
        "/dev/null"
    );
    assert_eq!(added, links_in(root.path()));
}

#[test]
fn disabling_and_enabling_again_is_enabling() {
    let tree = unit_tree();
    let mut links = UnitLinks::new(&tree);
    links.enable("chain.service").unwrap();
    assert!(links.disable("chain.service").unwrap());
    assert!(!links.disable("nobody.service").unwrap());
    links.enable("plain.service").unwrap();
    assert_eq!(links.into_changes().0, enabled(&tree, &["plain.service"]));
}

#[test]
fn units_that_cannot_be_enabled_say_why() {
    let more: Vec<_> = UNITS
        .iter()
        .copied()
        .chain([
            (
                "usr/lib/systemd/system/lost.service",
                "[Install]\nAlso=nobody.socket\n",
            ),
            (
                "usr/lib/systemd/system/kind.service",
                "[Install]\nAlias=kind.timer\n",
            ),
            (
                "usr/lib/systemd/system/host.service",
                "[Install]\nWantedBy=%H.target\n",
            ),
        ])
        .collect();
    let links = [
        ("etc/systemd/system/null.service", "/dev/null"),
        (
            "etc/systemd/system/sshd.service",
            "/usr/lib/systemd/system/plain.service",
        ),
    ];
    let tree = support::tree(&more, &links);
    for (unit, expected) in [
        (
            "nobody.service",
            "there is no unit `nobody.service`: neither the base nor an overlay brings it",
        ),
        ("static.service", "unit `static.service` has no [Install] section"),
        (
            "serial@.service",
            "unit `serial@.service` is a template without a default instance",
        ),
        ("null.service", "unit `null.service` is masked"),
        (
            "sshd.service",
            "unit `sshd.service` is another name of `plain.service`",
        ),
        ("lost.service", "there is no unit `nobody.socket`"),
        (
            "kind.service",
            "has the alias `kind.timer`, which cannot be a name of this unit",
        ),
        ("host.service", "has the specifier `%H`"),
    ] {
        let error = UnitLinks::new(&tree).enable(unit).unwrap_err().to_string();
        assert!(error.contains(expected), "{unit}: {error}");
    }
    // A unit of the administrator's own cannot be masked: its file is where the link would be.
    let error = UnitLinks::new(&tree).mask("own.service").unwrap_err().to_string();
    assert!(
        error.contains("cannot have its link `/etc/systemd/system/own.service`: a file is there"),
        "{error}"
    );
}

/// Of a whole distribution: `PORTADC_BASE_TAR=base.tar cargo test -- --ignored`.
#[test]
#[ignore = "needs the tarball of a base in PORTADC_BASE_TAR"]
fn enabling_links_what_systemctl_links_for_all_units_of_a_base() {
    let tarball = std::env::var("PORTADC_BASE_TAR").unwrap();
    let packing = Packing {
        compression: Compression::None,
        inline: Inline::Raw,
        jobs: NonZeroUsize::MIN,
    };
    let options = TarOptions {
        packing,
        devices: Devices::Allowed,
        limits: Limits::default(),
    };
    let mut blob = Vec::new();
    let index = from_tar(fs::File::open(&tarball).unwrap(), &mut blob, &options).unwrap();
    let layer = index.with_blob(blob.into()).unwrap();
    let tree = Tree::stack(&[(&layer, Share::Role)], support::TIME).unwrap();
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().to_str().unwrap();
    let folders = ["./usr/lib/systemd/system", "./etc/systemd/system"];
    oracle::run(
        "tar",
        "tar",
        ["-C", folder, "-xf", &tarball].iter().chain(&folders),
    );
    let before = links_in(root.path());
    let units = fs::read_dir(root.path().join("usr/lib/systemd/system")).unwrap();
    let mut compared = 0;
    for unit in units {
        let unit = unit.unwrap();
        let mut name = unit.file_name().into_string().unwrap();
        if !unit.file_type().unwrap().is_file() {
            continue;
        }
        if name.contains("@.") {
            name = name.replace("@.", "@instance.");
        }
        let mut links = UnitLinks::new(&tree);
        if links.enable(&name).is_err() {
            continue;
        }
        systemctl(root.path(), "enable", &name);
        let mut expected = links_in(root.path());
        let added = links.into_changes().0;
        // What the base had already is not made again by systemctl, with whatever target it has.
        expected.retain(|path, _| !before.contains_key(path));
        let mut added_anew = added.clone();
        added_anew.retain(|path, _| !before.contains_key(path));
        assert_eq!(added_anew, expected, "{name}");
        for path in expected.keys() {
            fs::remove_file(root.path().join(path)).unwrap();
        }
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
    println!("{compared} units compared");
}
