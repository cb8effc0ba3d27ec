//! Writes the seeds of all targets from our own writers: `seeds FOLDER` makes `FOLDER/TARGET/NAME`.

use std::error::Error;
use std::fs;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::Path;

use formats::bmap::BlockMap;
use formats::btrfs::{Profile, SubvolumeContent, SubvolumeSpec, VolumeSize, VolumeSpec};
use formats::delta::Delta;
use formats::fat::{FatFile, FatOptions};
use formats::layer::{
    Attributes, Compression, Device, Index, Inline, Layer, LayerBuilder, Packing, ZstdLevel,
};
use formats::partition::{Partition, PartitionKind};
use formats::seekable::{self, Frame};
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Lba, Sectors, Time};
use formats::{btrfs, fat, gpt, ids, mbr};
use fuzz::image;
use serde_json::json;
use testkit::tars::{self, RawMember, RawTar};
use testkit::{fip as made_up, packages};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TIME: Time = Time::from_seconds(1_700_000_000);

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?;
    let seeds = [
        ("atom", atoms()),
        ("bmap", block_maps()?),
        ("btrfs", volumes()?),
        ("delta", deltas()?),
        ("depend", dependencies()),
        ("fat", fat_volumes()?),
        ("fip", boot_areas()?),
        ("gpkg", gpkgs()),
        (
            "layer_index",
            vec![unsealed(entries(Inline::Smallest)?.0.to_bytes())],
        ),
        ("manifest", vec![manifest()?]),
        ("pack_index", vec![pack_index()?]),
        ("packages", package_indexes()?),
        ("partition", tables()?),
        ("seekable", compressed_images()?),
        ("tar", tarballs()?),
        ("xpak", xpaks()),
    ];
    for (target, seeds) in seeds {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}

/// Without the digest at its end, which the targets make.
fn unsealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(32));
    bytes
}

fn layer(inline: Inline) -> Result<Layer> {
    let (index, blob) = entries(inline)?;
    Ok(index.with_blob(blob.into())?)
}

/// Every kind of entry.
fn entries(inline: Inline) -> Result<(Index, Vec<u8>)> {
    let mut layer = LayerBuilder::in_memory(Packing {
        compression: Compression::Zstd(ZstdLevel::DEFAULT),
        inline,
        jobs: NonZeroUsize::MIN,
    })?;
    let mut attributes = Attributes {
        mode: 0o644,
        mtime: TIME,
        ..Attributes::default()
    };
    let device = Device { major: 8, minor: 1 };
    layer.directory(b"etc", attributes.clone())?;
    layer.file(b"etc/hosts", attributes.clone(), &tars::text(300))?;
    layer.file(b"text", attributes.clone(), &b"seed\n".repeat(40_000))?;
    layer.file(b"noise", attributes.clone(), &tars::noise(2500, 1))?;
    layer.hardlink(b"usr/text", b"text")?;
    layer.symlink(b"link", attributes.clone(), b"etc/../etc")?;
    layer.character_device(b"character", attributes.clone(), device)?;
    layer.block_device(b"block", attributes.clone(), device)?;
    layer.fifo(b"fifo", attributes.clone())?;
    layer.socket(b"socket", attributes.clone())?;
    attributes.xattrs.insert(b"user.kind".to_vec(), b"seed".to_vec());
    layer.file(b"empty", attributes, b"")?;
    Ok(layer.finish()?)
}

fn volumes() -> Result<Vec<Vec<u8>>> {
    let subvolume = |name: &str, mount: &str| SubvolumeSpec {
        name: name.to_owned(),
        content: SubvolumeContent::Mount(mount.as_bytes().to_vec()),
        default: mount == "/",
        read_only: false,
        uuid: ids::uuid("seed", &[name]),
    };
    let spec = |subvolumes, metadata| VolumeSpec {
        label: "seed".to_owned(),
        fsid: ids::uuid("seed volume", &[]),
        metadata_uuid: None,
        time: TIME,
        size: VolumeSize::Minimal { free: Bytes(0) },
        metadata,
        subvolumes,
    };
    let tree = Tree::stack(&[(&layer(Inline::Smallest)?, Share::Role)], TIME)?;
    let raw = Tree::stack(&[(&layer(Inline::Raw)?, Share::Role)], TIME)?;
    let subvolumes = vec![subvolume("@", "/"), subvolume("@etc", "/etc")];
    let shared = VolumeSpec {
        metadata_uuid: Some(ids::uuid("seed role", &[])),
        ..spec(subvolumes, Profile::Dup)
    };
    // Enough names for nodes above the leaves.
    let mut many = LayerBuilder::in_memory(Packing {
        compression: Compression::None,
        inline: Inline::Raw,
        jobs: NonZeroUsize::MIN,
    })?;
    for number in 0..60 {
        many.file(format!("{number}").as_bytes(), Attributes::default(), b"x")?;
    }
    let many = Tree::stack(&[(&many.finish_layer()?, Share::Role)], TIME)?;
    let volumes = [
        (spec(Vec::new(), Profile::Single), &tree),
        (shared, &raw),
        (spec(Vec::new(), Profile::Single), &many),
    ];
    let bytes = |(spec, tree): (VolumeSpec, &Tree)| Ok(image::to_bytes(&btrfs::lay_out(&spec, tree)?.image));
    volumes.into_iter().map(bytes).collect()
}

