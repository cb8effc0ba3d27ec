//! Parts that come with the program: used where a project has none of their name, and shown as what they are.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use model::files::{Files, PartKind, PartOrigin, StockFile};
use model::finding::Findings;
use model::project::Project;
use model::show;
use tempfile::TempDir;

const fn file(path: &'static str, text: &'static str) -> StockFile {
    StockFile {
        path,
        is_executable: false,
        bytes: text.as_bytes(),
    }
}

const BOARD: &str = include_str!("good/boards/plain/board.toml");
const LAYOUT: &str = include_str!("good/images/layouts/card.toml");

/// In the order of their paths, as the program has them.
static STOCK: &[StockFile] = &[
    file("boards/plain/board.toml", BOARD),
    file("images/layouts/card.toml", LAYOUT),
    file("kernel/fragments/base.config", "CONFIG_VETH=y\n"),
    file(
        "kernel/kernel.toml",
        "base = \"allnoconfig\"\ncross-compile = \"aarch64-linux-gnu-\"\nfragments = [\"base\"]\n",
    ),
    // Sorts before what is in `overlays/common`.
    file("overlays/common-more/overlay.toml", "description = \"more\"\n"),
    file("overlays/common/files/etc/.hidden", "hidden\n"),
    file("overlays/common/files/etc/motd", "stock\n"),
    file(
        "overlays/common/overlay.toml",
        "description = \"what every node has\"\n",
    ),
    file("overlays/common/templates/etc/hostname.hbs", "{{node.name}}\n"),
];

const FLEET: &str = r#"name = "test"
networks.lan.subnet = "10.0.0.0/24"
roles.node.overlays = ["common", "common-more"]
defaults = { network = "lan", role = "node", board = "plain", layout = "card" }
clusters.a = { slots = "1", address = "10.0.0.{slot}" }
"#;

/// A project that has nothing but a fleet and its sources.
struct Own(TempDir);

