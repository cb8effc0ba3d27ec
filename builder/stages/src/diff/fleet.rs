//! The images of a fleet: nodes that have role, board and layout in common may differ in what is their own and in
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use model::fleet::Node;
use model::project::Project;
use rayon::prelude::*;
use serde::Serialize;

use super::blocks::{Owner, Places, differing, own_places};
use super::{Aspect, Difference, Findings, differences};
use crate::build::ImageFiles;
use crate::inspect::Image;
use crate::rootfs;

/// The boot loader's configuration, which names the node's root partition.
const EXTLINUX: &str = "extlinux/extlinux.conf";

/// How the images of a fleet differ.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FleetDiff {
    /// How many images were compared with the first of their kind.
    pub compared: usize,
    /// How many kinds there are.
    pub kinds: usize,
    /// Files that are a node's own, and in how many images they differ from the first.
    pub own_files: BTreeMap<String, usize>,
    /// The nodes that were compared.
    pub nodes: Vec<NodeDiff>,
}

/// How one image differs from the first of its kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeDiff {
    /// The node.
    pub node: String,
    /// The first node of the kind.
    pub reference: String,
    /// Files of its own in which it differs.
    pub own_files: Vec<String>,
    /// Identifiers in which it differs.
    pub ids: usize,
    /// Blocks of 4 KiB in which it differs.
    pub blocks: u64,
    /// What of them are blocks of trees.
    pub tree_blocks: u64,
    /// What must not differ.
    pub faults: Vec<Difference>,
}

impl FleetDiff {
    /// Whether nodes differ in nothing but what is their own.
    pub fn is_clean(&self) -> bool {
        self.nodes.iter().all(|node| node.faults.is_empty())
    }
}

/// Compares the images of all nodes of the project in the folder `images`, each with the first one of its kind.
pub fn fleet_differences(project: &Project, images: &Path, jobs: usize) -> Result<FleetDiff> {
    let mut kinds: BTreeMap<_, Vec<&Node>> = BTreeMap::new();
    for node in &project.fleet.nodes {
        kinds
            .entry((&node.role, &node.board, &node.layout))
            .or_default()
            .push(node);
    }
    let missing: Vec<&str> = project
        .fleet
        .nodes
        .iter()
        .filter(|node| ImageFiles::find(images, &node.name).is_none())
        .map(|node| node.name.as_str())
        .collect();
    if !missing.is_empty() {
        bail!(
            "{} has no finished image of {}: run `portadc build --all`",
            images.display(),
            missing.join(", ")
        );
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .context("cannot start the threads that compare images")?;
    let mut nodes = Vec::new();
    for ((role, _, layout), members) in &kinds {
        let root = project.layouts[*layout]
            .root()
            .and_then(|root| root.subvolumes.iter().find(|subvolume| subvolume.mount == "/"))
            .with_context(|| format!("layout {layout} has no root subvolume"))?;
        let mut own = own_paths(project, role, &root.name)?;
        own.insert(format!("boot:{EXTLINUX}"));
        let Some((first, others)) = members.split_first() else {
            continue;
        };
        let compared: Vec<Result<NodeDiff>> = pool.install(|| {
            let compare = |node: &&Node| {
                // A reader is of one thread; opening an image costs nothing.
                let [one, other] = [*first, *node].map(|node| {
                    let files = ImageFiles::find(images, &node.name);
                    Image::open(&files.context("it has just been removed")?.image)
                });
                node_difference((&one?, &first.name), (&other?, &node.name), &own).with_context(|| {
                    format!(
                        "cannot compare the image of {} with that of {}",
                        node.name, first.name
                    )
                })
            };
            others.par_iter().map(compare).collect()
        });
        nodes.extend(compared.into_iter().collect::<Result<Vec<_>>>()?);
    }
    let mut own_files: BTreeMap<String, usize> = BTreeMap::new();
    for path in nodes.iter().flat_map(|node| &node.own_files) {
        *own_files.entry(path.clone()).or_default() += 1;
    }
    Ok(FleetDiff {
        compared: nodes.len(),
        kinds: kinds.len(),
        own_files,
        nodes,
    })
}

/// What is rendered for each node of a role, in the subvolume `root`: `@:etc/hostname`.
fn own_paths(project: &Project, role: &str, root: &str) -> Result<BTreeSet<String>> {
    let role = &project.fleet.roles[role];
    let overlays: Vec<_> = role.overlays.iter().map(|name| &project.overlays[name]).collect();
    let paths = rootfs::own_paths(&project.fleet, role, &overlays)?;
    Ok(paths
        .iter()
        .map(|path| format!("{root}:{}", path.relative()))
        .collect())
}

/// How `node` differs from `reference`, each an image and its node's name. `own` are files that may differ:
/// `@:etc/hostname`, `boot:extlinux/extlinux.conf`.
pub fn node_difference(
    reference: (&Image, &str),
    node: (&Image, &str),
    own: &BTreeSet<String>,
) -> Result<NodeDiff> {
    let is_own = |path: &str| own.contains(path);
    let mut diff = NodeDiff {
        node: node.1.to_owned(),
        reference: reference.1.to_owned(),
        own_files: Vec::new(),
        ids: 0,
        blocks: 0,
        tree_blocks: 0,
        faults: Vec::new(),
    };
    let boot = node
        .0
        .parts()
        .into_iter()
        .find(|part| part.kind == crate::inspect::Kind::Fat);
    let boot = boot.map(|part| part.number);
    for difference in differences(reference.0, node.0)? {
        let key = match Some(difference.partition) == boot {
            true => format!("boot:{}", difference.path),
            false => difference.path.replacen('/', ":", 1),
        };
        match difference.aspect {
            Aspect::Id => diff.ids += 1,
            Aspect::Content if is_own(&key) => diff.own_files.push(key),
            _ => diff.faults.push(difference),
        }
    }
    diff.own_files.dedup();
    let places: [Places; 2] = [own_places(reference.0, &is_own)?, own_places(node.0, &is_own)?];
    let found = differing(reference.0, node.0, [&places[0], &places[1]])?;
    diff.blocks = found.blocks.values().sum();
    diff.tree_blocks = found.blocks.get(&Owner::TreeBlock).copied().unwrap_or(0);
    let mut findings = Findings::new(0);
    for place in found.unowned {
        let what = format!(
            "bytes {}..{} differ, which no file of the node has",
            place.start, place.end
        );
        findings.push(Aspect::Bytes, "", what);
    }
    diff.faults.extend(findings.found);
    Ok(diff)
}
