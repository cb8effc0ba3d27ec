//! One node's image.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use formats::bmap::BlockMap;
use formats::btrfs::{Base, Profile, SubvolumeSpec, Volume, VolumeError, VolumeSize, VolumeSpec, lay_out};
use formats::ids;
use formats::manifest::Input;
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};
use formats::units::Time;
use model::board::Board;
use model::fleet::Node;
use model::layout::{FileSystem, Layout, Partition, PartitionSize};
use model::overlay::Overlay;
use model::project::Project;

use super::base::CardBase;
use super::inputs::Inputs;
use super::state::Finished;
use super::{BuiltImage, ImageFiles, ImageState};
use crate::card::ids::CardIds;
use crate::card::manifest::{ManifestRequest, manifest, to_json};
use crate::card::{Card, CardRequest, assemble, digest::hex};
use crate::emit::{Digest, write_file, write_image};
use crate::engine::Key;
use crate::firmware::Firmware;
use crate::rootfs::identity::{IdentityStore, Operator};
use crate::rootfs::{self, NodeInputs, NodeLayer, RoleLayers};

/// Goes up with every change of what an image of the same inputs holds.
const REVISION: u32 = 2;

/// Makes the images of nodes that have role, board and layout in common.
pub struct CardMaker<'a> {
    pub project: &'a Project,
    pub set: &'a str,
    pub role: &'a str,
    pub inputs: &'a Inputs,
    pub board: &'a Board,
    /// The board's boot area, where there is one.
    pub firmware: Option<&'a Firmware>,
    pub layout: &'a Layout,
    pub layers: &'a RoleLayers<'a>,
    pub overlays: &'a [&'a Overlay],
    pub store: &'a IdentityStore,
    pub operator: &'a Operator,
    pub time: Time,
    /// What the cards have in common, once one of them was needed.
    pub base: Mutex<Option<Arc<CardBase>>>,
}

