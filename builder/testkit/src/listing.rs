//! A tree of files as a map from path to everything that is known of it, so that what reads a volume can be compared
//! with what the kernel shows and with what went in.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use formats::btrfs::read::{InodeKind, Part, Reader, View};
use formats::layer::{Attributes, Device};
use formats::tree::{self, Tree};
use formats::units::Time;
use rustix::fs::{major, minor};

use crate::compare::xattrs;

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Owner, mode, time, extended attributes.
    pub attributes: Attributes,
    /// What it is.
    pub kind: InodeKind,
    /// Hash of a file's bytes.
    pub content: u64,
    /// The first path of the same inode.
    pub first: Vec<u8>,
}

/// All paths, the root as the empty one.
pub type Listing = BTreeMap<Vec<u8>, Listed>;

/// Zeros that are hashed at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What a reader finds.
///
/// # Panics
/// When the reader fails.
pub fn of_reader(reader: &Reader<'_>, view: &View) -> Listing {
    let mut first: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut listing = Listing::new();
    for found in reader.walk(view) {
        let found = found.expect("the volume can be walked through");
        let path = formats::layer::shown(&found.path);
        let mut hasher = DefaultHasher::new();
        let mut length = 0;
        for part in reader
            .parts(found.subvolume, &found.inode)
            .expect("a file's runs")
        {
            let part = part.unwrap_or_else(|error| panic!("{path}: {error}"));
            length += part.length();
            match part {
                Part::Bytes(bytes) => hasher.write(&bytes),
                Part::Zeros(mut left) => {
                    while left > 0 {
                        let step = left.min(ZEROS.len() as u64);
                        hasher.write(&ZEROS[..step as usize]);
                        left -= step;
                    }
                }
            }
        }
        if let InodeKind::File(size) = found.inode.kind {
            assert_eq!(length, size, "{path}: length of its parts");
        }
        let key = (found.subvolume.id, found.inode.number);
        let first = first.entry(key).or_insert_with(|| found.path.clone()).clone();
        let listed = Listed {
            attributes: found.inode.attributes,
            kind: found.inode.kind,
            content: hasher.finish(),
            first,
        };
        assert!(listing.insert(found.path, listed).is_none(), "{path} came twice");
    }
    listing
}

/// What a tree holds.
///
/// # Panics
/// When a blob cannot be read.
pub fn of_tree(tree: &Tree) -> Listing {
    let mut first = HashMap::new();
    let list = |(path, id): (Vec<u8>, tree::InodeId)| {
        let inode = &tree.inodes[id.0];
        let mut hasher = DefaultHasher::new();
        let kind = match &inode.kind {
            tree::InodeKind::Directory(_) => InodeKind::Directory,
            tree::InodeKind::File(content, blob) => {
                hasher.write(&content.read(blob, 1 << 32).expect("a file of the tree"));
                InodeKind::File(content.size)
            }
            tree::InodeKind::Symlink(target) => InodeKind::Symlink(target.clone()),
            tree::InodeKind::CharacterDevice(device) => InodeKind::CharacterDevice(*device),
            tree::InodeKind::BlockDevice(device) => InodeKind::BlockDevice(*device),
            tree::InodeKind::Fifo => InodeKind::Fifo,
            tree::InodeKind::Socket => InodeKind::Socket,
        };
        let listed = Listed {
            attributes: inode.attributes.clone(),
            kind,
            content: hasher.finish(),
            first: first.entry(id).or_insert_with(|| path.clone()).clone(),
        };
        (path, listed)
    };
    tree.walk().map(list).collect()
}

/// What the kernel shows of a folder.
///
/// # Panics
/// When it cannot be read.
pub fn of_folder(folder: &Path) -> Listing {
    let mut first = HashMap::new();
    let mut listing = Listing::new();
    let mut open = vec![(folder.to_owned(), Vec::new())];
    // Parents first, names in order: as a reader walks, so that the same path is the first of an inode.
    while let Some((place, path)) = open.pop() {
        let is = place
            .symlink_metadata()
            .unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        let device = Device {
            major: major(is.rdev()),
            minor: minor(is.rdev()),
        };
        let mut hasher = DefaultHasher::new();
        let kind = match is.mode() & 0o170_000 {
            0o040_000 => {
                let entries = fs::read_dir(&place).expect("a folder");
                let mut names: Vec<_> = entries
                    .map(|entry| entry.expect("an entry").file_name())
                    .collect();
                names.sort();
                for name in names.iter().rev() {
                    let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    open.push((place.join(name), [&path, separator, name.as_bytes()].concat()));
                }
                InodeKind::Directory
            }
            0o100_000 => {
                hash_file(&place, &mut hasher);
                InodeKind::File(is.len())
            }
            0o120_000 => {
                let target = fs::read_link(&place).expect("a link");
                InodeKind::Symlink(target.as_os_str().as_bytes().to_vec())
            }
            0o020_000 => InodeKind::CharacterDevice(device),
            0o060_000 => InodeKind::BlockDevice(device),
            0o010_000 => InodeKind::Fifo,
            _ => InodeKind::Socket,
        };
        let number = (is.dev(), is.ino());
        let listed = Listed {
            attributes: Attributes {
                mode: is.mode() & 0o7777,
                uid: is.uid(),
                gid: is.gid(),
                mtime: Time {
                    seconds: is.mtime(),
                    nanoseconds: is.mtime_nsec() as u32,
                },
                xattrs: xattrs(&place).expect("attributes can be listed"),
            },
            kind,
            content: hasher.finish(),
            first: first.entry(number).or_insert_with(|| path.clone()).clone(),
        };
        listing.insert(path, listed);
    }
    listing
}

fn hash_file(path: &Path, hasher: &mut DefaultHasher) {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer).expect("a file can be read");
        if length == 0 {
            return;
        }
        hasher.write(&buffer[..length]);
    }
}

/// Compares two listings.
///
/// # Panics
/// When they differ, naming the first paths.
pub fn assert_equal(is: &Listing, should: &Listing) {
    let paths: std::collections::BTreeSet<_> = is.keys().chain(should.keys()).collect();
    let differences: Vec<String> = paths
        .into_iter()
        .filter(|path| is.get(*path) != should.get(*path))
        .map(|path| {
            let shown = formats::layer::shown(path);
            format!("{shown}: is {:?}, should be {:?}", is.get(path), should.get(path))
        })
        .take(10)
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
