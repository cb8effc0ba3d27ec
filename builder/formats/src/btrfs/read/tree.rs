//! The items of a tree, from any key on.

use std::rc::Rc;

use super::block::{Block, Reference};
use super::{ReadError, Reader};
use crate::btrfs::disk::Key;

/// Levels of the tallest tree (`BTRFS_MAX_LEVEL`).
pub(super) const MAX_LEVEL: u8 = 8;

/// An item of a leaf.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The tree, for messages.
    pub tree: u64,
    /// Its key.
    pub key: Key,
    leaf: Rc<Block>,
    slot: usize,
}

impl Item {
    /// Its data.
    pub fn data(&self) -> &[u8] {
        self.leaf.data(self.slot)
    }

    /// Says what is wrong with it.
    pub fn wrong(&self, reason: &'static str) -> ReadError {
        ReadError::Item {
            tree: self.tree,
            object: self.key.object,
            kind: self.key.kind,
            offset: self.key.offset,
            reason,
        }
    }
}

/// The items of a tree in order. Ends for good after an error.
///
/// It comes to an end on any input: every block has to lie between the keys that its parent gives it, so that no block
/// can come twice.
pub(super) struct Items<'r, 's> {
    reader: &'r Reader<'s>,
    tree: u64,
    /// The way to the next item: blocks, the slot to take next in each, the key that all of it stays below.
    way: Vec<Step>,
}

struct Step {
    block: Rc<Block>,
    slot: usize,
    below: Option<Key>,
}

impl<'r, 's> Items<'r, 's> {
    /// The items of the tree under `root` whose keys are at least `from`.
    pub fn from(reader: &'r Reader<'s>, root: Reference, from: Key) -> Result<Self, ReadError> {
        let mut items = Self::at_most(reader, root, from)?;
        if let Some(leaf) = items.way.last_mut()
            && leaf.block.level() == 0
            && leaf.slot < leaf.block.count()
            && leaf.block.key(leaf.slot) < from
        {
            leaf.slot += 1;
        }
        Ok(items)
    }

    /// The items from the last one on whose key is at most `from`, or from the first.
    pub fn at_most(reader: &'r Reader<'s>, root: Reference, from: Key) -> Result<Self, ReadError> {
        let mut items = Self {
            reader,
            tree: root.tree,
            way: Vec::new(),
        };
        let mut reference = root;
        let mut below = None;
        loop {
            let block = items.read(reference, below)?;
            let slot = block.up_to(from).saturating_sub(1);
            if block.level() == 0 {
                items.way.push(Step { block, slot, below });
                return Ok(items);
            }
            reference = block.child(slot, root.tree);
            let child_below = next_key(&block, slot).or(below);
            items.way.push(Step {
                block,
                slot: slot + 1,
                below,
            });
            below = child_below;
        }
    }

    /// The block that `reference` leads to, all of whose keys are below `below`.
    fn read(&self, reference: Reference, below: Option<Key>) -> Result<Rc<Block>, ReadError> {
        let block = self.reader.block(&reference)?;
        if below.is_some() && block.last_key() >= below {
            return Err(ReadError::Block {
                tree: reference.tree,
                address: reference.address,
                reason: "it has keys that belong to its neighbour".to_owned(),
            });
        }
        Ok(block)
    }

    fn advance(&mut self) -> Result<Option<Item>, ReadError> {
        while let Some(step) = self.way.last_mut() {
            let slot = step.slot;
            if slot >= step.block.count() {
                self.way.pop();
                continue;
            }
            step.slot += 1;
            let block = Rc::clone(&step.block);
            if block.level() == 0 {
                return Ok(Some(Item {
                    tree: self.tree,
                    key: block.key(slot),
                    leaf: block,
                    slot,
                }));
            }
            let below = next_key(&block, slot).or(step.below);
            let child = self.read(block.child(slot, self.tree), below)?;
            self.way.push(Step {
                block: child,
                slot: 0,
                below,
            });
        }
        Ok(None)
    }
}

/// The key of the entry behind `slot`.
fn next_key(block: &Block, slot: usize) -> Option<Key> {
    (slot + 1 < block.count()).then(|| block.key(slot + 1))
}

impl Iterator for Items<'_, '_> {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance();
        if item.is_err() {
            self.way.clear();
        }
        item.transpose()
    }
}
