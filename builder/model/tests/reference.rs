//! A whole cluster, that of the tests: what its files say is what the builder sees.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use model::finding::{Findings, SourceFile};
use model::fleet::{Fleet, FleetToml, Known, check_fleet};
use model::layout::Layout;
use model::project::Project;
use model::{document, schema, show};
use testkit::fleet;

fn reference() -> Project {
    Project::load(Path::new(fleet::PROJECT)).unwrap_or_else(|findings| panic!("{findings}"))
}

#[test]
fn holds_46_nodes_on_two_buses() {
    let nodes = reference().fleet.nodes;
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names.len(), 46);
    assert_eq!(
        (names[0], names[22], names[23], names[45]),
        ("red-01", "red-23", "blue-01", "blue-23")
    );
    let addresses: BTreeSet<_> = nodes.iter().map(|node| node.address_text()).collect();
    assert_eq!(addresses.len(), 46);
    assert_eq!(
        (nodes[6].slot, nodes[6].address_text()),
        (7, "172.16.1.7".to_owned())
    );
    assert_eq!(
        (nodes[29].slot, nodes[29].address_text()),
        (7, "172.16.2.7".to_owned())
    );
}

#[test]
fn shows_where_each_value_of_a_node_comes_from() {
    let project = reference();
    insta::assert_snapshot!(show::text(&show::values(&project, "red-07").unwrap()));
}

#[test]
fn shows_the_same_to_programs() {
    let project = reference();
    let json = show::json(&show::values(&project, "blue-23").unwrap());
    let address = json
        .as_array()
        .unwrap()
        .iter()
        .find(|value| value["name"] == "address")
        .unwrap();
    let line = fleet::TOML
        .lines()
        .position(|line| line.contains("172.16.2.{slot}"))
        .unwrap();
    assert_eq!(address["value"], "172.16.2.23");
    assert_eq!(address["file"], "images/fleet.toml");
    assert_eq!(address["line"], line + 1);
}

#[test]
fn an_unknown_node_is_told_the_nearest_name() {
    let finding = show::values(&reference(), "red-7").unwrap_err();
    assert_eq!(finding.message, "there is no node `red-7`");
    assert_eq!(finding.hint.as_deref(), Some("did you mean `red-07`?"));
}

#[test]
fn the_board_that_has_a_u_boot_is_found() {
    let project = reference();
    let name = |name: Option<&str>| project.u_boot(name).map(|(board, _)| board.name.clone());
    assert_eq!(name(None).unwrap(), "odroid-c2");
    assert_eq!(name(Some("odroid-c2")).unwrap(), "odroid-c2");
    let text = |wanted: &str| {
        let finding = name(Some(wanted)).unwrap_err();
        (finding.message, finding.hint.unwrap_or_default())
    };
    let (message, hint) = text("qemu-virt");
    assert_eq!(message, "board `qemu-virt` has no U-Boot");
    assert!(hint.ends_with("in its board.toml: odroid-c2"), "{hint}");
    assert_eq!(
        text("odroid-c"),
        (
            "there is no board `odroid-c`".to_owned(),
            "did you mean `odroid-c2`?".to_owned()
        )
    );
}

/// The reference fleet with `more` at its end.
fn fleet_with(more: &str) -> Result<Fleet, Findings> {
    check_text(format!("{}{more}", fleet::TOML))
}

/// The fleet of this text, in the project's folders.
fn check_text(text: String) -> Result<Fleet, Findings> {
    let (fleet, findings) = fleet_and_findings(text);
    findings.or_value(fleet)
}

fn all_of_text(text: String) -> Findings {
    fleet_and_findings(text).1
}

fn fleet_and_findings(text: String) -> (Fleet, Findings) {
    let file = Arc::new(SourceFile {
        path: "images/fleet.toml".into(),
        text,
    });
    let known = Known {
        boards: ["odroid-c2", "qemu-virt"].map(String::from).into(),
        layouts: ["card", "gateway"].map(String::from).into(),
        overlays: reference()
            .overlays
            .into_iter()
            .map(|(name, overlay)| (name, Some(overlay.provides)))
            .collect(),
    };
    let mut findings = Findings::default();
    let written: Option<FleetToml> = document::parse(&file, &mut findings);
    let fleet = written.map(|written| check_fleet(&file, &written, &known, &mut findings));
    (fleet.unwrap_or_default(), findings)
}

/// Everything that is found in the reference fleet with `old` replaced by `new`.
fn found_with(old: &str, new: &str) -> Findings {
    let text = fleet::TOML.to_owned();
    assert!(text.contains(old), "{old}");
    all_of_text(text.replace(old, new))
}

