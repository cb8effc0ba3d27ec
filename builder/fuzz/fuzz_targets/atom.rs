//! An atom. What is accepted is shown as it was written, and its version is equal to itself.
#![no_main]

use gentoo::{Atom, Cpv};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(cpv) = text.parse::<Cpv>() {
        assert_eq!(cpv.to_string(), text);
    }
    let Ok(atom) = text.parse::<Atom>() else {
        return;
    };
    assert_eq!(atom.to_string(), text);
    if let Some((_, version)) = &atom.version {
        assert!(version.cmp(version).is_eq() && version.starts_with(version));
    }
});
