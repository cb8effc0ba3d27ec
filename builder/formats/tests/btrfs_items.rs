//! Every kind of item, each checked by btrfs-progs and by the kernel.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use btrfs_common::*;
use formats::blob::Blob;
use formats::layer::{Attributes, Content, Data, Device, Encoding, Extent, SECTOR};
use formats::tree::{Inode, InodeId, InodeKind, Share, Tree};
use formats::units::Time;
use testkit::compare::assert_same;
use testkit::volume::{Access, LoopMount};

#[test]
fn a_tree_of_nothing() {
    check_by_oracles(&spec("empty"), &tree(builder()));
}

#[test]
fn every_kind_of_inode() {
    let mut layer = builder();
    layer.directory(b"", mode(0o1777)).unwrap();
    layer.directory(b"d", mode(0o2755)).unwrap();
    layer.file(b"d/setuid", mode(0o4755), b"#!").unwrap();
    layer.file(b"d/closed", mode(0), &noise(5000, 1)).unwrap();
    layer
        .symlink(b"d/link", mode(0o777), b"../somewhere/else")
        .unwrap();
    layer.symlink(b"d/long", mode(0o777), &[b'x'; 4095]).unwrap();
    layer.fifo(b"d/fifo", mode(0o600)).unwrap();
    layer.socket(b"d/socket", mode(0o660)).unwrap();
    for (major, minor) in [(1, 3), (0, 0), (254, 255), (259, 65_536), (4095, 1_048_575)] {
        let device = Device { major, minor };
        layer
            .character_device(format!("d/c{major}-{minor}").as_bytes(), mode(0o666), device)
            .unwrap();
        layer
            .block_device(format!("d/b{major}-{minor}").as_bytes(), mode(0o660), device)
            .unwrap();
    }
    let owner = Attributes {
        uid: u32::MAX - 1,
        gid: 65_534,
        ..mode(0o640)
    };
    layer.file(b"owned", owner, b"x").unwrap();
    check_by_oracles(&spec("kinds"), &tree(layer));
}

#[test]
fn names_of_any_bytes() {
    let mut layer = builder();
    let names: [&[u8]; 7] = [
        b"\xff\xfe\x80",
        b" ",
        b"new\nline",
        b"*?[",
        b"\x01",
        "ünïcödé".as_bytes(),
        &[b'n'; 255],
    ];
    for name in names {
        layer.file(name, mode(0o644), name).unwrap();
        layer
            .directory(
                &[name, &b".d"[..]].concat()[..(name.len() + 2).min(255)],
                mode(0o755),
            )
            .unwrap_or_default();
    }
    check_by_oracles(&spec("names"), &tree(layer));
}

#[test]
fn names_that_share_a_hash_share_an_item() {
    let mut layer = builder();
    for (first, second) in colliding_names("name-", 6) {
        layer
            .file(first.as_bytes(), mode(0o644), first.as_bytes())
            .unwrap();
        layer
            .file(second.as_bytes(), mode(0o644), second.as_bytes())
            .unwrap();
    }
    let mut attributes = mode(0o644);
    for (first, second) in colliding_names("user.", 3) {
        attributes.xattrs.insert(first.into_bytes(), b"one".to_vec());
        attributes.xattrs.insert(second.into_bytes(), b"other".to_vec());
    }
    layer.file(b"xattrs", attributes, b"").unwrap();
    check_by_oracles(&spec("collisions"), &tree(layer));
}

#[test]
fn hard_links_in_one_directory_and_in_several() {
    let mut layer = builder();
    layer.file(b"a", mode(0o644), &text(10_000, 1)).unwrap();
    layer.hardlink(b"b", b"a").unwrap();
    layer.directory(b"d", mode(0o755)).unwrap();
    layer.hardlink(b"d/c", b"a").unwrap();
    layer.hardlink(b"d/e/f", b"a").unwrap();
    layer.file(b"other", mode(0o600), b"").unwrap();
    layer.hardlink(b"z", b"other").unwrap();
    check_by_oracles(&spec("links"), &tree(layer));
}

