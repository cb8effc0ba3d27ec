//! Trees that nobody thought of, before all oracles.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../btrfs_common/mod.rs"]
mod btrfs_common;
mod growth;
mod plan;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{process, thread};

use btrfs_common::*;
use formats::btrfs::read::{Reader, View};
use formats::btrfs::{Profile, RoleVolume, SubvolumeContent, Volume, VolumeError, lay_out};
use formats::layer::{Compression, Data, Encoding};
use formats::tree::{InodeKind, Share, Tree};
use growth::Grown;
use plan::Plan;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use testkit::listing;
use testkit::volume::{Access, LoopMount, btrfs_check, btrfs_check_lowmem};

/// Trees in one run of the test.
const TREES: u32 = 2000;

/// One tree of so many is checked by the kernel, too.
const MOUNTED: u32 = 20;

/// So many names of any length fit into one INODE_REF.
const NAMES_OF_ONE_ITEM: usize = 61;

/// Each thread draws trees and has them checked. A tree that fails is made as small as it can be and printed; its seed is
/// kept in `main.proptest-regressions`, from which every later run draws first.
#[test]
fn any_tree_on_any_volume() {
    let workers = thread::available_parallelism().unwrap().get() as u32;
    let seen = Seen::default();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let config = Config {
                    cases: TREES.div_ceil(workers),
                    max_shrink_iters: 500,
                    source_file: Some(file!()),
                    failure_persistence: Some(Box::new(FileFailurePersistence::WithSource(
                        "proptest-regressions",
                    ))),
                    ..Config::default()
                };
                let checked = TestRunner::new(config).run(&plan::plan(MOUNTED), |plan| {
                    // A kernel that has met a UUID expects the same volume again.
                    let number = seen.volumes.fetch_add(1, Ordering::Relaxed);
                    let name = format!("random-{}-{number}", process::id());
                    check_plan(&plan, &name, &seen);
                    Ok(())
                });
                if let Err(error) = checked {
                    panic!("{error}");
                }
            });
        }
    });
    seen.assert_enough();
}

/// Lays a plan out and has it checked, all but the kernel each time.
fn check_plan(plan: &Plan, name: &str, seen: &Seen) {
    let grown = plan.grow(name);
    let mut volume = lay_out(&grown.spec, &grown.tree).unwrap();
    volume.image.sort().unwrap();
    let shown = shown(&grown.tree, &grown.spec);

    let reader = Reader::open(&volume.image).unwrap();
    let view = view(&reader, &grown.spec);
    listing::assert_equal(&listing::of_reader(&reader, &view), &listing::of_tree(&shown));
    for subvolume in &grown.spec.subvolumes {
        if let SubvolumeContent::Tree(tree) = &subvolume.content {
            let mut found = reader.subvolumes().unwrap();
            found.retain(|found| found.path == subvolume.name.as_bytes());
            let alone = listing::of_reader(&reader, &View::of(found.remove(0)));
            listing::assert_equal(&alone, &listing::of_tree(tree));
        }
    }
    let verification = reader.verify();
    assert!(verification.faults.is_empty(), "{verification:?}");

    let traits = Traits::of(&grown.tree);
    let over_base = check_base(&grown, &volume);
    let folder = testkit::image::scratch();
    let path = folder.path().join("volume");
    testkit::image::write(&volume.image, &path);
    btrfs_check(&path);
    if plan.is_mounted {
        // btrfs-progs 6.2 finds fault with what the kernel itself writes where names of a file overflow one item.
        if traits.links_beside <= NAMES_OF_ONE_ITEM {
            btrfs_check_lowmem(&path);
        }
        let mount = LoopMount::new(&path, 0, Access::ReadOnly, &[]);
        assert_mounted(mount, &grown.spec, &shown);
    }
    seen.note(plan, &grown, &traits, over_base);
}

/// The volume over a base that another node's tree gave is the one that was laid out alone, or there is none. Tells
/// whether there is one.
fn check_base(grown: &Grown, alone: &Volume) -> bool {
    let Some((layer, other)) = &grown.node else {
        return false;
    };
    let base = RoleVolume::new(&grown.spec, other).unwrap();
    match base.volume(grown.spec.fsid, layer) {
        Ok(over) => {
            assert_eq!(over.figures, alone.figures);
            assert_eq!(differing_blocks(&over.image, &alone.image), [] as [u64; 0]);
            true
        }
        Err(error) => {
            assert_eq!(error, VolumeError::BeyondBase);
            false
        }
    }
}

