//! Modules of a crate: whoever wants to understand one of them reads those that it names, and never comes back to it.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::builder;
use crate::source::{Name, Source};

/// Circles that are left, each with why it stays. One that is gone has to go from here.
const KNOWN: &[(&[&str], &str)] = &[
    (
        &["fetch::stage3::compile", "fetch::stage3::package"],
        "a package that was compiled here lies where compiling puts it, and packages to compile with are packages",
    ),
    (
        &[
            "model::sources::blobs",
            "model::sources::check",
            "model::sources::signer",
        ],
        "what each part of sources.toml says is read by one `Check`, which knows the signers that were read before",
    ),
];

/// Modules that name each other in a circle.
struct Circle {
    /// Whole names, in order.
    modules: Vec<String>,
    /// Who names whom, and how.
    names: Vec<String>,
}

/// The circles of the crate `name`.
///
/// What lies in a module belongs to it: between two modules that lie side by side, with all that is in them, names may go one
/// way only. A module and what lies in it may name each other, as long as it is not by a neighbour.
fn circles(name: &str, source: &Source) -> Vec<Circle> {
    let mut levels: BTreeMap<Name, BTreeMap<(String, String), String>> = BTreeMap::new();
    for from in source.names() {
        for (to, path) in source.named_by(from) {
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                let told = format!("{} names `{}`", from.join("::"), path.join("::"));
                let level = levels.entry(from[..shared].to_vec()).or_default();
                level.entry((a.clone(), b.clone())).or_insert(told);
            }
        }
    }
    let mut found = Vec::new();
    for (level, edges) in &levels {
        let graph: DiGraphMap<&str, ()> = edges.keys().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        for circle in tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1) {
            let whole = |module: &&str| {
                let parts = [name].into_iter().chain(level.iter().map(String::as_str));
                parts.chain([*module]).collect::<Vec<_>>().join("::")
            };
            let mut modules: Vec<_> = circle.iter().map(whole).collect();
            modules.sort();
            let within = edges
                .iter()
                .filter(|((a, b), _)| circle.contains(&a.as_str()) && circle.contains(&b.as_str()));
            let names = within
                .map(|((a, b), told)| format!("{a} -> {b}: {told}"))
                .collect();
            found.push(Circle { modules, names });
        }
    }
    found
}

#[test]
fn modules_go_one_way() {
    let mut faults = Vec::new();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(builder()).unwrap() {
        let folder = entry.unwrap().path();
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root));
        let Some(root) = roots.iter().find(|root| root.is_file()) else {
            continue;
        };
        let name = folder.file_name().unwrap().to_str().unwrap();
        seen.extend(circles(name, &Source::read(root)));
    }
    for circle in &seen {
        if !KNOWN.iter().any(|(known, _)| *known == circle.modules) {
            faults.push(format!(
                "{} go in a circle:\n    {}",
                circle.modules.join(", "),
                circle.names.join("\n    ")
            ));
        }
    }
    for (known, _) in KNOWN {
        if !seen.iter().any(|circle| *known == circle.modules) {
            faults.push(format!(
                "{} go in no circle any more: take them from the list",
                known.join(", ")
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