fn fat_volumes() -> Result<Vec<Vec<u8>>> {
    let files = [
        FatFile::from_bytes("Image".to_owned(), tars::text(3000)),
        FatFile::from_bytes("a rather long name.text".to_owned(), tars::text(700)),
        FatFile::from_bytes("extlinux/extlinux.conf".to_owned(), b"DEFAULT linux\n".to_vec()),
    ];
    let volume = |mib| {
        let options = FatOptions {
            size: Bytes::mib(mib),
            volume_id: 0x1234_abcd,
            label: "BOOT".to_owned(),
            time: TIME,
        };
        Ok(image::to_bytes(&fat::lay_out(&files, &options)?.image))
    };
    [8, 64].into_iter().map(volume).collect()
}

/// One of each form, small: only what is signed is not zero.
fn boot_areas() -> Result<Vec<Vec<u8>>> {
    let blank = |size| vec![0; size];
    let payloads = [("bl30", 100), ("bl301", 33), ("bl31", 0x4010), ("bl33", 200)]
        .map(|(name, size)| (name, tars::text(size)));
    let list: Vec<_> = payloads
        .iter()
        .map(|(name, bytes)| (*name, &bytes[..], [1, 2, 3, 4]))
        .collect();
    let fip = made_up::fip(&list);
    let mut of_bl31_img = fip.clone();
    made_up::say_where_bl31_is_loaded(&mut of_bl31_img);
    let usb = [&made_up::signed_bl2(&blank(0xc000), [3; 16])[..], &fip].concat();
    let areas = [
        made_up::boot_area(&made_up::bl1_of(blank(0xc200)), &fip),
        [&blank(512)[..], &usb].concat(),
        made_up::card_and_emmc(&usb, &blank(512)),
        usb,
        fip,
        of_bl31_img,
    ];
    areas
        .into_iter()
        .map(|area| {
            let mut image = SparseImage::empty(Bytes(area.len() as u64));
            image.put(0, area);
            image.sort()?;
            Ok(image::to_bytes(&image))
        })
        .collect()
}

fn tables() -> Result<Vec<Vec<u8>>> {
    let partition = |first, count, kind, label: &str| Partition {
        sectors: Sectors {
            first: Lba(first),
            count,
        },
        kind,
        active: kind != PartitionKind::Linux,
        label: label.to_owned(),
        guid: ids::uuid("seed partition", &[label]),
    };
    let partitions = [
        partition(8192, 8192, PartitionKind::BootFat32, "boot"),
        partition(16384, 40_000, PartitionKind::Linux, "root"),
    ];
    let disk = Bytes::mib(64);
    Ok(vec![
        image::to_bytes(&gpt::lay_out(disk, ids::uuid("seed disk", &[]), &partitions)?),
        image::to_bytes(&mbr::lay_out(disk, 0x8a3c_01f2, &partitions)?),
    ])
}

/// A base and an image that differs from it.
fn images() -> Result<[SparseImage; 2]> {
    let image = |changed: u8| -> Result<SparseImage> {
        let mut image = SparseImage::empty(Bytes(60_000));
        image.put(0, vec![7; 9000]);
        image.put(20_480, vec![changed; 4096]);
        image.put(45_056, vec![changed; 9000]);
        image.sort()?;
        Ok(image)
    };
    Ok([image(1)?, image(2)?])
}

fn block_maps() -> Result<Vec<Vec<u8>>> {
    let [image, _] = images()?;
    let own = 20_480..24_576;
    let segments = Segments::cut(&image, std::slice::from_ref(&own))?;
    Ok(vec![BlockMap::of(&segments).to_xml().into_bytes()])
}

fn deltas() -> Result<Vec<Vec<u8>>> {
    let [base, other] = images()?;
    Ok(vec![unsealed(Delta::between(&base, &other)?.to_bytes())])
}

