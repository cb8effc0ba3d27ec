//! What comes with the program is what this repository has, and what a person makes of it is a project.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use model::files::{Files, PartKind};
use model::overlay::Source;
use model::project::Project;
use stock::{Choices, eject, init};
use tempfile::TempDir;

/// This repository, which is a project that has all parts itself.
fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// All files below `folder` by their path below `root`: bytes, and whether they are executable.
fn all(root: &Path, folder: &str, found: &mut BTreeMap<String, (Vec<u8>, bool)>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            all(root, &path, found);
        } else {
            let mode = entry.metadata().unwrap().permissions().mode();
            found.insert(path, (fs::read(entry.path()).unwrap(), mode & 0o100 != 0));
        }
    }
}

fn load(files: Files) -> Project {
    Project::load_from(files).unwrap_or_else(|findings| panic!("{findings}"))
}

fn choices() -> Choices {
    Choices {
        fleet: "lab".to_owned(),
        board: "odroid-c2".to_owned(),
        nodes: 5,
        subnet: "192.168.1.0/24".parse().unwrap(),
        gateway: "192.168.1.1".parse().unwrap(),
        name_servers: vec!["192.168.1.1".parse().unwrap()],
        containers: false,
        admin_keys: Vec::new(),
    }
}

/// A new project.
fn project(choices: &Choices) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("lab");
    init(&folder, choices, |draft| {
        Ok(Project::load_from(stock::files(draft)).map(drop)?)
    })
    .unwrap();
    (place, folder)
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_file_of_the_repository_s_parts_comes_with_the_program() {
    let mut ours = BTreeMap::new();
    for folder in ["boards", "images/layouts", "kernel", "overlays"] {
        all(repository(), folder, &mut ours);
    }
    let (_place, folder) = project(&choices());
    for kind in PartKind::ALL {
        let files = stock::files(&folder);
        for name in files.stock_names(kind) {
            eject(&files, &kind.reference(name)).unwrap();
        }
    }
    let mut theirs = BTreeMap::new();
    for folder_name in ["boards", "images/layouts", "kernel", "overlays"] {
        all(&folder, folder_name, &mut theirs);
    }
    theirs.remove("overlays/README.md").unwrap();
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    assert!(ours == theirs, "bytes or executable bits differ");
    assert!(ours.values().any(|(_, is_executable)| *is_executable));
}

#[test]
fn stock_parts_are_the_repository_s_to_all_that_an_image_is_made_of() {
    let place = tempfile::tempdir().unwrap();
    for file in ["images/fleet.toml", "sources.toml"] {
        fs::create_dir_all(place.path().join("images")).unwrap();
        fs::copy(repository().join(file), place.path().join(file)).unwrap();
    }
    let (stock, own) = (load(stock::files(place.path())), load(stock::files(repository())));
    let laid = |project: &Project| {
        let overlays = project.overlays.values();
        let entries = overlays.flat_map(|overlay| {
            overlay.entries.iter().map(|(path, entry)| {
                let content = match &entry.source {
                    Source::Verbatim(bytes) => bytes.to_vec(),
                    Source::Template(file) => file.text.clone().into_bytes(),
                    other => format!("{other:?}").into_bytes(),
                };
                let owner = (entry.owner.user.clone(), entry.owner.group.clone());
                (
                    overlay.name.clone(),
                    path.clone(),
                    entry.mode,
                    format!("{owner:?}"),
                    content,
                )
            })
        });
        entries.collect::<Vec<_>>()
    };
    assert!(laid(&stock) == laid(&own));
    let kernel = |project: &Project| {
        let requests = project.kernel.requests.iter();
        let requests =
            requests.map(|request| format!("{} {} {:?}", request.symbol, request.value, request.range));
        let trees = project
            .boards
            .values()
            .filter_map(|board| board.device_tree.as_ref());
        let trees = trees.map(|tree| tree.source.text.clone());
        requests.chain(trees).collect::<Vec<_>>()
    };
    assert_eq!(kernel(&stock), kernel(&own));
    assert_eq!(stock.layouts, own.layouts);
}

#[test]
fn a_new_project_has_a_fleet_and_nothing_else_of_its_own() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1TBsXp1n0h3IbTtJ4V6QOeEYGF5KbCpiBUyDYnQBWm me \"here\"";
    for (containers, subnet, gateway) in [
        (false, "192.168.1.0/24", "192.168.1.254"),
        (true, "10.7.0.0/16", "10.7.0.1"),
    ] {
        for board in ["odroid-c2", "odroid-c4", "qemu-virt"] {
            for nodes in [1, 2, 99] {
                let (_place, folder) = project(&Choices {
                    nodes,
                    containers,
                    board: board.to_owned(),
                    subnet: subnet.parse().unwrap(),
                    gateway: gateway.parse().unwrap(),
                    admin_keys: vec![key.to_owned()],
                    ..choices()
                });
                let project = load(stock::files(&folder));
                assert_eq!(project.fleet.nodes.len(), usize::from(nodes));
                assert_eq!(project.fleet.admin_keys, [key]);
                assert_eq!(
                    names(&folder),
                    [".gitignore", "images", "overlays", "schemas", "sources.toml"]
                );
                assert_eq!(names(&folder.join("overlays")), ["README.md"]);
            }
        }
    }
}

