//! Tars that GNU tar made, compared with the folder they were made from.

mod layer_common;

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use formats::layer::*;
use layer_common::{bytes, entry, options, packing, read};
use testkit::tars::{self, gnu_tar};

/// What a format of tar can keep.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    /// Fractions of seconds and extended attributes too.
    All,
    /// Whole seconds, and no extended attributes.
    WholeSeconds,
}

fn populated() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    tars::populate(folder.path()).expect("the folder can be filled");
    folder
}

/// All paths below a folder, without the folder.
fn paths(folder: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for child in fs::read_dir(directory).expect("a readable folder") {
            let path = child.expect("a readable folder").path();
            found.push(
                path.strip_prefix(folder)
                    .expect("it lies below")
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
            );
            if path.symlink_metadata().expect("it exists").is_dir() {
                todo.push(path);
            }
        }
    }
    found.sort();
    found
}

fn xattrs(path: &Path) -> Xattrs {
    let mut list = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut list).expect("attributes can be listed");
    let names = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value).expect("attributes can be read");
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

fn compare(layer: &Layer, folder: &Path, keeps: Keeps) {
    let expected = paths(folder);
    let found: Vec<_> = layer
        .entries
        .iter()
        .map(|entry| entry.path.clone())
        .filter(|path| !path.is_empty())
        .collect();
    assert_eq!(expected, found);
    for path in expected {
        let source = folder.join(OsString::from_vec(path.clone()));
        let metadata = source.symlink_metadata().expect("it exists");
        let entry = entry(layer, &path);
        let name = shown(&path);
        compare_attributes(entry, &metadata, keeps);
        if keeps == Keeps::All {
            assert_eq!(entry.attributes.xattrs, xattrs(&source), "{name}");
        }
        let kind = metadata.file_type();
        match &entry.body {
            Body::Directory => assert!(kind.is_dir(), "{name}"),
            Body::Symlink(target) => {
                assert_eq!(
                    fs::read_link(&source).expect("a link").as_os_str().as_bytes(),
                    target,
                    "{name}"
                );
            }
            Body::File(content) => {
                assert_eq!(content.size, metadata.len(), "{name}");
                assert!(
                    bytes(layer, &path) == fs::read(&source).expect("a file"),
                    "{name} has other bytes"
                );
            }
            Body::Hardlink(target) => {
                let target = folder.join(OsString::from_vec(target.clone()));
                assert_eq!(
                    target.symlink_metadata().expect("it exists").ino(),
                    metadata.ino(),
                    "{name}"
                );
                assert!(metadata.nlink() > 1, "{name}");
            }
            Body::Fifo => assert!(kind.is_fifo(), "{name}"),
            Body::CharacterDevice(device) | Body::BlockDevice(device) => {
                assert_eq!(
                    kind.is_block_device(),
                    matches!(entry.body, Body::BlockDevice(_)),
                    "{name}"
                );
                let number = rustix::fs::makedev(device.major, device.minor);
                assert_eq!(number, metadata.rdev(), "{name}");
            }
            Body::Socket => panic!("tar stores no sockets"),
        }
    }
}

fn compare_attributes(entry: &Entry, metadata: &Metadata, keeps: Keeps) {
    let name = shown(&entry.path);
    let attributes = &entry.attributes;
    assert_eq!(attributes.mode, metadata.mode() & 0o7777, "{name}");
    assert_eq!(
        (attributes.uid, attributes.gid),
        (metadata.uid(), metadata.gid()),
        "{name}"
    );
    assert_eq!(attributes.mtime.seconds, metadata.mtime(), "{name}");
    if keeps == Keeps::All {
        assert_eq!(
            i64::from(attributes.mtime.nanoseconds),
            metadata.mtime_nsec(),
            "{name}"
        );
    }
}

fn tar_of(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    all.extend(["-C".into(), folder.into(), ".".into()]);
    gnu_tar(&all)
}

