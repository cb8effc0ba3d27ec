//! Images as a pack. Nodes that are in the pack already as they should be are taken over from it, whether they were asked
//! for or not; a pack holds one state of the fleet, so those that are of another leave it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::{Result, bail, ensure};
use engine::Engine;
use formats::delta::Delta;
use formats::digest::hex;
use formats::pack::{Node as PackedNode, PackedBase};
use model::fleet::{Fleet, Node};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::card::{CardMaker, Planned};
use super::figures::ImageFigures;
use super::space::{self, Kept};
use super::{BuiltImage, Made};
use crate::pack::{DELTA, ENCRYPTED_DELTA, Pack, PackFolder, PackWriter, Recipients};

/// What one kind of nodes adds to a pack.
#[derive(Default)]
struct Entries {
    bases: Vec<PackedBase>,
    warnings: Vec<String>,
    nodes: Vec<(PackedNode, BuiltImage)>,
}

/// The nodes that a build of `asked` plans for a pack in `folder`: these, and those in the pack, which may stay.
pub fn planned<'a>(folder: &PackFolder, fleet: &'a Fleet, asked: &[&'a Node]) -> Vec<&'a Node> {
    let old = Pack::open(folder.path()).ok();
    let packed = old.iter().flat_map(|pack| &pack.index.nodes);
    let packed = packed.map(|node| node.name.as_str());
    let wanted: HashSet<&str> = packed
        .chain(asked.iter().map(|node| node.name.as_str()))
        .collect();
    let nodes = fleet.nodes.iter();
    nodes.filter(|node| wanted.contains(node.name.as_str())).collect()
}

/// Refuses a pack in plain where there is one that is encrypted: whoever forgot to say so may be about to publish it.
pub fn check_recipients(folder: &PackFolder, recipients: &Recipients) -> Result<()> {
    let Ok(pack) = Pack::open(folder.path()) else {
        // There is none, or one that nobody could read.
        return Ok(());
    };
    ensure!(
        !pack.index.is_encrypted() || !recipients.is_empty(),
        "the pack {} is encrypted to {}: name recipients with --encrypt-secrets, or remove it to have one that holds the nodes' keys \
         in plain",
        folder.path().display(),
        pack.index.recipients.join(", ")
    );
    Ok(())
}

/// Writes a pack of those nodes of `kinds` that are `asked` for, unless it is there. The others stay in it where they are
/// what a build would make of them now. To be run in the pool of a build.
pub fn write(
    engine: &Engine,
    folder: &PackFolder,
    recipients: &Recipients,
    kinds: &[CardMaker],
    fleet: &Fleet,
    asked: &[&Node],
) -> Result<Made> {
    let found = Pack::open(folder.path()).ok();
    let old = found
        .as_ref()
        .filter(|pack| pack.is_untouched() && pack.index.recipients == recipients.keys());
    let asked: HashSet<&str> = asked.iter().map(|node| node.name.as_str()).collect();
    let is_asked = |planned: &Planned| asked.contains(planned.node.name.as_str());
    let count = asked.len();
    let task = engine.progress.steps("pack", count as u64);
    let mut plans: Vec<Vec<Planned>> = kinds.iter().map(CardMaker::plan).collect::<Result<_>>()?;
    for plan in &mut plans {
        plan.retain(|planned| is_asked(planned) || kept(old, planned).is_some());
    }
    let here: HashSet<&str> = plans
        .iter()
        .flatten()
        .map(|planned| planned.node.name.as_str())
        .collect();
    let packed = found.as_ref().map_or(&[][..], |pack| &pack.index.nodes);
    let mut warnings = leaving(packed, old.is_some(), fleet, &here);
    if let Some(old) = old
        && old.index.nodes.len() == here.len()
        && plans
            .iter()
            .flatten()
            .all(|planned| kept(Some(old), planned).is_some())
    {
        let images = plans.iter().flatten().filter(|planned| is_asked(planned));
        let images = images.map(|planned| Ok(unchanged(folder.path(), old, planned)?.1));
        task.done(format!("0 written, {count} unchanged"));
        return Ok(Made {
            images: images.collect::<Result<_>>()?,
            warnings,
        });
    }

    let writer = PackWriter::create(folder, recipients)?;
    let mut all = Entries::default();
    for (maker, plan) in kinds.iter().zip(&plans) {
        let advance = |planned: &Planned| task.advance(is_asked(planned).into());
        let entries = write_kind(&writer, folder.path(), old, maker, plan, &advance)?;
        all.bases.extend(entries.bases);
        warnings.extend(entries.warnings);
        all.nodes.extend(entries.nodes);
    }
    let places: HashMap<_, _> = (0..)
        .zip(&fleet.nodes)
        .map(|(at, node): (usize, _)| (&node.name, at))
        .collect();
    all.nodes.sort_by_key(|(node, _)| places.get(&node.name));
    let (nodes, mut images): (Vec<_>, Vec<_>) = all.nodes.into_iter().unzip();
    writer.finish(&fleet.name, all.bases, nodes)?;
    images.retain(|image: &BuiltImage| asked.contains(image.node.as_str()));
    let written = images.iter().filter(|image| image.written).count();
    task.done(format!("{written} written, {} unchanged", count - written));
    Ok(Made { images, warnings })
}

/// What is said of the nodes of a pack that are not `here` any more. Of a pack that is not as it was written none stays.
fn leaving(packed: &[PackedNode], is_as_written: bool, fleet: &Fleet, here: &HashSet<&str>) -> Vec<String> {
    let gone = packed.iter().filter(|node| !here.contains(node.name.as_str()));
    let said = |PackedNode { name, .. }: &PackedNode| {
        if !fleet.nodes.iter().any(|node| node.name == *name) {
            format!("{name} is no node of the fleet any more and left the pack")
        } else if is_as_written {
            format!("{name} is of another state of the fleet and left the pack: build it, too")
        } else {
            format!(
                "{name} left the pack, whose files were changed, or encrypted to others, since it was written: build it, too"
            )
        }
    };
    gone.map(said).collect()
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
    advance: &(dyn Fn(&Planned) + Sync),
) -> Result<Entries> {
    let mut entries = Entries::default();
    let Some(any) = plan.first() else {
        return Ok(entries);
    };
    let name = maker.name();
    if let Some(old) = old
        && let Some(nodes) = plan
            .iter()
            .map(|planned| kept(Some(old), planned))
            .collect::<Option<Vec<_>>>()
    {
        // Equal keys are of equal bases: nothing has to be laid out.
        for base in nodes.iter().map(|node| &node.base).collect::<BTreeSet<_>>() {
            writer.keep_base(base)?;
            entries
                .bases
                .extend(old.index.bases.iter().find(|of| of.name == *base).cloned());
        }
        for planned in plan {
            writer.keep_node(&planned.node.name)?;
            entries.nodes.push(unchanged(folder, old, planned)?);
            advance(planned);
        }
        return Ok(entries);
    }
    let card_base = maker.base(&any.own)?;
    space::check(folder, &card_base.image, plan.len(), Kept::Shared)?;
    let base = writer.base(&name, &card_base.image, &card_base.segments)?;
    let closed = maker.layers.closed_files();
    if writer.is_encrypted() && !closed.is_empty() {
        entries.warnings.push(format!(
            "the base {name} is not encrypted, and has files of overlays that only root may read on a node: {}; what is in them is \
             the same on all nodes, and whoever has the pack reads it",
            closed.join(", ")
        ));
    }
    // Deltas over another base are of no use, unless they come out alike.
    let of_base = old.filter(|old| old.index.bases.contains(&base));
    entries.bases.push(base);
    let write = |planned: &Planned| -> Result<Entries> {
        let mut entries = Entries::default();
        let entry = match of_base.zip(kept(of_base, planned)) {
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
                    delta_sha256: None,
                };
                let delta = match &card.alone {
                    None => &card.delta,
                    // A base is not encrypted.
                    Some(_) if writer.is_encrypted() => bail!(
                        "the files of {} do not fit over what its kind has in common, so that its keys would be in a base of its own, \
                         which is not encrypted: leave {} out of the pack, or let it have fewer files of its own",
                        node.name,
                        node.name
                    ),
                    // It is its own base.
                    Some(image) => {
                        node.base.clone_from(&node.name);
                        entries
                            .bases
                            .push(writer.base(&node.name, image, &card.segments)?);
                        &Delta::default()
                    }
                };
                let before = old.and_then(|old| old.node(&node.name).ok());
                node.delta_sha256 = writer.node(&node.name, delta, &card.manifest, before)?;
                let image = built(folder, planned, true, node.delta_sha256.is_some(), card.figures);
                (node, image)
            }
        };
        entries.nodes.push(entry);
        advance(planned);
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
    Ok((
        node.clone(),
        built(folder, planned, false, node.delta_sha256.is_some(), figures),
    ))
}

