//! A fleet of one's own: made, checked, looked at and changed by the program itself, in a folder that has nothing of this
//! repository.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder in which the program makes projects.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the project `lab` in it.
    fn with_lab(more: &[&str]) -> Self {
        let place = Self::new();
        let arguments: Vec<&str> = [&["init", "lab"], more].concat();
        let output = place.run("", &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn run(&self, folder: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portadc"));
        command
            .args(arguments)
            .current_dir(self.path(folder))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What the program prints in the project `lab`.
    #[track_caller]
    fn lab(&self, arguments: &[&str]) -> String {
        let output = self.run("lab", arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What it says where it fails there.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run("lab", arguments);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_init_makes_has_nothing_wrong() {
    for more in [
        &[][..],
        &["--containers"],
        // Where containers have their addresses elsewhere.
        &["--containers", "--subnet", "10.200.7.0/24"],
        &["--board", "qemu-virt", "--nodes", "1"],
    ] {
        let place = Place::with_lab(more);
        let nodes = if more.contains(&"1") { 1 } else { 3 };
        assert_eq!(
            place.lab(&["check"]),
            format!("lab: {nodes} nodes, nothing wrong\n")
        );
        for node in 1..=nodes {
            let name = format!("lab-{node:02}");
            assert_eq!(
                place.lab(&["render", &name, "--file", "/etc/hostname"]),
                format!("{name}\n")
            );
        }
    }
}

#[test]
fn flags_decide_and_nobody_is_asked_where_there_is_no_terminal() {
    let place = Place::new();
    fs::write(
        place.path("key.pub"),
        "# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1TBsXp1n0h3IbTtJ4V6QOeEYGF5KbCpiBUyDYnQBWm me@here\n",
    )
    .unwrap();
    let arguments = [
        "init",
        "lab",
        "--fleet",
        "attic",
        "--nodes",
        "4",
        "--subnet",
        "10.0.7.0/24",
        "--gateway",
        "10.0.7.254",
        "--name-server",
        "10.0.7.2",
        "--name-server",
        "9.9.9.9",
        "--admin-key",
        "key.pub",
    ];
    let output = place.run("", &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("portadc build attic-01"),
        "{}",
        text(&output.stdout)
    );
    let listed: Value = serde_json::from_str(&place.lab(&["list", "--json"])).unwrap();
    let addresses: Vec<_> = listed["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| &node["address"])
        .collect();
    assert_eq!(
        addresses,
        ["10.0.7.101", "10.0.7.102", "10.0.7.103", "10.0.7.104"]
    );
    assert_eq!(
        place
            .lab(&["render", "attic-02", "--file", "/etc/resolv.conf"])
            .matches("nameserver")
            .count(),
        2
    );
    let keys = place.lab(&["show", "attic-02"]);
    assert!(keys.contains("10.0.7.254"), "{keys}");
    assert!(
        fs::read_to_string(place.path("lab/images/fleet.toml"))
            .unwrap()
            .contains("me@here")
    );
}

#[test]
fn questions_are_asked_on_a_terminal() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_portadc");
    let mut script = Command::new("script")
        .args(["-qec", &format!("{program} init lab"), "/dev/null"])
        .current_dir(place.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Name (one that cannot be first), board, nodes, containers, network, router, name server, key.
    let answers = "Attic\nattic\n\n2\nno\n10.1.2.0/24\n\n\n\n";
    script
        .stdin
        .take()
        .unwrap()
        .write_all(answers.as_bytes())
        .unwrap();
    let output = script.wait_with_output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    for question in [
        "Name of the fleet [lab]",
        "the upper-case letter `A`",
        "[odroid-c2]",
        "Its router [10.1.2.1]",
    ] {
        assert!(said.contains(question), "{question} is not in:\n{said}");
    }
    assert_eq!(place.lab(&["check"]), "attic: 2 nodes, nothing wrong\n");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let place = Place::new();
    for (arguments, code, named) in [
        (&["--fleet", "My Lab"][..], 2, "upper-case letter"),
        (&["--board", "odroid-c3"], 2, "did you mean `odroid-c2`?"),
        (&["--nodes", "0"], 2, "1 to 99 nodes"),
        (&["--nodes", "many"], 2, "many"),
        (&["--subnet", "10.0.0.0/28"], 2, "too small"),
        (&["--gateway", "10.0.0.1"], 1, "images/fleet.toml:"),
        (&["--gateway", "192.168.1.102"], 1, "images/fleet.toml:"),
        (&["--admin-key", "none.pub"], 1, "none.pub"),
        (&["--admin-key", "/dev/null"], 1, "has no key"),
    ] {
        let output = place.run("", &[&["init", "lab"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(named), "{named} is not in:\n{said}");
        assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0, "{arguments:?}");
    }
    fs::create_dir(place.path("lab")).unwrap();
    fs::write(place.path("lab/sources.toml"), "mine").unwrap();
    let said = text(&place.run("", &["init", "lab"]).stderr);
    assert!(said.contains("lab has sources.toml already"), "{said}");
    assert_eq!(fs::read_dir(place.path("lab")).unwrap().count(), 1);
}

#[test]
fn an_overlay_of_the_project_takes_the_place_of_the_stock_one() {
    let place = Place::with_lab(&[]);
    let stock = place.lab(&["render", "lab-01"]);
    assert!(
        place
            .lab(&["list"])
            .lines()
            .any(|line| line.starts_with("overlay/power ") && line.contains(" stock "))
    );
    assert_eq!(
        place.lab(&["eject", "overlay/power"]),
        format!(
            "{} is used in place of the stock one\n",
            place.path("lab/overlays/power").canonicalize().unwrap().display()
        )
    );
    // A copy alone changes nothing.
    assert_eq!(place.lab(&["render", "lab-01"]), stock);
    fs::create_dir_all(place.path("lab/overlays/power/files/etc")).unwrap();
    fs::write(place.path("lab/overlays/power/files/etc/motd"), "the attic\n").unwrap();
    fs::remove_dir_all(place.path("lab/overlays/power/templates")).unwrap();
    assert_eq!(
        place.lab(&["render", "lab-01", "--file", "/etc/motd"]),
        "the attic\n"
    );
    let laid = place.lab(&["render", "lab-01"]);
    assert!(
        !laid.contains("governor.conf") && stock.contains("governor.conf"),
        "{laid}"
    );
    let shown = place.lab(&["show", "lab-01"]);
    let part = |name: &str| shown.lines().find(|line| line.contains(name)).unwrap();
    assert!(
        part("overlay/power").contains(" overlays/power/overlay.toml:1 ")
            && part("overlay/power").ends_with("own, in place of stock"),
        "{shown}"
    );
    assert!(
        part("overlay/common").contains("stock:overlays/common/overlay.toml:1"),
        "{shown}"
    );

    let said = place.fails(&["eject", "overlay/power"], 1);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(
        fs::read_to_string(place.path("lab/overlays/power/files/etc/motd")).unwrap(),
        "the attic\n"
    );
    let said = place.fails(&["eject", "overlay/../power"], 1);
    assert!(said.contains("there is no stock overlay"), "{said}");

    // What is wrong with it is told by file and line, as of any other.
    fs::write(
        place.path("lab/overlays/power/overlay.toml"),
        "description = \"\"\n",
    )
    .unwrap();
    let said = place.fails(&["check"], 1);
    assert!(said.contains("--> overlays/power/overlay.toml:1:15"), "{said}");
}

#[test]
fn without_a_node_it_is_said_what_there_is() {
    let place = Place::with_lab(&[]);
    assert_eq!(place.lab(&["show"]), place.lab(&["list"]));
    let listed = place.lab(&["list"]);
    for line in [
        "lab-02",
        "board/odroid-c2",
        "layout/card",
        "kernel/usb",
        "kernel ",
    ] {
        assert!(
            listed.lines().any(|found| found.starts_with(line)),
            "{line} is not in:\n{listed}"
        );
    }
    let said = place.fails(&["build"], 2);
    assert!(said.contains("--all: lab-01, lab-02, lab-03"), "{said}");
    let said = text(&place.run("", &["check"]).stderr);
    assert!(said.contains("portadc init DIR"), "{said}");
}

#[test]
fn programs_are_told_where_each_node_is_and_what_it_runs() {
    let output = Place::new().run("", &["-C", testkit::fleet::PROJECT, "list", "--json"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str, key: &str| {
        let mut nodes = listed["nodes"].as_array().unwrap().iter();
        nodes.find(|node| node["name"] == name).unwrap()[key].clone()
    };
    assert_eq!(of("red-07", "containers"), json!(["web"]));
    assert_eq!(of("red-08", "containers"), json!([]));
    assert_eq!(of("blue-23", "cluster"), "blue");
    assert_eq!(
        (of("blue-01", "gateway"), of("blue-02", "gateway")),
        (json!(true), json!(false))
    );
}

#[test]
fn a_node_may_take_its_address_by_dhcp() {
    let place = Place::with_lab(&[]);
    let fleet = place.path("lab/images/fleet.toml");
    let written = fs::read_to_string(&fleet).unwrap();
    let more = "\n[clusters.shed]\nslots = \"1-2\"\naddress = \"dhcp\"\n";
    fs::write(&fleet, format!("{written}{more}")).unwrap();
    assert_eq!(place.lab(&["check"]), "lab: 5 nodes, nothing wrong\n");
    let port = place.lab(&[
        "render",
        "shed-01",
        "--file",
        "/etc/systemd/network/10-local.network",
    ]);
    let lines: Vec<&str> = port.lines().collect();
    for line in ["DHCP=ipv4", "UseDNS=no", "ClientIdentifier=mac"] {
        assert!(lines.contains(&line), "{port}");
    }
    assert!(!port.contains("Address=") && !port.contains("Gateway="), "{port}");
    let other = place.lab(&[
        "render",
        "lab-01",
        "--file",
        "/etc/systemd/network/10-local.network",
    ]);
    assert!(!other.contains("DHCP"), "{other}");
    // Nobody knows where it is.
    let hosts = place.lab(&["render", "lab-01", "--file", "/etc/hosts"]);
    assert!(
        hosts.contains("192.168.1.101 lab-01\n") && !hosts.contains("shed"),
        "{hosts}"
    );
    let servers = place.lab(&["render", "shed-01", "--file", "/etc/resolv.conf"]);
    assert!(servers.contains("nameserver 192.168.1.1\n"), "{servers}");
    let listed: Value = serde_json::from_str(&place.lab(&["--json", "list"])).unwrap();
    let addresses: Vec<_> = listed["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| &node["address"])
        .collect();
    assert_eq!(
        addresses[2..],
        [&json!("192.168.1.103"), &json!(null), &json!(null)]
    );
    let sources = place.path("lab/sources.toml");
    let written = fs::read_to_string(&sources).unwrap();
    fs::write(&sources, written.replace("arm64-systemd", "arm64-openrc")).unwrap();
    let said = place.fails(
        &["render", "shed-01", "--sources", "gentoo", "--file", "/etc/hosts"],
        1,
    );
    assert!(
        said.contains("OpenRC has no program") && said.contains("address = \"dhcp\""),
        "{said}"
    );
}
