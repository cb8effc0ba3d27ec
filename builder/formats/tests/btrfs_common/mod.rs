//! What the tests of volumes share: trees from few words, and and both oracles for what comes out.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use formats::btrfs::read::{Reader, View};
use formats::btrfs::{Profile, SubvolumeContent, SubvolumeSpec, Volume, VolumeSize, VolumeSpec, lay_out};
use formats::ids;
use formats::layer::{Attributes, Compression, Device, Inline, Layer, LayerBuilder, Packing, ZstdLevel};
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::tree::{Inode, InodeId, InodeKind, Share, Tree};
use formats::units::{Bytes, Time};
use tempfile::TempDir;
use testkit::compare::{assert_same, differences};
use testkit::listing;
use testkit::volume::{Access, LoopMount, btrfs_check, btrfs_check_lowmem};

/// Bytes of the blocks that are compared.
pub const BLOCK: u64 = 4096;

/// The time of everything that is given no other.
pub const TIME: Time = Time::from_seconds(1_700_000_000);

/// Attributes with permissions `mode`.
pub fn mode(mode: u32) -> Attributes {
    Attributes {
        mode,
        mtime: TIME,
        ..Attributes::default()
    }
}

/// Attributes with one extended attribute.
pub fn with_xattr(name: &[u8], value: &[u8]) -> Attributes {
    let mut attributes = mode(0o644);
    attributes.xattrs.insert(name.to_vec(), value.to_vec());
    attributes
}

pub fn packing(compression: Compression) -> Packing {
    Packing {
        compression,
        inline: Inline::Smallest,
        jobs: NonZeroUsize::MIN,
    }
}

/// A layer in the making that is compressed with zstd where that helps.
pub fn builder() -> LayerBuilder<Vec<u8>> {
    LayerBuilder::in_memory(packing(Compression::Zstd(ZstdLevel::DEFAULT))).unwrap()
}

/// A layer in the making that is stored as it is.
pub fn raw_builder() -> LayerBuilder<Vec<u8>> {
    LayerBuilder::in_memory(packing(Compression::None)).unwrap()
}

/// The tree of one layer, all of it the role's.
pub fn tree(builder: LayerBuilder<Vec<u8>>) -> Tree {
    tree_of(&builder.finish_layer().unwrap())
}

pub fn tree_of(layer: &Layer) -> Tree {
    Tree::stack(&[(layer, Share::Role)], TIME).unwrap()
}

/// Bytes that zstd cannot make shorter, other ones for each `seed`.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Bytes that zstd makes much shorter.
pub fn text(length: usize, seed: u64) -> Vec<u8> {
    let line = format!("line {seed} of a file that repeats itself\n");
    line.bytes().cycle().take(length).collect()
}

/// A volume without subvolumes, as small as its content allows, with room for the kernel to work.
pub fn spec(name: &str) -> VolumeSpec {
    VolumeSpec {
        label: name.to_owned(),
        fsid: ids::uuid("test volume", &[name]),
        metadata_uuid: None,
        time: TIME,
        size: VolumeSize::Minimal {
            free: Bytes::mib(256),
        },
        metadata: Profile::Dup,
        subvolumes: Vec::new(),
    }
}

pub fn subvolume(name: &str, mount: Option<&str>) -> SubvolumeSpec {
    SubvolumeSpec {
        name: name.to_owned(),
        content: mount.map_or(SubvolumeContent::Empty, |path| {
            SubvolumeContent::Mount(path.into())
        }),
        default: mount == Some("/"),
        read_only: false,
        uuid: ids::uuid("test subvolume", &[name]),
    }
}

/// The subvolumes of a node's card.
pub fn card_subvolumes() -> Vec<SubvolumeSpec> {
    vec![
        subvolume("@", Some("/")),
        subvolume("@lxc", Some("/var/lib/lxc")),
        subvolume("@srv", Some("/srv")),
        subvolume("@snapshots", Some("/.snapshots")),
        subvolume("@log", Some("/var/log")),
    ]
}

