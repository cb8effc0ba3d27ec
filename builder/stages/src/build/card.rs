//! One node's card.

use std::sync::Arc;

use anyhow::{Context, Result};
use engine::Key;
use formats::bmap::BlockMap;
use formats::btrfs::{
    Profile, RoleVolume, SubvolumeContent, SubvolumeSpec, Volume, VolumeError, VolumeSize, VolumeSpec,
    lay_out,
};
use formats::delta::Delta;
use formats::digest::hex;
use formats::ids;
use formats::manifest::Input;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Time};
use identity::IdentityStore;
use model::board::Board;
use model::fleet::Node;
use model::layout::{FileSystem, Layout, PartitionSize};
use model::project::Project;
use model::sources::SourceSet;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::common_card::CommonCard;
use super::figures::ImageFigures;
use super::inputs::Inputs;
use crate::card::ids::CardIds;
use crate::card::manifest::{ManifestRequest, manifest, to_json};
use crate::card::{Card, CardRequest, assemble};
use crate::delta_base::ImageFormat;
use crate::firmware::Firmware;
use crate::rootfs::{self, NodeInputs, NodeLayer, RoleLayers};

/// Goes up with every change of what an image of the same inputs holds.
const REVISION: u32 = 4;

/// Makes the cards of nodes that have role, board and layout in common.
pub struct CardMaker<'a> {
    pub project: &'a Project,
    pub set: &'a SourceSet,
    pub role: &'a str,
    pub inputs: &'a Inputs<'a>,
    pub board: &'a Board,
    /// The board's boot area, where there is one.
    pub firmware: Option<&'a Firmware>,
    /// With the subvolumes of the role's overlays.
    pub layout: Layout,
    /// What the kernel's command line has beside what it has on every node.
    pub kernel_arguments: Vec<String>,
    pub layers: RoleLayers<'a>,
    pub store: &'a IdentityStore,
    pub time: Time,
    /// The nodes.
    pub nodes: Vec<&'a Node>,
}

/// A node whose files are rendered.
pub struct Planned<'a> {
    pub node: &'a Node,
    pub own: NodeLayer,
    /// Identifies everything that can change its image.
    pub key: Key,
}

/// How the partitions of the card of `node` are found.
pub fn partition_ids(project: &Project, node: &Node) -> rootfs::PartitionIds {
    let ids = CardIds::derive(&project.fleet.name, &node.name);
    let table = project.boards[&node.board].partition_table;
    let (mut boot_partuuid, mut root_partuuid) = (String::new(), String::new());
    for (number, partition) in (1..).zip(&project.layouts[&node.layout].partitions) {
        let id = ids.part_uuid(table, number, &partition.label);
        match partition.file_system {
            FileSystem::Fat => boot_partuuid = id,
            FileSystem::Btrfs(_) => root_partuuid = id,
        }
    }
    rootfs::PartitionIds {
        boot_partuuid,
        root_partuuid,
    }
}

/// A node's card, and what is written beside it.
pub struct NodeCard {
    /// What it has other than the base.
    pub delta: Delta,
    /// Its segments.
    pub segments: Segments,
    /// The card, where it is none over the base; the delta is empty then.
    pub alone: Option<SparseImage>,
    /// Its block map as a file.
    pub map: String,
    /// Its manifest as a file.
    pub manifest: String,
    /// What it is, in numbers.
    pub figures: ImageFigures,
}

