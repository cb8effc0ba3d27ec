//! A tree as a btrfs volume, and a volume read. Written once, in one go; the kernel and btrfs-progs go on from there.
//!
//! ```text
//! device (a chunk's logical address is the device byte of its first copy)
//!
//!  0      64 KiB        1 MiB       9 MiB       17 MiB                 64 MiB
//!  |--------|-------------|-----------|-----------|----------------------|--------|---------------------|------
//!  |        | superblock  |  system   | (copy of  | data: blob by blob,  | super- | data, metadata (and | free
//!  |        |             |           |  system)  | the role's first     | block 2| its copy)           |
//!
//!  superblock --> chunk tree (in system): device, chunks           all trees but this one lie in metadata:
//!             '-> root tree --> extent tree          what is allocated, and who refers to it
//!                          |--> device tree          which runs of the device the chunks use
//!                          |--> free space tree      what of the chunks is free
//!                          |--> checksum tree        CRC-32C of each sector of data
//!                          |--> UUID tree            subvolumes by UUID
//!                          |--> data relocation tree an empty directory; balance needs it
//!                          |--> fs tree (5)          the top level: one directory with the subvolumes
//!                          '--> subvolumes (256..)   inodes, names, attributes, extents
//!
//!  metadata: | leaves of the role, tree by tree | nodes above leaves | leaves with what is a node's own | free |
//! ```
//!
//! What is a node's own ([`crate::tree::Share::Node`]) sorts last everywhere: highest inode numbers, last data, last
//! blocks, in leaves of its own. So the volumes of two nodes of a role differ in few blocks at the end, and in none
//! of the others if both have the same `metadata_uuid`.
//!
//! | module | owns |
//! |---|---|
//! | `mounts`, `cut`, `namespace` | the tree cut into subvolumes; inode numbers and names |
//! | `chunks`, `data` | which runs of the device hold what; addresses of the data |
//! | `files`, `roots`, `space` | the items of each tree |
//! | [`RoleVolume`] | what the volumes of a role have in common, and one node's volume over it |
//! | `items`, `btree`, `forest` | items into leaves and nodes; all trees until they agree with each other |
//! | `superblock` | the way in |
//! | `disk`, `records`, `hash` | structures and hashes of the format |
//! | `error` | what cannot be written |
//! | [`read`] | a volume read without mounting it |
//!
//! Source: the "On-disk format" page of the btrfs documentation, `uapi/linux/btrfs_tree.h`, and the kernel's
//! `fs/btrfs/tree-checker.c` for the limits.

mod btree;
mod chunks;
mod cut;
mod data;
mod disk;
mod error;
mod files;
mod forest;
mod hash;
mod items;
mod mounts;
mod namespace;
pub mod read;
mod records;
mod role_volume;
mod roots;
mod sink;
mod space;
mod superblock;

use std::sync::Arc;

use uuid::Uuid;

pub use self::error::VolumeError;
pub use self::role_volume::RoleVolume;
pub use self::sink::{DataSink, Placed};

use self::chunks::{Chunk, Device};
use self::data::DataPlan;
use self::disk::Identity;
use self::forest::{Forest, Ground, Plan};
use self::namespace::Subvolume;
use crate::ids;
use crate::layer::{Attributes, SECTOR};
use crate::sparse::SparseImage;
use crate::tree::{Share, Tree};
use crate::units::{Bytes, Time};

/// Smallest volume: what mkfs.btrfs demands for duplicated metadata, and what leaves the kernel room to work.
pub const MIN_SIZE: Bytes = Bytes::mib(109);

/// What a volume is to be, apart from its content.
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    /// Its label; at most 255 bytes without line breaks and NUL.
    pub label: String,
    /// Its UUID, as mount and blkid know it.
    pub fsid: Uuid,
    /// What its blocks call it: the volumes of a role share one, so that they share blocks. `None` is the `fsid`.
    /// The UUIDs of the device, of the chunk tree and of the top level are derived from it.
    pub metadata_uuid: Option<Uuid>,
    /// When subvolumes, and directories that only a mount path asks for, were made.
    pub time: Time,
    /// Its size.
    pub size: VolumeSize,
    /// How often tree blocks are there.
    pub metadata: Profile,
    /// Subvolumes below the top level, in the order of their ids, which start at 256.
    pub subvolumes: Vec<SubvolumeSpec>,
}

/// How large a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeSize {
    /// This size. What does not fill a sector at its end is left unused.
    Exact(Bytes),
    /// As small as the content allows, and this much for the kernel to allocate.
    Minimal {
        /// Bytes behind the last chunk, rounded up to sectors.
        free: Bytes,
    },
}

/// How often a tree block is on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Once.
    Single,
    /// Twice.
    Dup,
}

/// A subvolume of the top level.
#[derive(Debug, Clone)]
pub struct SubvolumeSpec {
    /// Its name in the top level.
    pub name: String,
    /// What is in it.
    pub content: SubvolumeContent,
    /// Whether it is mounted where no subvolume is asked for. At most one is.
    pub default: bool,
    /// Whether nothing in it can be changed.
    pub read_only: bool,
    /// Its UUID.
    pub uuid: Uuid,
}

/// What a subvolume holds.
#[derive(Debug, Clone)]
pub enum SubvolumeContent {
    /// Nothing.
    Empty,
    /// The directory of the volume's tree at this path, from its root on; `/` is the root. In the subvolume around it the
    /// directory stays, empty, as mount point; it is made where the tree lacks it.
    Mount(Vec<u8>),
    /// A tree of its own, all of it the role's ([`Share::Role`]). Data that it has in common with the rest of the volume,
    /// by blob and offset, is stored once; what it alone has lies behind the role's other data.
    Tree(Arc<Tree>),
}