fn compressed_images() -> Result<Vec<Vec<u8>>> {
    let mut encoder = seekable::Encoder::new(NonZeroU8::MIN)?;
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for content in [tars::text(5000), tars::noise(300, 1), vec![0; 100_000]] {
        let stored = encoder.encode(&content)?;
        frames.push(Frame {
            stored: stored.len() as u32,
            content: content.len() as u32,
        });
        bytes.extend(stored);
    }
    bytes.extend(seekable::seek_table(&frames).ok_or("too many frames")?);
    Ok(vec![bytes])
}

fn manifest() -> Result<Vec<u8>> {
    let manifest = json!({
        "format": formats::manifest::FORMAT,
        "fleet": "fleet",
        "node": "red-01",
        "board": "board",
        "layout": "layout",
        "sources": "default",
        "inputs": [{ "name": "base", "version": "12", "sha256": "00" }],
        "firmware": "absent",
        "firmware_advice": "fetch it",
        "partition_table": { "kind": "mbr", "id": "8a3c01f2" },
        "partitions": [{
            "number": 1,
            "label": "boot",
            "first_sector": 8192,
            "sectors": 8192,
            "part_uuid": "8a3c01f2-01",
            "file_system": "fat32",
            "uuid": "1234-ABCD",
        }],
        "image": { "file": "red-01.img", "size": 60000, "mapped": 20000, "map_sha256": "00" },
    });
    // A seed that is refused shows nothing.
    serde_json::from_value::<formats::manifest::Manifest>(manifest.clone())?;
    Ok(serde_json::to_vec(&manifest)?)
}

fn pack_index() -> Result<Vec<u8>> {
    let index = json!({
        "format": formats::pack::FORMAT,
        "fleet": "fleet",
        "bases": [{ "name": "base-1", "sha256": "00", "map_sha256": "00" }],
        "nodes": [{ "name": "red-01", "base": "base-1", "manifest_sha256": "00", "inputs": "00", "root_used": 1 }],
    });
    let bytes = serde_json::to_vec(&index)?;
    formats::pack::Index::from_json(&bytes)?;
    Ok(bytes)
}

fn tarballs() -> Result<Vec<Vec<u8>>> {
    let plain = RawTar::default()
        .directory("etc/")
        .file("etc/hosts", "localhost")
        .symlink("link", "etc/hosts")
        .hardlink("other", "etc/hosts")
        .member(&RawMember::new(b'6', "fifo"))
        .member(&RawMember::new(b'3', "null"))
        .end();
    let pax = RawTar::default()
        .pax(b'g', &[("mtime", b"1700000000.5")])
        .pax(
            b'x',
            &[
                ("path", b"a long name"),
                ("SCHILY.xattr.user.kind", b"seed"),
                ("uid", b"70000"),
            ],
        )
        .file("short", tars::text(600))
        .pax(
            b'x',
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", b"9000"),
            ],
        )
        .file(
            "map-in-data",
            [&b"1\n0\n512\n"[..], &[0; 504], &[7; 512]].concat(),
        )
        .end();
    let map = RawTar::default()
        .pax(
            b'x',
            &[
                ("GNU.sparse.map", b"0,512,8192,512"),
                ("GNU.sparse.size", b"9000"),
                ("GNU.sparse.name", b"map-in-header"),
            ],
        )
        .file("sparse", vec![7; 1024])
        .end();
    let long = RawTar::default()
        .member(&RawMember {
            data: [&[b'n'; 150][..], b"\0"].concat(),
            ..RawMember::new(b'L', "././@LongLink")
        })
        .file("cut", "data")
        .end();
    let compress = |program, arguments: &[&str]| tars::filter(program, arguments, &plain);
    let compressed = [
        compress("gzip", &["-9nc"]),
        compress("xz", &["-9c"]),
        compress("zstd", &["-c"]),
    ];
    let plain_ones = vec![plain.clone(), pax, map, long, sparse_tar()?];
    Ok([plain_ones, compressed.to_vec()].concat())
}

/// Metadata that every package has.
const METADATA: [(&str, &str); 3] = [("CATEGORY", "app\n"), ("PF", "bar-1\n"), ("SLOT", "0\n")];

