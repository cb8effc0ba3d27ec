//! A list of files as a FAT volume, and a volume read.
//!
//! ```text
//! | boot sector, FSInfo, copy | FAT | FAT (copy) | root (FAT16) | clusters: directories, files ...... |
//! ```
//!
//! All files are known before the first byte is placed, so nothing is fragmented: every directory and every file is one
//! run of clusters, in the order given. The bytes of the files are not touched: the image refers to their blobs.
//!
//! Written here rather than with the `fatfs` crate: 0.3.6 gives `.` and `..` long names and lets the `..` of a directory
//! in a FAT32 root point to the root's cluster, both of which `fsck.fat` reports as damage.
//!
//! | module | owns |
//! |---|---|
//! | [`geometry`] | FAT16 or FAT32, cluster size, where the parts lie |
//! | [`disk`] | boot sector, tables, entries as bytes |
//! | [`directory`] | the directories and their entries |
//! | [`names`] | which paths and labels FAT can hold, short names |
//! | [`time`] | times as FAT keeps them |
//! | [`read`] | a volume read without mounting it |

mod directory;
mod disk;
mod geometry;
mod names;
pub mod read;
mod time;

use thiserror::Error;

use crate::blob::Blob;
use crate::sparse::SparseImage;
use crate::units::{Bytes, SECTOR, Time};

use directory::{Directory, Places};
use geometry::{ENTRY, FIRST_CLUSTER, Geometry, TABLES};
use time::Stamp;

/// Largest file in bytes: sizes have 32 bits.
pub const MAX_FILE: u64 = u32::MAX as u64;

/// One file of a volume. Directories above it are made.
#[derive(Debug, Clone)]
pub struct FatFile {
    /// Path from the root, components joined by `/`: `dtbs/amlogic/meson-gxbb-odroidc2.dtb`.
    pub path: String,
    /// Length in bytes, at most [`MAX_FILE`].
    pub length: u64,
    /// The blob its bytes come from.
    pub blob: Blob,
    /// Where they start in the blob.
    pub blob_offset: u64,
}

/// What a volume is besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatOptions {
    /// Size of the volume: a multiple of 512 bytes.
    pub size: Bytes,
    /// Volume serial number, as `blkid` shows it in the form `1234-ABCD`.
    pub volume_id: u32,
    /// Volume label: 1 to 11 characters of upper-case ASCII.
    pub label: String,
    /// Creation and change of every file and directory. FAT has neither zone nor odd seconds: it is kept as UTC,
    /// rounded down to 2 s, and must lie in the years 1980 to 2107.
    pub time: Time,
}

/// A finished volume.
#[derive(Debug, Clone)]
pub struct FatVolume {
    /// Its bytes.
    pub image: SparseImage,
    /// Which of the two it became.
    pub fat_type: FatType,
    /// Bytes per cluster.
    pub cluster: Bytes,
    /// Bytes in clusters that are still free.
    pub free: Bytes,
}

/// Width of the table's entries. A volume is FAT32 when it can have 65,525 clusters, else FAT16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FatType {
    /// 16 bits.
    Fat16,
    /// 32 bits, of which 28 count.
    Fat32,
}

