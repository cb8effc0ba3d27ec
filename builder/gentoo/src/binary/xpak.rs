//! Packages in Gentoo's old format, `.tbz2` or `.xpak`: a tar, compressed in any way, with the metadata behind it.
//! Integers are four bytes, big-endian. Portage's xpak(5).
//!
//! ```text
//! | tar | XPAKPACK | length of index | length of data | index | data | XPAKSTOP | length of all since the tar | STOP |
//!                                                       |
//!                              name's length | name | offset in data | length of file     one for each file
//! ```
//!
//! Nothing in it vouches for the tar: that is left to the index or lock.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use formats::units::Bytes;
use formats::unpack::{Codec, MAGIC, Unsupported};
use thiserror::Error;

use crate::binary::Limits;
use crate::binary::metadata::{Collector, Metadata, MetadataError};
use crate::binary::section::Section;

/// What the trailer begins and ends with, and what the file ends with.
const START: &[u8] = b"XPAKPACK";
const STOP: &[u8] = b"XPAKSTOP";
const END: &[u8; 4] = b"STOP";

/// Why a file is not a sound xpak.
#[derive(Debug, Error)]
pub enum XpakError {
    /// The file cannot be read.
    #[error("cannot read the package")]
    Read(#[from] io::Error),
    /// The source signs its packages, which this format has no place for.
    #[error("the package is in the old format xpak, which has no signatures, and its source requires one")]
    Unsigned,
    /// The trailer is longer than the file.
    #[error("the trailer of {trailer} bytes does not fit into the package of {size}")]
    Length {
        /// Bytes of the trailer.
        trailer: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The trailer is too long.
    #[error("the metadata of {size} is above the limit of {limit}")]
    Size {
        /// Bytes of the trailer.
        size: Bytes,
        /// Most bytes allowed.
        limit: Bytes,
    },
    /// The trailer does not begin or end as it should.
    #[error("the trailer does not have `{0}` where it should")]
    Mark(&'static str),
    /// The lengths in the trailer do not add up.
    #[error("index and data of {index} and {data} bytes do not make up the trailer")]
    Parts {
        /// Bytes of the index.
        index: u32,
        /// Bytes of the data.
        data: u32,
    },
    /// The index ends within an entry.
    #[error("the index ends within an entry, at byte {offset}")]
    Index {
        /// Where that entry starts.
        offset: usize,
    },
    /// A file overlaps with the one before it, leaves a gap to it, or is not in the data.
    #[error("metadata `{name}` does not lie right behind the one before it, within the data")]
    Place {
        /// Its name.
        name: String,
    },
    /// The data goes on behind the last file.
    #[error("{bytes} bytes follow the last file of the metadata")]
    Rest {
        /// Bytes of them.
        bytes: usize,
    },
    /// The metadata is refused.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The tar is compressed in a way that is not read.
    #[error("the image is {0}")]
    Compression(Unsupported),
}

/// A package of this format.
pub(crate) struct Xpak {
    pub metadata: Metadata,
    /// Bytes of the compressed tar, from the start of the file.
    pub tar: u64,
    pub codec: Codec,
}

/// Whether a file of `size` bytes ends like one of this format.
pub(crate) fn is_xpak(file: &File, size: u64) -> io::Result<bool> {
    let mut end = [0; 4];
    let Some(offset) = size.checked_sub(4) else {
        return Ok(false);
    };
    file.read_exact_at(&mut end, offset)?;
    Ok(end == *END)
}

/// Reads the trailer of a file of `size` bytes, and what the tar before it is compressed with.
pub(crate) fn read(file: &File, size: u64, limits: &Limits) -> Result<Xpak, XpakError> {
    let mut length = [0; 4];
    let trailer_end = size
        .checked_sub(8)
        .ok_or(XpakError::Length { trailer: 0, size })?;
    file.read_exact_at(&mut length, trailer_end)?;
    let trailer = u64::from(u32::from_be_bytes(length));
    let Some(tar) = trailer_end.checked_sub(trailer) else {
        return Err(XpakError::Length { trailer, size });
    };
    if trailer > limits.metadata.0 {
        return Err(XpakError::Size {
            size: Bytes(trailer),
            limit: limits.metadata,
        });
    }
    // It is not longer than the limit, so it fits.
    let mut bytes = vec![0; trailer as usize];
    file.read_exact_at(&mut bytes, tar)?;
    let metadata = metadata(&bytes, limits)?;
    let mut magic = Vec::new();
    Section::new(file, 0, tar.min(MAGIC as u64)).read_to_end(&mut magic)?;
    Ok(Xpak {
        metadata,
        tar,
        codec: Codec::of(&magic).map_err(XpakError::Compression)?,
    })
}

/// The files in a trailer, less its length and the end mark of the file.
fn metadata(trailer: &[u8], limits: &Limits) -> Result<Metadata, XpakError> {
    let rest = trailer.strip_prefix(START).ok_or(XpakError::Mark("XPAKPACK"))?;
    let rest = rest.strip_suffix(STOP).ok_or(XpakError::Mark("XPAKSTOP"))?;
    let mut rest = Fields(rest);
    let (index, data) = match (rest.integer(), rest.integer()) {
        (Some(index), Some(data)) => (index, data),
        _ => return Err(XpakError::Parts { index: 0, data: 0 }),
    };
    let parts = XpakError::Parts { index, data };
    let (index, data) = rest
        .0
        .split_at_checked(index as usize)
        .filter(|(_, rest)| rest.len() == data as usize)
        .ok_or(parts)?;
    let mut collector = Collector::new(limits);
    let mut left = Fields(index);
    let mut position = 0;
    while !left.0.is_empty() {
        let entry = index.len() - left.0.len();
        let (name, offset, length) = left.entry().ok_or(XpakError::Index { offset: entry })?;
        let key = collector.check(name, length.into())?;
        // Files that share bytes would unpack to more than there is.
        let content = data.get(position..).and_then(|data| data.get(..length as usize));
        match content {
            Some(content) if offset as usize == position => {
                position += content.len();
                collector.add(key, content.to_vec());
            }
            _ => return Err(XpakError::Place { name: key }),
        }
    }
    match data.len() - position {
        0 => Ok(collector.finish()),
        bytes => Err(XpakError::Rest { bytes }),
    }
}

/// Bytes that the fields of a trailer are taken from, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn integer(&mut self) -> Option<u32> {
        let (integer, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*integer))
    }

    /// Name, offset and length of a file.
    fn entry(&mut self) -> Option<(&'a [u8], u32, u32)> {
        let length = self.integer()?;
        let (name, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some((name, self.integer()?, self.integer()?))
    }
}
