//! Cards read without mounting: against the kernel, GNU tar and our own tar reader.

#![allow(clippy::unwrap_used, missing_docs)]

mod cards;

use std::fs;

use cards::{card, volume_of};
use formats::btrfs::read::{Reader, View};
use formats::layer::{Compression, Devices, Inline, Limits, Packing, TarOptions, from_tar};
use stages::inspect::{Content, Detail, Image, Kind, cat, report, root_view, tar, verify};
use testkit::listing;
use testkit::oracle::run;
use testkit::volume::{Access, LoopMount};

fn read(image: &Image, path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    cat(image, path, &mut bytes)
        .map(|()| bytes)
        .map_err(|error| format!("{error:#}"))
}

#[test]
fn a_card_is_described() {
    let card = card("one", "red-01");
    let image = Image::open(&card.path).unwrap();
    let report = report(&image, Detail::Files).unwrap();
    assert_eq!((report.table, report.partitions.len()), ("mbr", 2));
    assert!(report.boot_area.is_empty());
    let Content::Fat {
        files, label, bits, ..
    } = &report.partitions[0].content
    else {
        panic!("{report:?}");
    };
    assert_eq!((label.as_str(), *bits), ("BOOT", 16));
    assert_eq!(files["Image"], 3_000_000);
    let Content::Btrfs { subvolumes, .. } = &report.partitions[1].content else {
        panic!("{report:?}");
    };
    let places: Vec<_> = subvolumes
        .iter()
        .map(|subvolume| {
            (
                subvolume.path.as_str(),
                subvolume.mount.as_deref(),
                subvolume.default,
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("/", None, false),
            ("@", Some("/"), true),
            ("@srv", Some("/srv"), false)
        ]
    );
    assert!(
        subvolumes[1]
            .paths
            .iter()
            .any(|path| path.path == "/etc/hostname")
    );
    serde_json::to_value(&report).unwrap();
    let verified = verify(&image).unwrap();
    assert_eq!(verified.faults, [""; 0]);
    assert!(verified.boot_files == 2 && verified.tree_blocks > 10);
}

#[test]
fn files_are_found_by_all_their_names() {
    let card = card("one", "red-01");
    let image = Image::open(&card.path).unwrap();
    assert_eq!(read(&image, "/etc/hostname").unwrap(), b"red-01\n");
    assert_eq!(read(&image, "@:/etc/hostname").unwrap(), b"red-01\n");
    assert_eq!(read(&image, "etc/link").unwrap(), b"red-01\n");
    assert_eq!(
        read(&image, "srv/data").unwrap(),
        read(&image, "@srv:data").unwrap()
    );
    assert_eq!(read(&image, "boot:/image").unwrap().len(), 3_000_000);
    for (path, message) in [
        ("/nothing", "there is no /nothing on"),
        ("/etc", "/etc is a directory"),
        ("@lxc:/x", "there is no subvolume \"@lxc\": there are /, @, @srv"),
        ("boot:/nothing", "there is no /nothing on the boot partition"),
    ] {
        let error = read(&image, path).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn the_tar_is_what_the_kernel_shows() {
    let card = card("one", "red-01");
    let image = Image::open(&card.path).unwrap();
    let archive = card.folder.path().join("tar");
    let left = tar(&image, &mut fs::File::create(&archive).unwrap()).unwrap();
    assert_eq!(left.sockets, ["`run/socket`"]);

    let unpacked = card.folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    run(
        "tar",
        "tar",
        [
            "--extract",
            "--file",
            archive.to_str().unwrap(),
            "--directory",
            unpacked.to_str().unwrap(),
            "--xattrs",
            "--xattrs-include=*",
            "--same-owner",
            "--numeric-owner",
            "--same-permissions",
        ],
    );
    let mut mount = LoopMount::new(&card.path, card.root_offset, Access::ReadOnly, &[]);
    mount.add("@srv", "srv");
    let mut expected = listing::of_folder(mount.path());
    assert!(expected.remove(&b"run/socket"[..]).is_some());
    listing::assert_equal(&listing::of_folder(&unpacked), &expected);

    // Our own reader is stricter than GNU's.
    let options = TarOptions {
        packing: Packing {
            compression: Compression::None,
            inline: Inline::Smallest,
            jobs: std::num::NonZeroUsize::MIN,
        },
        devices: Devices::Allowed,
        limits: Limits::default(),
    };
    let index = from_tar(fs::File::open(&archive).unwrap(), Vec::new(), &options).unwrap();
    assert_eq!(index.entries.len(), expected.len());
}

#[test]
fn damage_is_named() {
    let card = card("one", "red-01");
    let mut bytes = fs::read(&card.path).unwrap();
    let place = bytes
        .windows(10)
        .rposition(|window| window == b"file data!")
        .unwrap();
    bytes[place] ^= 1;
    let damaged = card.folder.path().join("damaged");
    fs::write(&damaged, &bytes).unwrap();
    let faults = verify(&Image::open(&damaged).unwrap()).unwrap().faults;
    assert!(
        faults.len() == 1 && faults[0].starts_with("partition 2: data at address"),
        "{faults:?}"
    );
    bytes.truncate(place);
    fs::write(&damaged, &bytes).unwrap();
    let image = Image::open(&damaged).unwrap();
    let error = read(&image, "/etc/hostname").unwrap_err();
    assert!(
        error.starts_with("partition 2 (sectors ") && error.ends_with("bytes: it is truncated"),
        "{error}"
    );
    let report = report(&image, Detail::Counts).unwrap();
    assert!(report.is_damaged());
    assert!(
        matches!(&report.partitions[1].content, Content::Damaged { error } if error.contains("behind the end")),
        "{report:?}"
    );
}

#[test]
fn a_bare_volume_needs_no_table() {
    let card = card("one", "red-01");
    let path = volume_of(&card);
    let image = Image::open(&path).unwrap();
    assert!(image.table.is_none());
    assert_eq!(read(&image, "/etc/hostname").unwrap(), b"red-01\n");
    let window = image.volume(Kind::Btrfs).unwrap();
    let reader = Reader::open(&window).unwrap();
    let view: View = root_view(&reader).unwrap();
    assert_eq!(view.mounts.len(), 1);
    assert!(image.volume(Kind::Fat).is_err());
    let report = report(&image, Detail::Counts).unwrap();
    assert_eq!((report.table, report.partitions[0].number), ("none", 0));
}
