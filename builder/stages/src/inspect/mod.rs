//! What is on an image, read without mounting anything and without the rights of root.
//!
//! | module | owns |
//! |---|---|
//! | `report` | what there is: partitions, boot area, files, subvolumes |
//! | `boot_area` | what lies before the first partition |
//! | `root` | the root file system as a node sees it |
//! | `files` | one file; all files as a tar |
//! | `verify` | all checksums |
//! | `block_map` | an image against the block map beside it |

mod block_map;
mod boot_area;
mod files;
mod report;
mod root;
mod verify;

pub use boot_area::{BootArea, boot_area};
pub use files::{Left, cat, tar};
pub use report::{Content, Detail, PartitionReport, PathReport, Report, SubvolumeReport, report};
pub use root::{find_file, root_view};
pub use verify::{Verified, verify};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use flash::unpacked;
use formats::btrfs::read as btrfs;
use formats::delta::Delta;
use formats::fat::read as fat;
use formats::partition::{self, FoundPartition, FoundTable};
use formats::source::{ReadAt, WholeBlob, Window};
use formats::units::{Lba, SECTOR, Sectors};

use crate::pack::{Identities, card_of_delta, is_encrypted};

/// The bytes of an image, wherever they come from. Threads can share it.
pub type Source = Arc<dyn ReadAt + Send + Sync>;

/// An image, or a card, or one bare volume.
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub source: Source,
    /// Its partition table; a bare volume has none.
    pub table: Option<FoundTable>,
}

/// A part of an image that can hold a file system: a partition, or all of an image without a table.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its number from 1; 0 for an image without a table.
    pub number: usize,
    /// Where it lies.
    pub sectors: Sectors,
    /// What the table says of it.
    pub entry: Option<FoundPartition>,
    /// What its first bytes say that it holds.
    pub kind: Kind,
}

/// What a part of an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A FAT volume.
    Fat,
    /// A btrfs volume.
    Btrfs,
    /// Something else, or nothing.
    Unknown,
}

impl Image {
    /// Opens the image in the file `path`: plain, compressed by whomever, or a node's delta in its pack.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, None)
    }

    /// The same; `identities` decrypt a delta.
    pub fn open_with(path: &Path, identities: Option<Identities>) -> Result<Self> {
        let context = || format!("cannot read {}", path.display());
        let source = open_source_with(path, identities).with_context(context)?;
        let table = partition::read(&source).with_context(context)?;
        Ok(Self {
            path: path.to_owned(),
            source,
            table,
        })
    }

    /// Its partitions by number, or all of it.
    pub fn parts(&self) -> Vec<Part> {
        let Some(table) = &self.table else {
            let sectors = Sectors {
                first: Lba(0),
                count: self.source.size() / SECTOR,
            };
            return vec![self.part(0, sectors, None)];
        };
        let part = |entry: &FoundPartition| self.part(entry.number, entry.sectors, Some(entry.clone()));
        table.partitions.iter().map(part).collect()
    }

    fn part(&self, number: usize, sectors: Sectors, entry: Option<FoundPartition>) -> Part {
        let mut part = Part {
            number,
            sectors,
            entry,
            kind: Kind::Unknown,
        };
        if let Ok(window) = self.window(&part) {
            part.kind = match (btrfs::Reader::open(&window), fat::Reader::open(&window)) {
                (Ok(_), _) => Kind::Btrfs,
                (_, Ok(_)) => Kind::Fat,
                // Damage is named where the volume is read.
                (Err(btrfs::ReadError::Superblock { .. }), Err(_)) => Kind::Unknown,
                (Err(_), Err(_)) => Kind::Btrfs,
            };
        }
        part
    }

    /// The bytes of a part.
    pub fn window(&self, part: &Part) -> Result<Window<&Source>> {
        let start = part.sectors.first.0.checked_mul(SECTOR);
        let length = part.sectors.count.checked_mul(SECTOR);
        start
            .zip(length)
            .and_then(|(start, length)| Window::new(&self.source, start, length).ok())
            .with_context(|| {
                format!(
                    "partition {} ({}) goes on behind the end of {}, which has {} bytes: it is truncated",
                    part.number,
                    part.sectors,
                    self.path.display(),
                    self.source.size()
                )
            })
    }

    /// The bytes of the first part that holds `kind`. Where there is none, but a partition that the image does not have
    /// as a whole, the error says so.
    pub fn volume(&self, kind: Kind) -> Result<Window<&Source>> {
        let parts = self.parts();
        if let Some(part) = parts.iter().find(|part| part.kind == kind) {
            return self.window(part);
        }
        for part in &parts {
            self.window(part)?;
        }
        let what = match kind {
            Kind::Fat => "FAT volume",
            Kind::Btrfs => "btrfs volume",
            Kind::Unknown => "unknown volume",
        };
        bail!("there is no {what} on {}", self.path.display())
    }
}

/// The bytes of an image in the file `path` that a build wrote, each of which counts.
pub(crate) fn open_built(path: &Path) -> Result<Source> {
    Ok(unpacked::open_built(::files::open(path)?)?.into())
}

/// The bytes of the image in the file `path`. What kind of file it is shows in its bytes.
pub(crate) fn open_source(path: &Path) -> Result<Source> {
    open_source_with(path, None)
}

fn open_source_with(path: &Path, identities: Option<Identities>) -> Result<Source> {
    let file = ::files::open(path)?;
    let blob = WholeBlob::new(file.try_clone()?.into())?;
    if Delta::is_one(&blob)? || is_encrypted(&blob)? {
        return Ok(Arc::new(card_of_delta(path, identities)?));
    }
    Ok(unpacked::open(file, None, &mut |_| {})?.into())
}