fn built(
    folder: &Path,
    planned: &Planned,
    written: bool,
    is_encrypted: bool,
    figures: ImageFigures,
) -> BuiltImage {
    let name = &planned.node.name;
    BuiltImage {
        node: name.clone(),
        address: planned.node.address_text(),
        path: folder.join(format!(
            "{name}{}",
            if is_encrypted { ENCRYPTED_DELTA } else { DELTA }
        )),
        written,
        figures,
        sha256: None,
    }
}

#[cfg(test)]
mod tests {
    use model::project::Project;

    use super::*;

    #[test]
    fn whoever_leaves_a_pack_is_named_with_why() {
        let fleet = Project::load(testkit::fleet::PROJECT.as_ref()).unwrap().fleet;
        let packed = ["red-07", "red-08", "green-01"].map(|name| PackedNode {
            name: name.to_owned(),
            base: "base".to_owned(),
            manifest_sha256: String::new(),
            inputs: String::new(),
            root_used: 0,
            delta_sha256: None,
        });
        let here = HashSet::from(["red-07"]);
        assert_eq!(
            leaving(&packed, true, &fleet, &here),
            [
                "red-08 is of another state of the fleet and left the pack: build it, too",
                "green-01 is no node of the fleet any more and left the pack",
            ]
        );
        assert_eq!(
            leaving(&packed, false, &fleet, &here)[0],
            "red-08 left the pack, whose files were changed, or encrypted to others, since it was written: build it, too"
        );
    }

