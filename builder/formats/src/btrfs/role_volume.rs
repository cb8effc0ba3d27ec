//! What the volumes of a role have in common, laid out once. A node's volume is then made of a few leaves: its own
//! inodes between the role's, and what says where they are.
//!
//! The volume is the one that [`super::lay_out`] makes of the whole tree, block for block.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use uuid::Uuid;

use super::chunks::Chunk;
use super::cut;
use super::data::DataPlan;
use super::disk::Key;
use super::error::VolumeError;
use super::forest::{Ground, Kept};
use super::namespace::{Body, Child, Inode, Link, Subvolume};
use super::{Labels, Laid, Volume, VolumeSpec};
use crate::layer::{Attributes, Body as EntryBody, Content, Data, Entry, Layer};
use crate::sparse::{Piece, SparseImage};
use crate::tree::{InodeKind, Share, Tree};

/// The volumes of a role but for what is each node's own.
#[derive(Debug)]
pub struct RoleVolume {
    spec: VolumeSpec,
    labels: Labels,
    /// The role's data and leaves.
    role: SparseImage,
    /// A whole volume whose own files are empty and whose UUID is the `metadata_uuid`.
    blank: SparseImage,
    /// What of it is no role's.
    own: Vec<Range<u64>>,
    zstd: bool,
    data_chunks: Vec<Chunk>,
    shared_data: u64,
    system: Chunk,
    kept: Kept,
    subvolumes: Vec<Slots>,
}

/// The nodes' own inodes of a subvolume, which have the same numbers and names on all of them.
#[derive(Debug)]
struct Slots {
    id: u64,
    /// Position in the spec; `None` for the top level.
    spec: Option<usize>,
    index: u64,
    slots: Vec<Slot>,
}

/// Where an inode of a node's own stands.
#[derive(Debug)]
struct Slot {
    number: u64,
    /// Path in the tree, without a slash in front.
    path: Vec<u8>,
    /// Parent, DIR_INDEX and name.
    links: Vec<(u64, u64, Vec<u8>)>,
    /// What a node that does not say otherwise has.
    attributes: Attributes,
    /// The entries of a directory. `None` for anything else.
    children: Option<Vec<SlotChild>>,
}

/// A [`Child`] that has its name.
#[derive(Debug)]
struct SlotChild {
    name: Vec<u8>,
    index: u64,
    location: Key,
    file_type: u8,
}

impl RoleVolume {
    /// Lays out what the nodes of a role have in common. Of the inodes of `tree` that are a node's own
    /// ([`Share::Node`]) only the paths, the kinds and the owners count, so any node's tree gives the same base.
    /// `spec.fsid` does not count either.
    pub fn new(spec: &VolumeSpec, tree: &Tree) -> Result<Self, VolumeError> {
        let mut spec = spec.clone();
        let labels = Labels::new(&spec)?;
        spec.fsid = labels.identity.metadata_uuid;
        let mut blank = tree.clone();
        for inode in &mut blank.inodes {
            if let (Share::Node, InodeKind::File(content, _)) = (inode.share, &mut inode.kind) {
                *content = Content {
                    size: 0,
                    data: Data::Extents(Vec::new()),
                };
            }
        }
        let made = labels.made(&spec);
        let subvolumes = cut::cut(&blank, &spec.subvolumes, &made)?;
        let laid = Laid::new(&spec, &labels, &subvolumes)?;
        let mut role = SparseImage::empty(laid.size(&spec)?);
        laid.put(&mut role, &spec, &labels, Share::Role);
        let mut own = SparseImage::empty(role.size);
        laid.put(&mut own, &spec, &labels, Share::Node);
        let ranges = own.pieces.iter().map(Piece::range).collect();
        let mut image = role.clone();
        image.place(0, own);
        image.pieces.sort_by_key(|piece| piece.offset);
        let slots = subvolumes.iter().map(Slots::of).collect();
        let system = laid.forest.chunks().first().cloned();
        Ok(Self {
            role,
            blank: image,
            own: ranges,
            zstd: laid.data.zstd,
            shared_data: laid.data.shared,
            // The chunks start with the system's.
            system: system.ok_or(VolumeError::BeyondBase)?,
            kept: laid.forest.kept(),
            data_chunks: laid.data.chunks,
            subvolumes: slots,
            spec,
            labels,
        })
    }

    /// The volume of no node: its own files are empty, its UUID is the `metadata_uuid`. What differs from it is a
    /// node's own.
    pub fn blank(&self) -> &SparseImage {
        &self.blank
    }

    /// The ranges of bytes that are a node's own on any node: superblocks and the last tree blocks. A node with more to
    /// say may have more.
    pub fn own(&self) -> &[Range<u64>] {
        &self.own
    }

