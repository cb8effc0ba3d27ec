//! A package of Gentoo's format: the file, or what is in it with a Manifest that is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use testkit::packages::gpkg;

/// How the image is called, by the first byte of an input.
const SUFFIXES: [&str; 5] = ["", ".gz", ".bz2", ".xz", ".zst"];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let Some(suffix) = SUFFIXES.get(usize::from(*kind)) else {
        let _ = fuzz::package::read(rest);
        return;
    };
    // The length of the metadata, in blocks of a tar.
    let Some((blocks, rest)) = rest.split_first() else {
        return;
    };
    let (metadata, image) = rest.split_at(rest.len().min(usize::from(*blocks) * 512));
    let members = [("metadata.tar", metadata), (&format!("image.tar{suffix}"), image)];
    let _ = fuzz::package::read(&gpkg(&members));
});