impl Own {
    fn new() -> Self {
        let own = Self(tempfile::tempdir().unwrap());
        own.write("images/fleet.toml", FLEET);
        own.write("sources.toml", include_str!("good/sources.toml"));
        own
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn files(&self) -> Files {
        Files::with_stock(self.0.path(), STOCK)
    }

    fn load(&self) -> Result<Project, Findings> {
        Project::load_from(self.files())
    }

    fn project(&self) -> Project {
        self.load().unwrap_or_else(|findings| panic!("{findings}"))
    }

    /// What is wrong with it.
    fn findings(&self) -> String {
        self.load().map(drop).unwrap_err().to_string()
    }

    /// The paths that the overlay `common` lays something on.
    fn laid(&self) -> Vec<String> {
        let project = self.project();
        let entries = &project.overlays["common"].entries;
        entries.keys().map(ToString::to_string).collect()
    }
}

#[test]
fn a_project_of_two_files_uses_the_stock_parts() {
    let own = Own::new();
    assert_eq!(own.laid(), ["/etc/.hidden", "/etc/hostname", "/etc/motd"]);
    let project = own.project();
    assert_eq!(project.kernel.requests.len(), 1);
    assert_eq!(
        project.kernel.requests[0].place.to_string(),
        "stock:kernel/fragments/base.config:1"
    );
}

#[test]
fn the_same_parts_in_the_project_s_folder_are_the_same_project() {
    let (stock, own) = (Own::new(), Own::new());
    for file in STOCK {
        own.write(file.path, str::from_utf8(file.bytes).unwrap());
    }
    let (stock, own) = (stock.project(), own.project());
    let content = |project: &Project| {
        let overlays = project.overlays.values();
        let entries = overlays.flat_map(|overlay| {
            overlay.entries.iter().map(|(path, entry)| {
                let text = match &entry.source {
                    model::overlay::Source::Verbatim(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    model::overlay::Source::Template(file) => file.text.clone(),
                    other => format!("{other:?}"),
                };
                (overlay.name.clone(), path.to_string(), entry.mode, text)
            })
        });
        entries.collect::<Vec<_>>()
    };
    assert_eq!(content(&stock), content(&own));
    let requests = |project: &Project| {
        let requests = project.kernel.requests.iter();
        requests
            .map(|request| (request.symbol.clone(), request.value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(requests(&stock), requests(&own));
    assert_eq!(stock.layouts["card"], own.layouts["card"]);
    assert_eq!(stock.boards["plain"], own.boards["plain"]);
}

#[test]
fn a_folder_of_the_project_takes_the_place_of_the_whole_stock_one() {
    let own = Own::new();
    own.write("overlays/common/overlay.toml", "description = \"mine\"\n");
    own.write("overlays/common/files/etc/issue", "mine\n");
    assert_eq!(own.laid(), ["/etc/issue"]);
    assert_eq!(own.project().overlays["common-more"].description, "more");

    own.write("kernel/fragments/base.config", "CONFIG_BRIDGE=y\nCONFIG_VETH=m\n");
    let symbols: Vec<_> = own
        .project()
        .kernel
        .requests
        .iter()
        .map(|request| request.symbol.clone())
        .collect();
    assert_eq!(symbols, ["BRIDGE", "VETH"]);

    let origin = |kind, name| own.files().origin(kind, name);
    assert_eq!(
        origin(PartKind::Overlay, "common"),
        Some(PartOrigin::InPlaceOfStock)
    );
    assert_eq!(origin(PartKind::Overlay, "common-more"), Some(PartOrigin::Stock));
    assert_eq!(
        origin(PartKind::Fragment, "base"),
        Some(PartOrigin::InPlaceOfStock)
    );
    assert_eq!(origin(PartKind::Kernel, "kernel"), Some(PartOrigin::Stock));
    assert_eq!(origin(PartKind::Overlay, "commo"), None);
    own.write("overlays/web/overlay.toml", "description = \"web\"\n");
    assert_eq!(origin(PartKind::Overlay, "web"), Some(PartOrigin::Own));
}

#[test]
fn an_empty_folder_takes_the_place_of_a_stock_part_and_is_told_of() {
    let own = Own::new();
    fs::create_dir_all(own.0.path().join("overlays/common")).unwrap();
    let findings = own.findings();
    assert_eq!(findings, "error: `overlays/common/overlay.toml` does not exist");
    // What is no folder is no overlay, and hides none.
    let own = Own::new();
    own.write("overlays/common.md", "notes\n");
    own.write("overlays/README.md", "notes\n");
    own.write("boards/plain", "no folder\n");
    own.write("overlays/common-more", "no folder\n");
    own.project();
}

#[test]
fn a_stock_file_is_shown_as_one() {
    let own = Own::new();
    own.write("images/fleet.toml", &FLEET.replace("\"common\",", "\"comon\","));
    assert!(
        own.findings().contains("did you mean `common`?"),
        "{}",
        own.findings()
    );

    let own = Own::new();
    own.write("kernel/fragments/own.config", "# CONFIG_VETH is not set\n");
    let kernel =
        "base = \"allnoconfig\"\ncross-compile = \"aarch64-linux-gnu-\"\nfragments = [\"base\", \"own\"]\n";
    own.write("kernel/kernel.toml", kernel);
    let findings = own.findings();
    assert!(
        findings.contains("stock:kernel/fragments/base.config:1")
            && findings.contains("--> kernel/fragments/own.config:1:1"),
        "{findings}"
    );

    let project = Own::new().project();
    let shown = show::values(&project, "a-01").unwrap();
    let parts: Vec<_> = shown
        .iter()
        .filter(|shown| shown.name == "part")
        .map(|shown| {
            format!(
                "{} {} {}",
                shown.value,
                shown.file.display(),
                shown.note.as_deref().unwrap()
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            "board/plain stock:boards/plain/board.toml stock",
            "layout/card stock:images/layouts/card.toml stock",
            "overlay/common stock:overlays/common/overlay.toml stock",
            "overlay/common-more stock:overlays/common-more/overlay.toml stock",
            "kernel/base stock:kernel/fragments/base.config stock",
            "kernel stock:kernel/kernel.toml stock",
        ]
    );
}

#[test]
fn names_that_leave_their_folder_lead_nowhere() {
    let own = Own::new();
    let files = own.files();
    for name in [
        "..",
        "../overlays/common",
        "common/../common",
        "common/files",
        "",
        ".",
        "/etc",
        "stock:common",
    ] {
        assert!(files.stock_part(PartKind::Overlay, name).is_empty(), "{name}");
    }
    for path in [
        "stock:overlays",
        "stock:overlays/common",
        "stock:../sources.toml",
        "stock:",
    ] {
        assert!(files.load(Path::new(path)).is_err(), "{path}");
    }
    assert_eq!(files.stock_part(PartKind::Overlay, "common").len(), 4);
    assert_eq!(files.stock_part(PartKind::Layout, "card").len(), 1);
}