impl CardMaker<'_> {
    /// The image of `node`: found as it should be, or written.
    pub fn image(&self, node: &Node, files: &ImageFiles) -> Result<BuiltImage> {
        let built = |written, state| BuiltImage {
            node: node.name.clone(),
            address: node.address,
            path: files.image.clone(),
            written,
            state,
        };
        let own = self.own_layer(node)?;
        let key = self.key(node, &own);
        if let Some(state) = files.current(&key) {
            return Ok(built(false, state));
        }
        files.invalidate()?;
        let state = self.write(node, &own, &key, files)?;
        Ok(built(true, state))
    }

    /// The root file system of `node`, as one tree.
    pub fn tree(&self, own: &NodeLayer) -> Result<Tree> {
        let mut layers = self.layers.layers().to_vec();
        layers.push((&own.layer, Share::Node));
        Ok(Tree::stack(&layers, self.time)?)
    }

    /// What is rendered for `node`.
    pub fn own_layer(&self, node: &Node) -> Result<NodeLayer> {
        let ids = CardIds::derive(&self.project.fleet.name, &node.name);
        let part_uuid = |number: usize, partition: &Partition| {
            ids.part_uuid(self.board.partition_table, number, &partition.label)
        };
        let (mut boot_partuuid, mut root_partuuid) = (String::new(), String::new());
        for (number, partition) in (1..).zip(&self.layout.partitions) {
            match partition.file_system {
                FileSystem::Fat => boot_partuuid = part_uuid(number, partition),
                FileSystem::Btrfs(_) => root_partuuid = part_uuid(number, partition),
            }
        }
        self.layers.node_layer(&NodeInputs {
            node,
            identity: &self.store.node(&node.name)?,
            operator: self.operator,
            card: &rootfs::CardIds {
                boot_partuuid,
                root_partuuid,
            },
        })
    }

    /// Everything that can change the image of `node`.
    fn key(&self, node: &Node, own: &NodeLayer) -> Key {
        let mut key = Key::builder("image", REVISION);
        if let Some(firmware) = self.firmware {
            key = key.key("firmware", &firmware.key);
        }
        key.text("fleet", &self.project.fleet.name)
            .text("node", &node.name)
            .text("role", &node.role)
            .text("set", self.set)
            // As complete as these types are: whatever is added to them counts.
            .text("board", &format!("{:?}", self.board))
            .text("layout", &format!("{:?}", self.layout))
            .text("described", &format!("{:?}", self.described()))
            .text("time", &self.time.seconds.to_string())
            .key("kernel", &self.inputs.kernel_key)
            .key("root", &own.key)
            .finish()
    }

    fn write(&self, node: &Node, own: &NodeLayer, key: &Key, files: &ImageFiles) -> Result<ImageState> {
        let fleet = &self.project.fleet.name;
        let base = self.base(own)?;
        let volume = self.volume(&base.root, node, own)?;
        let figures = volume.figures;
        let card = self.card(&node.name, volume.image)?;
        let map = BlockMap::of(&base.segments_of(&card.image)?);
        let written = write_image(&card.image, &files.image, Digest::Sha256)?;
        write_file(&files.map, map.to_xml().as_bytes())?;
        let sha256 = written.sha256.context("the image was not hashed")?;
        let manifest = manifest(
            &card,
            ManifestRequest {
                fleet,
                node: &node.name,
                board: self.board,
                layout: self.layout,
                sources: self.set,
                inputs: self.described(),
                file: &format!("{}.img", node.name),
                mapped: written.mapped,
                sha256,
            },
        )?;
        write_file(&files.manifest, to_json(&manifest)?.as_bytes())?;
        files.record(
            key,
            Finished {
                sha256: hex(&sha256),
                size: written.size.0,
                mapped: written.mapped.0,
                // Every tree block is there twice.
                root_used: figures.data.0 + 2 * figures.metadata.0,
            },
        )
    }

    /// The card of the node `name` with the root file system `root`.
    fn card(&self, name: &str, root: SparseImage) -> Result<Card> {
        assemble(CardRequest {
            fleet: &self.project.fleet.name,
            node: name,
            board: self.board,
            layout: self.layout,
            boot_files: self.inputs.boot_files.clone(),
            kernel_arguments: &[],
            firmware: self.firmware.map(|firmware| firmware.image.clone()),
            root,
            time: self.time,
            size: None,
        })
    }

    /// What the cards have in common; made for whoever asks first, with any node's `own` files.
    fn base(&self, own: &NodeLayer) -> Result<Arc<CardBase>> {
        // A thread that failed has left nothing half-done in it.
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = &*base {
            return Ok(base.clone());
        }
        let root = Base::new(&self.volume_spec()?, &self.tree(own)?).with_context(|| {
            format!(
                "cannot lay out what the nodes of role {} have in common",
                self.role
            )
        })?;
        let made = CardBase::new(root, |name, root| self.card(name, root))?;
        Ok(base.insert(Arc::new(made)).clone())
    }

    /// The root file system of `node`, laid out over `base`, or alone where it does not fit there.
    fn volume(&self, base: &Base, node: &Node, own: &NodeLayer) -> Result<Volume> {
        let fsid = CardIds::derive(&self.project.fleet.name, &node.name).root_uuid;
        let volume = match base.volume(fsid, &own.layer) {
            Err(VolumeError::BeyondBase) => {
                let spec = VolumeSpec {
                    fsid,
                    ..self.volume_spec()?
                };
                lay_out(&spec, &self.tree(own)?)
            }
            made => made,
        };
        volume.with_context(|| format!("cannot lay out the root file system of {}", node.name))
    }

    /// The root file system of any node; its UUID is to be replaced.
    fn volume_spec(&self) -> Result<VolumeSpec> {
        let (btrfs, partition) = self
            .layout
            .partitions
            .iter()
            .find_map(|partition| match &partition.file_system {
                FileSystem::Btrfs(btrfs) => Some((btrfs, partition)),
                FileSystem::Fat => None,
            })
            .with_context(|| format!("layout {} has no root partition", self.layout.name))?;
        let fleet = self.project.fleet.name.as_str();
        // Shared by all nodes of the kind, so that their volumes share blocks.
        let kind = [fleet, self.role, &self.board.name, &self.layout.name];
        let metadata_uuid = ids::uuid("root file system", &kind);
        let subvolumes = btrfs.subvolumes.iter().map(|subvolume| SubvolumeSpec {
            name: subvolume.name.clone(),
            mount: Some(subvolume.mount.clone().into_bytes()),
            default: subvolume.mount == "/",
            read_only: false,
            uuid: ids::uuid("subvolume", &[&kind[..], &[&subvolume.name]].concat()),
        });
        Ok(VolumeSpec {
            label: partition.label.clone(),
            fsid: metadata_uuid,
            metadata_uuid: Some(metadata_uuid),
            time: self.time,
            size: match partition.size {
                PartitionSize::Exact(size) => VolumeSize::Exact(size),
                PartitionSize::Free(free) => VolumeSize::Minimal { free },
            },
            metadata: Profile::Dup,
            subvolumes: subvolumes.collect(),
        })
    }

    /// What the manifest says of the inputs.
    fn described(&self) -> Vec<Input> {
        let mut described = self.inputs.described.clone();
        described.extend(
            self.firmware
                .iter()
                .flat_map(|firmware| firmware.described.clone()),
        );
        described.push(Input {
            name: format!(
                "overlays {}",
                self.overlays
                    .iter()
                    .map(|overlay| overlay.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            version: None,
            sha256: self.layers.key.to_string(),
        });
        described
    }
}
