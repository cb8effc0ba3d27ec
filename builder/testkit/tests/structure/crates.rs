//! Which crate knows which.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::builder;
use crate::source::Source;

/// Each crate, and those that it knows. They come after those that they know, so that there is no way back.
const KNOWS: &[(&str, &[&str])] = &[
    ("formats", &[]),
    ("gentoo", &["formats"]),
    ("debian", &[]),
    ("model", &["formats", "gentoo"]),
    ("files", &["formats"]),
    ("engine", &["files", "formats"]),
    ("flash", &["files", "formats"]),
    ("identity", &["files", "model"]),
    (
        "fetch",
        &["debian", "engine", "files", "formats", "gentoo", "model"],
    ),
    (
        "stages",
        &[
            "debian", "engine", "fetch", "files", "flash", "formats", "gentoo", "identity", "model",
        ],
    ),
    ("stock", &["files", "model"]),
    (
        "portadc",
        &[
            "engine", "fetch", "files", "flash", "formats", "identity", "model", "stages", "stock",
        ],
    ),
    ("testkit", &["formats"]),
    ("testmirror", &["engine", "fetch", "formats", "model", "testkit"]),
];

/// What is for tests alone.
const FOR_TESTS: &[&str] = &["testkit", "testmirror"];

/// Crates of others that not everybody needs to know, with all that may.
const OWNED: &[(&str, &[&str])] = &[
    ("age", &["stages"]),
    ("clap", &["portadc"]),
    ("indicatif", &["engine"]),
    ("quick-xml", &["formats", "model", "stages"]),
    ("reqwest", &["fetch"]),
    ("sequoia-openpgp", &["fetch", "testmirror"]),
    ("ssh-key", &["identity", "model"]),
    ("x25519-dalek", &["identity"]),
];

/// What a crate must not name, so that it does what ARCHITECTURE.md says of it and no more.
const NAMES_NOT: &[(&str, &[&str])] = &[
    ("formats", &["std::process", "std::net", "std::time::SystemTime"]),
    (
        "gentoo",
        &["std::process", "std::net", "std::path", "std::time::SystemTime"],
    ),
    ("debian", &["std::process", "std::net"]),
    (
        "model",
        &[
            "std::process",
            "gentoo::install",
            "gentoo::resolve",
            "gentoo::binary",
        ],
    ),
];

/// A crate of this workspace.
struct Crate {
    name: String,
    /// What it needs to work.
    needs: BTreeSet<String>,
    /// What its tests need besides.
    tests: BTreeSet<String>,
}

/// All of them, as cargo has them.
fn crates() -> Vec<Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(builder())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let read = |package: &Value| {
        let of = |for_tests: bool| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            dependencies
                .filter(|dependency| (dependency["kind"] == "dev") == for_tests)
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect()
        };
        Crate {
            name: package["name"].as_str().unwrap().to_owned(),
            needs: of(false),
            tests: of(true),
        }
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(read)
        .collect()
}

#[test]
fn a_crate_knows_those_below_it() {
    let crates = crates();
    let members: BTreeSet<&str> = crates.iter().map(|of| of.name.as_str()).collect();
    let listed: BTreeSet<&str> = KNOWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        members, listed,
        "the crates that are there, and those that are listed"
    );

    let mut before = BTreeMap::new();
    for (name, knows) in KNOWS {
        for known in *knows {
            assert!(
                before.contains_key(known),
                "{known} is listed after {name}, which knows it"
            );
        }
        before.insert(*name, *knows);
    }
    for Crate { name, needs, tests } in &crates {
        let known: BTreeSet<&str> = needs
            .iter()
            .map(String::as_str)
            .filter(|other| members.contains(other))
            .collect();
        let listed: BTreeSet<&str> = before[name.as_str()].iter().copied().collect();
        assert_eq!(known, listed, "what {name} knows, and what is listed of it");
        for test in tests.iter().filter(|test| members.contains(test.as_str())) {
            assert!(
                FOR_TESTS.contains(&test.as_str()) || listed.contains(test.as_str()),
                "the tests of {name} know {test}, which it does not know itself"
            );
        }
        if !FOR_TESTS.contains(&name.as_str()) {
            let shipped = FOR_TESTS.iter().find(|tests| needs.contains(**tests));
            assert_eq!(shipped, None, "what is for tests alone is shipped with {name}");
        }
    }
}

#[test]
fn what_one_crate_has_to_know_the_others_do_not() {
    let crates = crates();
    for (foreign, owners) in OWNED {
        let users = crates.iter().filter(|of| of.needs.contains(*foreign));
        let users: BTreeSet<&str> = users.map(|of| of.name.as_str()).collect();
        assert_eq!(users, owners.iter().copied().collect(), "who knows {foreign}");
    }
}

#[test]
fn crates_name_nothing_that_is_not_theirs_to_do() {
    let mut faults = Vec::new();
    for (name, forbidden) in NAMES_NOT {
        let source = Source::read(&builder().join(name).join("src/lib.rs"));
        for module in source.names() {
            for path in source.foreign(module) {
                let path = path.join("::");
                let named = forbidden.iter().any(|not| {
                    path.strip_prefix(not)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
                });
                if named {
                    faults.push(format!("{name}::{} names {path}", module.join("::")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