/// Why no volume was made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FatError {
    /// A size that no FAT16 or FAT32 volume can have.
    #[error("a FAT volume cannot have {size} bytes: multiples of 512 from {min} to {max} can be formatted")]
    Size {
        /// The size wanted, in bytes.
        size: u64,
        /// Smallest volume, in bytes.
        min: u64,
        /// Largest volume, in bytes.
        max: u64,
    },
    /// The files do not fit.
    #[error(
        "the files need {needed} bytes in clusters of {cluster}, the FAT volume of {size} has {available}; \
         the largest is {largest:?} with {largest_bytes} bytes"
    )]
    Full {
        /// Bytes in clusters that files and directories take.
        needed: u64,
        /// Bytes in clusters that the volume has.
        available: u64,
        /// Bytes of a cluster.
        cluster: u64,
        /// Bytes of the volume.
        size: u64,
        /// Path of the largest file.
        largest: String,
        /// Its length.
        largest_bytes: u64,
    },
    /// The root directory of FAT16 has a fixed size.
    #[error("the root directory needs {needed} entries, a FAT16 volume has {limit}; use a subdirectory")]
    RootFull {
        /// Entries of 32 bytes that the names take.
        needed: u64,
        /// Entries it has.
        limit: u64,
    },
    /// A directory longer than drivers read.
    #[error("directory {path:?} needs {needed} entries, FAT has at most {limit} in one; use subdirectories")]
    DirectoryFull {
        /// Its path; `/` is the root.
        path: String,
        /// Entries of 32 bytes that the names take.
        needed: u64,
        /// Most entries.
        limit: u64,
    },
    /// A file longer than a 32-bit size.
    #[error("file {path:?} has {length} bytes, FAT holds at most {MAX_FILE} per file")]
    FileTooLarge {
        /// Its path.
        path: String,
        /// Its length.
        length: u64,
    },
    /// A path that FAT cannot hold.
    #[error("path {path:?} cannot be on a FAT volume: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two paths that are one for FAT, which does not tell cases apart.
    #[error(
        "paths {first:?} and {second:?} are the same to FAT, or one is a file and the other needs a directory there"
    )]
    Clash {
        /// The path met first.
        first: String,
        /// The path that collides with it.
        second: String,
    },
    /// A label that FAT cannot hold.
    #[error("{label:?} cannot be a FAT label: {reason}")]
    Label {
        /// The label.
        label: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A time before 1980 or after 2107.
    #[error("{seconds} s since 1970 is not in the years 1980 to 2107 that FAT can hold")]
    Time {
        /// The time.
        seconds: i64,
    },
}

impl FatFile {
    /// A file of these bytes.
    pub fn from_bytes(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            path: path.into(),
            length: bytes.len() as u64,
            blob: bytes.into(),
            blob_offset: 0,
        }
    }
}

/// Lays `files` out, in this order, on a volume as `options` say.
pub fn lay_out(files: &[FatFile], options: &FatOptions) -> Result<FatVolume, FatError> {
    let label = names::label(&options.label)?;
    let stamp = Stamp::new(options.time)?;
    let directories = plan(files)?;
    let geometry = Geometry::for_size(options.size)?;
    let lengths = Lengths::of(files, &directories, &geometry);
    lengths.check(files, &directories, &geometry)?;
    let places = lengths.place();

    let mut image = SparseImage::empty(options.size);
    let boot = Blob::from(disk::boot_sector(&geometry, options.volume_id, label));
    image.put_blob(0, SECTOR, boot.clone(), 0);
    if geometry.fat_type == FatType::Fat32 {
        let info = Blob::from(disk::fs_info(&geometry, lengths.total()));
        image.put_blob(disk::FS_INFO_SECTOR * SECTOR, SECTOR, info.clone(), 0);
        image.put_blob(disk::BACKUP_SECTOR * SECTOR, SECTOR, boot, 0);
        image.put_blob(
            (disk::BACKUP_SECTOR + disk::FS_INFO_SECTOR) * SECTOR,
            SECTOR,
            info,
            0,
        );
    }
    // Tables and directories are given in full, zeros and all: a card that is written without the image's holes must
    // not keep old bytes there.
    let table = Blob::from(disk::table(&geometry, lengths.all()));
    for number in 0..TABLES {
        let offset = (geometry.reserved + number * geometry.table) * SECTOR;
        image.put_blob(offset, geometry.table * SECTOR, table.clone(), 0);
    }
    for (this, directory) in directories.iter().enumerate() {
        let (offset, length) = match places.directories[this] {
            0 => (
                (geometry.reserved + TABLES * geometry.table) * SECTOR,
                geometry.root_entries * ENTRY,
            ),
            cluster => (
                geometry.offset_of(cluster),
                lengths.directories[this] * geometry.cluster(),
            ),
        };
        let mut bytes = directory.encode(this, label, files, &places, stamp);
        bytes.resize(length as usize, 0);
        image.put(offset, bytes);
    }
    for (file, cluster) in files.iter().zip(&places.files) {
        if *cluster != 0 {
            image.put_blob(
                geometry.offset_of(*cluster),
                file.length,
                file.blob.clone(),
                file.blob_offset,
            );
        }
    }
    Ok(FatVolume {
        image,
        fat_type: geometry.fat_type,
        cluster: Bytes(geometry.cluster()),
        free: Bytes((geometry.clusters - lengths.total()) * geometry.cluster()),
    })
}

