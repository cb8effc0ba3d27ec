//! Whole cards, checked by the tools of partition tables, FAT and btrfs.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use formats::bmap::BlockMap;
use formats::btrfs::{self, Profile, VolumeSize, VolumeSpec};
use formats::fat::FatFile;
use formats::layer::{Compression, Inline, LayerBuilder, Packing};
use formats::manifest::{Firmware, Input, Manifest};
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Lba, Time};
use model::board::{Board, BootRegion, PartitionTable};
use model::layout::{Btrfs, FileSystem, Layout, Partition, PartitionSize};
use sha2::{Digest as _, Sha256};
use stages::card::ids::CardIds;
use stages::card::manifest::{self, ManifestRequest};
use stages::card::{Card, CardRequest, assemble};
use tempfile::TempDir;
use testkit::oracle;

const TIME: Time = Time::from_seconds(1_700_000_000);

fn board(partition_table: PartitionTable) -> Board {
    let region = |name: &str, first, sectors, reason: &str| BootRegion {
        name: name.to_owned(),
        first: Lba(first),
        sectors,
        reason: reason.to_owned(),
        content: None,
    };
    Board {
        name: "test-board".to_owned(),
        description: String::new(),
        memory: None,
        consoles: vec!["ttyAMA0,115200".to_owned(), "ttyAML0,115200n8".to_owned()],
        device_tree: None,
        u_boot: None,
        load: None,
        partition_table,
        boot_area: match partition_table {
            PartitionTable::Mbr => vec![
                region("bl1", 1, 96, "the ROM reads it there"),
                region("fip", 97, 8095, "BL1 reads it there"),
            ],
            PartitionTable::Gpt => Vec::new(),
        },
    }
}

fn layout() -> Layout {
    let partition = |label: &str, size, file_system| Partition {
        label: label.to_owned(),
        start: None,
        size,
        file_system,
    };
    let root = Btrfs {
        zstd: 3,
        subvolumes: Vec::new(),
        container_image: None,
    };
    Layout {
        name: "small".to_owned(),
        partitions: vec![
            partition("boot", PartitionSize::Free(Bytes::mib(8)), FileSystem::Fat),
            partition(
                "root",
                PartitionSize::Free(Bytes::mib(16)),
                FileSystem::Btrfs(root),
            ),
        ],
    }
}

fn root(ids: &CardIds) -> SparseImage {
    let packing = Packing {
        compression: Compression::None,
        inline: Inline::Smallest,
        jobs: NonZeroUsize::MIN,
    };
    let mut layer = LayerBuilder::in_memory(packing).unwrap();
    layer
        .file(b"etc/hostname", Default::default(), b"red-07\n")
        .unwrap();
    let tree = Tree::stack(&[(&layer.finish_layer().unwrap(), Share::Role)], TIME).unwrap();
    let spec = VolumeSpec {
        label: "root".to_owned(),
        fsid: ids.root_uuid,
        metadata_uuid: None,
        time: TIME,
        size: VolumeSize::Minimal { free: Bytes::mib(16) },
        metadata: Profile::Dup,
        subvolumes: Vec::new(),
    };
    btrfs::lay_out(&spec, &tree).unwrap().image
}

fn boot_files() -> Vec<FatFile> {
    let image = (0..2_000_000_u32).map(|n| ((n * 31) >> 5) as u8).collect();
    vec![
        FatFile::from_bytes("Image", image),
        FatFile::from_bytes("dtbs/amlogic/node.dtb", vec![0xd0; 30_000]),
    ]
}

fn request<'a>(board: &'a Board, layout: &'a Layout, firmware: Option<SparseImage>) -> CardRequest<'a> {
    CardRequest {
        fleet: "test",
        node: "red-07",
        board,
        layout,
        boot_files: boot_files(),
        kernel_arguments: &[],
        firmware,
        root: root(&CardIds::derive("test", "red-07")),
        time: TIME,
        size: None,
    }
}

fn manifest_of(card: &Card, board: &Board, path: &Path) -> Manifest {
    let map = BlockMap::of(&Segments::cut(&card.image, &[]).unwrap()).to_xml();
    fs::write(path.with_extension("img.bmap"), &map).unwrap();
    let map_sha256 = Sha256::digest(map).into();
    let input = |name: &str, version: Option<&str>| Input {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        sha256: "00".repeat(32),
    };
    let request = ManifestRequest {
        fleet: "test",
        node: "red-07",
        board,
        layout: &layout(),
        sources: "debian",
        inputs: vec![
            input("overlay common", None),
            input("kernel source", Some("6.12.107")),
        ],
        installed: None,
        file: "red-07.img",
        mapped: card.image.mapped(),
        map_sha256,
    };
    manifest::manifest(card, request).unwrap()
}

