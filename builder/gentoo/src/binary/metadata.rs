//! The metadata of a package: the files that its entry in the VDB has, in memory.

use std::collections::BTreeMap;
use std::io;

use formats::layer::archive::{Archive, ArchiveError, Kind};
use formats::layer::{MAX_NAME, shown};
use formats::units::Bytes;
use thiserror::Error;

use crate::binary::Limits;

/// Files of the VDB by name.
pub(crate) type Metadata = BTreeMap<String, Vec<u8>>;

/// Why the metadata of a package is refused.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// Its tar cannot be read.
    #[error("the metadata is no sound tar")]
    Archive(#[from] ArchiveError),
    /// It cannot be decompressed.
    #[error("cannot decompress the metadata")]
    Read(#[from] io::Error),
    /// A file's name is none that the VDB can have.
    #[error("metadata {} is refused: its name is not {form}", shown(name))]
    Name {
        /// The name.
        name: Vec<u8>,
        /// What names look like.
        form: &'static str,
    },
    /// Something is not a file.
    #[error("metadata {} is {what}, and can only be a file", shown(name))]
    Kind {
        /// Its name.
        name: Vec<u8>,
        /// What it is.
        what: &'static str,
    },
    /// A name comes twice.
    #[error("metadata `{name}` comes twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A file is too large.
    #[error("metadata {} of {size} is above the limit of {limit} for a file", shown(name))]
    FileSize {
        /// Its name.
        name: Vec<u8>,
        /// Its length.
        size: Bytes,
        /// Largest file allowed.
        limit: Bytes,
    },
    /// There are too many files.
    #[error("metadata {} is one more than the limit of {limit} files", shown(name))]
    Files {
        /// The first that is too many.
        name: Vec<u8>,
        /// Most files allowed.
        limit: usize,
    },
}

/// Takes files in, within limits.
pub(crate) struct Collector<'a> {
    files: Metadata,
    limits: &'a Limits,
}

impl<'a> Collector<'a> {
    pub fn new(limits: &'a Limits) -> Self {
        Self {
            files: Metadata::new(),
            limits,
        }
    }

    /// Accepts a file for its name and length; [`Collector::add`] takes it in.
    pub fn check(&self, name: &[u8], size: u64) -> Result<String, MetadataError> {
        let text = str::from_utf8(name).ok().filter(|text| {
            !matches!(*text, "" | "." | "..")
                && text.len() <= MAX_NAME
                && !text.contains(|character: char| character == '/' || character.is_control())
        });
        let Some(text) = text else {
            return Err(MetadataError::Name {
                name: name.to_vec(),
                form: "that of a file in one folder",
            });
        };
        if self.files.contains_key(text) {
            return Err(MetadataError::Duplicate {
                name: text.to_owned(),
            });
        }
        if size > self.limits.metadata_file.0 {
            return Err(MetadataError::FileSize {
                name: name.to_vec(),
                size: Bytes(size),
                limit: self.limits.metadata_file,
            });
        }
        if self.files.len() >= self.limits.metadata_files {
            return Err(MetadataError::Files {
                name: name.to_vec(),
                limit: self.limits.metadata_files,
            });
        }
        Ok(text.to_owned())
    }

    /// Takes in a file that [`Collector::check`] accepted.
    pub fn add(&mut self, name: String, content: Vec<u8>) {
        self.files.insert(name, content);
    }

    pub fn finish(self) -> Metadata {
        self.files
    }
}

/// Reads the metadata in the unpacked tar of a gpkg: files `metadata/NAME`.
pub(crate) fn from_tar<'a>(tar: impl io::BufRead + 'a, limits: &Limits) -> Result<Metadata, MetadataError> {
    let mut archive = Archive::plain(tar, limits.metadata.0);
    let mut collector = Collector::new(limits);
    while let Some(member) = archive.next_member()? {
        let is_whole = member
            .regions
            .iter()
            .all(|region| (region.offset, region.length) == (0, member.size));
        let what = match member.kind {
            Kind::File if is_whole => None,
            Kind::File => Some("a sparse file"),
            kind => Some(kind.what()),
        };
        if let Some(what) = what {
            return Err(MetadataError::Kind {
                name: member.name,
                what,
            });
        }
        let Some(name) = member.name.strip_prefix(b"metadata/") else {
            return Err(MetadataError::Name {
                name: member.name,
                form: "`metadata/NAME`",
            });
        };
        let name = collector.check(name, member.size)?;
        // It is not larger than the limit, so it fits.
        let mut content = vec![0; member.size as usize];
        archive.read_data(&mut content)?;
        collector.add(name, content);
    }
    Ok(collector.finish())
}
