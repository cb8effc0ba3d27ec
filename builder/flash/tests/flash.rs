//! Cards as files and loop devices, whole ones and bad ones.

#![allow(missing_docs, clippy::unwrap_used)]

mod bench;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bench::{Bench, Loop, MIB};
use flash::device::{DeviceError, FixedDisks, System, Target};
use flash::image::ImageError;
use flash::{FlashError, MissingFirmware, Probe, Report, Request, Step, Writes};
use formats::manifest::Firmware;
use formats::seekable::FrameStore;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use testkit::oracle;

/// What must be on the card: the image where it has data, the old bytes elsewhere, zeros where signatures can be.
fn check_card(bench: &Bench) {
    let card = fs::read(&bench.card).unwrap();
    let mapped = [
        0..MIB,
        MIB..MIB + 8192,
        3 * MIB..8 * MIB,
        12 * MIB - 4096..12 * MIB,
    ];
    for range in mapped {
        let range = range.start as usize..range.end as usize;
        assert!(card[range.clone()] == bench.bytes[range.clone()], "{range:?}");
    }
    // The start of the partition at 1 MiB, superblocks of a btrfs on the whole card and on a partition of 66 MiB, and the
    // last MiB.
    for range in [
        MIB + 8192..2 * MIB,
        64 * MIB..64 * MIB + 4096,
        65 * MIB..65 * MIB + 4096,
        79 * MIB..80 * MIB,
    ] {
        assert!(
            card[range.start as usize..range.end as usize]
                .iter()
                .all(|byte| *byte == 0),
            "{range:?}"
        );
    }
    // Nothing else was written.
    for range in [
        2 * MIB..3 * MIB,
        9 * MIB..11 * MIB,
        12 * MIB..64 * MIB,
        66 * MIB..79 * MIB,
    ] {
        assert!(
            card[range.start as usize..range.end as usize]
                .iter()
                .all(|byte| *byte == 0xee),
            "{range:?}"
        );
    }
}

