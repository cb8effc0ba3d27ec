//! What is random about a tree and its volume.

use std::sync::LazyLock;

use formats::btrfs::{Profile, VolumeSize};
use formats::layer::{Attributes, Compression, Device, Inline, Xattrs, ZstdLevel};
use formats::units::{Bytes, Time};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::btrfs_common::{colliding_names, noise};

/// A tree and its volume, before either is made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub things: Vec<Planned>,
    pub compression: Compression,
    pub inline: Inline,
    /// Whether what is a node's own comes in a layer of its own. If not, inodes of the one layer are declared it.
    pub node_layer: bool,
    pub holder: Holder,
    /// Whether there is a subvolume with a tree of its own.
    pub has_template: bool,
    pub shared_uuid: bool,
    pub metadata: Profile,
    pub size: VolumeSize,
    /// Whether the kernel is asked, too, which takes longer than all the other oracles.
    pub is_mounted: bool,
}

/// One path: where, what, whose.
#[derive(Debug, Clone)]
pub struct Planned {
    /// One of the directories that came before, by number.
    pub parent: usize,
    pub name: Vec<u8>,
    pub attributes: Attributes,
    pub thing: Thing,
    pub is_own: bool,
}

/// What a path becomes.
#[derive(Debug, Clone)]
pub enum Thing {
    Directory,
    /// A directory that a subvolume of its own holds.
    Subvolume,
    File(Vec<(Fill, usize)>, Cut),
    Symlink(Vec<u8>),
    /// Another name of something that came before, by number.
    Hardlink(usize),
    /// Many more of them, of names that begin with this one's.
    Hardlinks(usize, usize),
    Device(Device),
    Fifo,
    Socket,
}

#[derive(Debug, Clone, Copy)]
pub enum Fill {
    Noise,
    Text,
    Zeros,
}

/// How the extents of a file are moved about, as no layer does it.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// Sectors of holes before the extents, in turn, and behind the last one.
    pub holes: Vec<u64>,
    /// Whether raw extents are cut in two.
    pub split: bool,
    /// Whether the first extent comes once more at the end.
    pub again: bool,
}

/// Which subvolume the root of the tree is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The top level, beside the other subvolumes.
    TopLevel,
    /// One of its own, which is the default.
    Subvolume,
}

/// Pairs of names of one hash.
static COLLIDING: LazyLock<Vec<(String, String)>> = LazyLock::new(|| colliding_names("", 3));
static COLLIDING_XATTRS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| colliding_names("user.", 2));

fn colliding(pairs: &[(String, String)]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let names = pairs.iter().flat_map(|(one, other)| [one, other]);
    select(names.map(|name| name.clone().into_bytes()).collect::<Vec<_>>())
}

/// Lengths around the limits, and any up to a few extents.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..5_usize,
        4 => 2040..2060_usize,
        4 => 4090..4100_usize,
        4 => 8190..8200_usize,
        2 => 131_060..131_080_usize,
        1 => 262_140..262_150_usize,
        1 => 1_048_570..1_048_580_usize,
        4 => 0..300_000_usize,
    ]
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![3 => Just(Fill::Noise), 3 => Just(Fill::Text), 2 => Just(Fill::Zeros)]
}

fn cut() -> impl Strategy<Value = Cut> {
    let sectors = prop_oneof![4 => 0..3_u64, 2 => 0..40_u64, 1 => 0..3000_u64];
    let cut = (vec(sectors, 1..4), any::<bool>(), any::<bool>());
    let cut = cut.prop_map(|(holes, split, again)| Cut { holes, split, again });
    prop_oneof![2 => Just(Cut::default()), 1 => cut]
}

fn thing() -> impl Strategy<Value = Thing> {
    let device = (0..4096_u32, 0..1_048_576_u32);
    prop_oneof![
        40 => Just(Thing::Directory),
        6 => Just(Thing::Subvolume),
        60 => (vec((fill(), length()), 0..4), cut()).prop_map(|(runs, cut)| Thing::File(runs, cut)),
        40 => (vec((fill(), 0..5000_usize), 0..2)).prop_map(|runs| Thing::File(runs, Cut::default())),
        10 => vec(1..=255_u8, 1..300).prop_map(Thing::Symlink),
        1 => vec(1..=255_u8, 4000..=4095).prop_map(Thing::Symlink),
        30 => any::<usize>().prop_map(Thing::Hardlink),
        1 => (any::<usize>(), 50..150_usize).prop_map(|(target, count)| Thing::Hardlinks(target, count)),
        12 => device.prop_map(|(major, minor)| Thing::Device(Device { major, minor })),
        6 => Just(Thing::Fifo),
        6 => Just(Thing::Socket),
    ]
}

