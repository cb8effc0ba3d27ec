//! A mounted folder against the tree that it should be, as the kernel shows it.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use formats::blob::Blob;
use formats::layer::{Content, Data, Device, Encoding, Xattrs};
use formats::tree::{Inode, InodeId, InodeKind, Tree};
use rustix::fs::{lgetxattr, llistxattr, major, minor};

/// File type bits of a mode.
const TYPE: u32 = 0o170_000;

/// Bytes of a file that are compared at once.
const BUFFER: u64 = 1 << 20;

/// Everything in which `folder` differs from `tree`: names, types, content, mode, owner, time, extended attributes,
/// device numbers, hard links, targets of symbolic links. Empty when both are the same.
///
/// # Panics
/// When the folder cannot be read.
pub fn differences(folder: &Path, tree: &Tree) -> Vec<String> {
    let mut links = HashMap::new();
    for (_, id) in tree.walk() {
        *links.entry(id).or_default() += 1;
    }
    let mut comparison = Comparison {
        tree,
        links,
        inodes: HashMap::new(),
        found: Vec::new(),
    };
    let mut open = vec![(folder.to_owned(), Tree::ROOT)];
    while let Some((path, id)) = open.pop() {
        comparison.inode(&path, id);
        if let InodeKind::Directory(entries) = &tree.inodes[id.0].kind {
            comparison.names(&path, entries.keys());
            let present = entries
                .iter()
                .map(|(name, id)| (path.join(OsStr::from_bytes(name)), *id));
            open.extend(present.filter(|(path, _)| path.symlink_metadata().is_ok()));
        }
    }
    comparison.found
}

/// Compares like [`differences`].
///
/// # Panics
/// When there is a difference.
pub fn assert_same(folder: &Path, tree: &Tree) {
    let found = differences(folder, tree);
    let shown: Vec<&str> = found.iter().take(20).map(String::as_str).collect();
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        shown.join("\n")
    );
}

struct Comparison<'a> {
    tree: &'a Tree,
    /// How many names each inode has.
    links: HashMap<InodeId, u64>,
    /// The kernel's inode of each inode that was met.
    inodes: HashMap<InodeId, (u64, u64)>,
    found: Vec<String>,
}

impl Comparison<'_> {
    fn differ(&mut self, path: &Path, what: &str, is: impl std::fmt::Debug, should: impl std::fmt::Debug) {
        self.found.push(format!(
            "{}: {what} is {is:?}, should be {should:?}",
            path.display()
        ));
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, path: &Path, what: &str, is: T, should: T) {
        if is != should {
            self.differ(path, what, is, should);
        }
    }

    fn names<'n>(&mut self, path: &Path, expected: impl Iterator<Item = &'n Vec<u8>>) {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is: BTreeSet<Vec<u8>> = entries
            .map(|entry| entry.expect("an entry").file_name().into_vec())
            .collect();
        let should: BTreeSet<Vec<u8>> = expected.cloned().collect();
        for name in is.symmetric_difference(&should) {
            let name = OsStr::from_bytes(name);
            self.differ(
                &path.join(name),
                "presence",
                is.contains(name.as_bytes()),
                should.contains(name.as_bytes()),
            );
        }
    }

    fn inode(&mut self, path: &Path, id: InodeId) {
        let tree = self.tree;
        let inode = &tree.inodes[id.0];
        let is = path
            .symlink_metadata()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let first_time = self.hard_link(path, id, &is);
        if !first_time {
            return;
        }
        self.attributes(path, inode, self.links[&id], &is);
        self.kind(path, &inode.kind, &is);
    }

    /// Names of one inode are one inode for the kernel, and others are not. Tells whether it is the first name.
    fn hard_link(&mut self, path: &Path, id: InodeId, is: &Metadata) -> bool {
        let number = (is.dev(), is.ino());
        if let Some(&first) = self.inodes.get(&id) {
            self.equal(path, "inode (a hard link)", number, first);
            return false;
        }
        self.inodes.insert(id, number);
        true
    }

    fn attributes(&mut self, path: &Path, inode: &Inode, links: u64, is: &Metadata) {
        let should = &inode.attributes;
        self.equal(path, "mode", is.mode() & !TYPE, should.mode);
        self.equal(path, "owner", (is.uid(), is.gid()), (should.uid, should.gid));
        let time = (should.mtime.seconds, i64::from(should.mtime.nanoseconds));
        self.equal(path, "time", (is.mtime(), is.mtime_nsec()), time);
        self.equal(
            path,
            "extended attributes",
            xattrs(path).expect("attributes can be listed"),
            should.xattrs.clone(),
        );
        // The kernel counts one for a directory; a tree has it under one name.
        self.equal(path, "number of links", is.nlink(), links);
    }

    fn kind(&mut self, path: &Path, kind: &InodeKind, is: &Metadata) {
        let device = |should: &Device| ((major(is.rdev()), minor(is.rdev())), (should.major, should.minor));
        let file_type = match kind {
            InodeKind::Directory(_) => 0o040_000,
            InodeKind::File(content, blob) => {
                self.equal(path, "length", is.len(), content.size);
                if let Err(difference) = content_differs(path, content, blob) {
                    self.found.push(format!("{}: {difference}", path.display()));
                }
                0o100_000
            }
            InodeKind::Symlink(target) => {
                let is = fs::read_link(path)
                    .map(PathBuf::into_os_string)
                    .unwrap_or_default();
                self.equal(path, "target", is.as_bytes(), target);
                0o120_000
            }
            InodeKind::CharacterDevice(should) => {
                let (is, should) = device(should);
                self.equal(path, "device", is, should);
                0o020_000
            }
            InodeKind::BlockDevice(should) => {
                let (is, should) = device(should);
                self.equal(path, "device", is, should);
                0o060_000
            }
            InodeKind::Fifo => 0o010_000,
            InodeKind::Socket => 0o140_000,
        };
        self.equal(path, "type", is.mode() & TYPE, file_type);
    }
}

