//! The index of a pack. The names in it cannot lead out of the pack's folder, and it comes back as it is.
#![no_main]

use formats::pack::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = Index::from_json(bytes) else {
        return;
    };
    let bases = index.bases.iter().map(|base| &base.name);
    for name in bases.chain(index.nodes.iter().map(|node| &node.name)) {
        assert!(!name.starts_with('.') && !name.contains('/') && !name.is_empty());
    }
    let again = index.to_json().map(|json| Index::from_json(json.as_bytes()).ok());
    assert_eq!(again.ok().flatten(), Some(index));
});
