//! Images as a pack. Nodes that are in the pack already as they should be are taken over from it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use formats::delta::Delta;
use formats::digest::hex;
use formats::pack::{Base, Node as PackedNode};
use model::fleet::Fleet;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::BuiltImage;
use super::card::{CardMaker, Planned};
use super::space::{self, Kept};
use super::state::ImageFigures;
use crate::engine::Engine;
use crate::pack::{DELTA, Pack, PackFolder, PackWriter};

/// What one kind of nodes adds to a pack.
#[derive(Default)]
struct Entries {
    bases: Vec<Base>,
    nodes: Vec<(PackedNode, BuiltImage)>,
}

/// Writes a pack of all nodes of `kinds`, unless it is there. To be run in the pool of a build.
pub fn write(
    engine: &Engine,
    folder: &PackFolder,
    kinds: &[CardMaker],
    fleet: &Fleet,
) -> Result<Vec<BuiltImage>> {
    let old = Pack::open(folder.path()).ok().filter(Pack::is_untouched);
    let count = kinds.iter().map(|maker| maker.nodes.len()).sum::<usize>();
    let task = engine.progress.steps("pack", count as u64);
    let plans: Vec<Vec<Planned>> = kinds.iter().map(CardMaker::plan).collect::<Result<_>>()?;
    let old = old.as_ref();
    let is_kept = |planned: &Planned| kept(old, planned).is_some();
    if let Some(old) = old
        && old.index.nodes.len() == count
        && plans.iter().flatten().all(is_kept)
    {
        let images = plans
            .iter()
            .flatten()
            .map(|planned| Ok(unchanged(folder.path(), old, planned)?.1));
        task.done(format!("0 written, {count} unchanged"));
        return images.collect();
    }

    let writer = PackWriter::create(folder)?;
    let mut all = Entries::default();
    for (maker, plan) in kinds.iter().zip(&plans) {
        let entries = write_kind(&writer, folder.path(), old, maker, plan, &|| task.advance(1))?;
        all.bases.extend(entries.bases);
        all.nodes.extend(entries.nodes);
    }
    let places: HashMap<_, _> = (0..)
        .zip(&fleet.nodes)
        .map(|(at, node): (usize, _)| (&node.name, at))
        .collect();
    all.nodes.sort_by_key(|(node, _)| places.get(&node.name));
    let (nodes, images): (Vec<_>, Vec<_>) = all.nodes.into_iter().unzip();
    writer.finish(&fleet.name, all.bases, nodes)?;
    let written = images.iter().filter(|image: &&BuiltImage| image.written).count();
    task.done(format!("{written} written, {} unchanged", count - written));
    Ok(images)
}

/// The entry of a node in the old pack, where its image is the one that is wanted.
fn kept<'p>(old: Option<&'p Pack>, planned: &Planned) -> Option<&'p PackedNode> {
    let nodes = old.map_or(&[][..], |pack| &pack.index.nodes);
    nodes
        .iter()
        .find(|node| node.name == planned.node.name && node.inputs == planned.key.as_str())
}

fn write_kind(
    writer: &PackWriter,
    folder: &Path,
    old: Option<&Pack>,
    maker: &CardMaker,
    plan: &[Planned],
    advance: &(dyn Fn() + Sync),
) -> Result<Entries> {
    let mut entries = Entries::default();
    let Some(any) = plan.first() else {
        return Ok(entries);
    };
    let name = maker.name();
    let card_base = maker.base(&any.own)?;
    space::check(folder, &card_base.image, plan.len(), Kept::Shared)?;
    let base = writer.base(&name, &card_base.image, &card_base.segments)?;
    // Deltas over another base are of no use.
    let old = old.filter(|old| old.index.bases.contains(&base));
    entries.bases.push(base);
    let write = |planned: &Planned| -> Result<Entries> {
        let mut entries = Entries::default();
        let entry = match old.zip(kept(old, planned)) {
            Some((old, node)) if node.base == name => {
                writer.keep_node(&node.name)?;
                unchanged(folder, old, planned)?
            }
            _ => {
                let card = maker.card(&card_base, planned)?;
                let mut node = PackedNode {
                    name: planned.node.name.clone(),
                    base: name.clone(),
                    manifest_sha256: hex(&Sha256::digest(&card.manifest)),
                    inputs: planned.key.as_str().to_owned(),
                    root_used: card.figures.root_used,
                };
                let delta = match &card.alone {
                    None => &card.delta,
                    // It is its own base.
                    Some(image) => {
                        node.base.clone_from(&node.name);
                        entries
                            .bases
                            .push(writer.base(&node.name, image, &card.segments)?);
                        &Delta::default()
                    }
                };
                writer.node(&node.name, delta, &card.manifest)?;
                let image = built(folder, planned, true, card.figures);
                (node, image)
            }
        };
        entries.nodes.push(entry);
        advance();
        Ok(entries)
    };
    let written: Vec<Entries> = plan.par_iter().map(write).collect::<Result<_>>()?;
    for one in written {
        entries.bases.extend(one.bases);
        entries.nodes.extend(one.nodes);
    }
    Ok(entries)
}

/// The entry of a node that is as it was, and its image.
fn unchanged(folder: &Path, old: &Pack, planned: &Planned) -> Result<(PackedNode, BuiltImage)> {
    let node = old.node(&planned.node.name)?;
    let (manifest, _) = old.manifest(node)?;
    let figures = ImageFigures {
        size: manifest.image.size.0,
        mapped: manifest.image.mapped.0,
        root_used: node.root_used,
        map_sha256: manifest.image.map_sha256,
    };
    Ok((node.clone(), built(folder, planned, false, figures)))
}

fn built(folder: &Path, planned: &Planned, written: bool, figures: ImageFigures) -> BuiltImage {
    let name = &planned.node.name;
    BuiltImage {
        node: name.clone(),
        address: planned.node.address,
        path: folder.join(format!("{name}{DELTA}")),
        written,
        figures,
        sha256: None,
    }
}
