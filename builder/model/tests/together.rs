//! Overlays of one role: what is found where two of them, or one and the fleet, say one thing differently.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use model::finding::Findings;
use model::project::Project;
use model::sources::Platform;
use model::{schema, show};
use testkit::folder::copy;

/// The good project, whose role has the overlays `one` and `other` of these texts, with more tables in its fleet.
fn load(one: &str, other: &str, tables: &str) -> Result<Project, Findings> {
    load_as("overlays = [\"common\", \"one\", \"other\"]", one, other, tables)
}

/// The same with another line for the overlays of the role.
fn load_as(line: &str, one: &str, other: &str, tables: &str) -> Result<Project, Findings> {
    let root = tempfile::tempdir().unwrap();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    copy(&good, root.path());
    for (name, text) in [("one", one), ("other", other)] {
        let folder = root.path().join("overlays").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("overlay.toml"),
            format!("description = \"a test\"\n{text}\n"),
        )
        .unwrap();
        for (file, line) in [
            ("a.config", "CONFIG_OVERLAY_A=y\n"),
            ("b.config", "# CONFIG_OVERLAY_A is not set\n"),
        ] {
            if text.contains(file) {
                fs::create_dir_all(folder.join("kernel")).unwrap();
                fs::write(folder.join("kernel").join(file), line).unwrap();
            }
        }
    }
    let fleet = fs::read_to_string(good.join("images/fleet.toml")).unwrap();
    let fleet = fleet.replace("overlays = [\"common\"]", line);
    fs::write(
        root.path().join("images/fleet.toml"),
        format!("{fleet}\n{tables}\n"),
    )
    .unwrap();
    Project::load(root.path())
}

fn findings(one: &str, other: &str, tables: &str) -> Findings {
    load(one, other, tables).map(drop).unwrap_err()
}

/// The one finding, which is in `other` and names a place of `elsewhere` as well.
fn is_one(findings: &Findings, message: &str, elsewhere: &str) {
    assert_eq!(findings.0.len(), 1, "{findings}");
    let finding = &findings.0[0];
    assert_eq!(finding.message, message);
    let path = &finding.place.as_ref().unwrap().file.path;
    assert_eq!(path, Path::new("overlays/other/overlay.toml"));
    assert_eq!(finding.related[0].0.file.path, Path::new(elsewhere));
    assert!(finding.hint.is_some());
}

/// What has no place in a container.
const MEANINGLESS: &str = "kernel-arguments = [\"quiet\"]\nkernel-fragments = [\"a.config\"]\n\
    subvolumes = [{ name = \"@db\", mount = \"/var/lib/db\" }]";

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

#[test]
fn users_that_differ_are_told_with_both_places() {
    let one = "overlays/one/overlay.toml";
    let found = findings("[users.web]", "[users.web]\nsudo = true", "");
    is_one(&found, "two users are called `web` and differ", one);
    let found = findings("[users.web]\nuid = 1500", "[users.db]\nuid = 1500", "");
    is_one(&found, "two users have the uid 1500", one);
    let of_fleet = format!("[users.web]\nkeys = [\"{KEY}\"]");
    let found = findings("", "[users.web]", &of_fleet);
    is_one(
        &found,
        "two users are called `web` and differ",
        "images/fleet.toml",
    );
    // What is said twice is said once, and what never meets may differ.
    load(&of_fleet, &of_fleet, &of_fleet).unwrap();
    load(
        "[when]\ninit = \"openrc\"\n[users.web]",
        "[when]\ninit = \"systemd\"\n[users.web]\nsudo = true",
        "",
    )
    .unwrap();
}

#[test]
fn settings_of_the_kernel_that_differ_are_told_with_both_places() {
    let (one, other) = (
        "[sysctls]\n\"net.core.somaxconn\" = 1024",
        "[sysctls]\n\"net/core/somaxconn\" = 4096",
    );
    is_one(
        &findings(one, other, ""),
        "two overlays set /proc/sys/net/core/somaxconn, each to something else",
        "overlays/one/overlay.toml",
    );
    load(one, one, "").unwrap();
}

