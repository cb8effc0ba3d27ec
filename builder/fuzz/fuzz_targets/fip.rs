//! Boot loaders of any form, and what they were made of.
#![no_main]

use formats::fip::{read, u_boot_version};
use formats::source::ReadAt;
use fuzz::image::Image;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, _max_size: usize, seed: u32| {
    fuzz::image::mutate_run(data, size, seed, fuzzer_mutate)
});

fuzz_target!(|bytes: &[u8]| {
    let Some(image) = Image::parse(bytes) else {
        return;
    };
    let Ok(Some(found)) = read(&image) else {
        return;
    };
    let mut length = 0;
    for part in &found.parts {
        let lengths = part.lengths();
        assert!(lengths.start() <= lengths.end() && *lengths.end() == part.content.len());
        length += part.content.len() as u64;
        if part.faults.is_empty() {
            assert!(
                part.range.end <= image.size(),
                "{:?} of {}",
                part.range,
                image.size()
            );
        }
        let _ = u_boot_version(&part.content);
        let _ = format!("{} {:?}", part.name, part.faults);
        for fault in &part.faults {
            let _ = fault.to_string();
        }
    }
    // The first stage and the table are small, entries are read up to a limit together.
    assert!(length <= 65 << 20, "{length} bytes of boot loaders");
});