#[test]
fn pax_keeps_everything() {
    let folder = populated();
    let tar = tar_of(folder.path(), &["--format=pax", "--xattrs", "--xattrs-include=*"]);
    compare(
        &read(&tar, &options()).expect("a sound tar"),
        folder.path(),
        Keeps::All,
    );
}

#[test]
fn sparse_files_are_read_in_all_four_forms() {
    let folder = populated();
    let base = ["--sparse", "--xattrs", "--xattrs-include=*", "--format=pax"];
    let dense = read(&tar_of(folder.path(), &base[1..]), &options()).expect("a sound tar");
    for version in [
        "--sparse-version=0.0",
        "--sparse-version=0.1",
        "--sparse-version=1.0",
    ] {
        let tar = tar_of(folder.path(), &[&base[..], &[version]].concat());
        let layer = read(&tar, &options()).unwrap_or_else(|error| panic!("{version}: {error}"));
        compare(&layer, folder.path(), Keeps::All);
        let Body::File(content) = &entry(&layer, b"sparse-many").body else {
            panic!("it is a file")
        };
        let Data::Extents(extents) = &content.data else {
            panic!("it is large")
        };
        let covered: u64 = extents.iter().map(|extent| extent.length).sum();
        assert_eq!(
            covered,
            100 * 4096,
            "{version}: what the tar leaves out is a hole"
        );
        assert_eq!(bytes(&dense, b"sparse-many"), bytes(&layer, b"sparse-many"));
    }
    let tar = tar_of(folder.path(), &["--sparse", "--format=gnu"]);
    compare(
        &read(&tar, &options()).expect("a sound tar"),
        folder.path(),
        Keeps::WholeSeconds,
    );
}

#[test]
fn gnu_keeps_all_but_fractions_and_attributes() {
    let folder = populated();
    let tar = tar_of(folder.path(), &["--format=gnu"]);
    compare(
        &read(&tar, &options()).expect("a sound tar"),
        folder.path(),
        Keeps::WholeSeconds,
    );
}

#[test]
fn older_formats_keep_what_they_can_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let deep = folder.path().join("directory/".repeat(15));
    fs::create_dir_all(&deep).expect("a folder");
    fs::write(deep.join("file"), tars::text(5000)).expect("a file");
    std::os::unix::fs::symlink("file", deep.join("link")).expect("a link");
    // The path of the file needs the prefix field; the target of a hard link has none, so it has to be short.
    let with_links = |folder: &Path| {
        fs::write(folder.join("linked"), "linked").expect("a file");
        fs::hard_link(folder.join("linked"), folder.join("again")).expect("a link");
    };
    with_links(folder.path());
    let tar = tar_of(folder.path(), &["--format=ustar"]);
    compare(
        &read(&tar, &options()).expect("a sound tar"),
        folder.path(),
        Keeps::WholeSeconds,
    );
    let short = folder.path().join("directory/".repeat(10));
    with_links(&short);
    let tar = tar_of(&short, &["--format=v7"]);
    compare(
        &read(&tar, &options()).expect("a sound tar"),
        &short,
        Keeps::WholeSeconds,
    );
}

#[test]
fn the_root_and_prefixes_are_taken_off() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("etc")).expect("a folder");
    fs::write(folder.path().join("etc/hostname"), "red-07\n").expect("a file");
    let with_root = read(&tar_of(folder.path(), &[]), &options()).expect("a sound tar");
    let paths: Vec<_> = with_root.entries.iter().map(|entry| &entry.path[..]).collect();
    assert_eq!(paths, [&b""[..], b"etc", b"etc/hostname"]);
    let bare = gnu_tar(&["-C".as_ref(), folder.path().as_os_str(), "etc".as_ref()]);
    let bare = read(&bare, &options()).expect("a sound tar");
    assert_eq!(bare.entries, with_root.entries[1..]);
}