#[test]
fn hard_links_of_what_is_no_file() {
    let mut layer = builder();
    let device = Device { major: 1, minor: 3 };
    layer.symlink(b"link", mode(0o777), b"nowhere").unwrap();
    layer.fifo(b"pipe", mode(0o600)).unwrap();
    layer.socket(b"socket", mode(0o660)).unwrap();
    layer.character_device(b"character", mode(0o666), device).unwrap();
    layer.block_device(b"block", mode(0o660), device).unwrap();
    for first in ["link", "pipe", "socket", "character", "block"] {
        // Names that come before and behind the first.
        layer
            .hardlink(format!("a/{first}").as_bytes(), first.as_bytes())
            .unwrap();
        layer
            .hardlink(format!("z-{first}").as_bytes(), format!("a/{first}").as_bytes())
            .unwrap();
    }
    check_by_oracles(&spec("special links"), &tree(layer));
}

#[test]
fn hard_links_beyond_one_item() {
    // An INODE_REF holds some 60 names of 250 bytes; the others become INODE_EXTREF.
    let mut layer = builder();
    layer.file(b"file", mode(0o644), b"linked").unwrap();
    for number in 0..400 {
        layer
            .hardlink(format!("{number:0>250}").as_bytes(), b"file")
            .unwrap();
        layer
            .hardlink(format!("d{}/{number:0>200}", number % 3).as_bytes(), b"file")
            .unwrap();
    }
    let written = check_by_oracles(&spec("extref"), &tree(layer));
    assert!(testkit::volume::dump_tree(&written.path).contains("INODE_EXTREF"));
}

#[test]
fn hard_links_that_share_a_hash() {
    // 58 names fit into the one INODE_EXTREF.
    let written = check_by_oracles(&spec("extref collisions"), &tree(links_that_collide(29)));
    let dump = testkit::volume::dump_tree(&written.path);
    assert!(dump.contains("INODE_EXTREF 0)"), "{dump}");
}

#[test]
fn as_many_hard_links_as_an_inode_counts() {
    let mut layer = builder();
    layer.file(b"0", mode(0o644), b"linked").unwrap();
    for number in 1..65_535 {
        layer.hardlink(number.to_string().as_bytes(), b"0").unwrap();
    }
    // `btrfs check` takes minutes for an inode of so many names; the kernel looks each of them up.
    let tree = tree(layer);
    let written = write(&spec("65535 links"), &tree);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    assert_same(mount.path(), &tree);
}

#[test]
fn extended_attributes() {
    let mut layer = builder();
    layer
        .directory(b"", with_xattr(b"user.root", b"on the root"))
        .unwrap();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    layer
        .file(b"ping", with_xattr(b"security.capability", capability), b"")
        .unwrap();
    // user::rw- user:1000:r-- group::r-- mask::r-- other::---
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let mut attributes = with_xattr(b"system.posix_acl_access", acl);
    attributes.mode = 0o640;
    layer.file(b"acl", attributes, b"").unwrap();
    layer.file(b"empty", with_xattr(b"user.empty", b""), b"").unwrap();
    layer
        .file(b"binary", with_xattr(b"user.\xff\xfe", &noise(300, 5)), b"")
        .unwrap();
    let name = b"user.largest";
    layer
        .file(b"largest", with_xattr(name, &noise(16_228 - name.len(), 6)), b"")
        .unwrap();
    let mut many = mode(0o644);
    for number in 0..500 {
        many.xattrs.insert(
            format!("user.{number}").into_bytes(),
            noise(number % 100, number as u64),
        );
    }
    layer
        .directory(
            b"many",
            Attributes {
                mode: 0o755,
                ..many.clone()
            },
        )
        .unwrap();
    layer.file(b"many/file", many, b"").unwrap();
    let mut link = mode(0o777);
    link.xattrs
        .insert(b"trusted.link".to_vec(), b"on the link".to_vec());
    layer.symlink(b"link", link, b"largest").unwrap();
    check_by_oracles(&spec("xattrs"), &tree(layer));
}