/// A card in a file, and its partitions in others.
struct Written {
    folder: TempDir,
    image: PathBuf,
    card: Card,
}

fn write(card: Card) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("red-07.img");
    testkit::image::write(&card.image, &image);
    Written { folder, image, card }
}

impl Written {
    /// Copies partition `number` (from 1) to a file of its own.
    fn partition(&self, number: usize) -> PathBuf {
        let sectors = self.card.partitions[number - 1].sectors;
        let path = self.folder.path().join(format!("partition{number}"));
        let arguments = [
            format!("if={}", self.image.display()),
            format!("of={}", path.display()),
            "bs=512".to_owned(),
            "conv=sparse".to_owned(),
            "status=none".to_owned(),
            format!("skip={}", sectors.first.0),
            format!("count={}", sectors.count),
        ];
        oracle::run("coreutils", "dd", arguments);
        path
    }
}

/// Every oracle's verdict on a card; returns what sfdisk says of it.
fn check_by_oracles(written: &Written) -> serde_json::Value {
    let verdict = oracle::run(
        "fdisk",
        "sfdisk",
        ["--verify".as_ref(), written.image.as_os_str()],
    );
    assert!(verdict.contains("No errors detected"), "{verdict}");
    let boot = written.partition(1);
    oracle::run("dosfstools", "fsck.fat", ["-n".as_ref(), boot.as_os_str()]);
    let root = written.partition(2);
    oracle::run(
        "btrfs-progs",
        "btrfs",
        ["check".as_ref(), "--check-data-csum".as_ref(), root.as_os_str()],
    );
    let dump = oracle::run("fdisk", "sfdisk", ["--json".as_ref(), written.image.as_os_str()]);
    serde_json::from_str(&dump).unwrap()
}

/// `extlinux.conf` as mtools reads it.
fn extlinux(written: &Written) -> String {
    let boot = written.partition(1);
    oracle::run(
        "mtools",
        "mtype",
        ["-i", boot.to_str().unwrap(), "::/extlinux/extlinux.conf"],
    )
}

/// What blkid finds in a file, as `NAME="value"`.
fn blkid(path: &Path) -> String {
    oracle::run("util-linux", "blkid", ["-p".as_ref(), path.as_os_str()])
}

#[test]
fn an_mbr_card_passes_every_oracle() {
    let board = board(PartitionTable::Mbr);
    let layout = layout();
    let mut firmware = SparseImage::empty(Bytes::mib(1));
    firmware.put(0, vec![0xb1; 440]);
    firmware.put(512, vec![0xb2; 49_152]);
    firmware.put(97 * 512, vec![0xf1; 700_000]);
    let written = write(assemble(request(&board, &layout, Some(firmware))).unwrap());

    let table = &check_by_oracles(&written)["partitiontable"];
    let signature = table["id"].as_str().unwrap().trim_start_matches("0x").to_owned();
    assert_eq!(table["partitions"][0]["start"], 8192);
    assert_eq!(table["partitions"][0]["bootable"], true);
    let conf = extlinux(&written);
    assert!(
        conf.contains(&format!(
            "root=PARTUUID={signature}-02 rootfstype=btrfs rootwait rootwait=30 ro"
        )),
        "{conf}"
    );

    // The firmware and the table share sector 0 without touching each other.
    let bytes = fs::read(&written.image).unwrap();
    assert!(bytes[..440].iter().all(|byte| *byte == 0xb1));
    assert_eq!(
        u32::from_le_bytes(bytes[440..444].try_into().unwrap()),
        u32::from_str_radix(&signature, 16).unwrap()
    );
    assert_eq!(
        (bytes[510], bytes[511], bytes[512], bytes[97 * 512]),
        (0x55, 0xaa, 0xb2, 0xf1)
    );

    let manifest = manifest_of(&written.card, &board, &written.image);
    // What depends on the btrfs writer is left to `check_manifest`.
    let mut shown = manifest.clone();
    shown.image.map_sha256 = "of the map".to_owned();
    shown.image.mapped = Bytes(0);
    insta::assert_snapshot!(manifest::to_json(&shown).unwrap());
    check_manifest(&written, &manifest);
}