#[test]
fn devices_come_with_their_numbers() {
    let tar = gnu_tar(&["-C", "/dev", "null"]);
    let layer = read(&tar, &options()).expect("a sound tar");
    assert_eq!(
        entry(&layer, b"null").body,
        Body::CharacterDevice(Device { major: 1, minor: 3 })
    );
    let refused = TarOptions {
        devices: Devices::Refused,
        ..options()
    };
    let error = read(&tar, &refused).expect_err("devices are not allowed");
    assert_eq!(
        error.to_string(),
        "entry `null` is refused: device nodes are not allowed here"
    );
}

#[test]
fn compressions_are_told_by_content() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for number in 0..20 {
        let data = [tars::text(20_000), tars::noise(20_000, number)].concat();
        fs::write(folder.path().join(format!("file-{number}")), data).expect("a file");
    }
    let tar = tar_of(folder.path(), &[]);
    let plain = read(&tar, &options()).expect("a sound tar");
    let half = tar.len() / 2;
    for (program, arguments) in [
        ("gzip", ["-c", "-1"]),
        ("bzip2", ["-c", "-1"]),
        ("xz", ["-c", "-1"]),
        ("zstd", ["-c", "-1"]),
    ] {
        let packed = tars::filter(program, &arguments, &tar);
        assert!(packed.len() < tar.len());
        let layer = read(&packed, &options()).unwrap_or_else(|error| panic!("{program}: {error}"));
        assert_eq!(layer.entries, plain.entries, "{program}");
        // As parallel compressors write it: several streams, one after another.
        let parts = [&tar[..half], &tar[half..]].map(|part| tars::filter(program, &arguments, part));
        let layer = read(&parts.concat(), &options()).unwrap_or_else(|error| panic!("{program}: {error}"));
        assert_eq!(layer.entries, plain.entries, "{program}");
        for cut in [packed.len() - 1, packed.len() / 2, 7] {
            let error = read(&packed[..cut], &options()).err();
            assert!(
                matches!(
                    error,
                    Some(TarError::Archive(
                        ArchiveError::Read { .. }
                            | ArchiveError::Truncated { .. }
                            | ArchiveError::NoEnd { .. }
                    ))
                ),
                "{program} cut at {cut}: {error:?}"
            );
        }
        let mut damaged = packed.clone();
        damaged[packed.len() / 2] ^= 0x40;
        assert!(read(&damaged, &options()).is_err(), "{program}");
        let trailing = [&packed[..], b"garbage"].concat();
        assert!(read(&trailing, &options()).is_err(), "{program}");
    }
}

#[test]
fn threads_change_nothing() {
    let folder = populated();
    let tar = tar_of(folder.path(), &["--format=pax", "--sparse"]);
    let results = [1, 2, 3, 4, 9].map(|jobs| {
        let mut blob = Vec::new();
        let options = TarOptions {
            packing: packing(jobs),
            ..options()
        };
        let index = from_tar(&tar[..], &mut blob, &options).expect("a sound tar");
        (index.to_bytes(), blob)
    });
    for result in &results[1..] {
        assert!(result == &results[0], "the number of threads changed the result");
    }
}

#[test]
fn equal_data_is_stored_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), tars::noise(3_000_000, 9)).expect("a file");
    }
    let tar = tar_of(folder.path(), &[]);
    let layer = read(&tar, &options()).expect("a sound tar");
    assert_eq!(
        layer.blob.length().expect("in memory"),
        3_000_000_u64.next_multiple_of(4096)
    );
    let Body::File(first) = &entry(&layer, b"a").body else {
        panic!("it is a file")
    };
    assert_eq!(Body::File(first.clone()), entry(&layer, b"b").body);
    let Data::Extents(extents) = &first.data else {
        panic!("it is large")
    };
    let lengths: Vec<u64> = extents.iter().map(|extent| extent.length).collect();
    assert_eq!(
        lengths,
        [
            1 << 20,
            1 << 20,
            (3_000_000_u64 - (2 << 20)).next_multiple_of(4096)
        ]
    );
}