/// What the comments offer can be taken out of them.
#[test]
fn what_a_new_fleet_offers_can_be_had() {
    let (_place, folder) = project(&choices());
    let path = folder.join("images/fleet.toml");
    let text = fs::read_to_string(&path).unwrap();
    let uncommented = text
        .replace("# subnet6 = \"fd00", "subnet6 = \"fd00")
        .replace("# gateway6 =", "gateway6 =")
        .replace("address = \"192.168.1.1{slot:02}\"", "address = \"192.168.1.1{slot:02}\"\naddress6 = \"fd00:1:2:3::1{slot}\"")
        .replace("# supply =", "supply =")
        .replace("# switch =", "switch =")
        .replace("# [power.ondemand]\n# idle = 0.29\n# busy =", "[power.ondemand]\nidle = 0.29\nbusy =")
        .replace("# [[allow]]\n# from = [\"lan\"]\n# to = [\"nodes\"]\n# tcp = [22]\n# icmp = true\n", "")
        .replace("\"power\"]", "\"power\", \"zram\", \"firewall\", \"guard\"]\n[[allow]]\nfrom = [\"lan\"]\nto = [\"nodes\"]\ntcp = [22]\nicmp = true")
        .replace("governor = \"ondemand\"", "governor = \"ondemand\"\nzram = \"256 MiB\"")
        .replace("# [nodes.lab-01]\n# address =", "[nodes.lab-01]\naddress =")
        .replace("# mac =", "mac =");
    fs::write(&path, uncommented).unwrap();
    let project = load(stock::files(&folder));
    assert_eq!(project.fleet.nodes[0].address_text(), "192.168.1.50");
    assert!(
        project
            .fleet
            .nodes
            .iter()
            .all(|node| node.address6.is_some() && node.zram.is_some())
    );

    let (_place, folder) = self::project(&Choices {
        containers: true,
        subnet: "10.7.0.0/16".parse().unwrap(),
        gateway: "10.7.0.1".parse().unwrap(),
        ..choices()
    });
    let path = folder.join("images/fleet.toml");
    let text = fs::read_to_string(&path).unwrap();
    let from = text.find("# [containers.web]").unwrap();
    let container: String = text[from..]
        .lines()
        .take(5)
        .map(|line| format!("{}\n", &line[2..]))
        .collect();
    fs::write(&path, format!("{text}\n{container}")).unwrap();
    assert_eq!(load(stock::files(&folder)).fleet.containers.len(), 1);
}

#[test]
fn a_fleet_that_cannot_be_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("lab");
    let refused = |choices: Choices, named: &str| {
        let error = init(&folder, &choices, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        assert_eq!(names(place.path()), Vec::<String>::new());
    };
    refused(
        Choices {
            fleet: "My Lab".to_owned(),
            ..choices()
        },
        "`My Lab` has the upper-case letter `M`",
    );
    refused(
        Choices {
            fleet: "../x".to_owned(),
            ..choices()
        },
        "has the character `.`",
    );
    refused(
        Choices {
            nodes: 0,
            ..choices()
        },
        "1 to 99 nodes, not 0",
    );
    refused(
        Choices {
            nodes: 100,
            ..choices()
        },
        "1 to 99 nodes, not 100",
    );
    refused(
        Choices {
            subnet: "10.0.0.0/25".parse().unwrap(),
            ..choices()
        },
        "/24 is the smallest",
    );
}

#[test]
fn a_folder_that_has_files_of_a_project_is_left_alone() {
    for name in [
        "images",
        "sources.toml",
        ".gitignore",
        "overlays",
        "identity",
        "boards",
        "kernel",
        "sources.lock",
    ] {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(name), "mine").unwrap();
        let error = init(place.path(), &choices(), |_| Ok(()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("has {name} already")), "{error}");
        assert_eq!(names(place.path()), [name]);
    }
    let place = tempfile::tempdir().unwrap();
    symlink("nowhere", place.path().join("overlays")).unwrap();
    init(place.path(), &choices(), |_| Ok(())).unwrap_err();
    fs::write(place.path().join("file"), "mine").unwrap();
    let error = init(&place.path().join("file"), &choices(), |_| Ok(()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("is no folder"), "{error}");
}