impl<'a> CardMaker<'a> {
    /// Renders all nodes.
    pub fn plan(&self) -> Result<Vec<Planned<'a>>> {
        let plan = |node: &&'a Node| {
            let own = self.own_layer(node)?;
            let key = self.key(node, &own);
            Ok(Planned { node, own, key })
        };
        self.nodes.par_iter().map(plan).collect()
    }

    /// How what its cards have in common is called.
    pub fn name(&self) -> String {
        format!("{}.{}.{}", self.role, self.board.name, self.layout.name)
    }

    /// The root file system of `node`, as one tree.
    pub fn tree(&self, own: &NodeLayer) -> Result<Tree> {
        let mut layers = self.layers.layers().to_vec();
        layers.push((&own.layer, Share::Node));
        Ok(Tree::stack(&layers, self.time)?)
    }

    /// What is rendered for `node`.
    pub fn own_layer(&self, node: &Node) -> Result<NodeLayer> {
        self.layers.node_layer(&NodeInputs {
            node,
            identity: &self.store.node(&node.name)?,
            containers: &self.store.containers_of(&self.project.fleet, node)?,
            secrets: &self.store.secrets(&self.project.fleet, node)?,
            card: &partition_ids(self.project, node),
        })
    }

    /// Everything that can change the image of `node`.
    fn key(&self, node: &Node, own: &NodeLayer) -> Key {
        let mut key = Key::builder("image", REVISION);
        if let Some(firmware) = self.firmware {
            key = key.key("firmware", &firmware.key);
        }
        if !self.kernel_arguments.is_empty() {
            key = key.text("kernel arguments", &self.kernel_arguments.join(" "));
        }
        key.text("fleet", &self.project.fleet.name)
            .text("node", &node.name)
            .text("role", &node.role)
            .text("set", &self.set.name)
            // As complete as these types are: whatever is added to them counts.
            .text("board", &format!("{:?}", self.board))
            .text("layout", &format!("{:?}", self.layout))
            .text("described", &format!("{:?}", self.described()))
            .text("time", &self.time.seconds.to_string())
            .key("kernel", &self.inputs.kernel_key)
            .key("root", &own.key)
            .finish()
    }

    /// The card of a node, over `base` where it can be.
    pub fn card(&self, base: &CommonCard, planned: &Planned) -> Result<NodeCard> {
        let Planned { node, own, .. } = planned;
        let volume = self.volume(&base.root, node, own)?;
        let figures = volume.figures;
        let card = self.assemble(&node.name, volume.image)?;
        let unreadable = "cannot read the card";
        let (delta, segments, alone) = if card.image.size == base.image.size {
            let delta = Delta::between(&base.image, &card.image).context(unreadable)?;
            let segments = base.segments.for_node(&card.image, &delta).context(unreadable)?;
            (delta, segments, None)
        } else {
            // A node whose own files do not fit over the base has a card of its own making.
            let segments = Segments::cut(&card.image, &[]).context(unreadable)?;
            (Delta::default(), segments, Some(card.image.clone()))
        };
        let mapped = segments
            .mapped()
            .map(|(segment, _)| u64::from(segment.length))
            .sum();
        let map = BlockMap::of(&segments).to_xml();
        let map_sha256: [u8; 32] = Sha256::digest(&map).into();
        let manifest = manifest(
            &card,
            ManifestRequest {
                fleet: &self.project.fleet.name,
                node: &node.name,
                board: self.board,
                layout: &self.layout,
                sources: &self.set.name,
                inputs: self.described(),
                installed: self.layers.installed.clone(),
                file: &format!("{}{}", node.name, ImageFormat::Plain.suffix()),
                mapped: Bytes(mapped),
                map_sha256,
            },
        )?;
        Ok(NodeCard {
            delta,
            segments,
            alone,
            map,
            manifest: to_json(&manifest)?,
            figures: ImageFigures {
                size: card.image.size.0,
                mapped,
                // Every tree block is there twice.
                root_used: figures.data.0 + 2 * figures.metadata.0,
                map_sha256: hex(&map_sha256),
            },
        })
    }

    /// The card of the node `name` with the root file system `root`.
    fn assemble(&self, name: &str, root: SparseImage) -> Result<Card> {
        assemble(CardRequest {
            fleet: &self.project.fleet.name,
            node: name,
            board: self.board,
            layout: &self.layout,
            boot_files: self.inputs.boot_files.clone(),
            kernel_arguments: &self.kernel_arguments,
            firmware: self.firmware.map(|firmware| firmware.image.clone()),
            root,
            time: self.time,
            size: None,
        })
    }

    /// What the cards have in common, made with any node's `own` files. What comes from the cache is verified first.
    pub fn base(&self, own: &NodeLayer) -> Result<CommonCard> {
        // Only here, so that a build that writes nothing reads none of them.
        self.inputs.kernel.verify_image()?;
        self.layers.verify()?;
        let root = RoleVolume::new(&self.volume_spec()?, &self.tree(own)?).with_context(|| {
            format!(
                "cannot lay out what the nodes of role {} have in common",
                self.role
            )
        })?;
        CommonCard::new(root, |name, root| self.assemble(name, root))
    }

    /// The root file system of `node`, laid out over `base`, or alone where it does not fit there.
    fn volume(&self, base: &RoleVolume, node: &Node, own: &NodeLayer) -> Result<Volume> {
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
        let subvolume_uuid = |name: &str| ids::uuid("subvolume", &[&kind[..], &[name]].concat());
        let subvolumes = btrfs.subvolumes.iter().map(|subvolume| SubvolumeSpec {
            name: subvolume.name.clone(),
            content: SubvolumeContent::Mount(subvolume.mount.clone().into_bytes()),
            default: subvolume.mount == "/",
            read_only: false,
            uuid: subvolume_uuid(&subvolume.name),
        });
        let mut subvolumes: Vec<SubvolumeSpec> = subvolumes.collect();
        if let (Some(name), Some(image)) = (&btrfs.container_image, &self.layers.container_image) {
            subvolumes.push(SubvolumeSpec {
                name: name.clone(),
                content: SubvolumeContent::Tree(Arc::new(image.tree()?)),
                default: false,
                read_only: true,
                uuid: subvolume_uuid(name),
            });
        }
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
            subvolumes,
        })
    }

    /// What the manifest says of the inputs.
    fn described(&self) -> Vec<Input> {
        let mut described = self.inputs.described.clone();
        // Of the packages that are locked for all roles, this one has some.
        let packages = self.inputs.packages.iter();
        let installed = packages.filter(|(cpv, _)| self.layers.packages.contains(*cpv));
        described.extend(installed.map(|(_, input)| input.clone()));
        described.extend(
            self.firmware
                .iter()
                .flat_map(|firmware| firmware.described.clone()),
        );
        let role = &self.project.fleet.roles[self.role];
        let platform = self.set.base.platform();
        let laid = |names: Vec<&str>| {
            let applies = |name: &&str| self.project.overlays[*name].applies_to(platform);
            names.into_iter().filter(applies).collect::<Vec<_>>().join(", ")
        };
        let mut overlays = format!(
            "overlays {}",
            laid(role.overlays.iter().map(String::as_str).collect())
        );
        let of_image = laid(
            role.container_image
                .iter()
                .map(|name| name.value.as_str())
                .collect(),
        );
        if !of_image.is_empty() {
            overlays += &format!("; template {of_image}");
        }
        described.push(Input {
            name: overlays,
            version: None,
            sha256: self.layers.key.to_string(),
        });
        described
    }
}