#[test]
fn times_of_any_age() {
    let mut layer = builder();
    let seconds = [
        0,
        1,
        -1,
        -2_208_988_800,
        i64::from(i32::MAX) + 1,
        i64::from(u32::MAX) + 1,
        1 << 40,
        -(1 << 40),
    ];
    for (number, seconds) in seconds.into_iter().enumerate() {
        for nanoseconds in [0, 1, 999_999_999] {
            let attributes = Attributes {
                mtime: Time { seconds, nanoseconds },
                ..mode(0o644)
            };
            layer
                .file(format!("{number}-{nanoseconds}").as_bytes(), attributes, b"")
                .unwrap();
        }
    }
    check_by_oracles(&spec("times"), &tree(layer));
}

#[test]
fn a_directory_of_many_and_a_tree_of_many_levels() {
    let mut layer = builder();
    for number in 0..20_000 {
        layer
            .file(format!("big/entry-{number}").as_bytes(), mode(0o644), b"")
            .unwrap();
    }
    let mut tree = tree(layer);
    // Deeper than a layer's paths may be.
    let mut parent = Tree::ROOT;
    for _ in 0..900 {
        let id = InodeId(tree.inodes.len());
        let kind = InodeKind::Directory(Default::default());
        tree.inodes.push(Inode {
            attributes: mode(0o755),
            kind,
            share: Share::Role,
        });
        let InodeKind::Directory(entries) = &mut tree.inodes[parent.0].kind else {
            panic!("what was just made is a directory")
        };
        entries.insert(b"d".to_vec(), id);
        parent = id;
    }
    let written = check_by_oracles(&spec("many"), &tree);
    let dump = testkit::volume::dump_tree(&written.path);
    assert!(dump.contains("level 1 items"), "the tree has nodes above leaves");
}

#[test]
fn a_tree_of_three_levels() {
    // A leaf holds seven such files, so it takes 493 * 7 of them to need a second node, and a third level above.
    let mut layer = raw_builder();
    for number in 0..8000_u64 {
        layer
            .file(format!("{number}").as_bytes(), mode(0o644), &noise(2048, number))
            .unwrap();
    }
    let written = check_by_oracles(&spec("levels"), &tree(layer));
    assert!(testkit::volume::dump_tree(&written.path).contains("level 2 items"));
}

#[test]
fn files_of_every_length_at_the_edges() {
    for (name, mut layer) in [("raw", raw_builder()), ("zstd", builder())] {
        for base in [0, 2048, 4096, 8192, 128 << 10, 256 << 10, 1 << 20] {
            for length in [base - 1, base, base + 1]
                .into_iter()
                .filter(|length| *length >= 0)
            {
                let (length, seed) = (length as usize, length as u64);
                layer
                    .file(
                        format!("noise-{length}").as_bytes(),
                        mode(0o644),
                        &noise(length, seed),
                    )
                    .unwrap();
                layer
                    .file(
                        format!("text-{length}").as_bytes(),
                        mode(0o644),
                        &text(length, seed),
                    )
                    .unwrap();
            }
        }
        let zeros = vec![0; 1 << 20];
        layer.file(b"zeros", mode(0o644), &zeros).unwrap();
        layer
            .file(
                b"holes",
                mode(0o644),
                &[&noise(200_000, 1), &zeros[..], &text(200_000, 2), &zeros].concat(),
            )
            .unwrap();
        let written = check_by_oracles(&spec(name), &tree(layer));
        let superblock = testkit::volume::dump_superblock(&written.path);
        assert_eq!(
            superblock.contains("COMPRESS_ZSTD"),
            name == "zstd",
            "{superblock}"
        );
    }
}

/// Adds a file to the root directory that no layer makes.
fn add_file(tree: &mut Tree, name: &str, size: u64, extents: Vec<Extent>, blob: &Blob) {
    let id = InodeId(tree.inodes.len());
    let content = Content {
        size,
        data: Data::Extents(extents),
    };
    let kind = InodeKind::File(content, blob.clone());
    tree.inodes.push(Inode {
        attributes: mode(0o644),
        kind,
        share: Share::Role,
    });
    let InodeKind::Directory(entries) = &mut tree.inodes[0].kind else {
        panic!("a root that is no directory")
    };
    entries.insert(name.as_bytes().to_vec(), id);
}

