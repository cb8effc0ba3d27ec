//! A FAT volume, all that a reader can be asked of it.
#![no_main]

use formats::fat::read::{ReadError, Reader};
use fuzz::image::Image;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, _max_size: usize, seed: u32| {
    fuzz::image::mutate_run(data, size, seed, fuzzer_mutate)
});

fuzz_target!(|bytes: &[u8]| {
    if let Some(image) = Image::parse(bytes) {
        let _ = read(&image);
    }
});

fn read(image: &Image) -> Result<(), ReadError> {
    let reader = Reader::open(image)?;
    let summary = reader.summary();
    let _ = reader.tables_agree();
    let mut length = 0;
    for entry in reader.walk()? {
        let _ = reader.places(&entry);
        for part in reader.parts(&entry) {
            let Ok(part) = part else {
                break;
            };
            assert!(!part.is_empty());
            length += part.len() as u64;
            // No two files can be as long together as the volume.
            assert!(length <= summary.size.0, "{length} bytes of files");
        }
    }
    Ok(())
}