    #[test]
    fn nodes_that_are_in_the_pack_are_planned_with_those_asked_for() {
        let fleet = Project::load(testkit::fleet::PROJECT.as_ref()).unwrap().fleet;
        let node = |name: &str| fleet.nodes.iter().find(|node| node.name == name).unwrap();
        let place = tempfile::tempdir().unwrap();
        let folder = PackFolder::open(&place.path().join("pack")).unwrap();
        let names = |asked: &[&Node]| -> Vec<String> {
            let planned = planned(&folder, &fleet, asked);
            planned.iter().map(|node| node.name.clone()).collect()
        };
        assert_eq!(names(&[node("red-08")]), ["red-08"]);
        let recipients = Recipients::default();
        let writer = PackWriter::create(&folder, &recipients).unwrap();
        let packed = ["blue-02", "green-01", "red-07"].map(|name| PackedNode {
            name: name.to_owned(),
            base: "base".to_owned(),
            manifest_sha256: "0".repeat(64),
            inputs: "key".to_owned(),
            root_used: 0,
            delta_sha256: None,
        });
        let base = PackedBase {
            name: "base".to_owned(),
            sha256: "0".repeat(64),
            map_sha256: "0".repeat(64),
        };
        writer.finish(&fleet.name, vec![base], packed.to_vec()).unwrap();
        assert_eq!(names(&[node("red-08")]), ["red-07", "red-08", "blue-02"]);
    }
}
