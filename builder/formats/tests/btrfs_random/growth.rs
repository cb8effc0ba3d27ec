//! A plan carried out: layers, a tree, and what its volume is to be.

use std::collections::{HashMap, HashSet};

use formats::btrfs::{SubvolumeContent, SubvolumeSpec, VolumeSpec};
use formats::ids;
use formats::layer::{Body, Content, Data, Encoding, Extent, Layer, LayerBuilder, Packing, SECTOR};
use formats::tree::{Share, Tree};

use crate::btrfs_common::{TIME, builder, mode, noise, packing, spec, subvolume, text};
use crate::plan::{Cut, Fill, Holder, Plan, Planned, Thing};

/// A plan carried out.
pub struct Grown {
    pub spec: VolumeSpec,
    pub tree: Tree,
    /// The layer with what is the node's own, and the tree of another node of the role.
    pub node: Option<(Layer, Tree)>,
}

impl Plan {
    /// Carries the plan out. No two volumes of different names have a UUID in common.
    pub fn grow(&self, name: &str) -> Grown {
        let mut growth = Growth::new(self, 0);
        growth.add_all();
        let mut subvolumes = growth.subvolumes();
        let own = std::mem::take(&mut growth.own);
        let [role, node] = growth.finish();
        let mut tree = stack(&role, &node);
        if self.has_template {
            // The data of the role's files, once more and in other files.
            let template = Tree::stack(&[(&role, Share::Role), (&template(), Share::Role)], TIME).unwrap();
            subvolumes.push(SubvolumeSpec {
                content: SubvolumeContent::Tree(template.into()),
                ..subvolume("subvolume template", None)
            });
        }
        let mut other = None;
        if self.node_layer {
            let mut growth = Growth::new(self, 1);
            growth.add_all();
            let [_, layer] = growth.finish();
            other = Some((node, stack(&role, &layer)));
        } else {
            for path in own {
                let id = tree.lookup(&path).unwrap();
                tree.inodes[id.0].share = Share::Node;
            }
        }
        let spec = VolumeSpec {
            metadata: self.metadata,
            size: self.size,
            metadata_uuid: self.shared_uuid.then(|| ids::uuid("test role", &[name])),
            subvolumes,
            ..spec(name)
        };
        Grown {
            spec,
            tree,
            node: other,
        }
    }
}

fn stack(role: &Layer, node: &Layer) -> Tree {
    Tree::stack(&[(role, Share::Role), (node, Share::Node)], TIME).unwrap()
}

/// What a template has beside the role's files.
fn template() -> Layer {
    let mut layer = builder();
    layer
        .file(b"template/noise", mode(0o600), &noise(50_000, 7))
        .unwrap();
    layer.file(b"template/inline", mode(0o600), b"inline").unwrap();
    layer.finish_layer().unwrap()
}

/// The layers of a plan as they grow. What cannot stand where it came is left out.
struct Growth<'p> {
    plan: &'p Plan,
    /// The role's layer and the node's.
    layers: [LayerBuilder<Vec<u8>>; 2],
    /// Which node it is: files of the node's own have other bytes on another one.
    variant: usize,
    directories: Vec<Vec<u8>>,
    /// The directories that have a subvolume of their own.
    mounted: Vec<Vec<u8>>,
    /// For each layer, what can have another name.
    linkable: [Vec<Vec<u8>>; 2],
    taken: HashSet<Vec<u8>>,
    /// Paths that are the node's.
    own: Vec<Vec<u8>>,
    cuts: [Vec<(Vec<u8>, Cut)>; 2],
}

impl<'p> Growth<'p> {
    fn new(plan: &'p Plan, variant: usize) -> Self {
        let layer = || {
            let packing = Packing {
                inline: plan.inline,
                ..packing(plan.compression)
            };
            LayerBuilder::in_memory(packing).unwrap()
        };
        Self {
            plan,
            layers: [layer(), layer()],
            variant,
            directories: vec![Vec::new()],
            mounted: Vec::new(),
            linkable: Default::default(),
            taken: HashSet::from([Vec::new()]),
            own: Vec::new(),
            cuts: Default::default(),
        }
    }

    fn add_all(&mut self) {
        for (number, planned) in self.plan.things.iter().enumerate() {
            let parent = &self.directories[planned.parent % self.directories.len()];
            let path = joined(parent, &planned.name);
            if !self.taken.contains(&path) {
                self.add(number, planned, path);
            }
        }
    }

    fn add(&mut self, number: usize, planned: &Planned, path: Vec<u8>) {
        let layer = usize::from(planned.is_own && self.plan.node_layer);
        let builder = &mut self.layers[layer];
        let is_other = layer == 1 && self.variant == 1;
        let mut attributes = planned.attributes.clone();
        if is_other && !matches!(planned.thing, Thing::Directory | Thing::Subvolume) {
            attributes.mtime.seconds += 1;
            attributes.xattrs.clear();
        }
        // Symbolic links and devices carry no attributes in the namespace `user`.
        let mut bare = attributes.clone();
        bare.xattrs.retain(|name, _| name.starts_with(b"trusted."));
        let result = match &planned.thing {
            Thing::Directory | Thing::Subvolume => builder.directory(&path, attributes),
            Thing::File(runs, _) => {
                let bytes = content(runs, number as u64, is_other);
                builder.file(&path, attributes, &bytes)
            }
            Thing::Symlink(target) => builder.symlink(&path, bare, target),
            Thing::Hardlink(target) | Thing::Hardlinks(target, _) => {
                let Some(target) = self.target(layer, &path, *target) else {
                    return;
                };
                self.layers[layer].hardlink(&path, &target)
            }
            Thing::Device(device) if device.minor % 2 == 0 => builder.block_device(&path, bare, *device),
            Thing::Device(device) => builder.character_device(&path, bare, *device),
            Thing::Fifo => builder.fifo(&path, bare),
            Thing::Socket => builder.socket(&path, bare),
        };
        // Only paths beyond all limits are refused.
        if result.is_err() {
            return;
        }
        match &planned.thing {
            Thing::Directory => self.directories.push(path.clone()),
            Thing::Subvolume => {
                self.directories.push(path.clone());
                self.mounted.push(path.clone());
            }
            Thing::Hardlinks(_, count) => self.add_hardlinks(layer, &path, *count),
            Thing::File(_, cut) => self.cuts[layer].push((path.clone(), cut.clone())),
            _ => {}
        }
        if !matches!(planned.thing, Thing::Directory | Thing::Subvolume) {
            self.linkable[layer].push(path.clone());
        }
        if planned.is_own {
            self.own.push(path.clone());
        }
        self.taken.insert(path);
    }

