//! Package files that somebody made up, cut or broke: each is refused with one clear error.

mod package_common;

use formats::units::Bytes;
use gentoo::binary::{BinaryPackage, Expected, Limits};
use package_common::{read, shown};
use testkit::packages::*;
use testkit::tars::{RawMember, RawTar, filter, text};

/// Metadata that every package has.
fn files() -> Vec<(&'static str, &'static str)> {
    vec![("CATEGORY", "app\n"), ("PF", "bar-1\n"), ("SLOT", "0\n")]
}

fn right_metadata() -> Vec<u8> {
    metadata(&files())
}

/// An image with these entries behind its folder.
fn image(entries: impl Fn(RawTar) -> RawTar) -> Vec<u8> {
    entries(RawTar::default().directory("image")).end()
}

fn right_image() -> Vec<u8> {
    image(|tar| tar.directory("image/bin").file("image/bin/bar", "#!/bin/sh\n"))
}

/// A package with this metadata and image, its Manifest right.
fn with(metadata: &[u8], image: &[u8]) -> Vec<u8> {
    gpkg(&[("metadata.tar", metadata), ("image.tar", image)])
}

fn with_image(entries: impl Fn(RawTar) -> RawTar) -> Vec<u8> {
    with(&right_metadata(), &image(entries))
}

fn with_metadata(tar: RawTar) -> Vec<u8> {
    with(&tar.end(), &right_image())
}

/// A package whose Manifest was changed.
fn with_manifest(change: impl Fn(String) -> String) -> Vec<u8> {
    let (metadata, image) = (right_metadata(), right_image());
    let mut members = vec![
        ("gpkg-1", &b""[..]),
        ("metadata.tar", &metadata),
        ("image.tar", &image),
    ];
    let manifest = change(String::from_utf8(manifest(&members)).expect("a Manifest is text"));
    members.push(("Manifest", manifest.as_bytes()));
    gpkg_of("bar-1-1", &members)
}

/// A package with members of any names.
fn tar(members: impl Fn(RawTar) -> RawTar) -> Vec<u8> {
    members(RawTar::default().file("bar-1-1/gpkg-1", "")).end()
}

/// The trailer of a right xpak.
fn right_trailer() -> Vec<u8> {
    xpak_trailer(&[("CATEGORY", b"app\n"), ("PF", b"bar-1\n")])
}

fn right_tar() -> Vec<u8> {
    RawTar::default()
        .directory("./")
        .directory("./bin")
        .file("./bin/bar", "#!/bin/sh\n")
        .end()
}

/// An entry of the index of an xpak.
fn index_entry(name: &[u8], offset: usize, length: usize) -> Vec<u8> {
    [&integer(name.len())[..], name, &integer(offset), &integer(length)].concat()
}

