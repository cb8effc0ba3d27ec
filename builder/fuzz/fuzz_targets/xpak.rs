//! A package of Gentoo's old format: the file, or index and data of its metadata with lengths that are right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use testkit::packages::{xpak, xpak_trailer_of};
use testkit::tars::RawTar;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    if *kind == u8::MAX {
        let _ = fuzz::package::read(rest);
        return;
    }
    let (index, data) = rest.split_at(rest.len().min(usize::from(*kind)));
    let tar = RawTar::default().directory("./").file("./bar", "").end();
    let _ = fuzz::package::read(&xpak(&tar, &xpak_trailer_of(index, data)));
});
