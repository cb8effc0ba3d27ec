//! Any tree: both judges on trees that nobody thought of.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use btrfs_common::*;
use formats::btrfs::{Profile, VolumeSize, VolumeSpec};
use formats::layer::{Attributes, Device, LayerBuilder, Xattrs};
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Time};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// What a path becomes.
#[derive(Debug, Clone)]
enum Thing {
    Directory,
    Noise(usize),
    Text(usize),
    Zeros(usize),
    /// Noise, zeros, text.
    Mixed(usize),
    Symlink(Vec<u8>),
    /// Another name of a file that came before, by number.
    Hardlink(usize),
    Device(Device),
    Fifo,
    Socket,
}

fn thing() -> impl Strategy<Value = Thing> {
    // Lengths around the limits, and any up to a few extents.
    let length = prop_oneof![
        0..5_usize,
        2040..2060_usize,
        4090..4100_usize,
        8190..8200_usize,
        131_060..131_080_usize,
        0..600_000_usize
    ];
    prop_oneof![
        3 => Just(Thing::Directory),
        4 => length.clone().prop_map(Thing::Noise),
        4 => length.clone().prop_map(Thing::Text),
        1 => length.clone().prop_map(Thing::Zeros),
        2 => length.prop_map(Thing::Mixed),
        1 => vec(1..=255_u8, 1..300).prop_map(Thing::Symlink),
        3 => any::<usize>().prop_map(Thing::Hardlink),
        1 => (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| Thing::Device(Device { major, minor })),
        1 => Just(Thing::Fifo),
        1 => Just(Thing::Socket),
    ]
}

/// A name of any bytes that no other rule forbids.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![9 => b'a'..=b'e', 1 => 1..=255_u8];
    vec(byte, 1..12).prop_filter("a name", |name| {
        !name.contains(&b'/') && name != b"." && name != b".."
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let xattr_name = "(user|trusted)\\.[a-z]{1,20}".prop_map(String::into_bytes);
    let xattrs = btree_map(xattr_name, vec(any::<u8>(), 0..300), 0..4);
    let seconds = prop_oneof![any::<u32>().prop_map(i64::from), -(1_i64 << 40)..1 << 40];
    (
        0..=0o7777_u32,
        any::<u16>(),
        any::<u16>(),
        seconds,
        0..1_000_000_000_u32,
        xattrs,
    )
        .prop_map(
            |(mode, uid, gid, seconds, nanoseconds, xattrs): (_, _, _, _, _, Xattrs)| Attributes {
                mode,
                uid: uid.into(),
                gid: gid.into(),
                mtime: Time { seconds, nanoseconds },
                xattrs,
            },
        )
}

type Planned = (usize, Vec<u8>, Attributes, Thing, bool);

/// The tree of things, each in one of the directories before it. What cannot stand where it came is left out.
fn grow(things: &[Planned]) -> Tree {
    let mut layer: LayerBuilder<Vec<u8>> = builder();
    let mut directories: Vec<Vec<u8>> = vec![Vec::new()];
    let mut files: Vec<Vec<u8>> = Vec::new();
    let mut paths = Vec::new();
    for (number, (parent, name, attributes, thing, own)) in things.iter().enumerate() {
        let parent = &directories[parent % directories.len()];
        let path = if parent.is_empty() {
            name.clone()
        } else {
            [&parent[..], name].join(&b'/')
        };
        let seed = number as u64;
        // A symbolic link carries no attributes in the namespace `user`, and neither do devices.
        let mut bare = attributes.clone();
        bare.xattrs.retain(|name, _| name.starts_with(b"trusted."));
        let file = match thing {
            Thing::Noise(length) => Some(noise(*length, seed % 7)),
            Thing::Text(length) => Some(text(*length, seed % 7)),
            Thing::Zeros(length) => Some(vec![0; *length]),
            Thing::Mixed(length) => {
                Some([noise(*length, seed), vec![0; *length], text(*length, seed)].concat())
            }
            _ => None,
        };
        let result = match thing {
            Thing::Directory => layer.directory(&path, attributes.clone()),
            Thing::Symlink(target) => layer.symlink(&path, bare, target),
            Thing::Hardlink(_) if files.is_empty() => continue,
            Thing::Hardlink(target) => layer.hardlink(&path, &files[target % files.len()]),
            Thing::Device(device) if device.minor % 2 == 0 => layer.block_device(&path, bare, *device),
            Thing::Device(device) => layer.character_device(&path, bare, *device),
            Thing::Fifo => layer.fifo(&path, bare),
            Thing::Socket => layer.socket(&path, bare),
            _ => layer.file(&path, attributes.clone(), &file.clone().unwrap()),
        };
        if result.is_err() {
            continue;
        }
        match thing {
            Thing::Directory => directories.push(path.clone()),
            _ if file.is_some() => files.push(path.clone()),
            _ => {}
        }
        paths.push((path, *own));
    }
    let mut tree = tree(layer);
    for (path, own) in paths {
        if own {
            let id = tree.lookup(&path).unwrap();
            tree.inodes[id.0].share = Share::Node;
        }
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree(
        things in vec((any::<usize>(), name(), attributes(), thing(), any::<bool>()), 0..120),
        dup in any::<bool>(),
        free in 0..512_u64,
    ) {
        let tree = grow(&things);
        let metadata = if dup { Profile::Dup } else { Profile::Single };
        let spec = VolumeSpec { metadata, size: VolumeSize::Minimal { free: Bytes::mib(free) }, ..spec("any") };
        judge(&spec, &tree);
    }
}
