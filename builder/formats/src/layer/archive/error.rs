//! What can be wrong with an archive.

use std::io;

use thiserror::Error;

use super::MAX_EXTENSION;
use crate::layer::path::shown;
use crate::unpack::Unsupported;

/// Why an archive cannot be read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The file is empty.
    #[error("the archive is empty")]
    Empty,
    /// The file is compressed in a way that is not read.
    #[error("the archive is {0}")]
    Compression(Unsupported),
    /// Reading or decompressing failed.
    #[error("cannot read the archive behind byte {offset} of the unpacked tar")]
    Read {
        /// Bytes of the tar that were read before.
        offset: u64,
        /// What failed.
        source: io::Error,
    },
    /// The archive ends within a member.
    #[error("the archive is cut short: it ends at byte {offset}, within {}", if name.is_empty() { "a header".to_owned() } else { shown(name) })]
    Truncated {
        /// Where the tar ends.
        offset: u64,
        /// The member; empty while its header is read.
        name: Vec<u8>,
    },
    /// The archive ends without its end mark, so members may be missing.
    #[error("the archive is cut short: it ends at byte {offset} without two blocks of zeros")]
    NoEnd {
        /// Where the tar ends.
        offset: u64,
    },
    /// Something follows the end mark.
    #[error("the archive goes on after its end mark, at byte {offset}")]
    AfterEnd {
        /// Where the first byte is that is not zero.
        offset: u64,
    },
    /// A block is not a header.
    #[error("the block at byte {offset} is no tar header: its checksum is wrong")]
    Checksum {
        /// Where the block is in the tar.
        offset: u64,
    },
    /// The archive is longer than allowed.
    #[error("the archive unpacks to more than the limit of {limit} bytes")]
    Long {
        /// Most bytes allowed.
        limit: u64,
    },
    /// A member's header is wrong.
    #[error("entry {} with its header at byte {offset} is refused: {fault}", shown(name))]
    Member {
        /// The member, as far as its name is known.
        name: Vec<u8>,
        /// Where its header is in the tar.
        offset: u64,
        /// What is wrong.
        fault: Fault,
    },
}

/// What is wrong with a member's header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A number cannot be read.
    #[error("its {field} is no number")]
    Number {
        /// Which.
        field: &'static str,
    },
    /// A number is out of range.
    #[error("its {field} is out of range")]
    Range {
        /// Which.
        field: &'static str,
    },
    /// The type is not known.
    #[error("its type {} is not known", char::from(*typeflag).escape_default())]
    Type {
        /// The type's letter.
        typeflag: u8,
    },
    /// Something that is not a file has data.
    #[error("it is {what} with {size} bytes of data")]
    Data {
        /// What it is.
        what: &'static str,
        /// Bytes of data.
        size: u64,
    },
    /// Extended headers and long names are too large together.
    #[error("its extended header of {size} bytes brings it above the limit of {MAX_EXTENSION}")]
    ExtensionSize {
        /// Bytes in the last of them.
        size: u64,
    },
    /// An extended header cannot be read.
    #[error("its extended header is malformed")]
    PaxRecord,
    /// A global extended header sets what only one member can have.
    #[error("a global extended header sets {key}")]
    PaxGlobal {
        /// The record's key.
        key: String,
    },
    /// Extended headers or long names without the member they belong to.
    #[error("an extended header belongs to no entry")]
    Dangling,
    /// The map of a sparse file is wrong.
    #[error("its map of a sparse file is wrong: {0}")]
    SparseMap(&'static str),
    /// Something this program does not read, where leaving it out would change the entry.
    #[error("it has {0}, which is not supported")]
    Unsupported(&'static str),
    /// A name contains a NUL byte.
    #[error("its name or target contains a NUL byte")]
    Nul,
}