/// A volume in a file.
pub struct Written {
    pub volume: Volume,
    pub path: PathBuf,
    pub folder: TempDir,
}

/// Lays a tree out, checks the pieces against each other, and writes the file.
pub fn write(spec: &VolumeSpec, tree: &Tree) -> Written {
    write_volume(lay_out(spec, tree).unwrap())
}

/// Checks the pieces of a volume against each other, and writes the file.
pub fn write_volume(mut volume: Volume) -> Written {
    volume.image.sort().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    testkit::image::write(&volume.image, &path);
    Written { volume, path, folder }
}

/// The default subvolume of a volume with the others of `spec` where they are mounted, through our own reader.
pub fn view(reader: &Reader<'_>, spec: &VolumeSpec) -> View {
    let subvolumes = reader.subvolumes().unwrap();
    let root = subvolumes.iter().find(|subvolume| subvolume.is_default).unwrap();
    let mut view = View::of(root.clone());
    for wanted in &spec.subvolumes {
        let SubvolumeContent::Mount(mount) = &wanted.content else {
            continue;
        };
        let mount = mount.strip_prefix(b"/").unwrap_or(mount);
        if !mount.is_empty() {
            let found = subvolumes
                .iter()
                .find(|subvolume| subvolume.path == wanted.name.as_bytes());
            view.mounts.insert(mount.to_vec(), found.unwrap().clone());
        }
    }
    view
}

/// Reads a volume with our own reader and compares it with the tree.
pub fn assert_reads_as(volume: &Volume, spec: &VolumeSpec, tree: &Tree) {
    let mut image = volume.image.clone();
    image.sort().unwrap();
    let reader = Reader::open(&image).unwrap();
    let view = view(&reader, spec);
    listing::assert_equal(&listing::of_reader(&reader, &view), &listing::of_tree(tree));
    let verification = reader.verify();
    assert!(verification.faults.is_empty(), "{verification:?}");
}

/// Where a subvolume shows a directory of the volume's tree: its components.
fn mount_of(subvolume: &SubvolumeSpec) -> Option<Vec<&[u8]>> {
    let SubvolumeContent::Mount(path) = &subvolume.content else {
        return None;
    };
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    Some(names.collect())
}

/// The tree as it shows with all subvolumes mounted: with the directories that only a mount path asks for.
pub fn shown(tree: &Tree, spec: &VolumeSpec) -> Tree {
    let mut tree = tree.clone();
    for path in spec.subvolumes.iter().filter_map(mount_of) {
        let mut parent = Tree::ROOT;
        for name in path {
            let made = InodeId(tree.inodes.len());
            let InodeKind::Directory(names) = &mut tree.inodes[parent.0].kind else {
                panic!("a mount path leads through what is no directory")
            };
            parent = *names.entry(name.to_vec()).or_insert(made);
            if parent == made {
                tree.inodes.push(Inode {
                    attributes: mode(0o755),
                    kind: InodeKind::Directory(Default::default()),
                    share: Share::Role,
                });
            }
        }
    }
    tree
}

