//! Small cards for tests that read them.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::num::NonZeroUsize;
use std::path::PathBuf;

use formats::btrfs::{self, Profile, SubvolumeContent, SubvolumeSpec, VolumeSize, VolumeSpec};
use formats::fat::{self, FatFile, FatOptions};
use formats::layer::{Attributes, Compression, Device, Inline, LayerBuilder, Packing, ZstdLevel};
use formats::partition::{Partition, PartitionKind};
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Lba, Sectors, Time};
use formats::{ids, mbr};
use tempfile::TempDir;

/// A card in a file.
pub struct TestCard {
    pub path: PathBuf,
    pub root_offset: u64,
    pub folder: TempDir,
}

/// The time of everything on a card.
const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanoseconds: 123_456_789,
};

fn mode(mode: u32) -> Attributes {
    Attributes {
        mode,
        mtime: TIME,
        ..Attributes::default()
    }
}

fn packing() -> Packing {
    Packing {
        compression: Compression::Zstd(ZstdLevel::DEFAULT),
        inline: Inline::Smallest,
        jobs: NonZeroUsize::MIN,
    }
}

/// What all nodes of a role have; `content` is in one of its files.
fn role_layer(content: &str) -> formats::layer::Layer {
    let mut layer = LayerBuilder::in_memory(packing()).unwrap();
    let fstab = "PARTUUID=1-02 / btrfs subvol=@ 0 0\nPARTUUID=1-02 /srv btrfs subvol=@srv 0 0\n";
    layer.file(b"etc/fstab", mode(0o644), fstab.as_bytes()).unwrap();
    layer.file(b"etc/role", mode(0o644), content.as_bytes()).unwrap();
    layer.symlink(b"etc/link", mode(0o777), b"/etc/hostname").unwrap();
    layer.directory(b"srv", mode(0o755)).unwrap();
    layer
        .file(b"srv/data", mode(0o600), &b"of the role ".repeat(9000))
        .unwrap();
    let mut holes = b"file data! ".repeat(700);
    holes.resize(500_000, 0);
    holes.extend_from_slice(b"the end");
    holes.resize(900_000, 0);
    layer.file(b"usr/holes", mode(0o4755), &holes).unwrap();
    let mut owned = mode(0o640);
    (owned.uid, owned.gid) = (3_000_000, 1001);
    owned.mtime = Time {
        seconds: -20,
        nanoseconds: 500_000_000,
    };
    owned
        .xattrs
        .insert(b"user.note".to_vec(), b"a \0 note\n".to_vec());
    layer.file(b"usr/owned", owned, b"x").unwrap();
    layer.hardlink(b"usr/second", b"usr/owned").unwrap();
    let long = [&b"usr/"[..], &[b'n'; 200]].concat();
    layer.file(&long, mode(0o644), b"long").unwrap();
    layer.symlink(b"usr/far", mode(0o777), &[b't'; 300]).unwrap();
    layer.file(b"usr/\xff\xfe", mode(0o644), b"odd").unwrap();
    layer
        .character_device(b"dev/null", mode(0o666), Device { major: 1, minor: 3 })
        .unwrap();
    let disk = Device {
        major: 259,
        minor: 65_537,
    };
    layer.block_device(b"dev/disk", mode(0o660), disk).unwrap();
    layer.fifo(b"run/pipe", mode(0o600)).unwrap();
    layer.socket(b"run/socket", mode(0o600)).unwrap();
    layer.finish_layer().unwrap()
}

/// The card of `node`, whose role has `content` in a file.
pub fn card(content: &str, node: &str) -> TestCard {
    let role = role_layer(content);
    let mut own = LayerBuilder::in_memory(Packing {
        compression: Compression::None,
        inline: Inline::Raw,
        ..packing()
    })
    .unwrap();
    own.file(b"etc/hostname", mode(0o644), format!("{node}\n").as_bytes())
        .unwrap();
    own.file(b"etc/key", mode(0o600), node.repeat(600).as_bytes())
        .unwrap();
    let own = own.finish_layer().unwrap();
    let tree = Tree::stack(&[(&role, Share::Role), (&own, Share::Node)], TIME).unwrap();
    let subvolume = |name: &str, mount: &str| SubvolumeSpec {
        name: name.to_owned(),
        content: SubvolumeContent::Mount(mount.into()),
        default: mount == "/",
        read_only: false,
        uuid: ids::uuid("subvolume", &[name]),
    };
    let root = btrfs::lay_out(
        &VolumeSpec {
            label: "root".to_owned(),
            fsid: ids::uuid("root", &[node]),
            metadata_uuid: Some(ids::uuid("role", &["test"])),
            time: TIME,
            size: VolumeSize::Minimal { free: Bytes(0) },
            metadata: Profile::Dup,
            subvolumes: vec![subvolume("@", "/"), subvolume("@srv", "/srv")],
        },
        &tree,
    )
    .unwrap()
    .image;
    let signature = ids::id32("disk", &[node]);
    let files = [
        FatFile::from_bytes("Image", b"kernel".repeat(500_000)),
        FatFile::from_bytes(
            "extlinux/extlinux.conf",
            format!("APPEND root=PARTUUID={signature:08x}-02\n").into_bytes(),
        ),
    ];
    let boot = fat::lay_out(
        &files,
        &FatOptions {
            size: Bytes::mib(8),
            volume_id: ids::id32("fat", &[node]),
            label: "BOOT".to_owned(),
            time: TIME,
        },
    )
    .unwrap()
    .image;
    let entry = |first: u64, size: Bytes, kind| Partition {
        sectors: Sectors {
            first: Lba(first),
            count: size.0 / 512,
        },
        kind,
        active: kind != PartitionKind::Linux,
        label: String::new(),
        guid: ids::uuid("partition", &[node]),
    };
    let entries = [
        entry(8192, boot.size, PartitionKind::BootFat16),
        entry(8192 + 16384, root.size, PartitionKind::Linux),
    ];
    let root_offset = (8192 + 16384) * 512;
    let mut image = SparseImage::empty(Bytes(root_offset + root.size.0));
    image.place(8192 * 512, boot);
    image.place(root_offset, root);
    let table = mbr::lay_out(image.size, signature, &entries).unwrap();
    image.place(0, table);
    image.sort().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    testkit::image::write(&image, &path);
    TestCard {
        path,
        root_offset,
        folder,
    }
}

/// The root file system of a card alone, in a file.
pub fn volume_of(card: &TestCard) -> PathBuf {
    let path = card.folder.path().join("root.btrfs");
    let bytes = std::fs::read(&card.path).unwrap();
    std::fs::write(&path, &bytes[card.root_offset as usize..]).unwrap();
    path
}
