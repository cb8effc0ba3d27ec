//! FAT16 or FAT32, how large a cluster is, and where the parts of a volume lie.

use super::{FatError, FatType};
use crate::units::{Bytes, SECTOR};

/// Fewest clusters of a FAT32 volume; with one less, every driver reads it as FAT16.
const FAT32_MIN_CLUSTERS: u64 = 65_525;

/// Fewest clusters of a FAT16 volume; with one less, every driver reads it as FAT12.
const FAT16_MIN_CLUSTERS: u64 = 4_085;

/// Smallest volume: 4,085 clusters of one sector behind 72 sectors of tables and root directory.
pub(super) const MIN_SIZE: u64 = (FAT16_MIN_CLUSTERS + 72) * SECTOR;

/// Largest volume: sectors are counted in 32 bits.
pub(super) const MAX_SIZE: u64 = u32::MAX as u64 * SECTOR;

/// Bytes of a directory entry.
pub(super) const ENTRY: u64 = 32;

/// Number of the first cluster; the two table entries before it are reserved.
pub(super) const FIRST_CLUSTER: u32 = 2;

/// Number of tables: a second one for checkers to compare with.
pub(super) const TABLES: u64 = 2;

/// Clusters start on a multiple of this many sectors, 4 KiB: flash and file-system copies like it.
const ALIGNMENT: u64 = 8;

/// How a volume is divided. All places and lengths are in sectors of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) fat_type: FatType,
    /// Sectors of the volume.
    pub(super) sectors: u64,
    /// Sectors before the first table.
    pub(super) reserved: u64,
    /// Sectors of one table.
    pub(super) table: u64,
    /// Entries of the root directory: 0 on FAT32, where it is a chain of clusters.
    pub(super) root_entries: u64,
    /// Sector of the first cluster.
    pub(super) data: u64,
    /// Sectors of a cluster.
    pub(super) sectors_per_cluster: u64,
    /// Number of clusters.
    pub(super) clusters: u64,
}

impl Geometry {
    /// FAT32 with the largest clusters that still make it one, else FAT16 with the smallest.
    pub(super) fn for_size(size: Bytes) -> Result<Self, FatError> {
        let candidates = [64, 32, 16, 8, 4, 2, 1].map(|n| (FatType::Fat32, n)).into_iter();
        let candidates = candidates.chain([1, 2].map(|n| (FatType::Fat16, n)));
        let legal = (MIN_SIZE..=MAX_SIZE).contains(&size.0) && size.0.is_multiple_of(SECTOR);
        candidates
            .filter(|_| legal)
            .find_map(|(fat_type, sectors_per_cluster)| {
                Self::with(fat_type, size.0 / SECTOR, sectors_per_cluster)
            })
            .ok_or(FatError::Size {
                size: size.0,
                min: MIN_SIZE,
                max: MAX_SIZE,
            })
    }

    /// The division with this cluster size, if the number of clusters is then one that `fat_type` can have.
    fn with(fat_type: FatType, sectors: u64, sectors_per_cluster: u64) -> Option<Self> {
        let (reserved, root_entries, bytes_per_cluster, limits) = match fat_type {
            FatType::Fat16 => (1, 512, 2, FAT16_MIN_CLUSTERS..FAT32_MIN_CLUSTERS),
            FatType::Fat32 => (32, 0, 4, FAT32_MIN_CLUSTERS..1 << 28),
        };
        let root = root_entries * ENTRY / SECTOR;
        // As if the tables took no room: they may get a few entries more than there are clusters.
        let most = sectors.checked_sub(reserved + root)? / sectors_per_cluster;
        let table = ((most + u64::from(FIRST_CLUSTER)) * bytes_per_cluster).div_ceil(SECTOR);
        let data = (reserved + TABLES * table + root).next_multiple_of(ALIGNMENT);
        let clusters = sectors.checked_sub(data)? / sectors_per_cluster;
        limits.contains(&clusters).then_some(Self {
            fat_type,
            sectors,
            reserved: data - TABLES * table - root,
            table,
            root_entries,
            data,
            sectors_per_cluster,
            clusters,
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        self.sectors_per_cluster * SECTOR
    }

    /// Clusters that `bytes` take.
    pub(super) fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster())
    }

    /// Byte of the volume at which a cluster starts.
    pub(super) fn offset_of(&self, cluster: u32) -> u64 {
        self.data * SECTOR + u64::from(cluster - FIRST_CLUSTER) * self.cluster()
    }
}
