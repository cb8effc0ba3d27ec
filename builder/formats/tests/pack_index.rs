//! The index of a pack comes back from its file; one that could name a file elsewhere, or names nothing, is refused.

#![allow(clippy::unwrap_used)]

use formats::pack::{ENCRYPTED_FORMAT, FORMAT, Index, Node, PackedBase};

fn index() -> Index {
    let node = |name: &str| Node {
        name: name.to_owned(),
        base: "hypervisor.odroid-c2.card".to_owned(),
        manifest_sha256: "00".repeat(32),
        inputs: "11".repeat(32),
        root_used: 7,
        delta_sha256: None,
    };
    Index {
        format: FORMAT,
        fleet: "test".to_owned(),
        recipients: Vec::new(),
        bases: vec![PackedBase {
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
    let format = refusal(|index| index.format = 3);
    assert_eq!(format, "it has format 3, this program reads 1 and 2");
    // Another version may have other fields.
    let other = Index::from_json(b"{\"format\": 9, \"new\": []}").unwrap_err();
    assert_eq!(other.to_string(), "it has format 9, this program reads 1 and 2");
    for json in [&b""[..], b"[]", b"{}", b"{\"format\": 1}", b"\xff"] {
        assert_eq!(
            Index::from_json(json).unwrap_err().to_string(),
            "it is no index of a pack"
        );
    }
}

#[test]
fn deltas_are_all_encrypted_or_none_and_to_somebody() {
    let encrypted = || {
        let mut index = index();
        index.format = ENCRYPTED_FORMAT;
        index.recipients.push("age1abc".to_owned());
        for node in &mut index.nodes {
            node.delta_sha256 = Some("44".repeat(32));
        }
        index
    };
    let read = |index: &Index| Index::from_json(index.to_json().unwrap().as_bytes());
    assert_eq!(read(&encrypted()).unwrap(), encrypted());
    assert!(encrypted().is_encrypted() && !index().is_encrypted());
    let changes: [fn(&mut Index); 4] = [
        |index| index.format = FORMAT,
        |index| index.recipients.clear(),
        |index| index.nodes[1].delta_sha256 = None,
        |index| index.nodes.iter_mut().for_each(|node| node.delta_sha256 = None),
    ];
    for change in changes {
        let mut index = encrypted();
        change(&mut index);
        let said = read(&index).unwrap_err().to_string();
        assert!(said.contains("it has both"), "{said}");
    }
    assert!(refusal(|index| index.format = ENCRYPTED_FORMAT).contains("it has both"));
    // What is printed cannot write to a terminal.
    let mut index = encrypted();
    index.recipients[0] = "age1\u{1b}[2J".to_owned();
    assert_eq!(
        read(&index).unwrap_err().to_string(),
        r#""age1\u{1b}[2J" is no digest and no public key of age"#
    );
    assert!(refusal(|index| index.nodes[0].manifest_sha256 = "\n".to_owned()).contains("is no digest"));
}
