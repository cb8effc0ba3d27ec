//! The manifest of an image. What is accepted comes back as it is.
#![no_main]

use formats::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else {
        return;
    };
    let again = serde_json::to_vec(&manifest).and_then(|json| serde_json::from_slice(&json));
    assert_eq!(again.ok(), Some(manifest));
});
