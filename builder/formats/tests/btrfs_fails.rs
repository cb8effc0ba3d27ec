//! What cannot be a volume is refused, with the place and the reason.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use btrfs_common::*;
use formats::blob::Blob;
use formats::btrfs::{SubvolumeSpec, VolumeError, VolumeSize, VolumeSpec, lay_out};
use formats::layer::{Attributes, Content, Data, Device, Encoding, Extent, MAX_COMPRESSED, SECTOR};
use formats::tree::{Inode, InodeId, InodeKind, Share, Tree};
use formats::units::{Bytes, Time};

/// A tree with one entry, `name`, in its root directory.
fn one(name: &[u8], kind: InodeKind, attributes: Attributes) -> Tree {
    let root = InodeKind::Directory([(name.to_vec(), InodeId(1))].into());
    let inode = |kind, attributes| Inode {
        attributes,
        kind,
        share: Share::Role,
    };
    Tree {
        inodes: vec![inode(root, mode(0o755)), inode(kind, attributes)],
    }
}

/// The error of laying out `tree`, as it is printed.
fn error(spec: &VolumeSpec, tree: &Tree) -> String {
    lay_out(spec, tree).unwrap_err().to_string()
}

fn error_of(name: &[u8], kind: InodeKind, attributes: Attributes) -> String {
    error(&spec("fails"), &one(name, kind, attributes))
}

fn extent() -> Extent {
    Extent {
        file_offset: 0,
        length: SECTOR,
        encoding: Encoding::Raw,
        blob_offset: 0,
        stored_length: SECTOR,
        checksums: vec![0],
    }
}

/// The error of a file of two sectors with these extents.
fn extents_error(extents: Vec<Extent>) -> String {
    let content = Content {
        size: 2 * SECTOR,
        data: Data::Extents(extents),
    };
    error_of(
        b"file",
        InodeKind::File(content, Blob::from(vec![0; 1 << 20])),
        mode(0o644),
    )
}