#[test]
fn arguments_come_in_the_order_of_the_overlays_and_the_role_is_last() {
    let line = "overlays = [\"other\", \"one\"]\nkernel-arguments = [\"mitigations=off\", \"quiet\"]";
    let skipped = "kernel-arguments = [\"quiet\", \"a=1\"]";
    let project = load_as(line, "kernel-arguments = [\"b\"]", skipped, "").unwrap();
    assert_eq!(
        project.kernel_arguments("node", Platform::DEBIAN),
        ["quiet", "a=1", "b", "mitigations=off"]
    );
    let skipped = format!("{skipped}\n[when]\ninit = \"openrc\"");
    let project = load_as(line, "kernel-arguments = [\"b\"]", &skipped, "").unwrap();
    assert_eq!(
        project.kernel_arguments("node", Platform::DEBIAN),
        ["b", "mitigations=off", "quiet"]
    );
    let found = load_as(
        "overlays = [\"common\"]\nkernel-arguments = [\"root=a\"]",
        "",
        "",
        "",
    )
    .unwrap_err();
    assert!(
        found
            .to_string()
            .contains("portadc itself says `root` to every kernel"),
        "{found}"
    );
}

#[test]
fn more_arguments_than_a_command_line_has_room_for_are_refused() {
    let long = |letter: &str| format!("kernel-arguments = [\"{}\"]", letter.repeat(300));
    let found = findings(&long("a"), &long("b"), "");
    assert_eq!(
        found.0[0].message,
        "with this, the kernel arguments of role `node` have 602 bytes, the limit is 512"
    );
}

#[test]
fn what_means_nothing_in_a_container_is_told_of() {
    let line = "overlays = [\"common\"]\ncontainer-image = [\"other\"]";
    let layout = "[roles.idle]\noverlays = []\n[nodes.a-01]\nlayout = \"containers\"\n";
    let layout = format!(
        "{layout}[nodes.a-02]\nlayout = \"containers\"\n[nodes.a-03]\nlayout = \"containers\"\n[nodes.b-01]\nlayout = \"containers\"\n"
    );
    let project = load_as(line, "", MEANINGLESS, &layout).unwrap_or_else(|findings| panic!("{findings}"));
    let told: Vec<_> = project
        .warnings
        .0
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    for key in ["kernel-arguments", "kernel-fragments", "subvolumes"] {
        let start = format!("`{key}` of overlay `other` is skipped in the containers of role `node`");
        assert!(told.iter().any(|message| message.starts_with(&start)), "{told:?}");
    }
    assert!(project.kernel_arguments("node", Platform::DEBIAN).is_empty());
    assert!(
        !project
            .kernel
            .requests
            .iter()
            .any(|request| request.symbol == "OVERLAY_A")
    );
    let layout = project.layout_of("node", "containers", Platform::DEBIAN);
    assert_eq!(layout, project.layouts["containers"]);
}

/// The names of the subvolumes of the layout `card` on nodes of the role.
fn subvolumes(project: &Project) -> Vec<String> {
    let layout = project.layout_of("node", "card", Platform::DEBIAN);
    let subvolumes = &layout.root().unwrap().subvolumes;
    subvolumes
        .iter()
        .map(|subvolume| format!("{} at {}", subvolume.name, subvolume.mount))
        .collect()
}

#[test]
fn subvolumes_come_behind_those_of_the_layout() {
    let one = "[[subvolumes]]\nname = \"@db\"\nmount = \"/var/lib/db\"\ndata = true";
    let project = load(one, one, "").unwrap();
    assert_eq!(subvolumes(&project), ["@ at /", "@db at /var/lib/db"]);
    let elsewhere = format!("[when]\ninit = \"openrc\"\n{one}");
    assert_eq!(subvolumes(&load(&elsewhere, "", "").unwrap()), ["@ at /"]);
    let shown = show::text(&show::values(&project, "a-01").unwrap());
    assert!(shown.contains("@db at /var/lib/db"), "{shown}");
}