#[test]
fn a_gpt_card_passes_every_oracle() {
    let board = board(PartitionTable::Gpt);
    let layout = layout();
    let written = write(assemble(request(&board, &layout, None)).unwrap());
    let table = &check_by_oracles(&written)["partitiontable"];
    assert_eq!(table["label"], "gpt");
    let guid = table["partitions"][1]["uuid"].as_str().unwrap().to_lowercase();
    let conf = extlinux(&written);
    assert!(conf.contains(&format!("root=PARTUUID={guid} ")), "{conf}");

    let manifest = manifest_of(&written.card, &board, &written.image);
    assert_eq!(manifest.firmware, Firmware::NotNeeded);
    assert_eq!(
        manifest.partition_table.id,
        table["id"].as_str().unwrap().to_lowercase()
    );
    check_manifest(&written, &manifest);
}

/// What the manifest claims, against what other tools find.
fn check_manifest(written: &Written, manifest: &Manifest) {
    let text = manifest::to_json(manifest).unwrap();
    assert_eq!(&serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    let map = format!("{}.bmap", manifest.image.file);
    let digests = BTreeMap::from([(map, manifest.image.map_sha256.clone())]);
    for partition in &manifest.partitions {
        let path = written.partition(partition.number as usize);
        let found = blkid(&path);
        assert!(
            found.contains(&format!(" UUID=\"{}\"", partition.uuid)),
            "{found}"
        );
    }
    fs::write(
        written.folder.path().join("SHA256SUMS"),
        manifest::sha256sums(&digests).unwrap(),
    )
    .unwrap();
    let folder = written.folder.path().to_str().unwrap();
    let script = "cd \"$0\" && sha256sum --check --strict SHA256SUMS";
    oracle::run("dash", "sh", ["-c", script, folder]);
}

#[test]
fn a_card_without_firmware_says_so() {
    let board = board(PartitionTable::Mbr);
    let layout = layout();
    let card = assemble(request(&board, &layout, None)).unwrap();
    let written = write(card);
    let manifest = manifest_of(&written.card, &board, &written.image);
    assert_eq!(manifest.firmware, Firmware::Absent);
    let advice = manifest.firmware_advice.unwrap();
    insta::assert_snapshot!(advice, @"the image starts in QEMU, not on test-board: accept the licence of its boot loaders in sources.toml or name a folder that has them with --blob-dir, and build again; or write a boot area to the sectors before 8192 of the card yourself");
}

#[test]
fn the_same_request_gives_the_same_card_and_another_node_another() {
    let board = board(PartitionTable::Mbr);
    let layout = layout();
    let digest = |request: CardRequest<'_>| {
        let card = assemble(request).unwrap();
        stages::card::digest::of_range(&card.image, 0, card.image.size.0).unwrap()
    };
    let first = digest(request(&board, &layout, None));
    assert_eq!(first, digest(request(&board, &layout, None)));
    let other = CardRequest {
        node: "red-08",
        ..request(&board, &layout, None)
    };
    assert_ne!(first, digest(other));
}

#[test]
fn what_cannot_be_a_card_is_refused() {
    let board = board(PartitionTable::Mbr);
    let refused = |layout: &Layout, firmware: Option<SparseImage>| {
        let error = assemble(request(&board, layout, firmware)).unwrap_err();
        format!("{error:#}")
    };
    let mut small = layout();
    small.partitions[1].size = PartitionSize::Exact(Bytes::mib(64));
    assert_eq!(
        refused(&small, None),
        "cannot make the card of red-07: the root file system has 131072000 bytes, the layout gives its partition 67108864"
    );
    let mut small = layout();
    small.partitions[0].size = PartitionSize::Exact(Bytes::mib(3));
    small.partitions[0].label = "too long a label".to_owned();
    let said = refused(&small, None);
    assert!(
        said.contains("cannot fill the boot partition \"too long a label\""),
        "{said}"
    );
    let mut early = layout();
    early.partitions[0].start = Some(Lba(2048));
    let said = refused(&early, None);
    assert!(
        said.contains("boot area region \"fip\"") && said.contains("partition \"boot\""),
        "{said}"
    );

    for (offset, length) in [
        (0, 441),
        (440, 4),
        (0, 1024),
        (97 * 512 - 1, 2),
        (8191 * 512, 513),
    ] {
        let mut firmware = SparseImage::empty(Bytes::mib(8));
        firmware.put(offset, vec![1; length]);
        let said = refused(&layout(), Some(firmware));
        assert!(
            said.contains("are neither before byte 440 nor in one region of the boot area"),
            "{said}"
        );
    }
    let mut twice = SparseImage::empty(Bytes::mib(8));
    twice.put(512, vec![1; 10]);
    twice.put(520, vec![1; 10]);
    assert!(refused(&layout(), Some(twice)).contains("bytes 512..522 and 520..530 of the image overlap"));
}
