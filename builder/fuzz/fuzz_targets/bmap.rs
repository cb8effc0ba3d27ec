//! A block map. What is accepted comes back as it is.
#![no_main]

use formats::bmap::BlockMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(map) = BlockMap::from_xml(&fuzz::seal::sealed_map(bytes)) else {
        return;
    };
    let again = BlockMap::from_xml(map.to_xml().as_bytes());
    assert_eq!(again.ok().as_ref(), Some(&map));
    let mut end = 0;
    for range in &map.ranges {
        assert!(range.offset >= end && range.length > 0);
        end = range.range().end;
    }
    assert!(end <= map.image_size.0);
    if let Some(segments) = map.segments() {
        assert_eq!(BlockMap::of(&segments), map);
    }
});