#[test]
fn subvolumes_that_differ_are_told_with_both_places() {
    let one = "subvolumes = [{ name = \"@db\", mount = \"/var/lib/db\" }]";
    for (other, message) in [
        (
            "subvolumes = [{ name = \"@db\", mount = \"/srv\" }]",
            "two subvolumes are called `@db` and differ",
        ),
        (
            "subvolumes = [{ name = \"@db\", mount = \"/var/lib/db\", data = true }]",
            "two subvolumes are called `@db` and differ",
        ),
        (
            "subvolumes = [{ name = \"@other\", mount = \"/var/lib/db\" }]",
            "two subvolumes are to be mounted at `/var/lib/db`",
        ),
    ] {
        is_one(&findings(one, other, ""), message, "overlays/one/overlay.toml");
    }
    let other = "subvolumes = [{ name = \"@\", mount = \"/srv\" }]";
    is_one(
        &findings("", other, ""),
        "two subvolumes are called `@` and differ",
        "images/layouts/card.toml",
    );
}

#[test]
fn fragments_of_overlays_in_use_are_the_kernel_s() {
    let symbols = |project: Project| -> Vec<_> {
        let requests = project.kernel.requests.into_iter();
        requests
            .map(|request| format!("{}={}", request.symbol, request.value))
            .collect()
    };
    let without = symbols(load("", "", "").unwrap());
    let one = "kernel-fragments = [\"a.config\"]";
    let with = symbols(load(one, one, "").unwrap());
    assert_eq!(with[..without.len()], without);
    // Each has a fragment of this name, with the same line in it.
    assert_eq!(with[without.len()..], ["OVERLAY_A=y", "OVERLAY_A=y"]);
    let unused = load_as("overlays = [\"common\"]", one, one, "").unwrap();
    assert_eq!(symbols(unused), without);
    let other = "kernel-fragments = [\"b.config\"]";
    let found = findings(one, other, "");
    assert_eq!(found.0.len(), 1, "{found}");
    assert!(
        found
            .to_string()
            .contains("CONFIG_OVERLAY_A is to be n here and y at overlays/one/kernel/a.config:1"),
        "{found}"
    );
}

#[test]
fn a_password_is_no_thing_for_all_containers() {
    let hash = format!("password-hash = \"$5$salt$./{}\"", "a".repeat(41));
    let line = "overlays = [\"common\"]\ncontainer-image = [\"other\"]";
    let text = format!("[users.web]\n{hash}");
    let layout = "[nodes.a-01]\nlayout = \"containers\"\n";
    let found = load_as(line, "", &text, layout).map(drop).unwrap_err();
    assert!(
        found
            .to_string()
            .contains("`web` has a password, and the containers of role `node` would all have it"),
        "{found}"
    );
}

#[test]
fn what_overlays_bring_is_shown_with_its_place() {
    let project = load("[users.web]\nuid = 1500", "", "").unwrap();
    let shown = show::text(&show::values(&project, "a-01").unwrap());
    let line = |name: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{shown}"))
    };
    assert!(
        line("user ").contains("web uid 1500, 0 keys")
            && line("user ").contains("overlays/one/overlay.toml:2")
    );
}

#[test]
fn the_manual_names_every_key_of_an_overlay() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/overlays.md");
    let manual = fs::read_to_string(path).unwrap();
    let (_, schema) = schema::schemas()
        .into_iter()
        .find(|(kind, _)| *kind == "overlay")
        .unwrap();
    for key in schema["properties"].as_object().unwrap().keys() {
        let forms = [
            format!("`{key}`"),
            format!("    {key} = "),
            format!("    [{key}"),
            format!("    [[{key}]]"),
        ];
        assert!(
            forms.iter().any(|form| manual.contains(form)),
            "docs/overlays.md lacks `{key}`"
        );
    }
}
