//! Package files that somebody made up, cut or broke: each is refused with one clear error.

mod content;
mod gpkg;
#[path = "../package_common/mod.rs"]
mod package_common;
mod xpak;

use formats::units::Bytes;
use gentoo::binary::{BinaryPackage, Expected, Limits};
use package_common::read;
use testkit::error::chain;
use testkit::packages::*;
use testkit::tars::{RawMember, RawTar, filter};

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

#[test]
fn each_is_refused_with_one_clear_error() {
    let hostile = [gpkg::hostile(), content::hostile(), xpak::hostile()].concat();
    assert!(hostile.len() >= 100);
    let mut said = String::new();
    for (what, bytes) in &hostile {
        match read(bytes, &Expected::default(), Limits::default()) {
            Ok(entries) => panic!("{what} is accepted, with {entries} entries"),
            Err(error) => said.push_str(&format!("{what}\n    {}\n", chain(&*error))),
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_they_are_made_from_is_accepted() {
    let accepted = |bytes: &[u8]| {
        read(bytes, &Expected::default(), Limits::default())
            .unwrap_or_else(|error| panic!("{}", chain(&*error)))
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
        chain(&*error)
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
        chain(&*error),
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
