//! The root tree, which says where all other trees start, and the UUID tree, which finds subvolumes.

use uuid::Uuid;
use zerocopy::IntoBytes;

use super::btree::Root;
use super::disk::{DiskTime, GENERATION, Key, NODE_SIZE, kind, object};
use super::files::empty_directory;
use super::hash;
use super::items::Items;
use super::namespace::Subvolume;
use super::records::{DirItem, InodeItem, InodeRef, RootItem, RootRef, file_type};
use crate::tree::Share;

/// The name that stands for the default subvolume in the root tree's directory.
pub(super) const DEFAULT: &[u8] = b"default";

/// `BTRFS_INODE_ROOT_ITEM_INIT`: the fields of a root item that old kernels left undefined are set.
const ROOT_ITEM_INIT: u64 = 1 << 31;

/// The root tree. All of it is taken as a node's own, for it moves with everything else.
pub(super) fn root_tree(
    subvolumes: &[Subvolume<'_>],
    top_level_uuid: Uuid,
    roots: &[Root],
    time: DiskTime,
) -> Items {
    let mut items = Items::default();
    for root in roots {
        let subvolume = subvolumes.iter().find(|subvolume| subvolume.id == root.tree);
        let item = match subvolume {
            Some(subvolume) => subvolume_root(root, subvolume, top_level_uuid, time),
            None => root_item(root, time),
        };
        items.push(
            Key::new(root.tree, kind::ROOT_ITEM, 0),
            Share::Node,
            &[item.as_bytes()],
        );
    }
    for subvolume in subvolumes {
        let Some(spec) = subvolume.spec else { continue };
        let item = RootRef {
            directory: object::FIRST_FREE.into(),
            index: subvolume.index.into(),
            // Names are at most 255 bytes.
            name_length: (spec.name.len() as u16).into(),
        };
        let parts = [item.as_bytes(), spec.name.as_bytes()];
        items.push(
            Key::new(object::FS_TREE, kind::ROOT_REF, subvolume.id),
            Share::Node,
            &parts,
        );
        items.push(
            Key::new(subvolume.id, kind::ROOT_BACKREF, object::FS_TREE),
            Share::Node,
            &parts,
        );
    }
    let is_default = |subvolume: &&Subvolume<'_>| subvolume.spec.is_some_and(|spec| spec.default);
    let default = subvolumes
        .iter()
        .find(is_default)
        .map_or(object::FS_TREE, |subvolume| subvolume.id);
    default_directory(&mut items, default, time);
    items.sort();
    items
}

/// The directory with the one entry that names the default subvolume.
fn default_directory(items: &mut Items, default: u64, time: DiskTime) {
    empty_directory(items, object::ROOT_TREE_DIR, time, Share::Node);
    let length = (DEFAULT.len() as u16).into();
    let entry = DirItem {
        location: Key::new(default, kind::ROOT_ITEM, u64::MAX).to_disk(),
        transaction: 0.into(),
        data_length: 0.into(),
        name_length: length,
        file_type: file_type::DIRECTORY,
    };
    let key = Key::new(object::ROOT_TREE_DIR, kind::DIR_ITEM, hash::name(DEFAULT));
    items.push(key, Share::Node, &[entry.as_bytes(), DEFAULT]);
    // mkfs.btrfs writes it for the top level whatever the default is.
    let back = InodeRef {
        index: 0.into(),
        name_length: length,
    };
    let key = Key::new(object::FS_TREE, kind::INODE_REF, object::ROOT_TREE_DIR);
    items.push(key, Share::Node, &[back.as_bytes(), DEFAULT]);
}

/// A root item of a tree without inodes.
fn root_item(root: &Root, time: DiskTime) -> RootItem {
    let zero = DiskTime::default();
    let has_inodes = root.tree == object::DATA_RELOC_TREE;
    RootItem {
        inode: InodeItem {
            generation: GENERATION.into(),
            size: 3.into(),
            bytes: (NODE_SIZE as u64).into(),
            links: 1.into(),
            mode: 0o040_755.into(),
            flags: ROOT_ITEM_INIT.into(),
            ..InodeItem::default()
        },
        generation: GENERATION.into(),
        root_directory: if has_inodes { object::FIRST_FREE } else { 0 }.into(),
        address: root.address.into(),
        byte_limit: 0.into(),
        bytes_used: super::space::block_bytes(root.blocks).into(),
        last_snapshot: 0.into(),
        flags: 0.into(),
        references: 1.into(),
        drop_progress: Key::default().to_disk(),
        drop_level: 0,
        level: root.level,
        generation_v2: GENERATION.into(),
        uuid: [0; 16],
        parent_uuid: [0; 16],
        received_uuid: [0; 16],
        change_transaction: 0.into(),
        origin_transaction: 0.into(),
        send_transaction: 0.into(),
        receive_transaction: 0.into(),
        ctime: time,
        otime: time,
        stime: zero,
        rtime: zero,
        reserved: Default::default(),
    }
}

/// The root item of a subvolume.
fn subvolume_root(root: &Root, subvolume: &Subvolume<'_>, top_level_uuid: Uuid, time: DiskTime) -> RootItem {
    let read_only = subvolume.spec.is_some_and(|spec| spec.read_only);
    RootItem {
        root_directory: object::FIRST_FREE.into(),
        flags: if read_only { RootItem::READ_ONLY } else { 0 }.into(),
        uuid: subvolume
            .spec
            .map_or(top_level_uuid, |spec| spec.uuid)
            .into_bytes(),
        change_transaction: GENERATION.into(),
        origin_transaction: GENERATION.into(),
        ..root_item(root, time)
    }
}

/// The UUID tree: subvolumes by UUID, whose halves are the object and the offset of the key.
pub(super) fn uuid_tree(subvolumes: &[Subvolume<'_>], top_level_uuid: Uuid) -> Items {
    let mut items = Items::default();
    for subvolume in subvolumes {
        let uuid = subvolume.spec.map_or(top_level_uuid, |spec| spec.uuid);
        let uuid = u128::from_le_bytes(uuid.into_bytes());
        let key = Key::new(uuid as u64, kind::UUID_SUBVOLUME, (uuid >> 64) as u64);
        items.push(key, Share::Role, &[&subvolume.id.to_le_bytes()]);
    }
    items.sort();
    items
}
