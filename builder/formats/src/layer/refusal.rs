//! What an entry has to be, and why one is none.

use thiserror::Error;

use super::Attributes;
use super::path::{MAX_NAME, MAX_PATH, PathFault, shown};
use super::places::Clash;

/// Largest value of one extended attribute, in bytes (Linux: `XATTR_SIZE_MAX`).
pub const MAX_XATTR: usize = 65536;

/// Largest file, in bytes (Linux: `MAX_LFS_FILESIZE`), less a sector so that it can be rounded up.
pub const MAX_FILE: u64 = i64::MAX as u64 / super::SECTOR * super::SECTOR;

/// Why an entry cannot be part of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Its path is not one of a layer.
    #[error("{0}")]
    Path(PathFault),
    /// It cannot stand beside the earlier entries.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// A hardlink to a path that is not one of a layer.
    #[error("it links to {}: {fault}", shown(target))]
    LinkPath {
        /// Where it links to.
        target: Vec<u8>,
        /// What is wrong with that.
        fault: PathFault,
    },
    /// A hardlink to what is not there, or not yet.
    #[error("it links to {}, which is no earlier entry", shown(target))]
    LinkMissing {
        /// Where it links to.
        target: Vec<u8>,
    },
    /// A hardlink to a directory, which can have but one name.
    #[error("it links to {}, which is a directory", shown(target))]
    LinkDirectory {
        /// Where it links to.
        target: Vec<u8>,
    },
    /// A symbolic link that leads nowhere, or is too long.
    #[error(
        "the target of a symbolic link has 1 to {MAX_PATH} bytes and no NUL; this one has {length} bytes"
    )]
    SymlinkTarget {
        /// Bytes in the target.
        length: usize,
    },
    /// More mode bits than an inode has permissions.
    #[error("mode {mode:o} has bits beyond 7777")]
    Mode {
        /// The mode.
        mode: u32,
    },
    /// A time's nanoseconds make up a second or more.
    #[error("{nanoseconds} nanoseconds are a second or more")]
    Nanoseconds {
        /// The nanoseconds.
        nanoseconds: u32,
    },
    /// An extended attribute's name is not `namespace.name`.
    #[error(
        "extended attribute {} is not named `namespace.name` within {MAX_NAME} bytes",
        shown(name)
    )]
    XattrName {
        /// The name.
        name: Vec<u8>,
    },
    /// An extended attribute is too large.
    #[error(
        "extended attribute {} of {length} bytes is above the limit of {limit}",
        shown(name)
    )]
    XattrSize {
        /// Its name.
        name: Vec<u8>,
        /// Bytes in its value.
        length: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// A file is too large.
    #[error("a file of {size} bytes is above the limit of {limit}")]
    Size {
        /// Bytes in the file.
        size: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// A device where none is allowed.
    #[error("device nodes are not allowed here")]
    Device,
}

/// Whether an inode can carry the attributes.
pub(super) fn check_attributes(attributes: &Attributes) -> Result<(), Refusal> {
    if attributes.mode > 0o7777 {
        return Err(Refusal::Mode {
            mode: attributes.mode,
        });
    }
    if attributes.mtime.nanoseconds >= 1_000_000_000 {
        return Err(Refusal::Nanoseconds {
            nanoseconds: attributes.mtime.nanoseconds,
        });
    }
    for (name, value) in &attributes.xattrs {
        let dot = name.iter().position(|byte| *byte == b'.');
        let has_namespace = dot.is_some_and(|dot| dot > 0 && dot + 1 < name.len());
        if !has_namespace || name.len() > MAX_NAME || name.contains(&0) {
            return Err(Refusal::XattrName { name: name.clone() });
        }
        if value.len() > MAX_XATTR {
            return Err(Refusal::XattrSize {
                name: name.clone(),
                length: value.len(),
                limit: MAX_XATTR,
            });
        }
    }
    Ok(())
}