    /// What the hard link at `path` is another name of: nothing of another subvolume.
    fn target(&self, layer: usize, path: &[u8], target: usize) -> Option<Vec<u8>> {
        let linkable = &self.linkable[layer];
        let target = linkable.get(target.checked_rem(linkable.len())?)?;
        (self.subvolume_of(path) == self.subvolume_of(target)).then(|| target.clone())
    }

    /// The innermost directory with a subvolume of its own that `path` lies in.
    fn subvolume_of(&self, path: &[u8]) -> Option<&Vec<u8>> {
        let holds = |mount: &&Vec<u8>| {
            path.starts_with(mount) && path.get(mount.len()).is_none_or(|byte| *byte == b'/')
        };
        self.mounted.iter().filter(holds).max_by_key(|mount| mount.len())
    }

    /// Gives what is at `path` so many more names beside it that its references need several items.
    fn add_hardlinks(&mut self, layer: usize, path: &[u8], count: usize) {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
        let directory = &path[..path.len() - name.len()];
        for number in 0..count {
            let name = [&name[..name.len().min(40)], format!("{number:0>215}").as_bytes()].concat();
            let link = [directory, &name].concat();
            if !self.taken.contains(&link) && self.layers[layer].hardlink(&link, path).is_ok() {
                self.taken.insert(link);
            }
        }
    }

    fn subvolumes(&self) -> Vec<SubvolumeSpec> {
        // Names that no path of a plan begins with.
        let mut mounts = self.mounted.clone();
        if self.plan.things.len() % 7 == 6 {
            // Where the tree has nothing.
            mounts.push(b"subvolumes/that are/made".to_vec());
        }
        let mut subvolumes = Vec::new();
        if self.plan.holder == Holder::Subvolume {
            subvolumes.push(subvolume("subvolume root", Some("/")));
        }
        for (number, mount) in mounts.into_iter().enumerate() {
            subvolumes.push(SubvolumeSpec {
                content: SubvolumeContent::Mount(mount),
                read_only: number % 3 == 1,
                ..subvolume(&format!("subvolume {number}"), None)
            });
        }
        subvolumes
    }

    /// The role's layer and the node's.
    fn finish(self) -> [Layer; 2] {
        let mut cuts = self.cuts.into_iter();
        self.layers.map(|builder| {
            let mut layer = builder.finish_layer().unwrap();
            let cuts: HashMap<Vec<u8>, Cut> = cuts.next().into_iter().flatten().collect();
            for entry in &mut layer.entries {
                if let (Body::File(content), Some(cut)) = (&mut entry.body, cuts.get(&entry.path)) {
                    cut.apply(content);
                }
            }
            layer
        })
    }
}

impl Cut {
    /// Moves the extents of a file apart.
    fn apply(&self, content: &mut Content) {
        let Data::Extents(extents) = &mut content.data else {
            return;
        };
        let mut pieces = Vec::new();
        for extent in extents.drain(..) {
            let half = extent.length / SECTOR / 2;
            if self.split && extent.encoding == Encoding::Raw && half > 0 {
                let (start, end) = extent.checksums.split_at(half as usize);
                let length = half * SECTOR;
                pieces.push(Extent {
                    length,
                    stored_length: length,
                    checksums: start.to_vec(),
                    ..extent
                });
                pieces.push(Extent {
                    file_offset: extent.file_offset + length,
                    length: extent.length - length,
                    blob_offset: extent.blob_offset + length,
                    stored_length: extent.length - length,
                    checksums: end.to_vec(),
                    ..extent
                });
            } else {
                pieces.push(extent);
            }
        }
        let mut shift = 0;
        let mut holes = self.holes.iter().cycle();
        for piece in &mut pieces {
            shift += holes.next().map_or(0, |sectors| sectors * SECTOR);
            piece.file_offset += shift;
        }
        content.size += shift;
        if let Some(first) = pieces.first().filter(|_| self.again).cloned() {
            let file_offset = content.size.next_multiple_of(SECTOR);
            content.size = file_offset + first.length;
            pieces.push(Extent { file_offset, ..first });
        }
        // Any byte of the last hole may be the last of the file.
        content.size += holes.next().map_or(0, |sectors| sectors * 1500);
        *extents = pieces;
    }
}

fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match parent {
        [] => name.to_vec(),
        _ => [parent, name].join(&b'/'),
    }
}

/// The bytes of a file. Some files have the same.
fn content(runs: &[(Fill, usize)], number: u64, is_other: bool) -> Vec<u8> {
    let seed = number % 7 + u64::from(is_other) * 100;
    let bytes = runs.iter().flat_map(|(fill, length)| match fill {
        Fill::Noise => noise(*length, seed),
        Fill::Text => text(*length, seed),
        Fill::Zeros => vec![0; *length],
    });
    // Another node's file also has another length.
    bytes.skip(usize::from(is_other) * 3).collect()
}
