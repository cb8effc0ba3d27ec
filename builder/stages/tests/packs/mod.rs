//! Packs of two nodes for tests that read them.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use engine::{Progress, Verbosity};
use formats::bmap::BlockMap;
use formats::delta::Delta;
use formats::digest::hex;
use formats::manifest::{FORMAT, Firmware, Image, Manifest, Table, TableKind};
use formats::pack::Node;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use sha2::{Digest, Sha256};
use stages::delta_base::ImageFormat;
use stages::pack::{ExportRequest, Identities, Pack, PackFolder, PackWriter, Recipients, export};
use tempfile::TempDir;

use crate::cards::card;

pub const NODES: [&str; 2] = ["red-01", "blue-02"];

/// A pack of two nodes, and what a build writes of them.
pub struct Bench {
    pub folder: TempDir,
    pub base: SparseImage,
    pub segments: Segments,
    pub nodes: Vec<(Delta, Segments, String)>,
}

fn image_of(path: &Path) -> SparseImage {
    let bytes = fs::read(path).unwrap();
    let mut image = SparseImage::empty(Bytes(bytes.len() as u64));
    for (block, part) in (0..).zip(bytes.chunks(4096)) {
        if part.iter().any(|byte| *byte != 0) {
            image.put(block * 4096, part.to_vec());
        }
    }
    image
}

fn manifest(node: &str, size: Bytes, map: &str) -> String {
    let manifest = Manifest {
        format: FORMAT,
        fleet: "test".to_owned(),
        node: node.to_owned(),
        board: "board".to_owned(),
        layout: "card".to_owned(),
        sources: "debian".to_owned(),
        inputs: Vec::new(),
        installed: None,
        firmware: Firmware::NotNeeded,
        firmware_sha256: None,
        firmware_advice: None,
        partition_table: Table {
            kind: TableKind::Mbr,
            id: "00000001".to_owned(),
        },
        partitions: Vec::new(),
        image: Image {
            file: format!("{node}.img"),
            size,
            mapped: Bytes(0),
            map_sha256: hex(&Sha256::digest(map)),
        },
    };
    serde_json::to_string(&manifest).unwrap()
}

impl Bench {
    pub fn new() -> Self {
        let base = image_of(&card("of the role", "base").path);
        let cards = NODES.map(|node| image_of(&card("of the role", node).path));
        let deltas = cards.each_ref().map(|card| Delta::between(&base, card).unwrap());
        let touchable: Vec<_> = deltas[0].runs.iter().map(|run| run.range()).collect();
        let segments = Segments::cut(&base, &touchable).unwrap();
        let nodes = NODES.iter().zip(deltas).map(|(node, delta)| {
            let own = segments.for_node(&base.patched(&delta), &delta).unwrap();
            let manifest = manifest(node, base.size, &BlockMap::of(&own).to_xml());
            (delta, own, manifest)
        });
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            nodes: nodes.collect(),
            base,
            segments,
        };
        bench.write();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self) {
        self.write_to(&Recipients::default());
    }

    /// Writes the pack as the next build would that has the same cards to make.
    pub fn write_to(&self, recipients: &Recipients) {
        let folder = PackFolder::open(&self.path("pack")).unwrap();
        let old = Pack::open(folder.path()).ok();
        let old = old.filter(|pack| pack.is_untouched() && pack.index.recipients == recipients.keys());
        let writer = PackWriter::create(&folder, recipients).unwrap();
        let base = writer
            .base("role.board.card", &self.base, &self.segments)
            .unwrap();
        let nodes = NODES.iter().zip(&self.nodes).map(|(name, (delta, _, manifest))| {
            let before = old.as_ref().and_then(|old| old.node(name).ok());
            let delta_sha256 = writer.node(name, delta, manifest, before).unwrap();
            Node {
                name: (*name).to_owned(),
                base: base.name.clone(),
                manifest_sha256: hex(&Sha256::digest(manifest)),
                inputs: "key".to_owned(),
                root_used: 1,
                delta_sha256,
            }
        });
        let nodes = nodes.collect();
        writer.finish("test", vec![base], nodes).unwrap();
    }

    pub fn export(&self, format: ImageFormat) -> anyhow::Result<()> {
        self.export_with(format, None)
    }

    pub fn export_with(&self, format: ImageFormat, identities: Option<Identities>) -> anyhow::Result<()> {
        let pack = Pack::open(&self.path("pack"))?.unlocked(identities)?;
        export(&ExportRequest {
            pack: &pack,
            nodes: pack.index.nodes.iter().collect(),
            format,
            folder: &self.path("exported"),
            progress: &Progress::new(Verbosity::Quiet),
            jobs: 2,
        })?;
        Ok(())
    }

    /// What export says of a pack of which `change` has changed a file.
    pub fn refusal(&self, name: &str, change: impl Fn(&mut Vec<u8>)) -> String {
        self.refusal_with(name, change, None)
    }

    pub fn refusal_with(
        &self,
        name: &str,
        change: impl Fn(&mut Vec<u8>),
        identities: Option<&Identities>,
    ) -> String {
        let path = self.path("pack").join(name);
        let kept = fs::read(&path).unwrap();
        let mut bytes = kept.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let mut message = String::new();
        for format in ImageFormat::ALL {
            message = format!("{:#}", self.export_with(format, identities.cloned()).unwrap_err());
        }
        fs::write(&path, kept).unwrap();
        // What the file is of has no image; another node may have its.
        let whose = name
            .split('.')
            .next()
            .filter(|whose| NODES.contains(whose))
            .unwrap_or("");
        let exported = self.path("exported");
        let left = if exported.exists() {
            names(&exported)
        } else {
            Vec::new()
        };
        assert!(!left.iter().any(|left| left.starts_with(whose)), "{left:?}");
        let _ = fs::remove_dir_all(exported);
        message.replace(&format!("{}/", self.path("pack").display()), "")
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