/// Makes a file that is there shorter or longer.
fn resize(path: &Path, length: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

#[test]
fn a_file_gets_what_the_image_maps() {
    let bench = Bench::new();
    let mut steps = Vec::new();
    let request = Request::new("red-07", &bench.image, &bench.card);
    let report = flash::flash(&request, &mut |step, done, total| steps.push((step, done, total))).unwrap();
    assert_eq!((report.node.as_str(), report.card), ("red-07", Bytes(80 * MIB)));
    assert_eq!(report.written, Bytes(MIB + 8192 + 5 * MIB + 4096));
    check_card(&bench);
    for step in [Step::Write, Step::Verify] {
        let last = steps.iter().rev().find(|(other, _, _)| *other == step).unwrap();
        // The first MiB comes at last and is not counted.
        let body = report.written - Bytes(MIB);
        assert_eq!((last.1, last.2), (body, body));
    }
}

#[test]
fn a_loop_device_gets_the_same() {
    let bench = Bench::new();
    let device = Loop::new(&bench.card, &[]);
    bench.flash_to(device.path()).unwrap();
    drop(device);
    // What the card was before behind the image is given away, which it does in units of 4 MiB.
    let mut card = fs::read(&bench.card).unwrap();
    for range in [12 * MIB..64 * MIB, 66 * MIB..79 * MIB] {
        let behind = &mut card[range.start as usize..range.end as usize];
        assert!(behind.iter().all(|byte| *byte == 0), "{range:?}");
        behind.fill(0xee);
    }
    fs::write(&bench.card, card).unwrap();
    check_card(&bench);
}

#[test]
fn what_is_there_already_need_not_be_written() {
    let bench = Bench::new();
    let again = || {
        let request = Request {
            writes: Writes::Changed,
            ..Request::new("red-07", &bench.image, &bench.card)
        };
        flash::flash(&request, &mut |_, _, _| {}).unwrap()
    };
    assert_eq!(again().unchanged, Bytes(0));
    check_card(&bench);
    // All but what is zeroed first, where old signatures can be: two blocks behind the first MiB.
    let report = again();
    assert_eq!(report.written, Bytes(MIB + 8192 + 5 * MIB + 4096));
    assert_eq!(report.unchanged, Bytes(5 * MIB + 4096));
    check_card(&bench);
    let card = File::options().write(true).open(&bench.card).unwrap();
    card.write_all_at(b"changed", 7 * MIB).unwrap();
    // A whole unit of 4 MiB is written again.
    assert_eq!(again().unchanged, Bytes(MIB + 4096));
    check_card(&bench);
}

#[test]
fn all_of_a_card_can_be_tried() {
    let bench = Bench::new();
    let mut steps = Vec::new();
    let request = Request {
        probe: Probe::Full,
        ..Request::new("red-07", &bench.image, &bench.card)
    };
    let report = flash::flash(&request, &mut |step, done, total| steps.push((step, done, total))).unwrap();
    let speed = report.speed.unwrap();
    assert!(speed.write.0 > 0 && speed.read.0 > 0, "{speed:?}");
    for step in [Step::Fill, Step::ReadBack] {
        let last = steps.iter().rev().find(|(other, ..)| *other == step).unwrap();
        assert_eq!((last.1, last.2), (Bytes(68 * MIB), Bytes(68 * MIB)));
    }
    let card = fs::read(&bench.card).unwrap();
    let blocks = card[12 * MIB as usize..79 * MIB as usize].chunks(4096);
    let different: std::collections::BTreeSet<_> = blocks.clone().collect();
    assert_eq!(different.len(), blocks.len(), "each has bytes of its own");
}

#[test]
fn zeros_of_the_map_are_written() {
    let bench = Bench::new();
    // As those of a FAT are, which the file may have as a hole.
    bench.describe(std::slice::from_ref(&(9 * MIB..10 * MIB)), Firmware::NotNeeded);
    let report = bench.flash().unwrap();
    assert_eq!(report.written, Bytes(MIB + 8192 + 6 * MIB + 4096));
    assert!(
        fs::read(&bench.card).unwrap()[9 * MIB as usize..10 * MIB as usize]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_compressed_image_is_the_same() {
    let bench = Bench::new();
    let mut image = SparseImage::empty(Bytes(12 * MIB));
    image.put(0, bench.bytes.clone());
    let segments = Segments::cut(&image, &[]).unwrap();
    let compressed = bench.folder.path().join("red-07.img.zst");
    FrameStore::write(&image, &segments, &mut File::create(&compressed).unwrap()).unwrap();
    fs::remove_file(&bench.image).unwrap();
    let request = Request::new("red-07", &compressed, &bench.card);
    flash::flash(&request, &mut |_, _, _| {}).unwrap();
    check_card(&bench);
}

#[test]
fn an_image_without_firmware_needs_a_word() {
    let bench = Bench::new();
    bench.describe(&[], Firmware::Absent);
    let error = bench.flash().unwrap_err();
    assert!(
        matches!(error, FlashError::Image(ImageError::NoFirmware { .. })),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .ends_with("for test-board, which would not start from it; if it shall be written all the same, give --without-firmware; add it"),
        "{error}"
    );
    assert!(bench.card_is_untouched());
    let request = Request {
        missing_firmware: MissingFirmware::Accept,
        ..Request::new("red-07", &bench.image, &bench.card)
    };
    flash::flash(&request, &mut |_, _, _| {}).unwrap();
    check_card(&bench);
}

#[test]
fn images_that_are_not_whole_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    resize(&bench.image, 12 * MIB - 512);
    assert!(
        matches!(bench.flash(), Err(FlashError::Image(ImageError::Size { found, .. })) if found == 12 * MIB - 512)
    );

    let bench = Bench::new();
    fs::write(bench.manifest(), "{\"format\": 1}").unwrap();
    assert!(matches!(
        bench.flash(),
        Err(FlashError::Image(ImageError::Manifest { .. }))
    ));
    assert!(bench.card_is_untouched());
    fs::remove_file(bench.manifest()).unwrap();
    assert!(matches!(
        bench.flash(),
        Err(FlashError::Image(ImageError::Read { .. }))
    ));
    assert!(bench.card_is_untouched());

    let bench = Bench::new();
    let map = fs::read_to_string(bench.map()).unwrap();
    fs::write(bench.map(), map.replace("version", "Version")).unwrap();
    assert!(matches!(
        bench.flash(),
        Err(FlashError::Image(ImageError::OtherMap { .. }))
    ));
    fs::remove_file(bench.map()).unwrap();
    assert!(matches!(
        bench.flash(),
        Err(FlashError::Image(ImageError::Read { .. }))
    ));
    assert!(bench.card_is_untouched());

    let bench = Bench::new();
    let text = fs::read_to_string(bench.manifest())
        .unwrap()
        .replace("\"format\":3", "\"format\":4");
    fs::write(bench.manifest(), text).unwrap();
    assert!(matches!(
        bench.flash(),
        Err(FlashError::Image(ImageError::Format { found: 4, .. }))
    ));
}

#[test]
fn the_image_of_something_else_is_refused_before_anything_is_written() {
    let changed = |from: &str, to: &str| {
        let bench = Bench::new();
        let text = fs::read_to_string(bench.manifest()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(bench.manifest(), text.replace(from, to)).unwrap();
        let error = bench.flash().unwrap_err().to_string();
        assert!(bench.card_is_untouched());
        error.replace(&format!("{}/", bench.folder.path().display()), "")
    };
    assert_eq!(
        changed("\"node\":\"red-07\"", "\"node\":\"red-08\""),
        "red-07.img is the image of red-08, not of red-07; build red-07 again"
    );
    assert_eq!(
        changed("red-07.img", "red-08.img"),
        "red-07.manifest.json is the manifest of red-08.img, not of red-07.img; put every manifest beside its own image"
    );
}

#[test]
fn a_changed_image_leaves_no_card_that_starts() {
    let bench = Bench::new();
    File::options()
        .write(true)
        .open(&bench.image)
        .unwrap()
        .write_all_at(&[1], 4 * MIB)
        .unwrap();
    let error = bench.flash().unwrap_err();
    assert!(
        matches!(error, FlashError::Image(ImageError::Digest { .. })),
        "{error}"
    );
    assert!(bench.card_is_dead());
}

#[test]
fn cards_that_are_too_small_are_refused() {
    let bench = Bench::new();
    resize(&bench.card, 12 * MIB - 512);
    let expected = |result: Result<Report, FlashError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, FlashError::Device(DeviceError::TooSmall { size, .. }) if *size == Bytes(12 * MIB - 512)),
            "{error}"
        );
    };
    expected(bench.flash());
    let device = Loop::new(&bench.card, &[]);
    expected(bench.flash_to(device.path()));
    drop(device);
    assert!(bench.card_is_untouched());
    resize(&bench.card, 12 * MIB);
    bench.flash().unwrap();
    // Behind it the image has a hole, where the card keeps what it had.
    let data = ..(MIB + 8192) as usize;
    assert!(fs::read(&bench.card).unwrap()[data] == bench.bytes[data]);
}

