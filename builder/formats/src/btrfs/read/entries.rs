//! Entries that share an item, and the names in them.

use zerocopy::FromBytes;

use super::ReadError;
use super::tree::Item;
use crate::btrfs::records::DirItem;

/// One of the entries that share an item: a name in a directory, or an extended attribute.
pub(super) struct DirEntry<'i> {
    pub head: DirItem,
    pub name: &'i [u8],
    pub value: &'i [u8],
}

/// The entries of an item.
pub(super) fn dir_items(item: &Item) -> impl Iterator<Item = Result<DirEntry<'_>, ReadError>> {
    let mut rest = item.data();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = (|| {
            let (head, bytes) = DirItem::read_from_prefix(rest).ok()?;
            let (name, bytes) = bytes.split_at_checked(head.name_length.get().into())?;
            let (value, bytes) = bytes.split_at_checked(head.data_length.get().into())?;
            rest = bytes;
            Some(DirEntry { head, name, value })
        })();
        if entry.is_none() {
            rest = &[];
        }
        Some(entry.ok_or_else(|| item.wrong("ends within an entry")))
    })
}

/// The first `length` of `bytes`, as a name that a directory can have.
pub(super) fn name_of<'b>(item: &Item, bytes: &'b [u8], length: u16) -> Result<&'b [u8], ReadError> {
    let name = bytes
        .get(..length.into())
        .ok_or_else(|| item.wrong("ends within a name"))?;
    let is_legal = (1..=255).contains(&name.len())
        && !name.contains(&b'/')
        && !name.contains(&0)
        && name != b"."
        && name != b"..";
    if is_legal {
        Ok(name)
    } else {
        Err(item.wrong("has a name that no directory can have"))
    }
}
