//! Members, the Manifest, and how metadata and image are compressed.

use testkit::packages::*;
use testkit::tars::{RawMember, RawTar, filter, text};

use crate::{right_image, right_metadata, with, with_manifest};

/// A package with members of any names.
fn tar(members: impl Fn(RawTar) -> RawTar) -> Vec<u8> {
    members(RawTar::default().file("bar-1-1/gpkg-1", "")).end()
}

/// Each file by what is wrong with it.
pub fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let (metadata, image_tar) = (right_metadata(), right_image());
    let right = with(&metadata, &image_tar);
    let zstd = |bytes: &[u8]| filter("zstd", &["-c"], bytes);
    let short = zstd(&image_tar);
    let compressed = |suffix: &str, image: &[u8]| {
        gpkg(&[
            ("metadata.tar", &metadata),
            (&format!("image.tar.{suffix}"), image),
        ])
    };
    let cut = |bytes: &[u8], length: usize| bytes[..length].to_vec();
    let flipped = |offset: usize| {
        let mut bytes = right.clone();
        bytes[offset] ^= 1;
        bytes
    };
    vec![
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
            tar(|tar| tar.member(&RawMember::new(b'3', "bar-1-1/image.tar"))),
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
        ("an image of lz4", compressed("lz4", &image_tar)),
        ("an image of lzip", compressed("lz", &image_tar)),
        ("an image of lzop", compressed("lzo", &image_tar)),
        ("an image of who knows what", compressed("br", &image_tar)),
        (
            "an image compressed otherwise",
            compressed("xz", &zstd(&image_tar)),
        ),
        ("an image not compressed", compressed("gz", &image_tar)),
        ("an empty image", compressed("zst", b"")),
        (
            "a compressed image cut short",
            compressed("zst", &short[..short.len() - 5]),
        ),
        (
            "garbage behind the compressed image",
            compressed("zst", &[&short[..], b"garbage"].concat()),
        ),
        (
            "a window above the limit",
            compressed("zst", &filter("zstd", &["-c", "--long=28"], &image_tar)),
        ),
    ]
}
