//! Files of metadata, and paths, links and kinds of entries of images.

use testkit::tars::{RawMember, RawTar};

use crate::{right_image, right_metadata, with, with_image};

fn with_metadata(tar: RawTar) -> Vec<u8> {
    with(&tar.end(), &right_image())
}

/// Each file by what is wrong with it.
pub fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let (metadata, image_tar) = (right_metadata(), right_image());
    vec![
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
            with_metadata(RawTar::default().member(&RawMember::new(b'3', "metadata/PF"))),
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
            with_image(|tar| tar.member(&RawMember::new(b'3', "image/null"))),
        ),
        (
            "a block device",
            with_image(|tar| tar.member(&RawMember::new(b'4', "image/sda"))),
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
    ]
}
