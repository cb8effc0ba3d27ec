//! The index of a layer as bytes, so that a layer can be kept as two files: its index and its blob.
//!
//! ```text
//! offset  size
//! 0       8     magic "pdclayer"
//! 8       4     version, little-endian
//! 12      4     zero
//! 16      n     postcard of `Index`
//! 16+n    32    SHA-256 of everything before
//! ```

use std::collections::HashMap;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::path::{self, MAX_PATH, shown};
use super::refusal::check_attributes;
use super::{Body, Content, Data, Encoding, Entry, Layer, MAX_COMPRESSED, MAX_INLINE, SECTOR};
use crate::blob::Blob;

const MAGIC: &[u8; 8] = b"pdclayer";

/// Goes up with every change of what the bytes mean.
const VERSION: u32 = 1;

const HEADER: usize = 16;
const DIGEST: usize = 32;

/// A layer without its blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Entries in order of their paths.
    pub entries: Vec<Entry>,
    /// Bytes in the blob.
    pub blob_length: u64,
}

/// Why bytes are no index, or a blob is not the index's.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The bytes do not start as an index does.
    #[error("this is not the index of a layer")]
    Foreign,
    /// The index is of another version.
    #[error("the index has version {found}; this program reads version {VERSION}")]
    Version {
        /// The version it has.
        found: u32,
    },
    /// The bytes are not those that were written.
    #[error("the index is damaged or cut short: its SHA-256 does not match")]
    Damaged,
    /// The bytes are intact but mean no index.
    #[error("the index cannot be decoded")]
    Decode(#[source] postcard::Error),
    /// An entry breaks a rule of layers.
    #[error("entry {} of the index is not valid: {fault}", shown(path))]
    Entry {
        /// The entry's path.
        path: Vec<u8>,
        /// The rule.
        fault: String,
    },
    /// The blob has not the length that the index says.
    #[error("the blob has {found} bytes, its index says {expected}")]
    BlobLength {
        /// Bytes that the index says.
        expected: u64,
        /// Bytes that the blob has.
        found: u64,
    },
    /// The blob's bytes are not those that were written.
    #[error("the blob is damaged at byte {offset}, in {}", shown(path))]
    BlobDamaged {
        /// First byte of the damaged sector.
        offset: u64,
        /// A file whose data it is.
        path: Vec<u8>,
    },
    /// The blob could not be read.
    #[error("cannot read the blob")]
    Read(#[source] io::Error),
}

impl Index {
    /// The index as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + DIGEST + 128 * self.entries.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        #[expect(
            clippy::expect_used,
            reason = "vectors, maps and integers are all that postcard is given here"
        )]
        let mut bytes = postcard::to_extend(self, bytes).expect("postcard refuses no sized value");
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// The index that `bytes` are. Everything that a later reader relies on is checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(IndexError::Foreign)?;
        if !header.starts_with(MAGIC) {
            return Err(IndexError::Foreign);
        }
        let found = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if found != VERSION {
            return Err(IndexError::Version { found });
        }
        let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(IndexError::Damaged)?;
        if Sha256::digest(body).as_slice() != digest {
            return Err(IndexError::Damaged);
        }
        let encoded = body.get(HEADER..).ok_or(IndexError::Damaged)?;
        let (index, rest) = postcard::take_from_bytes::<Self>(encoded).map_err(IndexError::Decode)?;
        if header[12..] != [0; 4] || !rest.is_empty() {
            return Err(IndexError::Damaged);
        }
        index.check()?;
        Ok(index)
    }

    /// The layer of this index and its blob, whose length has to be right. [`Layer::verify`] also looks at the bytes.
    pub fn with_blob(self, blob: Blob) -> Result<Layer, IndexError> {
        let found = blob.length().map_err(IndexError::Read)?;
        if found != self.blob_length {
            return Err(IndexError::BlobLength {
                expected: self.blob_length,
                found,
            });
        }
        Ok(Layer {
            entries: self.entries,
            blob,
        })
    }

    fn check(&self) -> Result<(), IndexError> {
        let kinds: HashMap<&[u8], &Body> = self
            .entries
            .iter()
            .map(|entry| (&entry.path[..], &entry.body))
            .collect();
        let mut before: Option<&[u8]> = None;
        for entry in &self.entries {
            let fault = |fault: String| IndexError::Entry {
                path: entry.path.clone(),
                fault,
            };
            path::check(&entry.path, MAX_PATH).map_err(|error| fault(error.to_string()))?;
            check_attributes(&entry.attributes).map_err(|error| fault(error.to_string()))?;
            if before.is_some_and(|before| before >= &entry.path[..]) {
                return Err(fault("it is out of order".to_owned()));
            }
            before = Some(&entry.path);
            let mut ancestor = &entry.path[..];
            while let Some(parent) = path::parent(ancestor) {
                if kinds.get(parent).is_some_and(|body| **body != Body::Directory) {
                    return Err(fault("a directory above it is something else".to_owned()));
                }
                ancestor = parent;
            }
            match &entry.body {
                Body::Directory => {}
                _ if entry.path.is_empty() => {
                    return Err(fault("the root is not a directory".to_owned()));
                }
                Body::File(content) => {
                    check_content(content, self.blob_length).map_err(|rule| fault(rule.to_owned()))?;
                }
                Body::Hardlink(target)
                    if matches!(
                        kinds.get(&target[..]),
                        None | Some(Body::Directory | Body::Hardlink(_))
                    ) =>
                {
                    return Err(fault(
                        "it links to nothing, a directory or another hard link".to_owned(),
                    ));
                }
                Body::Symlink(target)
                    if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) =>
                {
                    return Err(fault("it links to no path".to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a file's data is as [`Content`] says, within a blob of `blob_length` bytes; otherwise the broken rule.
fn check_content(content: &Content, blob_length: u64) -> Result<(), &'static str> {
    if content.size > super::refusal::MAX_FILE {
        return Err("it is too large");
    }
    let extents = match &content.data {
        Data::Inline { encoding, stored } => {
            let fits = match encoding {
                Encoding::Raw => stored.len() as u64 == content.size,
                Encoding::Zstd => (stored.len() as u64) < content.size,
            };
            return if fits && content.size > 0 && content.size <= MAX_INLINE {
                Ok(())
            } else {
                Err("its inline data has the wrong length")
            };
        }
        Data::Extents(extents) => extents,
    };
    let mut covered = 0;
    for extent in extents {
        let numbers = [
            extent.file_offset,
            extent.length,
            extent.blob_offset,
            extent.stored_length,
        ];
        if numbers.iter().any(|number| !number.is_multiple_of(SECTOR)) {
            return Err("an extent does not lie on sectors");
        }
        let sound = match extent.encoding {
            Encoding::Raw => extent.length == extent.stored_length,
            Encoding::Zstd => extent.length <= MAX_COMPRESSED && extent.stored_length < extent.length,
        };
        if !sound || extent.stored_length == 0 {
            return Err("an extent has the wrong length");
        }
        if extent.checksums.len() as u64 != extent.stored_length / SECTOR {
            return Err("an extent has the wrong number of checksums");
        }
        let end = extent.file_offset.checked_add(extent.length);
        if extent.file_offset < covered || end.is_none_or(|end| end > content.size.next_multiple_of(SECTOR)) {
            return Err("its extents overlap or lie behind its end");
        }
        covered = extent.file_offset + extent.length;
        if extent
            .blob_offset
            .checked_add(extent.stored_length)
            .is_none_or(|end| end > blob_length)
        {
            return Err("an extent lies behind the end of the blob");
        }
    }
    Ok(())
}

impl Layer {
    /// Reads the whole blob and compares every sector with its checksum.
    pub fn verify(&self) -> Result<(), IndexError> {
        let mut buffer = Vec::new();
        for entry in &self.entries {
            let Body::File(Content {
                data: Data::Extents(extents),
                ..
            }) = &entry.body
            else {
                continue;
            };
            for extent in extents {
                buffer.resize(extent.stored_length as usize, 0);
                self.blob
                    .read_exact_at(&mut buffer, extent.blob_offset)
                    .map_err(IndexError::Read)?;
                let sectors = buffer.chunks(SECTOR as usize).zip(&extent.checksums);
                for (number, (sector, checksum)) in (0..).zip(sectors) {
                    if crc32c::crc32c(sector) != *checksum {
                        let offset = extent.blob_offset + number * SECTOR;
                        return Err(IndexError::BlobDamaged {
                            offset,
                            path: entry.path.clone(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}