/// A name of any bytes that no other rule forbids.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = || prop_oneof![9 => b'a'..=b'e', 1 => 1..=255_u8];
    let any = prop_oneof![20 => vec(byte(), 1..12), 1 => vec(byte(), 200..=255)];
    let any = any.prop_filter("a name", |name| {
        !name.contains(&b'/') && name != b"." && name != b".."
    });
    prop_oneof![6 => any, 1 => colliding(&COLLIDING)]
}

fn xattrs() -> impl Strategy<Value = Xattrs> {
    let name = prop_oneof![
        5 => "(user|trusted)\\.[a-z]{1,20}".prop_map(String::into_bytes),
        1 => vec(1..=255_u8, 1..100).prop_map(|name| [b"trusted.", &name[..]].concat()),
    ];
    let small = btree_map(name.boxed(), vec(any::<u8>(), 0..300), 0..4);
    let large = (0..16_200_usize, any::<u64>())
        .prop_map(|(length, seed)| Xattrs::from([(b"user.large".to_vec(), noise(length, seed))]));
    let collisions = btree_map(colliding(&COLLIDING_XATTRS), vec(any::<u8>(), 0..300), 1..4);
    prop_oneof![8 => Just(Xattrs::new()), 6 => small, 1 => large, 1 => collisions]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let id = prop_oneof![4 => Just(0), 4 => 0..70_000_u32, 1 => Just(u32::MAX - 1)];
    let seconds = prop_oneof![
        any::<u32>().prop_map(i64::from),
        -(1_i64 << 40)..1 << 40,
        Just(0),
        Just(-1)
    ];
    let nanoseconds = prop_oneof![Just(0), 0..1_000_000_000_u32];
    (0..=0o7777_u32, id.clone(), id, seconds, nanoseconds, xattrs()).prop_map(
        |(mode, uid, gid, seconds, nanoseconds, xattrs)| Attributes {
            mode,
            uid,
            gid,
            mtime: Time { seconds, nanoseconds },
            xattrs,
        },
    )
}

fn planned() -> impl Strategy<Value = Planned> {
    (
        any::<usize>(),
        name(),
        attributes(),
        thing(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(parent, name, attributes, thing, is_own)| Planned {
            parent,
            name,
            attributes,
            thing,
            is_own,
        })
}

/// Any tree on any volume, of which one in `mounted` is checked by the kernel.
pub fn plan(mounted: u32) -> impl Strategy<Value = Plan> {
    let level =
        (1..=7_u8).prop_map(|level| ZstdLevel::new(level).map_or(Compression::None, Compression::Zstd));
    let size = prop_oneof![
        3 => (0..512_u64).prop_map(|free| VolumeSize::Minimal { free: Bytes::mib(free) }),
        1 => (1_u64 << 29..1 << 31).prop_map(|size| VolumeSize::Exact(Bytes(size))),
    ];
    (
        vec(planned(), 0..70),
        prop_oneof![1 => Just(Compression::None), 2 => level],
        prop_oneof![Just(Inline::Smallest), Just(Inline::Raw)],
        prop::bool::weighted(0.7),
        prop_oneof![Just(Holder::TopLevel), Just(Holder::Subvolume)],
        prop::bool::weighted(0.3),
        any::<bool>(),
        prop_oneof![Just(Profile::Dup), Just(Profile::Single)],
        size,
        prop::bool::weighted(1.0 / f64::from(mounted)),
    )
        .prop_map(
            |(
                things,
                compression,
                inline,
                node_layer,
                holder,
                has_template,
                shared_uuid,
                metadata,
                size,
                is_mounted,
            )| {
                Plan {
                    things,
                    compression,
                    inline,
                    node_layer,
                    holder,
                    has_template,
                    shared_uuid,
                    metadata,
                    size,
                    is_mounted,
                }
            },
        )
}