#[test]
fn names() {
    let long = vec![b'n'; 256];
    let cases: [(&[u8], &str); 6] = [
        (b"", "/: name of 0 bytes is empty"),
        (b".", "/.: name of 1 bytes has a meaning of its own"),
        (b"..", "/..: name of 2 bytes has a meaning of its own"),
        (b"a/b", "/a/b: name of 3 bytes contains a slash"),
        (b"a\0b", "/a\0b: name of 3 bytes contains NUL"),
        (
            &long,
            &format!("/{}: name of 256 bytes is longer than 255 bytes", "n".repeat(256)),
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(error_of(name, InodeKind::Fifo, mode(0o644)), expected);
    }
}

#[test]
fn attributes() {
    let wide = Attributes {
        mode: 0o10_000,
        ..mode(0)
    };
    assert_eq!(
        error_of(b"f", InodeKind::Fifo, wide),
        "/f: mode 4096 is beyond 4095"
    );
    let time = Time {
        seconds: 0,
        nanoseconds: 1_000_000_000,
    };
    let late = Attributes {
        mtime: time,
        ..mode(0o644)
    };
    assert_eq!(
        error_of(b"f", InodeKind::Fifo, late),
        "/f: nanoseconds of the time 1000000000 is beyond 999999999"
    );
    let large = with_xattr(b"user.x", &[0; 16_228 - 5]);
    assert_eq!(
        error_of(b"f", InodeKind::Fifo, large),
        "/f: extended attribute user.x of 16229 bytes does not fit into a leaf, which has room for 16228 bytes"
    );
    let long = with_xattr(&[b'x'; 256], b"");
    assert!(error_of(b"f", InodeKind::Fifo, long).ends_with("of 256 bytes has a name longer than 255 bytes"));
}

#[test]
fn devices_and_links() {
    let device = |major, minor| InodeKind::BlockDevice(Device { major, minor });
    assert_eq!(
        error_of(b"d", device(4096, 0), mode(0)),
        "/d: device 4096:0 is beyond 4095:1048575"
    );
    assert_eq!(
        error_of(b"d", device(0, 1 << 20), mode(0)),
        "/d: device 0:1048576 is beyond 4095:1048575"
    );
    for length in [0, 4096] {
        let expected = format!("/l: symbolic link to a target of {length} bytes, legal are 1 to 4095");
        assert_eq!(
            error_of(b"l", InodeKind::Symlink(vec![b'x'; length]), mode(0)),
            expected
        );
    }
    let names = (0..65_536_u32).map(|number| (number.to_string().into_bytes(), InodeId(1)));
    let mut tree = one(b"x", InodeKind::Fifo, mode(0));
    tree.inodes[0].kind = InodeKind::Directory(names.collect());
    assert_eq!(
        error(&spec("fails"), &tree),
        "/0 has 65536 hard links, the limit is 65535"
    );
}

#[test]
fn hard_links_that_share_a_hash() {
    let error = lay_out(&spec("fails"), &tree(links_that_collide(30))).unwrap_err();
    assert!(
        matches!(
            error,
            VolumeError::HashCollisions {
                hash: 0,
                size: 16_380,
                limit: 16_258,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().starts_with("/a/0000"), "{error}");
}

#[test]
fn extents() {
    let cases = [
        (
            vec![Extent {
                file_offset: 1,
                ..extent()
            }],
            "1 is not made of whole sectors",
        ),
        (
            vec![Extent {
                length: 0,
                stored_length: 0,
                ..extent()
            }],
            "0 is empty",
        ),
        (vec![extent(), extent()], "0 overlaps the one before"),
        (
            vec![Extent {
                file_offset: 2 * SECTOR,
                ..extent()
            }],
            "8192 reaches beyond the end of the file",
        ),
        (
            vec![Extent {
                file_offset: 0_u64.wrapping_sub(SECTOR),
                ..extent()
            }],
            "18446744073709547520 reaches beyond the end of the file",
        ),
        (
            vec![Extent {
                blob_offset: 0_u64.wrapping_sub(SECTOR),
                ..extent()
            }],
            "0 reaches beyond the end of any blob",
        ),
        (
            vec![Extent {
                length: 2 * SECTOR,
                ..extent()
            }],
            "0 is raw, but stored in another length",
        ),
        (
            vec![Extent {
                checksums: Vec::new(),
                ..extent()
            }],
            "0 has not one checksum for each stored sector",
        ),
        (
            vec![Extent {
                encoding: Encoding::Zstd,
                stored_length: MAX_COMPRESSED + SECTOR,
                ..extent()
            }],
            "0 is larger compressed than 128 KiB",
        ),
    ];
    for (extents, expected) in cases {
        assert_eq!(
            extents_error(extents),
            format!("/file: extent at byte {expected}")
        );
    }
}

#[test]
fn long_extents() {
    let error = |encoding, length: u64| {
        let content = Content {
            size: length,
            data: Data::Extents(vec![Extent {
                length,
                encoding,
                stored_length: if encoding == Encoding::Raw { length } else { SECTOR },
                ..extent()
            }]),
        };
        error_of(
            b"file",
            InodeKind::File(content, Blob::from(Vec::new())),
            mode(0o644),
        )
    };
    assert_eq!(
        error(Encoding::Raw, (128 << 20) + SECTOR),
        "/file: extent at byte 0 is longer than 128 MiB"
    );
    assert_eq!(
        error(Encoding::Zstd, MAX_COMPRESSED + SECTOR),
        "/file: extent at byte 0 is compressed and longer than 128 KiB"
    );
}

#[test]
fn inline_data() {
    let error = |size, encoding, stored: usize| {
        let data = Data::Inline {
            encoding,
            stored: vec![0; stored],
        };
        let kind = InodeKind::File(Content { size, data }, Blob::from(Vec::new()));
        error_of(b"file", kind, mode(0o644))
    };
    assert!(error(0, Encoding::Raw, 0).ends_with("is inline, but has no data"));
    assert!(error(2049, Encoding::Raw, 2049).contains("is inline, but larger than 2048 bytes"));
    assert!(error(4096, Encoding::Zstd, 20).contains("is inline, but larger than"));
    assert!(error(10, Encoding::Raw, 9).ends_with("is inline and raw, but has another length than the file"));
}

#[test]
fn a_file_too_long_to_be_read() {
    let content = Content {
        size: 1 << 63,
        data: Data::Extents(Vec::new()),
    };
    let kind = InodeKind::File(content, Blob::from(Vec::new()));
    let error = error_of(b"file", kind, mode(0o644));
    assert_eq!(
        error,
        format!("/file: file size {} is beyond {}", 1_u64 << 63, i64::MAX)
    );
}

#[test]
fn what_is_no_tree() {
    let spec = spec("fails");
    let directory = |entries: &[(&str, usize)]| {
        let entries = entries
            .iter()
            .map(|(name, id)| (name.as_bytes().to_vec(), InodeId(*id)));
        Inode {
            attributes: mode(0o755),
            kind: InodeKind::Directory(entries.collect()),
            share: Share::Role,
        }
    };
    let fifo = one(b"x", InodeKind::Fifo, mode(0)).inodes.remove(1);
    let cases = [
        (vec![], "/: the root of the tree is not a directory"),
        (vec![fifo], "/: the root of the tree is not a directory"),
        (
            vec![directory(&[("a", 7)])],
            "/a: refers to an inode that the tree lacks",
        ),
        (
            vec![directory(&[("a", 1)]), directory(&[("b", 0)])],
            "/a/b: a directory has two names",
        ),
        (
            vec![directory(&[("a", 1), ("b", 1)]), directory(&[])],
            "/b: a directory has two names",
        ),
    ];
    for (inodes, expected) in cases {
        assert_eq!(error(&spec, &Tree { inodes }), expected);
    }
}

#[test]
fn subvolumes() {
    let mut layer = builder();
    layer.file(b"etc/file", mode(0o644), b"x").unwrap();
    layer.hardlink(b"srv/again", b"etc/file").unwrap();
    layer.symlink(b"link", mode(0o777), b"etc").unwrap();
    let tree = tree(layer);
    let with = |subvolumes: Vec<SubvolumeSpec>| {
        error(
            &VolumeSpec {
                subvolumes,
                ..spec("fails")
            },
            &tree,
        )
    };
    let at = |name, path| subvolume(name, Some(path));
    assert_eq!(
        with(vec![at("@", "/"), at("@srv", "/srv")]),
        "@/etc/file and @srv/again are one file, but hard links cannot cross subvolumes"
    );
    assert_eq!(
        with(vec![at("@", "/"), at("@x", "/link/x")]),
        "mount path \"@/link\" of subvolume @x: is not a directory in the tree"
    );
    assert_eq!(
        with(vec![at("@", "/"), at("@x", "/a/../b")]),
        "mount path \"/a/../b\" of subvolume @x: has a component . or .."
    );
    assert_eq!(
        with(vec![at("a", "/x"), at("b", "x/")]),
        "two subvolumes are to be mounted at x/"
    );
    assert_eq!(
        with(vec![at("@", "/"), at("@", "/y")]),
        format!("two subvolumes have the UUID {}", at("@", "/").uuid)
    );
    let twin = SubvolumeSpec {
        uuid: at("other", "/").uuid,
        ..at("@", "/y")
    };
    assert_eq!(
        with(vec![at("@", "/x"), twin]),
        "subvolume @ meets something else of this name in the top-level subvolume"
    );
    assert_eq!(
        with(vec![at("etc", "/srv")]),
        "/etc/file and etc/again are one file, but hard links cannot cross subvolumes"
    );
    let second = SubvolumeSpec {
        default: true,
        ..at("b", "/x")
    };
    assert_eq!(
        with(vec![at("a", "/"), second]),
        "both a and b are to be the default subvolume"
    );
    assert_eq!(
        with(vec![at("a/b", "/x")]),
        "/a/b: name of 3 bytes contains a slash"
    );
}

#[test]
fn a_subvolume_named_as_an_entry_of_the_top_level() {
    let mut layer = builder();
    layer.directory(b"taken", mode(0o755)).unwrap();
    let spec = VolumeSpec {
        subvolumes: vec![subvolume("taken", None)],
        ..spec("fails")
    };
    assert_eq!(
        error(&spec, &tree(layer)),
        "subvolume taken meets something else of this name in the top-level subvolume"
    );
}

#[test]
fn labels() {
    let tree = tree(builder());
    for label in ["l".repeat(256), "a\nb".into(), "a\0b".into()] {
        let refused = lay_out(
            &VolumeSpec {
                label,
                ..spec("fails")
            },
            &tree,
        )
        .unwrap_err();
        assert!(
            matches!(refused, VolumeError::Label { limit: 255, .. }),
            "{refused}"
        );
    }
    lay_out(
        &VolumeSpec {
            label: "l".repeat(255),
            ..spec("fails")
        },
        &tree,
    )
    .unwrap();
}

#[test]
fn too_small() {
    let spec = VolumeSpec {
        size: VolumeSize::Exact(Bytes::mib(100)),
        ..spec("fails")
    };
    assert_eq!(
        error(&spec, &tree(builder())),
        "the content needs a volume of at least 114294784 bytes (109 MiB), given are 104857600 bytes (100 MiB)"
    );
}
