//! How a monitor sees all nodes: by the buses they are on.
//!
//! | of | are |
//! |---|---|
//! | of `clusters` | `name`, `router` (none or one name), `switched` (names of the nodes behind its switch) |

use serde::Serialize;

use crate::fleet::Fleet;

/// A bus.
#[derive(Debug, Serialize)]
pub struct ClusterContext<'a> {
    name: &'a str,
    router: Vec<&'a str>,
    switched: Vec<&'a str>,
}

impl<'a> ClusterContext<'a> {
    /// All buses, in the order of their first nodes.
    pub fn all(fleet: &'a Fleet) -> Vec<Self> {
        let mut clusters: Vec<Self> = Vec::new();
        for node in &fleet.nodes {
            let known = clusters.iter().position(|cluster| cluster.name == node.cluster);
            let at = known.unwrap_or(clusters.len());
            if known.is_none() {
                clusters.push(Self {
                    name: &node.cluster,
                    router: Vec::new(),
                    switched: Vec::new(),
                });
            }
            if node.internet.is_some() {
                continue;
            }
            let cluster = &mut clusters[at];
            if cluster.switched.is_empty() {
                let router = fleet.router_of(node);
                cluster.router = router.map(|router| router.name.as_str()).into_iter().collect();
            }
            cluster.switched.push(&node.name);
        }
        clusters
    }
}