#[test]
fn a_folder_that_has_other_files_becomes_a_project() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join(".git")).unwrap();
    fs::write(place.path().join("README.md"), "mine").unwrap();
    init(place.path(), &choices(), |_| Ok(())).unwrap();
    assert_eq!(
        names(place.path()),
        [
            ".git",
            ".gitignore",
            "README.md",
            "images",
            "overlays",
            "schemas",
            "sources.toml"
        ]
    );
    load(stock::files(place.path()));
}

#[test]
fn what_is_found_wrong_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    for folder in [place.path().join("a/b"), place.path().join("a")] {
        let check = |draft: &Path| -> Result<()> {
            assert!(draft.join("images/fleet.toml").is_file());
            bail!("wrong")
        };
        assert_eq!(init(&folder, &choices(), check).unwrap_err().to_string(), "wrong");
        assert_eq!(names(&place.path().join("a")), Vec::<String>::new());
    }
}

#[test]
fn a_copy_takes_the_stock_part_s_place_and_is_never_overwritten() {
    let (_place, folder) = project(&choices());
    let files = stock::files(&folder);
    assert_eq!(
        eject(&files, "overlay/common").unwrap(),
        Path::new("overlays/common")
    );
    let script = folder.join("overlays/common/files/usr/lib/portadc/grow-root");
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o100, 0o100);

    let edited = folder.join("overlays/common/files/etc/motd");
    fs::write(&edited, "mine\n").unwrap();
    let laid = &load(files.clone()).overlays["common"].entries;
    assert!(laid.keys().any(|path| path.to_string() == "/etc/motd"));
    let error = eject(&files, "overlay/common").unwrap_err().to_string();
    assert!(error.contains("overlays/common is there already"), "{error}");
    assert_eq!(fs::read_to_string(edited).unwrap(), "mine\n");

    for (part, path) in [
        ("board/odroid-c2", "boards/odroid-c2"),
        ("layout/card", "images/layouts/card.toml"),
        ("kernel/usb", "kernel/fragments/usb.config"),
        ("kernel", "kernel/kernel.toml"),
    ] {
        assert_eq!(eject(&files, part).unwrap(), Path::new(path));
        assert!(
            eject(&files, part)
                .unwrap_err()
                .to_string()
                .contains("is there already")
        );
    }
    assert_eq!(names(&folder.join("overlays")), ["README.md", "common"]);
    load(files);
}

#[test]
fn hostile_names_of_parts_touch_nothing() {
    let (place, folder) = project(&choices());
    let files = stock::files(&folder);
    for part in [
        "overlay/../x",
        "overlay/..",
        "overlay/common/files",
        "overlay/common/../guard",
        "overlay//etc",
        "overlay/",
        "overlay",
        "/overlay/common",
        "../overlay/common",
        "kernel/../kernel",
        "layout/card.toml",
        "",
        "stock:overlays/common",
        "role/common",
    ] {
        let error = eject(&files, part).unwrap_err().to_string();
        assert!(
            error.contains("there is no stock") || error.contains("names no part"),
            "{error}"
        );
    }
    let error = eject(&files, "overlay/gaurd").unwrap_err().to_string();
    assert_eq!(error, "there is no stock overlay `gaurd`: did you mean `guard`?");
    assert_eq!(names(place.path()), ["lab"]);
    assert_eq!(names(&folder.join("overlays")), ["README.md"]);
    assert!(!folder.join("kernel").exists());
}

/// Nothing follows a link out of the project: what is there, is there.
#[test]
fn a_link_in_a_part_s_place_is_left_alone() {
    let (place, folder) = project(&choices());
    symlink(place.path().join("elsewhere"), folder.join("overlays/guard")).unwrap();
    let error = eject(&stock::files(&folder), "overlay/guard")
        .unwrap_err()
        .to_string();
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(names(place.path()), ["lab"]);
}

/// A fleet of another board needs nothing of its own but its name; what the kernel needs for it comes with the board.
#[test]
fn the_kernel_is_for_the_boards_of_the_fleet() {
    let g12a = |board: &str| {
        let (_place, folder) = project(&Choices {
            board: board.to_owned(),
            ..choices()
        });
        let kernel = load(stock::files(&folder)).kernel;
        let asked = kernel.requests_for("6.12".parse().unwrap());
        let about = asked
            .iter()
            .filter(|request| request.symbol == "PINCTRL_MESON_G12A");
        about.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(g12a("odroid-c2"), ["# CONFIG_PINCTRL_MESON_G12A is not set"]);
    assert_eq!(g12a("odroid-c4"), ["CONFIG_PINCTRL_MESON_G12A=y"]);
}
