//! The picture of a fleet: everything is there once, within the page, and nothing covers anything else.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use model::graph::Graph;
use model::project::Project;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

fn svg() -> String {
    Graph::of(&project().fleet).svg()
}

fn project() -> Project {
    Project::load(Path::new(testkit::fleet::PROJECT)).unwrap_or_else(|findings| panic!("{findings}"))
}

/// All elements with what they are called, and all texts.
fn read(svg: &str) -> (Vec<Element>, Vec<String>) {
    let attributes = |element: &BytesStart<'_>| {
        let each = element.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let name = attribute.key.as_ref().to_owned();
            (name, attribute.value.into_owned())
        });
        let name = element.name().as_ref().to_owned();
        (name, each.collect())
    };
    let mut reader = Reader::from_str(svg);
    let (mut elements, mut texts) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => elements.push(attributes(&element)),
            Event::Text(text) => texts.push(text.trim().to_owned()),
            Event::Eof => return (elements, texts),
            _ => {}
        }
    }
}

/// Its name and its attributes.
type Element = (String, BTreeMap<String, String>);

/// x, y, width, height.
type Box = [i32; 4];

fn boxes(elements: &[Element], class: &str) -> Vec<Box> {
    let of_class = |(name, attributes): &&Element| name == "rect" && attributes["class"] == class;
    let number = |attributes: &BTreeMap<String, String>, name: &str| attributes[name].parse::<i32>().unwrap();
    elements
        .iter()
        .filter(of_class)
        .map(|(_, attributes)| ["x", "y", "width", "height"].map(|name| number(attributes, name)))
        .collect()
}

fn cover(one: &Box, other: &Box) -> bool {
    let apart = |at: usize| one[at] + one[at + 2] <= other[at] || other[at] + other[at + 2] <= one[at];
    !apart(0) && !apart(1)
}

#[test]
fn shows_every_node_container_and_network_once() {
    let project = project();
    let (_, texts) = read(&svg());
    let shown = |text: &str| texts.iter().filter(|other| *other == text).count();
    for node in &project.fleet.nodes {
        assert_eq!(shown(&node.name), 1, "{}", node.name);
    }
    for container in &project.fleet.containers {
        assert!(shown(&container.name) >= 1, "{}", container.name);
    }
    for network in project.fleet.networks.keys() {
        assert_eq!(shown(network), 1, "{network}");
    }
    for service in &project.fleet.services {
        assert_eq!(
            shown(&format!("{} :{}", service.name, service.port)),
            1,
            "{}",
            service.name
        );
    }
}

#[test]
fn nothing_covers_anything_and_all_is_on_the_page() {
    let (elements, _) = read(&svg());
    let [page] = boxes(&elements, "page")[..] else {
        panic!("there is one page");
    };
    let mut slots = Vec::new();
    for class in ["router", "hypervisor", "other", "network", "internet"] {
        slots.extend(boxes(&elements, class));
    }
    let panels = boxes(&elements, "panel");
    assert!(
        slots.len() > 46 && panels.len() == 4,
        "{} boxes, {} panels",
        slots.len(),
        panels.len()
    );
    for all in [&slots, &panels] {
        for (number, one) in all.iter().enumerate() {
            assert!(
                one[0] >= 0 && one[0] + one[2] <= page[2] && one[1] + one[3] <= page[3],
                "{one:?}"
            );
            assert!(
                all[number + 1..].iter().all(|other| !cover(one, other)),
                "{one:?} covers another"
            );
        }
    }
}

#[test]
fn the_flowchart_has_what_the_picture_has() {
    insta::assert_snapshot!(Graph::of(&project().fleet).mermaid());
}