/// Each file by what is wrong with it.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let (metadata, image_tar) = (right_metadata(), right_image());
    let right = with(&metadata, &image_tar);
    let zstd = |bytes: &[u8]| filter("zstd", &["-c"], bytes);
    let member = |typeflag, name: &str| RawMember::new(typeflag, name);
    let cut = |bytes: &[u8], length: usize| bytes[..length].to_vec();
    let flipped = |offset: usize| {
        let mut bytes = right.clone();
        bytes[offset] ^= 1;
        bytes
    };
    let old = xpak(&right_tar(), &right_trailer());
    let mut files = vec![
        ("empty", Vec::new()),
        ("no package at all", text(4000)),
        ("a compressed gpkg", zstd(&right)),
        ("cut in the image", cut(&right, 5000)),
        ("cut before the end mark", cut(&right, right.len() - 1024)),
        ("cut in the end mark", cut(&right, right.len() - 512)),
        ("garbage behind the end", [&right[..], b"garbage"].concat()),
        ("a second package behind the first", right.repeat(2)),
        ("a header that was changed", flipped(20)),
        ("metadata that was changed", flipped(1024 + 512)),
        (
            "an image that was changed",
            flipped(right.len() - 1024 - 1024 - 512 - 2048),
        ),
        (
            "another format",
            RawTar::default().file("bar-1-1/gpkg-2", "").end(),
        ),
        (
            "the metadata first",
            RawTar::default()
                .file("bar-1-1/metadata.tar", "")
                .file("bar-1-1/gpkg-1", "")
                .end(),
        ),
        ("no members", tar(|tar| tar)),
        ("no metadata", gpkg(&[("image.tar", &image_tar)])),
        ("no image", gpkg(&[("metadata.tar", &metadata)])),
        (
            "two images",
            gpkg(&[
                ("metadata.tar", &metadata),
                ("image.tar", &image_tar),
                ("image.tar.zst", &zstd(&image_tar)),
            ]),
        ),
        (
            "a member twice",
            tar(|tar| tar.file("bar-1-1/image.tar", "a").file("bar-1-1/image.tar", "b")),
        ),
        (
            "the Manifest twice",
            tar(|tar| tar.file("bar-1-1/Manifest", "a").file("bar-1-1/Manifest", "b")),
        ),
        (
            "an absolute member",
            tar(|tar| tar.file("/bar-1-1/image.tar", "")),
        ),
        (
            "a member that leads out",
            tar(|tar| tar.file("bar-1-1/../image.tar", "")),
        ),
        (
            "a member in the folder above",
            tar(|tar| tar.file("../image.tar", "")),
        ),
        ("a member in no folder", tar(|tar| tar.file("image.tar", ""))),
        (
            "a member deeper down",
            tar(|tar| tar.file("bar-1-1/more/image.tar", "")),
        ),
        (
            "a member in another folder",
            tar(|tar| tar.file("bar-1-2/image.tar", "")),
        ),
        (
            "a member that is a folder",
            tar(|tar| tar.directory("bar-1-1/more")),
        ),
        (
            "a member that is a symbolic link",
            tar(|tar| tar.symlink("bar-1-1/image.tar", "/etc/passwd")),
        ),
        (
            "a member that is a hard link",
            tar(|tar| tar.hardlink("bar-1-1/image.tar", "bar-1-1/gpkg-1")),
        ),
        (
            "a member that is a device",
            tar(|tar| tar.member(&member(b'3', "bar-1-1/image.tar"))),
        ),
        (
            "a sparse member",
            tar(|tar| {
                tar.pax(b'x', &[("GNU.sparse.map", b"1,4"), ("GNU.sparse.size", b"9")])
                    .file("bar-1-1/image.tar", "data")
            }),
        ),
        (
            "many members",
            (0..70)
                .fold(RawTar::default().file("a/gpkg-1", ""), |tar, number| {
                    tar.file(format!("a/{number}"), "")
                })
                .end(),
        ),
        (
            "no Manifest",
            gpkg_of(
                "a",
                &[
                    ("gpkg-1", b""),
                    ("metadata.tar", &metadata),
                    ("image.tar", &image_tar),
                ],
            ),
        ),
        (
            "a long Manifest",
            tar(|tar| tar.file("bar-1-1/Manifest", vec![b'\n'; (1 << 20) + 1])),
        ),
        (
            "a Manifest that is no text",
            with_manifest(|text| text + "\u{0}DATA"),
        ),
        (
            "a Manifest without a member",
            with_manifest(|text| {
                text.lines()
                    .filter(|line| !line.contains("image"))
                    .map(|line| format!("{line}\n"))
                    .collect()
            }),
        ),
        (
            "a Manifest without the first member",
            with_manifest(|text| text.lines().skip(1).map(|line| format!("{line}\n")).collect()),
        ),
        (
            "a Manifest with one member more",
            with_manifest(|text| text + &manifest_line("image.tar.sig", b"")),
        ),
        (
            "a Manifest with a member twice",
            with_manifest(|text| text.repeat(2)),
        ),
        (
            "a Manifest with another length",
            with_manifest(|text| text.replace("image.tar ", "image.tar 1")),
        ),
        (
            "a Manifest with another SHA512",
            with_manifest(|text| text.replace("SHA512 cf83", "SHA512 cf84")),
        ),
        (
            "a Manifest with another BLAKE2B",
            with_manifest(|text| text.replace("BLAKE2B 786a", "BLAKE2B 786b")),
        ),
        (
            "a Manifest with a short sum",
            with_manifest(|text| text.replace("SHA512 cf83", "SHA512 ")),
        ),
        (
            "a Manifest with hashes nobody knows",
            with_manifest(|text| text.replace("SHA512", "MD5").replace("BLAKE2B", "CRC32")),
        ),
        (
            "a Manifest of another kind",
            with_manifest(|text| text.replace("DATA", "DIST")),
        ),
        (
            "a signature without an end",
            with_manifest(|text| format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n{text}")),
        ),
    ];
    for suffix in ["lz4", "lz", "lzo", "br"] {
        let name: &'static str = [
            "an image of lz4",
            "an image of lzip",
            "an image of lzop",
            "an image of who knows what",
        ][["lz4", "lz", "lzo", "br"]
            .iter()
            .position(|other| *other == suffix)
            .expect("one of them")];
        files.push((
            name,
            gpkg(&[
                ("metadata.tar", &metadata),
                (&format!("image.tar.{suffix}"), &image_tar),
            ]),
        ));
    }
    let short = zstd(&image_tar);
    files.extend([
        (
            "an image compressed otherwise",
            gpkg(&[("metadata.tar", &metadata), ("image.tar.xz", &zstd(&image_tar))]),
        ),
        (
            "an image not compressed",
            gpkg(&[("metadata.tar", &metadata), ("image.tar.gz", &image_tar)]),
        ),
        (
            "an empty image",
            gpkg(&[("metadata.tar", &metadata), ("image.tar.zst", b"")]),
        ),
        (
            "a compressed image cut short",
            gpkg(&[
                ("metadata.tar", &metadata),
                ("image.tar.zst", &short[..short.len() - 5]),
            ]),
        ),
        (
            "garbage behind the compressed image",
            gpkg(&[
                ("metadata.tar", &metadata),
                ("image.tar.zst", &[&short[..], b"garbage"].concat()),
            ]),
        ),
        (
            "a window above the limit",
            gpkg(&[
                ("metadata.tar", &metadata),
                ("image.tar.zst", &filter("zstd", &["-c", "--long=28"], &image_tar)),
            ]),
        ),
        (
            "metadata elsewhere",
            with_metadata(RawTar::default().file("meta/PF", "bar-1")),
        ),
        (
            "metadata that leads out",
            with_metadata(RawTar::default().file("metadata/../PF", "bar-1")),
        ),
        (
            "metadata deeper down",
            with_metadata(RawTar::default().file("metadata/a/b", "bar-1")),
        ),
        (
            "metadata without a name",
            with_metadata(RawTar::default().file("metadata/", "")),
        ),
        (
            "metadata twice",
            with_metadata(
                RawTar::default()
                    .file("metadata/PF", "a")
                    .file("metadata/PF", "b"),
            ),
        ),
        (
            "metadata that is a symbolic link",
            with_metadata(RawTar::default().symlink("metadata/PF", "/etc/passwd")),
        ),
        (
            "metadata that is a hard link",
            with_metadata(
                RawTar::default()
                    .file("metadata/P", "a")
                    .hardlink("metadata/PF", "metadata/P"),
            ),
        ),
        (
            "metadata that is a device",
            with_metadata(RawTar::default().member(&member(b'3', "metadata/PF"))),
        ),
        ("metadata cut short", with(&metadata[..700], &image_tar)),
        (
            "metadata without CATEGORY",
            with_metadata(RawTar::default().file("metadata/PF", "bar-1")),
        ),
        (
            "metadata without PF",
            with_metadata(RawTar::default().file("metadata/CATEGORY", "app")),
        ),
        (
            "metadata that is no text",
            with_metadata(RawTar::default().file("metadata/CATEGORY", b"\xff")),
        ),
        ("an absolute path", with_image(|tar| tar.file("/etc/passwd", ""))),
        (
            "a path that leads out",
            with_image(|tar| tar.file("image/../../etc/passwd", "")),
        ),
        (
            "a path outside of the image",
            with_image(|tar| tar.file("etc/passwd", "")),
        ),
        (
            "a path twice",
            with_image(|tar| tar.file("image/a", "").file("image/a", "")),
        ),
        (
            "a path through a symbolic link",
            with_image(|tar| tar.symlink("image/lib", "/etc").file("image/lib/passwd", "")),
        ),
        (
            "a symbolic link over a folder",
            with_image(|tar| tar.file("image/lib/a", "").symlink("image/lib", "/etc")),
        ),
        (
            "an image that is a symbolic link",
            with(
                &metadata,
                &RawTar::default()
                    .symlink("image", "/etc")
                    .file("image/passwd", "")
                    .end(),
            ),
        ),
        (
            "a character device",
            with_image(|tar| tar.member(&member(b'3', "image/null"))),
        ),
        (
            "a block device",
            with_image(|tar| tar.member(&member(b'4', "image/sda"))),
        ),
        (
            "a hard link to what comes later",
            with_image(|tar| tar.hardlink("image/a", "image/b").file("image/b", "")),
        ),
        (
            "a hard link that leads out",
            with_image(|tar| tar.hardlink("image/a", "image/../../etc/shadow")),
        ),
        (
            "a hard link to outside of the image",
            with_image(|tar| tar.hardlink("image/a", "/etc/shadow")),
        ),
        (
            "a hard link to a folder",
            with_image(|tar| tar.directory("image/d").hardlink("image/a", "image/d")),
        ),
        (
            "a symbolic link that leads out",
            with_image(|tar| tar.symlink("image/usr/a", "../../etc/passwd")),
        ),
        (
            "a symbolic link to nothing",
            with_image(|tar| tar.symlink("image/a", "")),
        ),
        (
            "a file above the limit",
            with_image(|tar| {
                tar.pax(
                    b'x',
                    &[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9000000000")],
                )
                .file("image/a", "x")
            }),
        ),
        ("an image cut short", with(&metadata, &image_tar[..1000])),
        (
            "a trailer longer than the file",
            [&integer(5000)[..], b"STOP"].concat(),
        ),
        (
            "a trailer above the limit",
            [&vec![0; 70 << 20][..], &integer(65 << 20), b"STOP"].concat(),
        ),
        ("four bytes", b"STOP".to_vec()),
        (
            "a trailer without its beginning",
            xpak(&right_tar(), &[b'x'; 100]),
        ),
        (
            "a trailer without its end",
            xpak(&right_tar(), &right_trailer()[..40]),
        ),
        (
            "a trailer with other lengths",
            xpak(
                &right_tar(),
                &[b"XPAKPACK", &integer(7)[..], &integer(7), b"XPAKSTOP"].concat(),
            ),
        ),
        (
            "an index that ends early",
            xpak(
                &right_tar(),
                &xpak_trailer_of(&[&integer(9)[..], b"PF"].concat(), b""),
            ),
        ),
        (
            "files that overlap",
            xpak(
                &right_tar(),
                &xpak_trailer_of(
                    &[index_entry(b"a", 0, 4), index_entry(b"b", 2, 4)].concat(),
                    b"123456",
                ),
            ),
        ),
        (
            "a file behind the data",
            xpak(&right_tar(), &xpak_trailer_of(&index_entry(b"a", 0, 9), b"1234")),
        ),
        (
            "data of no file",
            xpak(
                &right_tar(),
                &xpak_trailer_of(&index_entry(b"a", 0, 4), b"1234garbage"),
            ),
        ),
        (
            "a file twice",
            xpak(&right_tar(), &xpak_trailer(&[("PF", b"a"), ("PF", b"b")])),
        ),
        (
            "a file that leads out",
            xpak(&right_tar(), &xpak_trailer(&[("../PF", b"a")])),
        ),
        (
            "an xpak without CATEGORY",
            xpak(&right_tar(), &xpak_trailer(&[("PF", b"a")])),
        ),
        ("an xpak without a tar", xpak(b"", &right_trailer())),
        ("an xpak of lz4", xpak(b"\x04\x22\x4d\x18....", &right_trailer())),
        (
            "an xpak with garbage before its trailer",
            xpak(&[&right_tar()[..], b"garbage"].concat(), &right_trailer()),
        ),
        (
            "an xpak with an absolute path",
            xpak(&RawTar::default().file("/etc/passwd", "").end(), &right_trailer()),
        ),
        (
            "an xpak that leads out",
            xpak(
                &RawTar::default().file("./../etc/passwd", "").end(),
                &right_trailer(),
            ),
        ),
        ("garbage behind an xpak", [&old[..], b"x"].concat()),
    ]);
    files
}

