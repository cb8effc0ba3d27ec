//! The picture as a flowchart for Mermaid, which pages of Markdown show. Nodes that only wait for containers are one box per bus.

use std::fmt::Write as _;

use super::{Graph, Kind, count, subnet};

/// Writes it. A thing is named by a letter and its number, so no name can mean anything to Mermaid.
pub fn write(graph: &Graph<'_>) -> String {
    let mut text = String::from("flowchart TB\n");
    // Writing into a string cannot fail.
    lines(graph, &mut text).ok();
    text
}

fn lines(graph: &Graph<'_>, text: &mut String) -> std::fmt::Result {
    writeln!(text, "    internet((internet))")?;
    let networks: Vec<_> = graph.tiers.iter().flatten().collect();
    let network_id = |name: &str| {
        let number = networks.iter().position(|network| network.name == name);
        number.map(|number| format!("n{number}"))
    };
    for (number, network) in networks.iter().enumerate() {
        writeln!(
            text,
            "    n{number}[[\"{}<br>{}\"]]",
            quoted(&network.name),
            subnet(network)
        )?;
    }
    for network in graph.tiers.first().into_iter().flatten() {
        if let Some(id) = network_id(&network.name) {
            writeln!(text, "    internet --- {id}")?;
        }
    }
    for (number, router) in graph.routers.iter().enumerate() {
        let about = format!("{}<br>{}", quoted(&router.name), quoted(&router.role));
        writeln!(text, "    r{number}{{{{\"{about}\"}}}}")?;
        let outer = router
            .internet
            .as_ref()
            .and_then(|port| network_id(&port.network));
        for (one, other) in [
            (outer, Some(format!("r{number}"))),
            (Some(format!("r{number}")), network_id(&router.network)),
        ] {
            if let (Some(one), Some(other)) = (one, other) {
                writeln!(text, "    {one} --- {other}")?;
            }
        }
    }
    for (number, bus) in graph.buses.iter().enumerate() {
        let about = match bus.about.as_str() {
            "" => quoted(bus.name),
            about => format!("{} · {}", quoted(bus.name), quoted(about)),
        };
        writeln!(text, "    subgraph b{number}[\"{about}\"]")?;
        let mut others = 0;
        for node in &bus.nodes {
            if let Kind::Hypervisor(1..) = graph.kind(node) {
                writeln!(
                    text,
                    "        b{number}s{}[\"{}<br>{}\"]",
                    node.slot,
                    quoted(&node.name),
                    node.address_text()
                )?;
            } else if graph.kind(node) != Kind::Router {
                others += 1;
            }
        }
        if others > 0 {
            writeln!(text, "        b{number}o[\"{}\"]", count(others, "more node"))?;
        }
        writeln!(text, "    end")?;
        if let Some(id) = network_id(bus.network) {
            writeln!(text, "    {id} --- b{number}")?;
        }
    }
    for (number, guest) in graph.containers.iter().enumerate() {
        let name = quoted(&guest.container.name);
        let mut about = format!("{name}<br>{}", guest.container.address);
        for (what, how) in guest.lines() {
            write!(about, "<br>{}: {}", quoted(&what), quoted(&how))?;
        }
        writeln!(text, "    c{number}([\"{about}\"])")?;
        for (bus_number, bus) in graph.buses.iter().enumerate() {
            if let Some(node) = bus.nodes.iter().find(|node| node.name == guest.container.node) {
                writeln!(text, "    b{bus_number}s{} --- c{number}", node.slot)?;
            }
        }
    }
    Ok(())
}

/// Text for a label in quotation marks.
fn quoted(text: &str) -> String {
    text.replace('#', "#35;")
        .replace('"', "#quot;")
        .replace('<', "#lt;")
        .replace('>', "#gt;")
}
