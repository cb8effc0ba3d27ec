//! The picture: the internet above, below it networks and the routers between them, then the buses, then what runs on them.

use super::canvas::{Canvas, Rect, width};
use super::{Bus, Graph, Guest, Kind, subnet};
use crate::fleet::{Network, Node};

const WIDTH: i32 = 1120;
const MARGIN: i32 = 28;
const GAP: i32 = 20;
/// Height of a network, a router, a slot, and of a line of text.
const NETWORK: i32 = 36;
const ROUTER: i32 = 56;
const SLOT: i32 = 44;
const LINE: i32 = 20;
/// Between a network and what hangs on it.
const CABLE: i32 = 26;
/// Head of a bus and of a container.
const HEAD: i32 = 44;
const SLOTS_IN_A_ROW: i32 = 6;
const COLUMNS: i32 = 2;

/// Colours follow what the reader's system asks for.
const STYLE: &str = "
text { font-family: system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; fill: #1d2430 }
.page { fill: #fbfbfd } .quiet { fill: #667085 } .strong { font-weight: 600 }
.panel { fill: #ffffff; stroke: #d5dae3 } .cable { fill: none; stroke: #98a2b3; stroke-width: 2 }
.internet { fill: #e8eefc; stroke: #7c9bea } .network { fill: #e7f5ef; stroke: #6fbf9b }
.router { fill: #fdf1e0; stroke: #e0a44c } .hypervisor { fill: #f3f5f9; stroke: #d5dae3 }
.busy { fill: #ece8fd; stroke: #8f7fe8 } .other { fill: #f9fafb; stroke: #e4e7ec }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9ef } .page { fill: #14171d } .quiet { fill: #98a2b3 }
.panel { fill: #1b1f27; stroke: #343b48 } .cable { stroke: #5d6675 }
.internet { fill: #1d2a4a; stroke: #5f7fd0 } .network { fill: #17332a; stroke: #3f8f6d }
.router { fill: #3a2c14; stroke: #b98338 } .hypervisor { fill: #232833; stroke: #3b4352 }
.busy { fill: #2c2650; stroke: #7868d8 } .other { fill: #1f232b; stroke: #2f3541 }
}
";

/// Draws it.
pub fn draw(graph: &Graph<'_>) -> String {
    let plan = Plan::of(graph);
    let title = format!("{}: {}", graph.name, graph.summary());
    let mut canvas = Canvas::new(WIDTH, plan.height, &title, STYLE);
    let page = Rect {
        x: 0,
        y: 0,
        width: WIDTH,
        height: plan.height,
    };
    canvas.rect("page", page, 0);
    canvas.text("strong", MARGIN, 46, 24, WIDTH / 2, graph.name);
    canvas.ending("quiet", WIDTH - MARGIN, 46, 14, WIDTH / 2, &graph.summary());
    plan.cables(graph, &mut canvas);
    canvas.rect("internet", plan.internet, plan.internet.height / 2);
    canvas.centred(
        "strong",
        plan.internet.middle(),
        plan.internet.y + 23,
        14,
        plan.internet.width,
        "internet",
    );
    for (network, rect) in &plan.networks {
        draw_network(&mut canvas, network, *rect);
    }
    for (router, rect) in &plan.routers {
        draw_router(&mut canvas, graph, router, *rect);
    }
    for (bus, rect) in graph.buses.iter().zip(&plan.buses) {
        draw_bus(&mut canvas, graph, bus, *rect);
    }
    for (guest, rect) in graph.containers.iter().zip(&plan.guests) {
        draw_guest(&mut canvas, guest, *rect);
    }
    canvas.finish()
}

/// Where everything is.
struct Plan<'a> {
    internet: Rect,
    networks: Vec<(&'a Network, Rect)>,
    routers: Vec<(&'a Node, Rect)>,
    buses: Vec<Rect>,
    guests: Vec<Rect>,
    height: i32,
}

impl<'a> Plan<'a> {
    fn of(graph: &Graph<'a>) -> Self {
        let internet = Rect {
            x: WIDTH / 2 - 80,
            y: 66,
            width: 160,
            height: NETWORK,
        };
        let mut y = internet.bottom() + CABLE;
        let (mut networks, mut routers) = (Vec::new(), Vec::new());
        for tier in &graph.tiers {
            // Above a network stand the routers that lead to it.
            let to = |network: &Network| -> Vec<&'a Node> {
                let leads = |router: &&&Node| router.network == network.name;
                graph.routers.iter().filter(leads).copied().collect()
            };
            let columns = columns(tier.len() as i32);
            if tier.iter().any(|network| !to(network).is_empty()) {
                for (network, (x, width)) in tier.iter().zip(&columns) {
                    let above = to(network);
                    for (router, (place, width)) in above.iter().zip(split(*x, *width, above.len() as i32)) {
                        let width_of_box = width.min(240);
                        let rect = Rect {
                            x: place + (width - width_of_box) / 2,
                            y,
                            width: width_of_box,
                            height: ROUTER,
                        };
                        routers.push((*router, rect));
                    }
                }
                y += ROUTER + CABLE;
            }
            for (network, (x, width)) in tier.iter().zip(&columns) {
                let rect = Rect {
                    x: *x,
                    y,
                    width: *width,
                    height: NETWORK,
                };
                networks.push((*network, rect));
            }
            y += NETWORK + CABLE;
        }
        y += GAP;
        let rows = |bus: &Bus<'_>| (bus.nodes.len() as i32 + SLOTS_IN_A_ROW - 1) / SLOTS_IN_A_ROW;
        let buses = grid(&mut y, &graph.buses, |bus| HEAD + rows(bus) * (SLOT + 8) + 8);
        let guests = grid(&mut y, &graph.containers, |guest| {
            HEAD + guest.lines().len().max(1) as i32 * LINE + 12
        });
        Self {
            internet,
            networks,
            routers,
            buses,
            guests,
            height: y + MARGIN - GAP,
        }
    }

    fn network(&self, name: &str) -> Option<Rect> {
        let found = self.networks.iter().find(|(network, _)| network.name == name);
        found.map(|(_, rect)| *rect)
    }

    /// Cables lie below everything else.
    fn cables(&self, graph: &Graph<'_>, canvas: &mut Canvas) {
        for network in graph.tiers.first().into_iter().flatten() {
            // A network of no router has its way to the internet by somebody else's.
            if let Some(rect) = self.network(&network.name) {
                vertical(canvas, self.internet, rect);
            }
        }
        for (router, rect) in &self.routers {
            if let Some(outer) = router
                .internet
                .as_ref()
                .and_then(|port| self.network(&port.network))
            {
                vertical(canvas, outer, *rect);
            }
            if let Some(inner) = self.network(&router.network) {
                vertical(canvas, *rect, inner);
            }
        }
        // The first row of buses is below the networks; for the others, their heads say it.
        let first = self.buses.first().map(|rect| rect.y);
        for (bus, rect) in graph.buses.iter().zip(&self.buses) {
            if let Some(network) = self.network(bus.network).filter(|_| Some(rect.y) == first) {
                vertical(canvas, network, *rect);
            }
        }
    }
}

/// A cable from `upper` down to `lower`: straight where one is above the other, else by a step halfway.
fn vertical(canvas: &mut Canvas, upper: Rect, lower: Rect) {
    let (from, to) = (upper.bottom(), lower.y);
    let x = lower.middle();
    if (upper.x + 12..=upper.x + upper.width - 12).contains(&x) {
        canvas.line("cable", &[(x, from), (x, to)]);
        return;
    }
    let start = x.clamp(upper.x + 12, upper.x + upper.width - 12);
    let halfway = to - CABLE / 2;
    canvas.line("cable", &[(start, from), (start, halfway), (x, halfway), (x, to)]);
}

fn draw_network(canvas: &mut Canvas, network: &Network, rect: Rect) {
    canvas.rect("network", rect, 8);
    canvas.text(
        "strong",
        rect.x + 14,
        rect.y + 23,
        14,
        rect.width / 2 - 20,
        &network.name,
    );
    canvas.ending(
        "quiet",
        rect.x + rect.width - 14,
        rect.y + 23,
        13,
        rect.width / 2,
        &subnet(network),
    );
}

fn draw_router(canvas: &mut Canvas, graph: &Graph<'_>, router: &Node, rect: Rect) {
    canvas.begin(&format!("{}: {}", router.name, router.role));
    canvas.rect("router", rect, 8);
    let most = rect.width - 16;
    canvas.centred(
        "strong",
        rect.middle(),
        rect.y + 23,
        14,
        most,
        &format!("{} · {}", router.name, router.role),
    );
    let proxy = if graph.reverse_proxy == Some(&router.name) {
        " · reverse proxy"
    } else {
        ""
    };
    let about = format!("{}{proxy}", router.address_text());
    canvas.centred("quiet", rect.middle(), rect.y + 43, 12, most, &about);
    canvas.end();
}

fn draw_bus(canvas: &mut Canvas, graph: &Graph<'_>, bus: &Bus<'_>, rect: Rect) {
    canvas.rect("panel", rect, 10);
    canvas.text("strong", rect.x + 14, rect.y + 28, 16, rect.width / 3, bus.name);
    canvas.ending(
        "quiet",
        rect.x + rect.width - 14,
        rect.y + 28,
        12,
        rect.width - width(bus.name, 16) - 48,
        &bus.about,
    );
    let each = (rect.width - 16) / SLOTS_IN_A_ROW;
    for (number, node) in (0_i32..).zip(&bus.nodes) {
        let slot = Rect {
            x: rect.x + 12 + number % SLOTS_IN_A_ROW * each,
            y: rect.y + HEAD + number / SLOTS_IN_A_ROW * (SLOT + 8),
            width: each - 8,
            height: SLOT,
        };
        draw_slot(canvas, graph, node, slot);
    }
}

fn draw_slot(canvas: &mut Canvas, graph: &Graph<'_>, node: &Node, rect: Rect) {
    let kind = graph.kind(node);
    let class = match kind {
        Kind::Router => "router",
        Kind::Hypervisor(0) => "hypervisor",
        Kind::Hypervisor(_) => "busy",
        Kind::Other => "other",
    };
    canvas.begin(&format!(
        "{}, slot {}: {}, {}",
        node.name,
        node.slot,
        node.role,
        node.address_text()
    ));
    canvas.rect(class, rect, 6);
    // Digits and dots are narrow.
    let most = rect.width;
    canvas.centred("strong", rect.middle(), rect.y + 19, 12, most, &node.name);
    let below = match kind {
        Kind::Hypervisor(1..) => {
            let names: Vec<&str> = graph
                .guests_of(node)
                .map(|guest| guest.container.name.as_str())
                .collect();
            names.join(", ")
        }
        _ => node.address_text(),
    };
    canvas.centred("quiet", rect.middle(), rect.y + 35, 10, most, &below);
    canvas.end();
}

fn draw_guest(canvas: &mut Canvas, guest: &Guest<'_>, rect: Rect) {
    canvas.rect("panel", rect, 10);
    let tab = Rect {
        x: rect.x,
        y: rect.y,
        width: 6,
        height: rect.height,
    };
    canvas.rect("busy", tab, 3);
    let container = guest.container;
    canvas.text(
        "strong",
        rect.x + 18,
        rect.y + 28,
        16,
        rect.width / 2,
        &container.name,
    );
    let about = format!("{} on {}", container.address, container.node);
    canvas.ending(
        "quiet",
        rect.x + rect.width - 14,
        rect.y + 28,
        12,
        rect.width / 2,
        &about,
    );
    let column = rect.width * 3 / 10;
    let mut y = rect.y + HEAD + 12;
    let lines = guest.lines();
    if lines.is_empty() {
        canvas.text("quiet", rect.x + 18, y, 12, rect.width - 32, "serves nothing");
    }
    for (what, how) in lines {
        canvas.text("", rect.x + 18, y, 12, column - 26, &what);
        canvas.text("quiet", rect.x + column, y, 12, rect.width - column - 14, &how);
        y += LINE;
    }
}

/// The columns of a row of so many.
fn columns(number: i32) -> Vec<(i32, i32)> {
    split(MARGIN, WIDTH - 2 * MARGIN, number).collect()
}

fn split(x: i32, width: i32, number: i32) -> impl Iterator<Item = (i32, i32)> {
    let each = (width - GAP * (number - 1)) / number.max(1);
    (0..number).map(move |column| (x + column * (each + GAP), each))
}

/// Places for `items`, in rows of two that are as high as the higher one; `y` moves on below them.
fn grid<T>(y: &mut i32, items: &[T], height: impl Fn(&T) -> i32) -> Vec<Rect> {
    let number = COLUMNS.min(items.len() as i32);
    let mut places = Vec::with_capacity(items.len());
    for row in items.chunks(COLUMNS as usize) {
        let highest = row.iter().map(&height).max().unwrap_or_default();
        places.extend(
            columns(number)
                .into_iter()
                .take(row.len())
                .map(|(x, width)| Rect {
                    x,
                    y: *y,
                    width,
                    height: highest,
                }),
        );
        *y += highest + GAP;
    }
    places
}
