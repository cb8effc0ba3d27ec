//! A layer: the inodes of one part of a root file system with their data already cut and compressed the way btrfs
//! stores it. It is made once from a tar stream or from rendered files and never decompressed again.
//!
//! ```text
//! tar stream --.                         .--> entries (index): path, owner, mode, time, xattrs, extents
//!              |--> entry --> extents ---|
//! rendered  ---'     (cut, zstd, crc32c) '--> blob: stored bytes, each extent padded to a sector
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `extents` | one piece of a file as it is stored: zstd or raw, checksums |
//! | `packer` | files cut into pieces, compressed by threads, written to the blob in order, equals once |
//! | `builder` | entries put together; the front for rendered files |
//! | `refusal` | what an entry has to be |
//! | `places` | which entries can stand together |
//! | [`archive`] | tar and its extensions as members |
//! | `tarball` | members as entries, within limits |
//! | `index` | the entries as bytes, to be kept beside the blob |
//! | `read` | the bytes of a file |
//! | `without` | a layer less some of its paths |
//! | `path` | which paths are legal, and how they are shown |

pub mod archive;
mod builder;
mod extents;
mod index;
mod packer;
mod path;
mod places;
mod read;
mod refusal;
mod tarball;
mod without;

pub use archive::{ArchiveError, Fault};
pub use builder::{BuildError, LayerBuilder};
pub use extents::{Compression, Inline, ZstdLevel};
pub use index::{Index, IndexError};
pub use packer::{PackError, Packing};
pub use path::{MAX_DEPTH, MAX_NAME, MAX_PATH, PathFault, check as check_path, shown};
pub use places::{Clash, Place, Places};
pub use refusal::{MAX_FILE, MAX_XATTR, Refusal};
pub use tarball::{Devices, Limits, TarError, TarOptions, from_tar, member_path};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::units::Time;

/// Bytes of a btrfs sector: extents start and end on it, and each has one checksum.
pub const SECTOR: u64 = 4096;

/// Most bytes of a file that one compressed extent covers (btrfs: `BTRFS_MAX_UNCOMPRESSED`).
pub const MAX_COMPRESSED: u64 = 128 * 1024;

/// Largest file that is stored inside the metadata, in bytes (the kernel's default of `max_inline`).
pub const MAX_INLINE: u64 = 2048;

/// Extended attributes by name, including its namespace (`security.capability`).
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The inodes of one part of a root file system.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Entries in order of their paths, no path twice. Directories may be missing above an entry.
    pub entries: Vec<Entry>,
    /// The stored bytes that the extents of `entries` refer to.
    pub blob: Blob,
}

/// One path of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Components joined by `/`, relative to the root, which is the empty path. No component is empty, `.` or `..`.
    pub path: Vec<u8>,
    /// Owner, mode, time and extended attributes.
    pub attributes: Attributes,
    /// What the path is.
    pub body: Body,
}

/// What every inode carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permissions with setuid, setgid and sticky: 12 bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: Time,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// What a path of a layer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, verbatim.
    Symlink(Vec<u8>),
    /// Another name of what is at this path of the same layer, which is neither a directory nor a hard link itself.
    Hardlink(Vec<u8>),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Body {
    /// What it is, with its article, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::Hardlink(_) => "a hard link",
            Self::CharacterDevice(_) => "a character device",
            Self::BlockDevice(_) => "a block device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
        }
    }
}

/// The number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Driver.
    pub major: u32,
    /// Instance.
    pub minor: u32,
}

/// The data of a regular file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Length of the file in bytes. What no extent covers is a hole.
    pub size: u64,
    /// Where the data is.
    pub data: Data,
}

/// Where the data of a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// In the metadata itself: at most [`MAX_INLINE`] bytes, all of the file. `stored` is what is written.
    Inline {
        /// How `stored` encodes the file.
        encoding: Encoding,
        /// The bytes as stored.
        stored: Vec<u8>,
    },
    /// In extents of the layer's blob, in order of `file_offset`, not overlapping. Empty for an empty or all-hole file.
    Extents(Vec<Extent>),
}

/// How stored bytes relate to the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// They are the file's.
    Raw,
    /// One zstd frame. An extent's decodes to exactly [`Extent::length`] bytes, an inline one to exactly the file.
    Zstd,
}

/// A run of a file's data, stored as one btrfs data extent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where it starts in the file: a multiple of [`SECTOR`].
    pub file_offset: u64,
    /// Bytes of the file it covers, rounded up to [`SECTOR`] (`num_bytes` and `ram_bytes`). At most
    /// [`MAX_COMPRESSED`] when compressed.
    pub length: u64,
    /// How it is stored.
    pub encoding: Encoding,
    /// Where it starts in the blob: a multiple of [`SECTOR`]. Equal extents share one place.
    pub blob_offset: u64,
    /// Bytes in the blob, zero-padded to [`SECTOR`] (`disk_num_bytes`).
    pub stored_length: u64,
    /// CRC-32C of each stored sector: `stored_length / SECTOR` of them.
    pub checksums: Vec<u32>,
}
