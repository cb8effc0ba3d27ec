//! What the cards of a kind have in common, made once: the root file system but for the nodes' own files, and the card
//! of no node as segments, of which a node's card changes few.

use std::ops::Range;

use anyhow::{Context, Result};
use formats::btrfs::RoleVolume;
use formats::delta::{Delta, Run};
use formats::segments::Segments;
use formats::sparse::SparseImage;

use crate::card::{Card, Content};

/// How much more of its own a node is expected to have behind what every node has, in bytes: a few tree blocks.
const MORE: u64 = 64 << 10;

/// What the cards of a kind have in common.
#[derive(Debug)]
pub struct CommonCard {
    /// Their root file systems.
    pub root: RoleVolume,
    /// The card of no node.
    pub image: SparseImage,
    /// Its segments.
    pub segments: Segments,
}

impl CommonCard {
    /// The base of cards over `root`; `card` makes one from a node's name and its root file system.
    pub fn new(root: RoleVolume, card: impl Fn(&str, SparseImage) -> Result<Card>) -> Result<Self> {
        // No node can have these names. All that two cards without nodes' files differ in are identifiers.
        let base = card("base of cards", root.blank().clone())?;
        let other = card("other base of cards", root.blank().clone())?;
        let unreadable = "cannot read what the cards have in common";
        let identifiers = Delta::between(&base.image, &other.image).context(unreadable)?;
        let touchable: Vec<Range<u64>> = identifiers
            .runs
            .iter()
            .map(Run::range)
            .chain(own_ranges(&base, &root))
            .collect();
        let segments = Segments::cut(&base.image, &touchable).context(unreadable)?;
        Ok(Self {
            root,
            image: base.image,
            segments,
        })
    }
}

/// What of the root file system is a node's own, as bytes of the card.
fn own_ranges<'a>(card: &Card, root: &'a RoleVolume) -> impl Iterator<Item = Range<u64>> + use<'a> {
    let start = card
        .partitions
        .iter()
        .find(|partition| partition.content == Content::Root)
        .map_or(0, |partition| partition.sectors.first.to_bytes().0);
    root.own()
        .iter()
        .map(move |range| start + range.start..start + range.end + MORE)
}