#[test]
fn one_mistake_is_one_finding() {
    for (old, new, message) in [
        (
            "role = \"hypervisor\"",
            "role = \"hypervizor\"",
            "there is no role `hypervizor`",
        ),
        (
            "network = \"datacenter\"",
            "network = \"datacentre\"",
            "there is no network `datacentre`",
        ),
        (
            "node = \"red-07\"",
            "node = \"red-01\"",
            "`red-01` has the role `gateway-toc`, which runs no containers",
        ),
        (
            "slots = \"1-23\"\nnames = \"red",
            "slots = \"1-x\"\nnames = \"red",
            "a slot is a number from 1 to 999, not `x`",
        ),
        (
            "role = \"gateway-utilite\"",
            "role = \"gateway-utilit\"",
            "there is no role `gateway-utilit`",
        ),
    ] {
        let findings = found_with(old, new);
        assert_eq!(findings.0.len(), 1, "{new}: {findings}");
        assert!(findings.0[0].message.contains(message), "{findings}");
    }
}

#[test]
fn a_node_that_nobody_reaches_is_told_of() {
    // With the rules of the overlay guard, and nothing that lets ssh in.
    let text = fleet::TOML.to_owned();
    let allow = text.find("# Who may open connections besides.").unwrap();
    let end = text.find("# One node's exception").unwrap();
    let shut = format!("{}{}", &text[..allow], &text[end..]).replace("\"backup\", ", "");
    let findings = all_of_text(shut);
    assert_eq!((findings.0.len(), findings.errors()), (1, 1), "{findings}");
    let said = findings.to_string();
    assert!(
        said.contains("nobody could log in at nodes of the role `hypervisor`") && said.contains("tcp = [22]"),
        "{said}"
    );
    // Without what brings network and ssh.
    let findings = found_with(
        "overlays = [\"common\", \"gentoo\", \"first-start\", \"openrc\", \"power\", \"firewall\", \"guard\"",
        "overlays = [\"guard\"",
    );
    assert_eq!((findings.0.len(), findings.errors()), (1, 0), "{findings}");
    let said = findings.to_string();
    assert!(
        said.starts_with("warning: nobody reaches nodes of the role `hypervisor`")
            && said.contains("add \"common\""),
        "{said}"
    );
    // Containers that nothing runs.
    let findings = found_with("\"hypervisor\", \"move\", ", "\"move\", ");
    assert_eq!(findings.errors(), 1, "{findings}");
    assert!(
        findings.to_string().contains("no overlay of it runs any"),
        "{findings}"
    );
}

#[test]
fn containers_behind_a_router_that_knows_nothing_of_them_are_told_of() {
    let text = fleet::TOML.to_owned();
    let without_inproxy = text.find("# What they serve.").unwrap();
    let end = text.find("# What nodes have of their own goes").unwrap();
    let text = format!("{}{}", &text[..without_inproxy], &text[end..]);
    let findings = all_of_text(text.replace("gateway = \"172.16.0.1\"", "gateway = \"172.16.0.9\""));
    assert_eq!((findings.0.len(), findings.errors()), (1, 0), "{findings}");
    let said = findings.to_string();
    assert!(
        said.contains("its router 172.16.0.9 is no node of the fleet")
            && said.contains("172.16.223.0/24 by 172.16.2.23"),
        "{said}"
    );
}

/// What is said about the fleet with `old` replaced by `new`.
fn said_of_fleet_with(old: &str, new: &str) -> String {
    assert!(fleet::TOML.contains(old), "{old}");
    match check_text(fleet::TOML.replace(old, new)) {
        Ok(_) => String::new(),
        Err(findings) => findings.to_string(),
    }
}

#[test]
fn what_no_overlay_of_a_role_does_is_not_promised() {
    let said = said_of_fleet_with("\"tunnel\", \"inproxy\", ", "");
    for overlay in ["inproxy", "tunnel"] {
        assert!(said.contains(&format!("lacks the overlay `{overlay}`")), "{said}");
    }
    let said = said_of_fleet_with(", \"observe\"]", "]");
    assert!(said.contains("lacks the overlay `observe`"), "{said}");
}

#[test]
fn a_buddy_is_not_promised_where_no_overlay_exports_backups() {
    let own = "[nodes.red-07]\nbuddy = \"blue-23\"\n";
    let buddy = format!("{own}\n# What nodes run.");
    assert_eq!(said_of_fleet_with("# What nodes run.", &buddy), "");
    let without = fleet::TOML
        .replace("\"backup\", ", "")
        .replace("# What nodes run.", &buddy);
    let said = check_text(without).unwrap_err().to_string();
    assert!(said.contains("lacks the overlay `backup`"), "{said}");
}