#[test]
fn what_is_no_card_is_refused() {
    let bench = Bench::new();
    let refused = |target: &Path| match bench.flash_to(target).unwrap_err() {
        FlashError::Device(error) => error,
        error => panic!("{error}"),
    };
    assert!(matches!(
        refused(Path::new("/dev/null")),
        DeviceError::NotADisk { .. }
    ));
    assert!(matches!(
        refused(bench.folder.path()),
        DeviceError::NotADisk { .. }
    ));
    assert!(matches!(
        refused(&bench.folder.path().join("none")),
        DeviceError::NoFile { .. }
    ));
    assert!(matches!(
        refused(Path::new("/dev/no such disk")),
        DeviceError::NoDisk { .. }
    ));
    assert!(matches!(refused(&bench.image), DeviceError::IsImage { .. }));
    let link = bench.folder.path().join("link");
    std::os::unix::fs::symlink(&bench.image, &link).unwrap();
    assert!(matches!(refused(&link), DeviceError::IsImage { .. }));
    let device = Loop::new(&bench.card, &["-r"]);
    assert!(matches!(refused(device.path()), DeviceError::ReadOnly { .. }));
}

#[test]
fn a_mounted_disk_is_refused_with_the_place() {
    let bench = Bench::new();
    let volume = bench.folder.path().join("volume");
    File::create(&volume).unwrap().set_len(128 * MIB).unwrap();
    oracle::run("btrfs-progs", "mkfs.btrfs", ["-q".as_ref(), volume.as_os_str()]);
    let device = Loop::new(&volume, &[]);
    let mount = bench.folder.path().join("a mount");
    fs::create_dir(&mount).unwrap();
    oracle::run("mount", "mount", [device.path(), &mount]);
    let error = bench.flash_to(device.path()).unwrap_err();
    oracle::run("mount", "umount", [&mount]);
    match error {
        FlashError::Device(DeviceError::Mounted { mount: place, .. }) => assert_eq!(Path::new(&place), mount),
        error => panic!("{error}"),
    }
    oracle::run(
        "btrfs-progs",
        "btrfs",
        ["check".as_ref(), device.path().as_os_str()],
    );
    bench.flash_to(device.path()).unwrap();
}

