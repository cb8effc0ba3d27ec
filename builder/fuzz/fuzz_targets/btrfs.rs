//! A volume, all that a reader can be asked of it.
#![no_main]

use formats::btrfs::read::{ReadError, Reader, Subvolume, View};
use fuzz::image::Image;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Bytes of files that are read: many files may share one extent.
const MOST: u64 = 16 << 20;

/// Names that are walked over.
const NAMES: usize = 10_000;

fuzz_mutator!(|data: &mut [u8], size: usize, _max_size: usize, seed: u32| {
    fuzz::image::mutate_run(data, size, seed, fuzzer_mutate)
});

fuzz_target!(|bytes: &[u8]| {
    if let Some(mut image) = Image::parse(bytes) {
        fuzz::btrfs::fix(&mut image);
        let _ = read(&image);
    }
});

fn read(image: &Image) -> Result<(), ReadError> {
    let reader = Reader::open(image)?;
    reader.summary();
    let verification = reader.verify();
    assert!(verification.faults.len() <= 100);
    let _ = reader.tree_blocks();
    let subvolumes = reader.subvolumes()?;
    let mut views: Vec<View> = subvolumes.iter().cloned().map(View::of).collect();
    // All of them below the first, too.
    if let Some(first) = views.first_mut() {
        let others = subvolumes.iter().map(|other| (other.path.clone(), other.clone()));
        first.mounts.extend(others);
    }
    let mut left = MOST;
    for view in &views {
        let _ = reader.find(view, b"etc/../link/./file");
        let _ = reader.inode(&view.root, Subvolume::ROOT + 1);
        for found in reader.walk(view).take(NAMES) {
            let Ok(found) = found else {
                break;
            };
            // What is walked over can be found, unless a link leads elsewhere.
            let _ = reader.find(view, &found.path);
            let parts = || reader.parts(found.subvolume, &found.inode);
            let _ = parts().and_then(|parts| parts.regions());
            let _ = parts().and_then(|parts| parts.stored());
            for part in parts()? {
                let Ok(part) = part else {
                    break;
                };
                if let formats::btrfs::read::Part::Bytes(bytes) = part {
                    left = left.saturating_sub(bytes.len() as u64);
                }
                if left == 0 {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