#[test]
fn node_47_is_five_lines_and_the_examples_of_the_fleet_file_hold() {
    let examples: Vec<String> = fleet::TOML
        .split("#\n")
        .map(|block| {
            block
                .lines()
                .filter_map(|line| line.strip_prefix("#   "))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .filter(|block| !block.is_empty())
        .collect();
    let [exception, bus, single] = examples.as_slice() else {
        panic!("{examples:#?}");
    };
    assert_eq!(bus.lines().count(), 5);

    let fleet = fleet_with(bus).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(fleet.nodes.len(), 47);
    assert_eq!(
        (fleet.nodes[46].name.as_str(), fleet.nodes[46].address_text()),
        ("green-01", "172.16.3.1".into())
    );

    let fleet =
        fleet_with(&format!("{exception}\n{bus}\n{single}")).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(fleet.nodes.len(), 48);
    let node = |name: &str| fleet.nodes.iter().find(|node| node.name == name).unwrap();
    assert_eq!(node("red-07").address_text(), "172.16.1.107");
    assert_eq!(node("red-07").mac.unwrap().to_string(), "02:00:00:00:01:07");
    assert_eq!(
        (node("bench").address_text(), node("bench").board.as_str()),
        ("172.16.3.2".into(), "qemu-virt")
    );
}

#[test]
fn swap_is_not_promised_where_no_overlay_makes_it() {
    let findings =
        fleet_with("[nodes.red-07]\nzram = \"256 MiB\"\n[nodes.red-08]\nzram = \"256 MiB\"\n").unwrap_err();
    assert_eq!(findings.0.len(), 1, "{findings}");
    assert_eq!(
        findings.0[0].message,
        "the role `hypervisor` of that node lacks the overlay `zram`, which does this"
    );
}

#[test]
fn a_24th_node_has_no_port_on_its_switch() {
    let findings = fleet_with("[nodes.red-24]\ncluster = \"red\"\nslot = 24\n").unwrap_err();
    assert_eq!(findings.0.len(), 1, "{findings}");
    assert_eq!(
        findings.0[0].message,
        "cluster `red` has 24 nodes and 1 uplink, but its switch has 24 ports"
    );
}

#[test]
fn the_layout_of_gateways_is_that_of_cards_without_containers() {
    let project = reference();
    let [card, gateway] = ["card", "gateway"].map(|name| &project.layouts[name]);
    let names = |layout: &Layout| -> Vec<String> {
        let root = layout.root().unwrap();
        let subvolumes = root.subvolumes.iter().map(|subvolume| subvolume.name.clone());
        subvolumes.chain(root.container_image.clone()).collect()
    };
    assert_eq!(
        names(card),
        ["@", "@lxc", "@srv", "@snapshots", "@log", "@template"]
    );
    assert_eq!(names(gateway), ["@", "@srv", "@snapshots", "@log"]);
    assert_eq!(gateway.name, "gateway");
    let sizes = |layout: &Layout| -> Vec<_> {
        let partitions = layout.partitions.iter();
        partitions
            .map(|partition| (partition.label.clone(), partition.size))
            .collect()
    };
    assert_eq!(sizes(card), sizes(gateway));
    // `show` says where the values are written, and none of what is left out.
    let shown = show::text(&show::values(&project, "blue-01").unwrap());
    assert!(
        shown.contains("@srv at /srv") && !shown.contains("@lxc"),
        "{shown}"
    );
}

/// Editors read the schemas from `schemas/`; they are those of the types that read the files.
#[test]
fn the_schemas_beside_the_files_are_current() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for (kind, schema) in schema::schemas() {
        let path = format!("schemas/{kind}.json");
        let stored = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
        assert!(
            stored == format!("{schema:#}\n"),
            "{path} is not current: run `portadc schema {kind} > {path}`"
        );
    }
}

/// Every key that a user can write explains itself in the editor.
#[test]
fn every_key_of_a_schema_is_described() {
    fn visit(value: &serde_json::Value, path: &str, bare: &mut Vec<String>) {
        if let Some(properties) = value["properties"].as_object() {
            for (key, property) in properties {
                if property["description"].as_str().is_none_or(str::is_empty) {
                    bare.push(format!("{path}/{key}"));
                }
            }
        }
        if let Some(object) = value.as_object() {
            for (key, child) in object {
                visit(child, &format!("{path}/{key}"), bare);
            }
        }
    }
    let mut bare = Vec::new();
    for (kind, schema) in schema::schemas() {
        visit(&schema, kind, &mut bare);
    }
    assert_eq!(bare, Vec::<String>::new());
}
