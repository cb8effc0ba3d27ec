//! A delta, and an image that it changes. What is accepted comes back as it is.
#![no_main]

use formats::delta::{Delta, Patched};
use formats::source::ReadAt;
use libfuzzer_sys::fuzz_target;

/// Bytes of the base.
const BASE: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    let Ok(delta) = Delta::from_bytes(&fuzz::seal::sealed(bytes)) else {
        return;
    };
    let again = Delta::from_bytes(&delta.to_bytes());
    assert_eq!(again.ok().map(|delta| delta.runs), Some(delta.runs.clone()));
    assert!(delta.bytes() <= bytes.len() as u64);
    let Some(patched) = Patched::new(vec![0x5a; BASE], delta.clone()) else {
        return;
    };
    let mut read = vec![0; BASE];
    assert!(patched.read_exact_at(&mut read, 0).is_ok());
    let mut expected = vec![0x5a; BASE];
    for run in &delta.runs {
        expected[run.range().start as usize..run.range().end as usize].copy_from_slice(&run.bytes);
    }
    assert!(read == expected);
});
