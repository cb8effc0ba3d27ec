//! The reference cluster of this repository: what its files say is what the builder sees.

use std::path::Path;

use model::project::Project;
use model::show;

/// The repository's root.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn reference() -> Project {
    Project::load(root()).unwrap_or_else(|findings| panic!("{findings}"))
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
    let addresses: Vec<_> = nodes.iter().map(|node| node.address.to_string()).collect();
    assert_eq!(
        (addresses[6].as_str(), addresses[29].as_str()),
        ("172.16.1.7", "172.16.2.7")
    );
}

#[test]
fn shows_where_each_value_of_a_node_comes_from() {
    let project = reference();
    insta::assert_snapshot!(show::text(&show::values(&project, "red-07").unwrap()));
}