/// Mounts the other subvolumes of `spec` below the default one, and compares all that shows with `shown`; then those
/// that have a tree of their own.
pub fn assert_mounted(mount: LoopMount, spec: &VolumeSpec, shown: &Tree) {
    let other_folder = tempfile::tempdir().unwrap();
    // Unmounted before the folder goes.
    let mut mount = mount;
    let has_root = spec.subvolumes.iter().any(|subvolume| subvolume.default);
    let mut mounts: Vec<_> = spec
        .subvolumes
        .iter()
        .filter_map(|subvolume| Some((mount_of(subvolume)?, &subvolume.name)))
        .collect();
    // What is mounted within another subvolume comes after it.
    mounts.sort();
    for (path, name) in mounts {
        if !path.is_empty() {
            mount.add(name, OsStr::from_bytes(&path.join(&b'/')));
        }
    }
    // Where the top level holds the tree, it also shows the subvolumes.
    let beside: Vec<String> = spec
        .subvolumes
        .iter()
        .filter(|_| !has_root)
        .map(|subvolume| format!("{}: presence", mount.path().join(&subvolume.name).display()))
        .collect();
    let (expected, differences): (Vec<_>, Vec<_>) = differences(mount.path(), shown)
        .into_iter()
        .partition(|line| beside.iter().any(|start| line.starts_with(start)));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(expected.len(), beside.len());
    for subvolume in &spec.subvolumes {
        if let SubvolumeContent::Tree(tree) = &subvolume.content {
            mount.add(&subvolume.name, other_folder.path());
            assert_same(other_folder.path(), tree);
        }
    }
}

/// The blocks of 4 KiB in which two images differ.
pub fn differing_blocks(one: &SparseImage, other: &SparseImage) -> Vec<u64> {
    assert_eq!(one.size, other.size);
    let [one, other] = [one, other].map(|image| {
        let mut image = image.clone();
        image.sort().unwrap();
        image
    });
    // What neither has a piece of is a hole in both.
    let pieces = one.pieces.iter().chain(&other.pieces);
    let starts = pieces.flat_map(|piece| {
        let range = piece.range();
        (range.start / BLOCK * BLOCK..range.end).step_by(BLOCK as usize)
    });
    let starts: BTreeSet<u64> = starts.collect();
    let block = |image: &SparseImage, start: u64| {
        let mut bytes = [0; BLOCK as usize];
        let length = (image.size.0 - start).min(BLOCK) as usize;
        image.read_exact_at(&mut bytes[..length], start).unwrap();
        bytes
    };
    let differs = |start: &u64| block(&one, *start) != block(&other, *start);
    starts.into_iter().filter(differs).collect()
}

/// Lays a tree out and has it checked: btrfs-progs checks trees and data, the kernel and our own reader show exactly the
/// tree.
pub fn check_by_oracles(spec: &VolumeSpec, tree: &Tree) -> Written {
    let written = write(spec, tree);
    btrfs_check(&written.path);
    if written.volume.figures.metadata < Bytes::mib(4) {
        btrfs_check_lowmem(&written.path);
    }
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    assert_same(mount.path(), tree);
    drop(mount);
    if spec.subvolumes.is_empty() {
        assert_reads_as(&written.volume, spec, tree);
    }
    written
}

/// `count` pairs of names whose CRC-32C is the same, whatever it is seeded with.
pub fn colliding_names(prefix: &str, count: usize) -> Vec<(String, String)> {
    let mut seen = std::collections::HashMap::new();
    let mut pairs = Vec::new();
    for number in 1_u64.. {
        // Names that differ in four bytes at most never collide.
        let name = format!("{prefix}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if let Some(other) = seen.insert(crc32c::crc32c(name.as_bytes()), name.clone()) {
            pairs.push((other, name));
            if pairs.len() == count {
                break;
            }
        }
    }
    pairs
}

/// Some thousand files stored in every way: in the metadata, compressed, as they are, with holes between.
pub fn many_files() -> LayerBuilder<Vec<u8>> {
    let mut layer = builder();
    for number in 0..2000_u64 {
        let path = |kind: &str| format!("{kind}/{}/{number}", number % 20).into_bytes();
        let size = number as usize;
        layer
            .file(&path("inline"), mode(0o600), &noise(size, number))
            .unwrap();
        layer
            .file(&path("text"), mode(0o644), &text(40 * size, number))
            .unwrap();
        layer
            .file(&path("noise"), mode(0o644), &noise(10 * size, number))
            .unwrap();
    }
    let holes = [noise(5000, 1), vec![0; 300_000], noise(5000, 2), vec![0; 300_000]].concat();
    layer.file(b"holes", mode(0o644), &holes).unwrap();
    layer.hardlink(b"linked", b"text/19/1999").unwrap();
    layer
}

