//! Boot areas that are one file of the vendor's: on the card as the recipes of the board put it there with `dd`.

use std::fs;

use formats::manifest::Firmware;
use stages::firmware::{BoardFirmware, firmware_report};
use stages::inspect::{Image, verify};
use testkit::fip as made_up;
use testkit::oracle::run;

use crate::bench::Bench;
use crate::report::manifest;

/// No whole number of sectors, as that of a signer need not be.
const SIZE: usize = 1_300_100;

/// The file as the vendor's signer writes it for a card: with a sector 0.
fn with_sector_0() -> Vec<u8> {
    [made_up::noise(3, 512), made_up::signed_whole(4, SIZE)].concat()
}

fn bench() -> Bench {
    let bench = Bench::new();
    fs::write(bench.blobs().join("u-boot.bin.sd.bin"), with_sector_0()).unwrap();
    bench
}

/// The card of an ODROID-C4 with its boot area, and the same with what `recipe`, arguments of `dd`, writes on one without.
fn cards(bench: &Bench, file: &str, recipe: &[&[&str]]) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.img"), folder.path().join("theirs.img"));
    let made = bench.made("odroid-c4");
    testkit::image::write(&bench.card("odroid-c4", Some(made.image)).image, &ours);
    testkit::image::write(&bench.card("odroid-c4", None).image, &theirs);
    let files = [
        format!("if={}", bench.blobs().join(file).display()),
        format!("of={}", theirs.display()),
    ];
    for step in recipe {
        let step = step.iter().map(|argument| (*argument).to_owned());
        run("coreutils", "dd", files.iter().cloned().chain(step));
    }
    (fs::read(ours).unwrap(), fs::read(theirs).unwrap())
}

#[test]
fn a_card_of_an_odroid_c4_is_what_the_recipe_of_u_boot_makes() {
    let bench = bench();
    let sectors = ["conv=fsync,notrunc", "bs=512", "skip=1", "seek=1"];
    let code = |count| ["conv=fsync,notrunc", "bs=1", count];
    let (ours, theirs) = cards(&bench, "u-boot.bin.sd.bin", &[&sectors, &code("count=440")]);
    assert!(ours == theirs);
    assert!(ours[..440] == with_sector_0()[..440]);
    assert!(ours[512..512 + SIZE] == with_sector_0()[512..]);

    // An older recipe writes over the disk signature, by which Linux finds its root.
    let (ours, theirs) = cards(&bench, "u-boot.bin.sd.bin", &[&sectors, &code("count=444")]);
    let differing: Vec<_> = (0..ours.len()).filter(|at| ours[*at] != theirs[*at]).collect();
    assert_eq!(differing, [440, 441, 442, 443]);
}

#[test]
fn a_file_without_sector_0_is_put_where_its_region_starts() {
    let bench = bench();
    fs::write(bench.blobs().join("loader.bin"), made_up::signed_whole(4, SIZE)).unwrap();
    let board = "boards/odroid-c4/board.toml";
    bench.edit(board, "\"u-boot.bin.sd.bin\", first-sector = 0", "\"loader.bin\"");
    bench.edit(board, "at = 0x210", "at = 0x10");
    // As the vendor's sd_fusing.sh has it.
    let (ours, theirs) = cards(
        &bench,
        "loader.bin",
        &[&["conv=fsync,notrunc", "bs=512", "seek=1"]],
    );
    assert!(ours == theirs);
    assert!(ours[..440] == [0; 440]);
}

#[test]
fn what_is_missing_is_named_with_where_to_put_it() {
    let bench = Bench::new();
    let Ok(BoardFirmware::Absent(why)) = bench.find("odroid-c4", None) else {
        panic!("there is a boot area");
    };
    let named = "name a folder that has u-boot.bin.sd.bin with --blob-dir";
    assert!(why.contains(named), "{why}");
    let error = bench.refused("odroid-c4");
    let named = format!(
        "the boot area of odroid-c4 lacks u-boot.bin.sd.bin: put what is missing into {}",
        bench.blobs().display()
    );
    assert!(error.contains(&named), "{error}");
}

#[test]
fn a_file_that_cannot_be_meant_is_refused() {
    let place = "region \"loaders\" of boards/odroid-c4/board.toml";
    let room = 8192 * 512;
    for (bytes, said) in [
        (
            with_sector_0()[..82_943].to_vec(),
            format!(
                "u-boot.bin.sd.bin has 82943 bytes, {place} asks for 82944 at least (81 KiB): it was cut off"
            ),
        ),
        (
            vec![0; room + 1],
            format!(
                "has 4194305 bytes and would reach beyond sector 8191, where {place} ends: at most 4194304 bytes fit (4 MiB)"
            ),
        ),
        (
            made_up::noise(5, SIZE),
            format!("has no \"@AML\" at byte 0x210, as {place} asks for: it is no boot loader"),
        ),
        (
            made_up::signed_whole(4, SIZE),
            "it has it at byte 0x10, so it starts with another sector of the card".to_owned(),
        ),
        (Vec::new(), "u-boot.bin.sd.bin has no bytes".to_owned()),
    ] {
        let bench = bench();
        fs::write(bench.blobs().join("u-boot.bin.sd.bin"), bytes).unwrap();
        let error = bench.refused("odroid-c4");
        assert!(error.contains(&said), "{said:?} is not in: {error}");
        assert!(
            error.contains("cannot make the boot area of odroid-c4"),
            "{error}"
        );
    }
    // The largest that fits.
    let bench = bench();
    let largest = [with_sector_0(), vec![1; room - SIZE - 512]].concat();
    fs::write(bench.blobs().join("u-boot.bin.sd.bin"), largest).unwrap();
    bench.card("odroid-c4", Some(bench.made("odroid-c4").image));
}

/// Only the vendor's tool knows what is in such a file: nothing of it is taken for an S905's.
#[test]
fn what_is_on_such_a_card_is_not_held_against_another_soc() {
    let bench = bench();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    let made = bench.made("odroid-c4");
    assert_eq!(made.described[0].name, "firmware u-boot.bin.sd.bin");
    testkit::image::write(&bench.card("odroid-c4", Some(made.image)).image, &path);
    let verified = verify(&Image::open(&path).unwrap()).unwrap();
    let faults: Vec<_> = verified
        .faults
        .iter()
        .filter(|fault| fault.contains("boot area"))
        .collect();
    assert!(faults.is_empty(), "{faults:?}");

    let file = with_sector_0();
    manifest(folder.path(), Firmware::Present, &[("u-boot.bin.sd.bin", &file)]);
    assert!(firmware_report(&path, &[]).unwrap().is_none());
    for bytes in [&file[..], &file[512..]] {
        fs::write(folder.path().join("file"), bytes).unwrap();
        assert!(
            firmware_report(&folder.path().join("file"), &[])
                .unwrap()
                .is_none()
        );
    }
}