/// The extended attributes that the kernel shows of `path` itself.
pub(crate) fn xattrs(path: &Path) -> io::Result<Xattrs> {
    // Larger than a leaf of metadata, which holds each of them.
    let mut value = vec![0; 1 << 16];
    let mut names = vec![0; 1 << 16];
    let length = llistxattr(path, &mut names)?;
    let mut attributes = Xattrs::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let length = lgetxattr(path, name, &mut value)?;
        attributes.insert(name.to_vec(), value[..length].to_vec());
    }
    Ok(attributes)
}

/// Reads the file and says where it is not the content.
fn content_differs(path: &Path, content: &Content, blob: &Blob) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    match &content.data {
        Data::Inline { encoding, stored } => {
            let should = decode(*encoding, stored.clone(), content.size as usize);
            same(&file, 0, &should)
        }
        Data::Extents(extents) => {
            let mut end = 0;
            for extent in extents {
                zeros(&file, end, extent.file_offset)?;
                let mut stored = vec![0; extent.stored_length as usize];
                blob.read_exact_at(&mut stored, extent.blob_offset)
                    .map_err(|error| error.to_string())?;
                let mut should = decode(extent.encoding, stored, extent.length as usize);
                // The last sector reaches beyond the end of the file.
                should.truncate((content.size - extent.file_offset) as usize);
                same(&file, extent.file_offset, &should)?;
                end = extent.file_offset + should.len() as u64;
            }
            zeros(&file, end, content.size)
        }
    }
}

/// The file's bytes that are stored as `stored`, zeros behind them up to `length`.
fn decode(encoding: Encoding, stored: Vec<u8>, length: usize) -> Vec<u8> {
    let mut bytes = match encoding {
        Encoding::Raw => stored,
        Encoding::Zstd => {
            // Zeros fill the last sector behind the frame, so that it cannot be decoded as a whole.
            let frame = zstd::zstd_safe::find_frame_compressed_size(&stored).expect("a zstd frame");
            zstd::bulk::decompress(&stored[..frame], length).expect("a frame of at most the length")
        }
    };
    bytes.resize(length, 0);
    bytes
}

fn same(file: &File, offset: u64, should: &[u8]) -> Result<(), String> {
    let mut is = vec![0; should.len()];
    file.read_exact_at(&mut is, offset)
        .map_err(|error| format!("content at byte {offset}: {error}"))?;
    if is == should {
        return Ok(());
    }
    let at = is
        .iter()
        .zip(should)
        .take_while(|(is, should)| is == should)
        .count();
    Err(format!("content at byte {} differs", offset + at as u64))
}

fn zeros(file: &File, mut start: u64, end: u64) -> Result<(), String> {
    while start < end {
        let length = (end - start).min(BUFFER);
        same(file, start, &vec![0; length as usize])?;
        start += length;
    }
    Ok(())
}