/// Every kind of inode, and files stored in every way.
pub fn every_kind() -> Tree {
    let mut layer = many_files();
    layer
        .file(b"attributed", with_xattr(b"user.name", b"value"), b"x")
        .unwrap();
    layer.symlink(b"link", mode(0o777), b"text/../inline").unwrap();
    layer.symlink(b"loop", mode(0o777), b"/loop").unwrap();
    layer.symlink(b"up", mode(0o777), b"../../../text/7/7").unwrap();
    let device = Device { major: 8, minor: 17 };
    layer.block_device(b"block", mode(0o660), device).unwrap();
    layer.character_device(b"character", mode(0o660), device).unwrap();
    layer.fifo(b"fifo", mode(0o600)).unwrap();
    layer.socket(b"socket", mode(0o600)).unwrap();
    layer.directory(b"srv/inner", mode(0o700)).unwrap();
    layer
        .file(b"srv/inner/file", mode(0o644), b"on another subvolume")
        .unwrap();
    tree(layer)
}

/// A file with `count` names in each of two directories whose INODE_EXTREFs all share the hash 0.
pub fn links_that_collide(count: usize) -> LayerBuilder<Vec<u8>> {
    let mut layer = builder();
    let first = format!("a/{:0>255}", 0);
    layer.file(first.as_bytes(), mode(0o644), b"linked").unwrap();
    // The directories come first in the tree, behind its root.
    for (parent, directory) in [(257, "a"), (258, "b")] {
        // As many names as an INODE_REF has room for.
        for number in usize::from(directory == "a")..61 {
            let filling = format!("{directory}/{number:0>255}");
            layer.hardlink(filling.as_bytes(), first.as_bytes()).unwrap();
        }
        for name in names_of_hash_0(parent, count) {
            let path = [directory.as_bytes(), b"/", &name].concat();
            layer.hardlink(&path, first.as_bytes()).unwrap();
        }
    }
    layer
}

/// Names of 255 bytes whose CRC-32C from `seed`, not inverted, is 0. A CRC is linear: which bits of a name have to be
/// flipped follows from what each flips alone.
fn names_of_hash_0(seed: u32, count: usize) -> Vec<Vec<u8>> {
    let flipped = |mask: u64| -> Vec<u8> {
        let bit = |at: usize| at < 64 && mask >> at & 1 == 1;
        (0..255).map(|at| b'a' ^ u8::from(bit(at))).collect()
    };
    let hash = |mask| !crc32c::crc32c_append(!seed, &flipped(mask));
    // For each bit of a hash, a change of it and of lower bits, with the flips that bring it about.
    let mut changes = [(0, 0); 32];
    let reduce = |changes: &[(u32, u64); 32], mut change: u32, mut mask: u64| {
        for bit in (0..32).rev() {
            if change >> bit & 1 == 1 && changes[bit].0 != 0 {
                change ^= changes[bit].0;
                mask ^= changes[bit].1;
            }
        }
        (change, mask)
    };
    let mut without_effect = Vec::new();
    for at in 0..48 {
        match reduce(&changes, hash(1 << at) ^ hash(0), 1 << at) {
            (0, mask) => without_effect.push(mask),
            (change, mask) => changes[change.ilog2() as usize] = (change, mask),
        }
    }
    let (rest, start) = reduce(&changes, hash(0), 0);
    assert_eq!(rest, 0, "48 bits reach every hash");
    let names = (0..count).map(|number| {
        let mask = (0..without_effect.len())
            .filter(|at| number >> at & 1 == 1)
            .fold(start, |mask, at| mask ^ without_effect[at]);
        assert_eq!(hash(mask), 0);
        flipped(mask)
    });
    names.collect()
}
