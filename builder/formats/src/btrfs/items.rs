//! The items of a tree before it has blocks: keys over one run of bytes.

use super::disk::Key;
use crate::tree::Share;

/// The items of one tree.
#[derive(Debug, Default)]
pub(super) struct Items {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Where a leaf starts in any case: what may stand before it on one node and not on another moves nothing behind.
    pub border: Option<Key>,
}

/// One item: its key, who has it, and where its data is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The item's key.
    pub key: Key,
    /// Whether the item is alike on all nodes of a role.
    pub share: Share,
    /// Bytes of its data.
    pub size: usize,
    start: usize,
}

impl Items {
    /// Adds an item whose data is `parts` in a row.
    pub fn push(&mut self, key: Key, share: Share, parts: &[&[u8]]) {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.entries.push(Entry {
            key,
            share,
            size: self.bytes.len() - start,
            start,
        });
    }

    /// Brings the items into the order of their keys, no two of which are equal.
    pub fn sort(&mut self) {
        // Mostly runs in order already, which the stable sort takes as they are.
        self.entries.sort_by_key(|entry| entry.key);
        debug_assert!(
            self.entries.windows(2).all(|pair| pair[0].key < pair[1].key),
            "two items with one key"
        );
    }

    /// Drops what is alike on all nodes of a role.
    pub fn keep_own(&mut self) {
        self.entries.retain(|entry| entry.share == Share::Node);
    }

    /// All items.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The data of `entry`.
    pub fn data(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start..entry.start + entry.size]
    }
}