fn atoms() -> Vec<Vec<u8>> {
    let texts = [
        "dev-libs/openssl",
        "!!<app-arch/xz-5.2_beta3_p1-r4",
        "=sys-libs/a-1.02b*:0/1.1=::gentoo[ssl(+),-gui,x?,!y?,z=,!w=]",
        "virtual/libc:*",
        "cat/pkg-1-2_rc1-r0",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn dependencies() -> Vec<Vec<u8>> {
    let texts = [
        ">=lib/foo-1:0/1=[ssl(+)] !<app/bar-1 || ( lib/a ( lib/b lib/c ) )",
        "gui? ( lib/x !qt? ( || ( lib/y[gui?] qt? ( lib/z ) ) ) )",
    ];
    let both = |text: &str| [b'\0', b'\xff'].map(|kind| [&[kind], text.as_bytes()].concat());
    texts.into_iter().flat_map(both).collect()
}

/// Two installed packages, one of which has to be built again for what is requested.
fn package_indexes() -> Result<Vec<Vec<u8>>> {
    let index = "ARCH: arm64\nVERSION: 0\nREPO: gentoo\n\n\
        CPV: lib/foo-1\nSLOT: 0/1\nPROVIDES: arm_64: libfoo.so.1\n\n\
        CPV: app/old-1\nRDEPEND: lib/foo:0/1=\n\n\
        CPV: app/old-1\nBUILD_ID: 2\nEAPI: 8\nRDEPEND: lib/foo:0/2=\n\n\
        CPV: lib/foo-2\nSLOT: 0/2\nPROVIDES: arm_64: libfoo.so.2\nIUSE: +ssl\nUSE: ssl\n\n\
        CPV: lib/bar-2\nSLOT: 2\nPDEPEND: app/new\nPATH: lib/bar/bar-2-1.gpkg.tar\nSIZE: 7\n\n\
        CPV: app/new-1\nRDEPEND: lib/foo[ssl] || ( lib/gone lib/bar:2 ) !lib/old\nREQUIRES: arm_64: libfoo.so.2\n";
    gentoo::index::Packages::parse(index.as_bytes())?;
    Ok(vec![
        [&[2], index.as_bytes()].concat(),
        [&[0], index.as_bytes()].concat(),
    ])
}

/// Whole packages, and what the target makes packages of.
fn gpkgs() -> Vec<Vec<u8>> {
    let metadata = packages::metadata(&METADATA);
    let image = RawTar::default()
        .directory("image")
        .directory("image/etc/")
        .file("image/etc/bar", tars::text(600))
        .symlink("image/etc/link", "../etc/bar")
        .hardlink("image/etc/other", "image/etc/bar")
        .end();
    let filters = [
        ("", "cat", ""),
        (".gz", "gzip", "-nc"),
        (".bz2", "bzip2", "-c"),
        (".xz", "xz", "-c"),
        (".zst", "zstd", "-c"),
    ];
    let seeds = filters
        .iter()
        .zip(0..)
        .map(|((suffix, program, argument), kind)| {
            let arguments: &[&str] = if argument.is_empty() { &[] } else { &[argument] };
            let image = tars::filter(program, arguments, &image);
            let blocks = (metadata.len() / 512) as u8;
            let parts = [&[kind, blocks][..], &metadata, &image].concat();
            let members = [
                ("metadata.tar", &metadata[..]),
                (&format!("image.tar{suffix}"), &image),
            ];
            let signed = [("image.tar.sig", &b"-----BEGIN PGP SIGNATURE-----"[..])];
            let whole = packages::gpkg(&[&members[..], &signed[..]].concat());
            [parts, [&[u8::MAX][..], &whole].concat()]
        });
    seeds.flatten().collect()
}

/// Whole packages, and what the target makes packages of.
fn xpaks() -> Vec<Vec<u8>> {
    let files = METADATA.map(|(name, content)| (name, content.as_bytes()));
    let trailer = packages::xpak_trailer(&files);
    let tar = RawTar::default()
        .directory("./")
        .file("./bar", tars::text(600))
        .end();
    let wholes = [tar.clone(), tars::filter("bzip2", &["-c"], &tar)];
    let wholes = wholes.map(|tar| [&[u8::MAX][..], &packages::xpak(&tar, &trailer)].concat());
    // The index is between two lengths and the data.
    let data: usize = files.iter().map(|(_, content)| content.len()).sum();
    let parts = &trailer[16..trailer.len() - 8];
    let index = (parts.len() - data) as u8;
    [&wholes[..], &[[&[index][..], parts].concat()]].concat()
}

/// What GNU tar writes of a file with more holes than a header lists.
fn sparse_tar() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sparse");
    let file = fs::File::create(&path)?;
    for number in 0..6_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", number * 100_000)?;
    }
    let folder = folder.path().to_str().ok_or("a folder without a plain name")?;
    let arguments = [
        "-C",
        folder,
        "--sparse",
        "--format=gnu",
        "--owner=0",
        "--group=0",
        "--mtime=@0",
        "-c",
        "sparse",
    ];
    Ok(tars::gnu_tar(&arguments))
}
