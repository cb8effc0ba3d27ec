//! Why a tree cannot become a volume.

use thiserror::Error;
use uuid::Uuid;

use crate::units::Bytes;

/// Why a tree cannot become a volume. Paths start with the subvolume's name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum VolumeError {
    /// What is a node's own does not fit behind what its role has, or has other paths: the volume is laid out alone.
    #[error("what is the node's own does not fit behind what its role has")]
    BeyondBase,
    /// The content does not fit.
    #[error("the content needs a volume of at least {} bytes ({needed}), given are {} bytes ({given})", needed.0, given.0)]
    TooSmall {
        /// Smallest size that holds the content.
        needed: Bytes,
        /// The size asked for.
        given: Bytes,
    },
    /// The label does not fit into the superblock or would be cut by what prints it.
    #[error("label {label:?} must be at most {limit} bytes without line breaks and NUL")]
    Label {
        /// The label.
        label: String,
        /// Most bytes.
        limit: usize,
    },
    /// More than one subvolume is to be mounted by default.
    #[error("both {first} and {second} are to be the default subvolume")]
    TwoDefaults {
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// Two subvolumes share a UUID.
    #[error("two subvolumes have the UUID {uuid}")]
    DuplicateUuid {
        /// The UUID.
        uuid: Uuid,
    },
    /// A subvolume's name is taken in the top level.
    #[error("subvolume {name} meets something else of this name in the top-level subvolume")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Two subvolumes hold the same directory.
    #[error("two subvolumes are to be mounted at {path}")]
    DuplicateMount {
        /// The mount path.
        path: String,
    },
    /// A mount path is not a plain path.
    #[error("mount path {path:?} of subvolume {subvolume}: {reason}")]
    MountPath {
        /// The path as given.
        path: String,
        /// The subvolume to be mounted there.
        subvolume: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name cannot stand in a directory.
    #[error("{path}: name of {length} bytes {reason}")]
    Name {
        /// Where it stands.
        path: String,
        /// Its bytes.
        length: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tree whose references are not those of a tree.
    #[error("{path}: {reason}")]
    Structure {
        /// Where.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file has names in two subvolumes.
    #[error("{first} and {second} are one file, but hard links cannot cross subvolumes")]
    LinkAcrossSubvolumes {
        /// One name.
        first: String,
        /// A name in another subvolume.
        second: String,
    },
    /// A file has more names than an inode can count.
    #[error("{path} has {links} hard links, the limit is {limit}")]
    TooManyLinks {
        /// One of the names.
        path: String,
        /// How many it has.
        links: usize,
        /// Most that are possible.
        limit: usize,
    },
    /// More names of one hash than an item holds.
    #[error(
        "{path}: entries whose names share the hash {hash:#010x} take {size} bytes, the limit is {limit}"
    )]
    HashCollisions {
        /// The directory, or the inode whose attributes or hard links collide.
        path: String,
        /// The hash.
        hash: u64,
        /// Bytes of the item.
        size: usize,
        /// Most bytes.
        limit: usize,
    },
    /// An extended attribute that does not fit into a leaf, or has no legal name.
    #[error("{path}: extended attribute {name} of {size} bytes {reason}")]
    Xattr {
        /// The inode.
        path: String,
        /// The attribute.
        name: String,
        /// Bytes of name and value.
        size: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A symbolic link whose target has no place.
    #[error("{path}: symbolic link to a target of {length} bytes, legal are 1 to {limit}")]
    Symlink {
        /// The link.
        path: String,
        /// Bytes of the target.
        length: usize,
        /// Most bytes.
        limit: usize,
    },
    /// A device number the kernel has no bits for.
    #[error("{path}: device {major}:{minor} is beyond 4095:1048575")]
    Device {
        /// The device node.
        path: String,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// An attribute out of its range.
    #[error("{path}: {attribute} {value} is beyond {limit}")]
    Attribute {
        /// The inode.
        path: String,
        /// Which one.
        attribute: &'static str,
        /// What it is.
        value: u64,
        /// The largest legal value.
        limit: u64,
    },
    /// Data that contradicts itself or the format's limits.
    #[error("{path}: extent at byte {offset} {reason}")]
    Extent {
        /// The file.
        path: String,
        /// Where the extent starts in the file.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The chunk tree outgrew the chunk it lies in: a volume of several hundred TiB.
    #[error("the chunk tree needs {needed}, its chunk has {limit}")]
    ChunkTree {
        /// Bytes of the chunk tree.
        needed: Bytes,
        /// Bytes of the system chunk.
        limit: Bytes,
    },
    /// The extent tree, which lists its own blocks, did not settle.
    #[error("the extent tree did not settle in {rounds} rounds")]
    Unsettled {
        /// Rounds tried.
        rounds: usize,
    },
}

/// Bytes of a path or name for a message.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
