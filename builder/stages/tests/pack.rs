//! Packs: what is exported is what a build writes, byte for byte; what is damaged is named and not exported; what is
//! not finished is not there.

#![allow(missing_docs, clippy::unwrap_used)]

mod cards;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cards::card;
use formats::blob::Blob;
use formats::bmap::BlockMap;
use formats::delta::Delta;
use formats::digest::hex;
use formats::manifest::{FORMAT, Firmware, Image, Manifest, Table, TableKind};
use formats::pack::Node;
use formats::segments::Segments;
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use sha2::{Digest, Sha256};
use stages::basis::{Basis, Form};
use stages::engine::{Progress, Verbosity};
use stages::pack::{ExportRequest, Pack, PackFolder, PackWriter, card_of_delta, export};
use tempfile::TempDir;

const NODES: [&str; 2] = ["red-01", "blue-02"];

/// A pack of two nodes, and what a build writes of them.
struct Bench {
    folder: TempDir,
    base: SparseImage,
    segments: Segments,
    nodes: Vec<(Delta, Segments, String)>,
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
    fn new() -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self) {
        let folder = PackFolder::open(&self.path("pack")).unwrap();
        let writer = PackWriter::create(&folder).unwrap();
        let base = writer
            .base("role.board.card", &self.base, &self.segments)
            .unwrap();
        let nodes = NODES.iter().zip(&self.nodes).map(|(name, (delta, _, manifest))| {
            writer.node(name, delta, manifest).unwrap();
            Node {
                name: (*name).to_owned(),
                base: base.name.clone(),
                manifest_sha256: hex(&Sha256::digest(manifest)),
                inputs: "key".to_owned(),
                root_used: 1,
            }
        });
        let nodes = nodes.collect();
        writer.finish("test", vec![base], nodes).unwrap();
    }

    fn export(&self, form: Form) -> anyhow::Result<()> {
        let pack = Pack::open(&self.path("pack"))?;
        export(&ExportRequest {
            pack: &pack,
            nodes: pack.index.nodes.iter().collect(),
            form,
            folder: &self.path("exported"),
            progress: &Progress::new(Verbosity::Quiet),
            jobs: 2,
        })?;
        Ok(())
    }

    /// What export says of a pack of which `change` has changed a file.
    fn refusal(&self, name: &str, change: impl Fn(&mut Vec<u8>)) -> String {
        let path = self.path("pack").join(name);
        let kept = fs::read(&path).unwrap();
        let mut bytes = kept.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let mut message = String::new();
        for form in Form::ALL {
            message = format!("{:#}", self.export(form).unwrap_err());
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

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_exported_is_what_a_build_writes() {
    let bench = Bench::new();
    for form in Form::ALL {
        bench.export(form).unwrap();
        let direct = Basis::new(form, &bench.base, &bench.segments, bench.folder.path(), 2).unwrap();
        for (name, (delta, segments, manifest)) in NODES.iter().zip(&bench.nodes) {
            let written = bench.path("direct");
            direct.write(delta, segments, &written).unwrap();
            let exported = |end: &str| fs::read(bench.path("exported").join(format!("{name}{end}"))).unwrap();
            assert!(exported(form.suffix()) == fs::read(&written).unwrap());
            assert_eq!(
                exported(".img.bmap"),
                BlockMap::of(segments).to_xml().into_bytes()
            );
            assert_eq!(exported(".manifest.json"), manifest.as_bytes());
            let plain = fs::read(card("of the role", name).path).unwrap();
            match form {
                Form::Plain => assert!(exported(".img") == plain),
                Form::Compressed => assert!(zstd_decoded(&exported(".img.zst")) == plain),
            }
        }
    }
}

fn zstd_decoded(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [stored, plain] = ["stored", "plain"].map(|name| folder.path().join(name));
    fs::write(&stored, bytes).unwrap();
    let arguments = [
        "-qd".as_ref(),
        stored.as_os_str(),
        "-o".as_ref(),
        plain.as_os_str(),
    ];
    testkit::oracle::run("zstd", "zstd", arguments);
    fs::read(plain).unwrap()
}

#[test]
fn a_card_is_read_where_it_is() {
    let bench = Bench::new();
    let read = card_of_delta(&bench.path("pack").join("red-01.delta")).unwrap();
    let expected = fs::read(card("of the role", "red-01").path).unwrap();
    let mut bytes = vec![0; expected.len()];
    read.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == expected);
    let error = |path: &Path| format!("{:#}", card_of_delta(path).unwrap_err());
    assert!(error(&bench.path("pack").join("red-01")).contains("expected NODE.delta"));
    assert!(error(&bench.path("pack").join("red-09.delta")).contains("2 nodes from red-01 to blue-02"));
    assert!(error(&bench.path("red-01.delta")).contains("cannot read the pack's index"));
}

#[test]
fn whatever_is_damaged_is_named() {
    let bench = Bench::new();
    let flipped = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    };
    let cut = |bytes: &mut Vec<u8>| {
        bytes.pop();
    };
    let changes: [fn(&mut Vec<u8>); 2] = [flipped, cut];
    for change in changes {
        for name in [
            "role.board.card.img.zst",
            "role.board.card.img.bmap",
            "blue-02.manifest.json",
        ] {
            let message = bench.refusal(name, change);
            assert!(
                message.contains(&format!("{name} has SHA-256 ")) && message.ends_with("build it again"),
                "{message}"
            );
        }
        let message = bench.refusal("red-01.delta", change);
        assert!(message.contains("red-01.delta: "), "{message}");
    }
    let message = bench.refusal("index.json", |bytes| bytes.clear());
    assert!(
        message.contains("index.json: it is no index of a pack"),
        "{message}"
    );
}

