//! A dependency string. What it comes to has no condition left, and reads as itself.
#![no_main]

use gentoo::depend::{self, Need, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let Some(items) = std::str::from_utf8(rest)
        .ok()
        .and_then(|text| depend::parse(text).ok())
    else {
        return;
    };
    let reader = Reader {
        enabled: &|flag| flag.len() % 2 == usize::from(*kind % 2),
        empty_any_is_met: *kind > 127,
    };
    let needs = reader.needs(&items);
    let shown: Vec<String> = needs.iter().map(Need::to_string).collect();
    let again = depend::parse(&shown.join(" ")).map(|items| reader.needs(&items));
    assert_eq!(again.ok(), Some(needs));
});
