//! A partition table of either kind, and the copy of a GPT.
#![no_main]

use formats::source::ReadAt;
use formats::units::Bytes;
use formats::{gpt, mbr, partition};
use fuzz::image::Image;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, _max_size: usize, seed: u32| {
    fuzz::image::mutate_run(data, size, seed, fuzzer_mutate)
});

fuzz_target!(|bytes: &[u8]| {
    let Some(mut image) = Image::parse(bytes) else {
        return;
    };
    fuzz::gpt::fix(&mut image);
    let found = partition::read(&image);
    if let Ok(Some(table)) = found {
        for partition in &table.partitions {
            let _ = partition.sectors.to_string();
            let _ = format!("{} {:?}", partition.kind, partition);
        }
    }
    let _ = mbr::read(&image);
    let _ = gpt::read(&image);
    let mut head = vec![0; image.size().min(40 << 10) as usize];
    if image.read_exact_at(&mut head, 0).is_ok() {
        let _ = gpt::move_to(&mut head, Bytes(image.size()));
    }
    let _ = gpt::read_at(&image, image.size() / 512 - u64::from(image.size() >= 512));
});