/// The smallest volume of whole MiB that holds `files` and `free` bytes more.
pub fn size_for(files: &[FatFile], free: Bytes) -> Result<Bytes, FatError> {
    let directories = plan(files)?;
    // Lengths have 32 bits each; the volume's limit ends the search.
    let content: u64 = files.iter().map(|file| file.length).sum();
    let least = Bytes(
        content
            .saturating_add(free.0)
            .clamp(geometry::MIN_SIZE, geometry::MAX_SIZE),
    );
    let mut size = least.round_up(Bytes::mib(1).0);
    loop {
        let geometry = Geometry::for_size(size)?;
        let lengths = Lengths::of(files, &directories, &geometry);
        if lengths.total() + geometry.clusters_for(free.0) <= geometry.clusters {
            return Ok(size);
        }
        size = size + Bytes::mib(1);
    }
}

/// Checks every path and length; returns the directories.
fn plan(files: &[FatFile]) -> Result<Vec<Directory>, FatError> {
    if let Some(file) = files.iter().find(|file| file.length > MAX_FILE) {
        return Err(FatError::FileTooLarge {
            path: file.path.clone(),
            length: file.length,
        });
    }
    directory::tree(files)
}

/// Clusters that each directory and each file takes.
struct Lengths {
    directories: Vec<u64>,
    files: Vec<u64>,
}

impl Lengths {
    fn of(files: &[FatFile], directories: &[Directory], geometry: &Geometry) -> Self {
        let directories = directories.iter().enumerate();
        Self {
            directories: directories
                .map(|(at, directory)| directory.clusters(at == 0, geometry))
                .collect(),
            files: files
                .iter()
                .map(|file| geometry.clusters_for(file.length))
                .collect(),
        }
    }

    /// In the order in which they lie on the volume.
    fn all(&self) -> impl Iterator<Item = u64> {
        self.directories.iter().chain(&self.files).copied()
    }

    fn total(&self) -> u64 {
        self.all().sum()
    }

    /// Refuses what does not fit.
    fn check(
        &self,
        files: &[FatFile],
        directories: &[Directory],
        geometry: &Geometry,
    ) -> Result<(), FatError> {
        let root_entries = directories[0].entries(true);
        if geometry.root_entries > 0 && root_entries > geometry.root_entries {
            return Err(FatError::RootFull {
                needed: root_entries,
                limit: geometry.root_entries,
            });
        }
        if self.total() > geometry.clusters {
            let largest = files.iter().max_by_key(|file| file.length);
            return Err(FatError::Full {
                needed: self.total() * geometry.cluster(),
                available: geometry.clusters * geometry.cluster(),
                cluster: geometry.cluster(),
                size: geometry.sectors * SECTOR,
                largest: largest.map(|file| file.path.clone()).unwrap_or_default(),
                largest_bytes: largest.map(|file| file.length).unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// First clusters when all lie one behind the other. The total was checked, so numbers have 28 bits.
    fn place(&self) -> Places {
        let mut next = FIRST_CLUSTER;
        let mut place = |length: &u64| {
            let first = if *length == 0 { 0 } else { next };
            next += *length as u32;
            first
        };
        Places {
            directories: self.directories.iter().map(&mut place).collect(),
            files: self.files.iter().map(&mut place).collect(),
        }
    }
}