/// A volume, laid out.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The volume from its first byte, pieces in order.
    pub image: SparseImage,
    /// How full it is.
    pub figures: Figures,
}

/// How full a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Data of files, as stored, each extent once.
    pub data: Bytes,
    /// Blocks of all trees, copies counted once.
    pub metadata: Bytes,
    /// The smallest size of a volume with this content.
    pub minimum: Bytes,
}

impl VolumeSize {
    /// Bytes of a volume whose chunks end at `end`; for an exact size that is too small, less than that.
    fn total(self, end: u64) -> u64 {
        match self {
            Self::Exact(size) => size.0 - size.0 % SECTOR,
            Self::Minimal { free } => {
                let total = minimum(end).saturating_add(free.0);
                total
                    .checked_next_multiple_of(SECTOR)
                    .unwrap_or(total - total % SECTOR)
            }
        }
    }
}

/// The smallest volume whose chunks end at `end`.
fn minimum(end: u64) -> u64 {
    end.max(MIN_SIZE.0)
}

/// Lays `tree` out as a volume, beside the trees that subvolumes of their own have. The same arguments give the same bytes.
///
/// Files' data is not read: the image refers to the blobs of the tree. Limits and contradictions are errors; see
/// [`VolumeError`].
pub fn lay_out(spec: &VolumeSpec, tree: &Tree) -> Result<Volume, VolumeError> {
    let labels = Labels::new(spec)?;
    let made = labels.made(spec);
    let subvolumes = cut::cut(tree, &spec.subvolumes, &made)?;
    let laid = Laid::new(spec, &labels, &subvolumes)?;
    let mut image = SparseImage::empty(laid.size(spec)?);
    laid.put(&mut image, spec, &labels, Share::Role);
    laid.put(&mut image, spec, &labels, Share::Node);
    image.pieces.sort_by_key(|piece| piece.offset);
    Ok(Volume {
        image,
        figures: laid.figures(),
    })
}

/// The identifiers of a volume, all from its `metadata_uuid`.
#[derive(Debug)]
struct Labels {
    identity: Identity,
    top_level_uuid: Uuid,
}

impl Labels {
    fn new(spec: &VolumeSpec) -> Result<Self, VolumeError> {
        if spec.label.len() > superblock::MAX_LABEL || spec.label.contains(['\n', '\0']) {
            return Err(VolumeError::Label {
                label: spec.label.clone(),
                limit: superblock::MAX_LABEL,
            });
        }
        let metadata_uuid = spec.metadata_uuid.unwrap_or(spec.fsid);
        let derived = |purpose| ids::uuid(purpose, &[&metadata_uuid.to_string()]);
        Ok(Self {
            identity: Identity {
                metadata_uuid,
                chunk_tree_uuid: derived("btrfs chunk tree"),
                device_uuid: derived("btrfs device"),
            },
            top_level_uuid: derived("btrfs top level"),
        })
    }

    /// The attributes of directories that only a mount path asks for.
    fn made(&self, spec: &VolumeSpec) -> Attributes {
        Attributes {
            mode: 0o755,
            mtime: spec.time,
            ..Attributes::default()
        }
    }
}

/// Everything that has its place: data and trees.
struct Laid<'a> {
    data: DataPlan<'a>,
    forest: Forest,
}

impl<'a> Laid<'a> {
    /// Lays out all of `subvolumes`.
    fn new(spec: &VolumeSpec, labels: &Labels, subvolumes: &[Subvolume<'a>]) -> Result<Self, VolumeError> {
        let mut device = Device::new();
        let system = device.system(spec.metadata);
        let (data, device) = DataPlan::new(subvolumes, device)?;
        Self::grow(spec, labels, subvolumes, data, system, Ground::Bare(device))
    }

    fn grow(
        spec: &VolumeSpec,
        labels: &Labels,
        subvolumes: &[Subvolume<'a>],
        data: DataPlan<'a>,
        system: Chunk,
        ground: Ground<'_>,
    ) -> Result<Self, VolumeError> {
        let plan = Plan {
            spec,
            identity: labels.identity,
            top_level_uuid: labels.top_level_uuid,
            subvolumes,
            data: &data,
            system,
            ground,
        };
        let forest = plan.grow()?;
        Ok(Self { data, forest })
    }

    /// The size of the volume.
    fn size(&self, spec: &VolumeSpec) -> Result<Bytes, VolumeError> {
        let needed = self.figures().minimum;
        match spec.size {
            VolumeSize::Exact(given) if given < needed => Err(VolumeError::TooSmall { needed, given }),
            VolumeSize::Exact(size) => Ok(size),
            VolumeSize::Minimal { .. } => Ok(Bytes(self.forest.device().total_bytes.get())),
        }
    }

    fn figures(&self) -> Figures {
        let used = Bytes(self.data.used());
        Figures {
            data: used,
            metadata: Bytes(space::used(self.forest.chunks())) - used,
            minimum: Bytes(minimum(self.forest.end())),
        }
    }

    /// Puts what is of `share` into `image`. The superblock, which names the volume, is a node's own.
    fn put(&self, image: &mut SparseImage, spec: &VolumeSpec, labels: &Labels, share: Share) {
        if share == Share::Node {
            superblock::put(image, spec, &self.forest, &labels.identity, self.data.zstd);
        }
        self.forest.put(image, &labels.identity, share);
        self.data.put(image, share);
    }
}
