//! The index of a pack comes back from its file; one that could name a file elsewhere, or names nothing, is refused.

#![allow(clippy::unwrap_used)]

use formats::pack::{Base, FORMAT, Index, Node};

fn index() -> Index {
    let node = |name: &str| Node {
        name: name.to_owned(),
        base: "hypervisor.odroid-c2.card".to_owned(),
        manifest_sha256: "00".repeat(32),
        inputs: "11".repeat(32),
        root_used: 7,
    };
    Index {
        format: FORMAT,
        fleet: "test".to_owned(),
        bases: vec![Base {
            name: "hypervisor.odroid-c2.card".to_owned(),
            sha256: "22".repeat(32),
            map_sha256: "33".repeat(32),
        }],
        nodes: vec![node("red-01"), node("red-02")],
    }
}

fn refusal(change: impl Fn(&mut Index)) -> String {
    let mut index = index();
    change(&mut index);
    Index::from_json(index.to_json().unwrap().as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn it_comes_back() {
    let index = index();
    assert_eq!(
        Index::from_json(index.to_json().unwrap().as_bytes()).unwrap(),
        index
    );
}

#[test]
fn names_that_are_no_names() {
    for name in [
        "",
        ".",
        "..",
        "../red-01",
        "red/01",
        "/red-01",
        ".red",
        "-red",
        "red 01",
        "röd",
        "a\0b",
        "a\n",
    ] {
        let message = refusal(|index| index.nodes[1].name = name.to_owned());
        assert!(
            message.starts_with(&format!("{name:?} is no name of a base or a node")),
            "{message}"
        );
        let message = refusal(|index| index.bases[0].name = name.to_owned());
        assert!(message.starts_with(&format!("{name:?} is no name")), "{message}");
    }
}

#[test]
fn what_does_not_fit_together() {
    let twice = refusal(|index| index.nodes[1].name = "red-01".to_owned());
    assert_eq!(twice, "red-01 is there twice");
    let base = refusal(|index| index.nodes[0].base = "other".to_owned());
    assert_eq!(base, "node red-01 has the base other, which is not there");
    let format = refusal(|index| index.format = 2);
    assert_eq!(format, "it has format 2, this program reads 1");
    // Another version may have other fields.
    let other = Index::from_json(b"{\"format\": 9, \"new\": []}").unwrap_err();
    assert_eq!(other.to_string(), "it has format 9, this program reads 1");
    for json in [&b""[..], b"[]", b"{}", b"{\"format\": 1}", b"\xff"] {
        assert_eq!(
            Index::from_json(json).unwrap_err().to_string(),
            "it is no index of a pack"
        );
    }
}