/// `count` extents of one sector each, all at the same place of the blob, every second sector of the file.
fn same_sector(blob_offset: u64, count: u64, checksum: u32) -> Vec<Extent> {
    (0..count)
        .map(|number| Extent {
            file_offset: 2 * number * SECTOR,
            length: SECTOR,
            encoding: Encoding::Raw,
            blob_offset,
            stored_length: SECTOR,
            checksums: vec![checksum],
        })
        .collect()
}

#[test]
fn holes_at_every_place() {
    let bytes = noise(SECTOR as usize, 7);
    let checksum = crc32c::crc32c(&bytes);
    let blob = Blob::from(bytes);
    let mut tree = tree(builder());
    let extent = same_sector(0, 1, checksum).remove(0);
    add_file(&mut tree, "all-hole", 1 << 40, Vec::new(), &blob);
    add_file(
        &mut tree,
        "hole-behind",
        (1 << 40) + 1,
        vec![extent.clone()],
        &blob,
    );
    let at_end = Extent {
        file_offset: 1 << 40,
        ..extent
    };
    add_file(&mut tree, "hole-before", (1 << 40) + 17, vec![at_end], &blob);
    add_file(
        &mut tree,
        "comb",
        2 * 500 * SECTOR,
        same_sector(0, 500, checksum),
        &blob,
    );
    // A terabyte of zeros takes too long to be read; length and blocks tell enough of those three.
    let written = write(&spec("holes"), &tree);
    testkit::volume::btrfs_check(&written.path);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    for (name, size, blocks) in [
        ("all-hole", 1 << 40, 0),
        ("hole-behind", (1 << 40) + 1, 8),
        ("hole-before", (1 << 40) + 17, 8),
    ] {
        use std::os::unix::fs::MetadataExt;
        let metadata = mount.path().join(name).metadata().unwrap();
        assert_eq!((metadata.len(), metadata.blocks()), (size, blocks), "{name}");
        std::fs::remove_file(mount.path().join(name)).unwrap_err();
    }
    let InodeKind::Directory(entries) = &mut tree.inodes[0].kind else {
        panic!("a root that is no directory")
    };
    entries.retain(|name, _| name == b"comb");
    let names = |text: &String| !["all-hole", "hole-b"].iter().any(|name| text.contains(name));
    let found: Vec<String> = testkit::compare::differences(mount.path(), &tree)
        .into_iter()
        .filter(names)
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn one_extent_with_any_number_of_references() {
    // 33 references fit into the item of the extent; the others get items of their own.
    let bytes = [
        noise(SECTOR as usize, 8),
        noise(SECTOR as usize, 9),
        noise(SECTOR as usize, 10),
    ]
    .concat();
    let checksums: Vec<u32> = bytes.chunks(SECTOR as usize).map(crc32c::crc32c).collect();
    let blob = Blob::from(bytes);
    let mut tree = tree(builder());
    for (place, count) in [(0, 33), (1, 34), (2, 3000)] {
        let extents = same_sector(place * SECTOR, count, checksums[place as usize]);
        add_file(
            &mut tree,
            &count.to_string(),
            2 * count * SECTOR,
            extents.clone(),
            &blob,
        );
        add_file(
            &mut tree,
            &format!("{count} again"),
            2 * count * SECTOR,
            extents,
            &blob,
        );
    }
    let written = check_by_oracles(&spec("references"), &tree);
    assert!(testkit::volume::dump_tree(&written.path).contains("EXTENT_DATA_REF"));
    // The sectors of three places.
    assert_eq!(written.volume.figures.data.0, 3 * SECTOR);
}

#[test]
fn equal_files_are_stored_once() {
    let mut layer = builder();
    let bytes = noise(1 << 20, 11);
    for number in 0..10 {
        layer
            .file(number.to_string().as_bytes(), mode(0o644), &bytes)
            .unwrap();
    }
    let written = check_by_oracles(&spec("equal"), &tree(layer));
    assert_eq!(written.volume.figures.data.0, 1 << 20);
}