/// How many trees had what makes them worth checking.
#[derive(Default)]
struct Seen {
    volumes: AtomicUsize,
    counts: [AtomicUsize; 12],
}

impl Seen {
    /// What is counted, and how often it has to come at least in [`TREES`] trees.
    const WANTED: [(&str, usize); 12] = [
        ("volumes mounted", 50),
        ("volumes over a base, with something of the node's own", 300),
        ("trees with names of one hash in one directory", 100),
        ("trees with attributes of one hash on one inode", 100),
        ("trees with a file of several names in one directory", 300),
        ("trees with a file of more names than one item holds", 100),
        ("volumes with three subvolumes", 300),
        ("volumes with a subvolume of a tree of its own", 300),
        ("trees with compressed extents", 300),
        ("trees with compressed inline files", 200),
        ("trees with several extents at one place", 300),
        ("volumes with one copy of metadata and nothing compressed", 100),
    ];

    fn note(&self, plan: &Plan, grown: &Grown, traits: &Traits, over_base: bool) {
        let found = [
            plan.is_mounted,
            over_base && traits.own,
            traits.colliding_names,
            traits.colliding_xattrs,
            traits.links_beside > 1,
            traits.links_beside > NAMES_OF_ONE_ITEM,
            grown.spec.subvolumes.len() >= 3,
            plan.has_template,
            traits.zstd_extents,
            traits.zstd_inline,
            traits.shared_extents,
            plan.metadata == Profile::Single && plan.compression == Compression::None,
        ];
        for (count, found) in self.counts.iter().zip(found) {
            count.fetch_add(usize::from(found), Ordering::Relaxed);
        }
    }

    fn assert_enough(&self) {
        for (count, (what, wanted)) in self.counts.iter().zip(Self::WANTED) {
            let count = count.load(Ordering::Relaxed);
            println!("{count} {what}");
            assert!(count >= wanted, "only {count} {what}, not {wanted}");
        }
    }
}

/// What a tree has of the things that are hard to write.
#[derive(Default)]
struct Traits {
    own: bool,
    colliding_names: bool,
    colliding_xattrs: bool,
    /// Most names that an inode has in one directory.
    links_beside: usize,
    zstd_extents: bool,
    zstd_inline: bool,
    shared_extents: bool,
}

impl Traits {
    fn of(tree: &Tree) -> Self {
        let mut traits = Self::default();
        let mut places = HashSet::new();
        let mut met = HashSet::new();
        for (_, id) in tree.walk() {
            if !met.insert(id) {
                continue;
            }
            let inode = &tree.inodes[id.0];
            traits.own |= inode.share == Share::Node;
            traits.colliding_xattrs |= have_one_hash(inode.attributes.xattrs.keys());
            match &inode.kind {
                InodeKind::Directory(names) => {
                    traits.colliding_names |= have_one_hash(names.keys());
                    let mut links = BTreeMap::new();
                    for id in names.values() {
                        *links.entry(id).or_insert(0) += 1;
                    }
                    let most = links.into_values().max().unwrap_or(0);
                    traits.links_beside = traits.links_beside.max(most);
                }
                InodeKind::File(content, blob) => match &content.data {
                    Data::Inline { encoding, .. } => traits.zstd_inline |= *encoding == Encoding::Zstd,
                    Data::Extents(extents) => {
                        for extent in extents {
                            traits.zstd_extents |= extent.encoding == Encoding::Zstd;
                            traits.shared_extents |= !places.insert((blob.address(), extent.blob_offset));
                        }
                    }
                },
                _ => {}
            }
        }
        traits
    }
}

fn have_one_hash<'n>(names: impl Iterator<Item = &'n Vec<u8>>) -> bool {
    let mut hashes = HashSet::new();
    names
        .map(|name| crc32c::crc32c(name))
        .any(|hash| !hashes.insert(hash))
}