#[test]
fn each_is_refused_with_one_clear_error() {
    let hostile = hostile();
    assert!(hostile.len() >= 100);
    let mut said = String::new();
    for (what, bytes) in &hostile {
        match read(bytes, &Expected::default(), Limits::default()) {
            Ok(entries) => panic!("{what} is accepted, with {entries} entries"),
            Err(error) => said.push_str(&format!("{what}\n    {}\n", shown(&*error))),
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_they_are_made_from_is_accepted() {
    let accepted = |bytes: &[u8]| {
        read(bytes, &Expected::default(), Limits::default())
            .unwrap_or_else(|error| panic!("{}", shown(&*error)))
    };
    assert_eq!(accepted(&with(&right_metadata(), &right_image())), 3);
    assert_eq!(
        accepted(&with_manifest(
            |text| text.replace(" BLAKE2B", " SHA3_512 00 BLAKE2B")
        )),
        3
    );
    assert_eq!(accepted(&xpak(&right_tar(), &right_trailer())), 3);
    // Targets are within the root that the image gets installed to.
    let links = with_image(|tar| {
        tar.file("image/usr/bin/a", "")
            .symlink("image/usr/bin/b", "/usr/bin/a")
            .symlink("image/usr/bin/c", "../../usr/./bin//a")
            .hardlink("image/usr/bin/d", "image/usr/bin/a")
            .hardlink("image/usr/bin/e", "image/usr/bin/d")
    });
    assert_eq!(accepted(&links), 6);
}

#[test]
fn limits_stop_what_they_say() {
    let stopped = |bytes: &[u8], change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        let error =
            read(bytes, &Expected::default(), limits).expect_err("the limit has to stop this package");
        shown(&*error)
    };
    let right = with(&right_metadata(), &right_image());
    let old = xpak(&right_tar(), &right_trailer());
    let said = [
        stopped(&right, &|limits| limits.members = 2),
        stopped(&right, &|limits| limits.manifest = Bytes(100)),
        stopped(&right, &|limits| limits.metadata = Bytes(1024)),
        stopped(&right, &|limits| limits.metadata_files = 2),
        stopped(&right, &|limits| limits.metadata_file = Bytes(3)),
        stopped(&right, &|limits| limits.image = Bytes(2000)),
        stopped(&right, &|limits| limits.entries = 2),
        stopped(&right, &|limits| limits.file = Bytes(9)),
        stopped(&old, &|limits| limits.metadata = Bytes(60)),
        stopped(&old, &|limits| limits.metadata_files = 1),
        stopped(&old, &|limits| limits.metadata_file = Bytes(3)),
        stopped(&old, &|limits| limits.image = Bytes(2000)),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

/// A file of zeros of this many bytes as an image, in a file that is a few thousand times smaller.
fn bomb(size: u64) -> Vec<u8> {
    let header = RawMember {
        size: Some(size),
        ..RawMember::new(b'0', "image/zeros")
    };
    let zeros = format!("head -c {size} /dev/zero | zstd -c");
    let parts = [
        filter("zstd", &["-c"], &header.header()),
        filter("sh", &["-c", &zeros], b""),
        filter("zstd", &["-c"], &[0; 1024]),
    ];
    gpkg(&[
        ("metadata.tar", &right_metadata()),
        ("image.tar.zst", &parts.concat()),
    ])
}

#[test]
fn images_are_never_in_memory() {
    let package = bomb(512 << 20);
    assert!(package.len() < 1 << 20);
    let limits = Limits {
        image: Bytes::mib(256),
        ..Limits::default()
    };
    let error = read(&package, &Expected::default(), limits).expect_err("it is larger than that");
    assert_eq!(
        shown(&*error),
        "the image's entry `image/zeros` is refused: with it the files have more than the limit of 256 MiB together"
    );
    let package = BinaryPackage::open_within(
        package_common::file(&package),
        &Expected::default(),
        &package_common::Anybody,
        limits,
    );
    let package = package.expect("its image is not looked at yet");
    let read = std::io::copy(&mut package.image().expect("a stream"), &mut std::io::sink());
    assert_eq!(
        read.expect_err("it is larger than that").to_string(),
        "the image unpacks to more than the limit of 256 MiB"
    );
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux tells the peak");
    let kib: u64 = peak.trim_end_matches("kB").trim().parse().expect("a number");
    assert!(kib < 100 << 10, "{kib} KiB at most");
}
