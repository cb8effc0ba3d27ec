//! In what cards differ: nothing, what is a node's own, and what must not.

#![allow(clippy::unwrap_used, missing_docs)]

mod cards;

use std::collections::BTreeSet;
use std::fs;

use cards::{TestCard, card};
use stages::diff::{Aspect, Difference, NodeDiff, differences, node_difference};
use stages::inspect::Image;

fn open(card: &TestCard) -> Image {
    Image::open(&card.path).unwrap()
}

fn texts(found: &[Difference]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

/// What is rendered for each node of these cards.
fn own() -> BTreeSet<String> {
    ["@:etc/hostname", "@:etc/key", "boot:extlinux/extlinux.conf"]
        .map(String::from)
        .into()
}

fn nodes(one: &TestCard, other: &TestCard) -> NodeDiff {
    node_difference((&open(one), "red-01"), (&open(other), "red-02"), &own()).unwrap()
}

#[test]
fn the_same_card_does_not_differ() {
    let (one, other) = (card("one", "red-01"), card("one", "red-01"));
    assert_eq!(texts(&differences(&open(&one), &open(&other)).unwrap()), [""; 0]);
}

#[test]
fn nodes_of_a_role_differ_in_what_is_their_own() {
    let (one, other) = (card("one", "red-01"), card("one", "red-02"));
    let found = differences(&open(&one), &open(&other)).unwrap();
    let files: Vec<_> = found
        .iter()
        .filter(|difference| difference.aspect != Aspect::Id)
        .map(ToString::to_string)
        .collect();
    assert_eq!(files.len(), 3, "{files:#?}");
    assert!(files[0].starts_with("partition 1: extlinux/extlinux.conf: content from byte"));
    assert_eq!(files[1], "partition 2: @/etc/hostname: content from byte 5 on");
    assert_eq!(files[2], "partition 2: @/etc/key: content from byte 5 on");

    let diff = nodes(&one, &other);
    assert_eq!(texts(&diff.faults), [""; 0]);
    let own_files: BTreeSet<String> = diff.own_files.iter().cloned().collect();
    assert_eq!(own_files, own());
    // Disk id, two PARTUUIDs, FAT id, UUID.
    assert_eq!(diff.ids, 5);
    assert!(diff.tree_blocks > 0 && diff.blocks > diff.tree_blocks);
}

#[test]
fn another_role_is_a_fault() {
    let diff = nodes(&card("one", "red-01"), &card("two", "red-02"));
    let faults = texts(&diff.faults);
    assert!(
        faults[0].starts_with("partition 2: @/etc/role: content from byte 0"),
        "{faults:?}"
    );
}

#[test]
fn attributes_and_presence_are_compared() {
    let (one, other) = (card("one", "red-01"), card("one, and longer", "red-01"));
    assert_eq!(
        texts(&differences(&open(&one), &open(&other)).unwrap()),
        [
            "partition 2: @/etc/role: length 3 -> 15",
            "partition 2: @/etc/role: content from byte 3 on"
        ]
    );
}

#[test]
fn bytes_that_no_file_has_are_a_fault() {
    let (one, other) = (card("one", "red-01"), card("one", "red-02"));
    let mut bytes = fs::read(&other.path).unwrap();
    // In the system chunk, behind the chunk tree.
    let place = other.root_offset as usize + (5 << 20);
    bytes[place + 10] = 1;
    // Boot code, which is no node's own.
    bytes[100] = 7;
    fs::write(&other.path, &bytes).unwrap();
    let faults = texts(&nodes(&one, &other).faults);
    let expected = [
        "image: sectors 0..0 (boot code) not the same".to_owned(),
        "image: bytes 100..101 differ, which no file of the node has".to_owned(),
        format!("image: bytes {}..{} differ, which", place + 10, place + 11),
    ];
    for expected in expected {
        let is_there = faults.iter().any(|fault| fault.starts_with(&expected));
        assert!(is_there, "{expected} is not among {faults:#?}");
    }
}