#[test]
fn a_disk_that_another_program_has_is_refused() {
    let bench = Bench::new();
    let device = Loop::new(&bench.card, &[]);
    let first = Target::open(device.path(), FixedDisks::Refuse, &System::host()).unwrap();
    assert!(matches!(
        bench.flash_to(device.path()),
        Err(FlashError::Device(DeviceError::Busy { .. }))
    ));
    drop(first);
    assert!(bench.card_is_untouched());
    bench.flash_to(device.path()).unwrap();
}

#[test]
fn a_card_that_fails_verification_does_not_start() {
    let bench = Bench::new();
    let request = Request::new("red-07", &bench.image, &bench.card);
    let card = File::options().write(true).open(&bench.card).unwrap();
    let mut first_bytes = Vec::new();
    let error = flash::flash(&request, &mut |step, done, total| {
        if step == Step::Verify {
            first_bytes.extend(fs::read(&bench.card).unwrap()[..MIB as usize].iter().copied());
        } else if done == total {
            // What the card forgets before it is read back.
            card.write_all_at(&[bench.bytes[7 * MIB as usize] ^ 1], 7 * MIB)
                .unwrap();
        }
    })
    .unwrap_err();
    assert!(matches!(error, FlashError::Verify(_)), "{error}");
    // Neither while the rest is read back nor afterwards.
    assert!(!first_bytes.is_empty() && first_bytes.iter().all(|byte| *byte == 0));
    assert!(bench.card_is_dead());
}

#[test]
fn the_head_comes_last_and_goes_first() {
    let bench = Bench::new();
    let image = flash::image::Image::open(&bench.image, "red-07", &mut |_, _| {}).unwrap();
    let target = Target::open(&bench.card, FixedDisks::Refuse, &System::host()).unwrap();
    let body = flash::write::write_body(&image, &target, Writes::All, &mut |_, _| {}).unwrap();
    assert!(bench.card_is_dead());
    let ends = flash::write::write_ends(&body, &target).unwrap();
    assert!(fs::read(&bench.card).unwrap()[..MIB as usize] == bench.bytes[..MIB as usize]);
    let places: Vec<_> = ends.iter().map(|chunk| (chunk.offset, chunk.length)).collect();
    assert_eq!(places, [(0, MIB)]);
    flash::write::erase_ends(&target).unwrap();
    assert!(bench.card_is_dead());
}

#[test]
fn what_a_partition_started_with_is_gone() {
    let bench = Bench::new();
    // A swap area, whose signature ends the first page, where the image has a hole.
    let start = 2 * MIB;
    let text = fs::read_to_string(bench.manifest()).unwrap();
    let moved = text.replace("\"first_sector\":2048", "\"first_sector\":4096");
    assert_ne!(moved, text);
    fs::write(bench.manifest(), moved).unwrap();
    File::options()
        .write(true)
        .open(&bench.card)
        .unwrap()
        .write_all_at(b"SWAPSPACE2", start + 4086)
        .unwrap();
    bench.flash().unwrap();
    let card = fs::read(&bench.card).unwrap();
    assert!(
        card[start as usize..3 * MIB as usize]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_card_that_forgets_is_found_out() {
    let bench = Bench::new();
    let image = flash::image::Image::open(&bench.image, "red-07", &mut |_, _| {}).unwrap();
    let target = Target::open(&bench.card, FixedDisks::Refuse, &System::host()).unwrap();
    let body = flash::write::write_body(&image, &target, Writes::All, &mut |_, _| {}).unwrap();
    flash::verify::verify(&target, &body.chunks, &mut |_, _| {}).unwrap();
    // One bit, in the second chunk of the largest range, which ends where the card's unit does.
    let place = 7 * MIB + 77;
    let bit = bench.bytes[place as usize] ^ 1;
    File::options()
        .write(true)
        .open(&bench.card)
        .unwrap()
        .write_all_at(&[bit], place)
        .unwrap();
    let error = flash::verify::verify(&target, &body.chunks, &mut |_, _| {}).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&format!("bytes {}..{} differ", 4 * MIB, 8 * MIB)),
        "{said}"
    );
    // And one that ends early.
    target.file.set_len(7 * MIB).unwrap();
    let error = flash::verify::verify(&target, &body.chunks, &mut |_, _| {}).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot read bytes {}..{} of ", 4 * MIB, 8 * MIB)),
        "{error}"
    );
}