    /// The volume `fsid` of the node whose own inodes are those of `layer`.
    ///
    /// [`VolumeError::BeyondBase`] where they have other paths than the base's, or do not fit into the room that it
    /// leaves: such a volume is laid out alone, with [`super::lay_out`].
    pub fn volume(&self, fsid: Uuid, layer: &Layer) -> Result<Volume, VolumeError> {
        let spec = VolumeSpec {
            fsid,
            ..self.spec.clone()
        };
        let entries: HashMap<&[u8], &Entry> = layer
            .entries
            .iter()
            .map(|entry| (&entry.path[..], entry))
            .collect();
        let kinds = kinds(layer, &entries);
        // A directory that a subvolume is mounted at has two slots.
        let mut found: HashSet<&[u8]> = HashSet::new();
        let mut subvolumes = Vec::with_capacity(self.subvolumes.len());
        for slots in &self.subvolumes {
            let mut inodes = Vec::with_capacity(slots.slots.len());
            for slot in &slots.slots {
                let (inode, is_entry) = slot.inode(&entries, &kinds)?;
                if is_entry {
                    found.insert(&slot.path);
                }
                inodes.push(inode);
            }
            subvolumes.push(Subvolume {
                id: slots.id,
                spec: slots.spec.map(|position| &self.spec.subvolumes[position]),
                inodes,
                index: slots.index,
            });
        }
        if found.len() != entries.len() {
            return Err(VolumeError::BeyondBase);
        }
        let mut data = DataPlan::behind(&subvolumes, &self.data_chunks, self.shared_data)?;
        data.zstd |= self.zstd;
        let ground = Ground::Kept(&self.kept);
        let laid = Laid::grow(
            &spec,
            &self.labels,
            &subvolumes,
            data,
            self.system.clone(),
            ground,
        )?;
        let mut image = self.role.clone();
        laid.put(&mut image, &spec, &self.labels, Share::Node);
        image.pieces.sort_by_key(|piece| piece.offset);
        Ok(Volume {
            image,
            figures: laid.figures(),
        })
    }
}

/// What the entries of a layer are as inodes, by path. Directories are not among them.
fn kinds<'l>(layer: &'l Layer, entries: &HashMap<&'l [u8], &'l Entry>) -> HashMap<&'l [u8], InodeKind> {
    let kind = |entry: &Entry| match &entry.body {
        EntryBody::File(content) => Some(InodeKind::File(content.clone(), layer.blob.clone())),
        EntryBody::Symlink(target) => Some(InodeKind::Symlink(target.clone())),
        EntryBody::CharacterDevice(device) => Some(InodeKind::CharacterDevice(*device)),
        EntryBody::BlockDevice(device) => Some(InodeKind::BlockDevice(*device)),
        EntryBody::Fifo => Some(InodeKind::Fifo),
        EntryBody::Socket => Some(InodeKind::Socket),
        // Another name of an inode makes the number of entries differ from that of the slots.
        EntryBody::Directory | EntryBody::Hardlink(_) => None,
    };
    entries
        .iter()
        .filter_map(|(path, entry)| Some((*path, kind(entry)?)))
        .collect()
}

impl Slots {
    fn of(subvolume: &Subvolume<'_>) -> Self {
        let own = subvolume
            .inodes
            .iter()
            .enumerate()
            .filter(|(_, inode)| inode.share == Share::Node);
        Self {
            id: subvolume.id,
            // The subvolumes of the spec are numbered in order behind the top level.
            spec: subvolume
                .spec
                .map(|_| (subvolume.id - super::disk::object::FIRST_FREE) as usize),
            index: subvolume.index,
            slots: own
                .map(|(position, inode)| Slot::of(subvolume, position, inode))
                .collect(),
        }
    }
}

impl Slot {
    fn of(subvolume: &Subvolume<'_>, position: usize, inode: &Inode<'_>) -> Self {
        let link = |link: &Link<'_>| (link.parent, link.index, link.name.to_vec());
        let child = |child: &Child<'_>| SlotChild {
            name: child.name.to_vec(),
            index: child.index,
            location: child.location,
            file_type: child.file_type,
        };
        Self {
            number: inode.number,
            path: subvolume.tree_path(position),
            links: inode.links.iter().map(link).collect(),
            attributes: inode.attributes.clone(),
            children: match &inode.body {
                Body::Directory(children) => Some(children.iter().map(child).collect()),
                Body::Other(_) => None,
            },
        }
    }

    /// The inode of a node that has `entries`, and whether it is one of them: a directory need not be.
    fn inode<'n>(
        &'n self,
        entries: &HashMap<&[u8], &'n Entry>,
        kinds: &'n HashMap<&[u8], InodeKind>,
    ) -> Result<(Inode<'n>, bool), VolumeError> {
        let entry = entries.get(&self.path[..]).copied();
        let body = match (&self.children, kinds.get(&self.path[..])) {
            (Some(children), None) => Body::Directory(
                children
                    .iter()
                    .map(|child| Child {
                        name: &child.name,
                        index: child.index,
                        location: child.location,
                        file_type: child.file_type,
                    })
                    .collect(),
            ),
            (None, Some(kind)) => Body::Other(kind),
            _ => return Err(VolumeError::BeyondBase),
        };
        let link = |(parent, index, name): &'n (u64, u64, Vec<u8>)| Link {
            parent: *parent,
            index: *index,
            name,
        };
        let inode = Inode {
            number: self.number,
            share: Share::Node,
            attributes: entry.map_or(&self.attributes, |entry| &entry.attributes),
            body,
            links: self.links.iter().map(link).collect(),
        };
        Ok((inode, entry.is_some()))
    }
}
