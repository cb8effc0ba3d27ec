//! One node's image.

use anyhow::{Context, Result};
use formats::btrfs::{Profile, SubvolumeSpec, Volume, VolumeSize, VolumeSpec, lay_out};
use formats::ids;
use formats::manifest::Input;
use formats::tree::{Share, Tree};
use formats::units::Time;
use model::board::Board;
use model::fleet::Node;
use model::layout::{FileSystem, Layout, Partition, PartitionSize};
use model::overlay::Overlay;
use model::project::Project;

use super::inputs::Inputs;
use super::state::Finished;
use super::{BuiltImage, ImageFiles, ImageState};
use crate::card::ids::CardIds;
use crate::card::manifest::{ManifestRequest, manifest, to_json};
use crate::card::{CardRequest, assemble, digest::hex};
use crate::emit::{Digest, write_file, write_image};
use crate::engine::Key;
use crate::rootfs::identity::{IdentityStore, Operator};
use crate::rootfs::{self, NodeInputs, NodeLayer, RoleLayers};

/// Goes up with every change of what an image of the same inputs holds.
const REVISION: u32 = 2;

/// Makes the images of nodes that have role, board and layout in common.
pub struct CardMaker<'a> {
    pub project: &'a Project,
    pub set: &'a str,
    pub inputs: &'a Inputs,
    pub board: &'a Board,
    pub layout: &'a Layout,
    pub layers: &'a RoleLayers<'a>,
    pub overlays: &'a [&'a Overlay],
    pub store: &'a IdentityStore,
    pub operator: &'a Operator,
    pub time: Time,
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
        Key::builder("image", REVISION)
            .text("fleet", &self.project.fleet.name)
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
        let volume = self.volume(node, own)?;
        let figures = volume.figures;
        let card = assemble(CardRequest {
            fleet,
            node: &node.name,
            board: self.board,
            layout: self.layout,
            boot_files: self.inputs.boot_files.clone(),
            kernel_arguments: &[],
            firmware: None,
            root: volume.image,
            time: self.time,
            size: None,
        })?;
        let written = write_image(&card.image, &files.image, Digest::Sha256)?;
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

    /// The root file system of `node`, laid out.
    fn volume(&self, node: &Node, own: &NodeLayer) -> Result<Volume> {
        let fleet = &self.project.fleet.name;
        let (btrfs, partition) = self
            .layout
            .partitions
            .iter()
            .find_map(|partition| match &partition.file_system {
                FileSystem::Btrfs(btrfs) => Some((btrfs, partition)),
                FileSystem::Fat => None,
            })
            .with_context(|| format!("layout {} has no root partition", self.layout.name))?;
        // Shared by all nodes of the kind, so that their volumes share blocks.
        let kind = [fleet.as_str(), &node.role, &self.board.name, &self.layout.name];
        let subvolumes = btrfs.subvolumes.iter().map(|subvolume| SubvolumeSpec {
            name: subvolume.name.clone(),
            mount: Some(subvolume.mount.clone().into_bytes()),
            default: subvolume.mount == "/",
            read_only: false,
            uuid: ids::uuid("subvolume", &[&kind[..], &[&subvolume.name]].concat()),
        });
        let spec = VolumeSpec {
            label: partition.label.clone(),
            fsid: CardIds::derive(fleet, &node.name).root_uuid,
            metadata_uuid: Some(ids::uuid("root file system", &kind)),
            time: self.time,
            size: match partition.size {
                PartitionSize::Exact(size) => VolumeSize::Exact(size),
                PartitionSize::Free(free) => VolumeSize::Minimal { free },
            },
            metadata: Profile::Dup,
            subvolumes: subvolumes.collect(),
        };
        lay_out(&spec, &self.tree(own)?)
            .with_context(|| format!("cannot lay out the root file system of {}", node.name))
    }

    /// What the manifest says of the inputs.
    fn described(&self) -> Vec<Input> {
        let mut described = self.inputs.described.clone();
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
