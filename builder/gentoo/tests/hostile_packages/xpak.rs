//! Trailers and archives of the older format.

use testkit::packages::*;
use testkit::tars::RawTar;

use crate::{right_tar, right_trailer};

/// An entry of the index of an xpak.
fn index_entry(name: &[u8], offset: usize, length: usize) -> Vec<u8> {
    [&integer(name.len())[..], name, &integer(offset), &integer(length)].concat()
}

/// Each file by what is wrong with it.
pub fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let old = xpak(&right_tar(), &right_trailer());
    vec![
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
    ]
}