#[test]
fn the_delta_of_another_node_is_found_out() {
    let bench = Bench::new();
    let other = fs::read(bench.path("pack").join("blue-02.delta")).unwrap();
    let message = bench.refusal("red-01.delta", |bytes| bytes.clone_from(&other));
    assert!(
        message
            .starts_with("cannot export red-01: base and delta make an image whose block map has SHA-256 "),
        "{message}"
    );
    let mut beyond = Delta::default();
    beyond.append(bench.base.size.0.next_multiple_of(4096), &[1; 4096]);
    let message = bench.refusal("red-01.delta", |bytes| *bytes = beyond.to_bytes());
    assert!(
        message.ends_with("goes on behind the end of its base"),
        "{message}"
    );
}

#[test]
fn a_pack_is_whole_or_not_there() {
    let bench = Bench::new();
    let before = names(&bench.path("pack"));
    let folder = PackFolder::open(&bench.path("pack")).unwrap();
    let second = PackFolder::open(&bench.path("pack")).unwrap_err();
    assert!(format!("{second:#}").contains("another build is writing a pack"));
    let writer = PackWriter::create(&folder).unwrap();
    writer.node("red-01", &Delta::default(), "{}").unwrap();
    assert_eq!(names(bench.folder.path()), [".portadc-pack", "pack"]);
    drop(writer);
    assert_eq!(names(bench.folder.path()), ["pack"]);
    drop(folder);
    // What a killed build has left.
    fs::create_dir(bench.path(".portadc-pack")).unwrap();
    fs::write(bench.path(".portadc-pack/red-01.delta"), "x").unwrap();
    bench.write();
    assert_eq!(names(bench.folder.path()), ["pack"]);
    assert_eq!(names(&bench.path("pack")), before);
    assert!(Pack::open(&bench.path("pack")).unwrap().is_untouched());
    let delta = bench.path("pack/red-01.delta");
    let bytes = fs::read(&delta).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&delta, bytes).unwrap();
    assert!(!Pack::open(&bench.path("pack")).unwrap().is_untouched());
}

#[test]
fn other_people_s_folders_stay() {
    let bench = Bench::new();
    fs::create_dir(bench.path("photos")).unwrap();
    fs::write(bench.path("photos/1.jpg"), "x").unwrap();
    let error = format!("{:#}", PackFolder::open(&bench.path("photos")).unwrap_err());
    assert!(
        error.ends_with("holds something else than a pack, which would be lost: choose another folder"),
        "{error}"
    );
    fs::create_dir(bench.path("empty")).unwrap();
    PackFolder::open(&bench.path("empty")).unwrap();
}

#[test]
fn a_base_in_a_file_gives_the_same_images() {
    let bench = Bench::new();
    let file = tempfile::tempfile().unwrap();
    file.set_len(bench.base.size.0).unwrap();
    for piece in &bench.base.pieces {
        let mut bytes = vec![0; piece.length as usize];
        piece.blob.read_exact_at(&mut bytes, piece.blob_offset).unwrap();
        file.write_all_at(&bytes, piece.offset).unwrap();
    }
    let blob = Blob::from(file);
    let mut base = SparseImage::empty(bench.base.size);
    for piece in &bench.base.pieces {
        base.put_blob(piece.offset, piece.length, blob.clone(), piece.offset);
    }
    let (delta, segments, _) = &bench.nodes[0];
    let images = [&bench.base, &base].map(|base| {
        let path = bench.path("image");
        let basis = Basis::new(Form::Plain, base, &bench.segments, bench.folder.path(), 2).unwrap();
        basis.write(delta, segments, &path).unwrap();
        fs::read(&path).unwrap()
    });
    assert!(images[0] == images[1]);
}
