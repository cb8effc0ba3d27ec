//! Boot areas as they are written, against the same put together a second time from the tables of the format.

#![allow(clippy::unwrap_used, missing_docs)]

use formats::digest::hex;
use formats::fip::{
    BL1_SIZE, BL2_SIZE, Fault, FipError, FirstStage, Id, Loader, MAX_BL33, Package, Packaging, PartName,
    boot_area, derived_id, derived_nonce, package, read, usb_image,
};
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::Lba;
use sha2::{Digest, Sha256};
use testkit::fip as made_up;

const LOADERS: [Loader; 4] = [Loader::Bl30, Loader::Bl301, Loader::Bl31, Loader::Bl33];

fn bytes(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The payloads of the made-up set.
fn payloads(seed: u64) -> Vec<Vec<u8>> {
    let blobs = made_up::blobs(seed).into_iter();
    blobs.skip(2).map(|(_, bytes)| bytes).collect()
}

fn pack(payloads: &[Vec<u8>], ids: [Id; 4]) -> Result<Package, FipError> {
    let payloads: Vec<_> = LOADERS
        .iter()
        .zip(payloads)
        .zip(ids)
        .map(|((loader, payload), id)| (*loader, &payload[..], id))
        .collect();
    package(&payloads)
}

fn expected(payloads: &[Vec<u8>], ids: [Id; 4]) -> Vec<u8> {
    let payloads: Vec<_> = LOADERS
        .iter()
        .zip(payloads)
        .zip(ids)
        .map(|((loader, payload), id)| (loader.name(), &payload[..], id))
        .collect();
    made_up::fip(&payloads)
}

const IDS: [Id; 4] = [[1, 2, 3, 4], [0; 4], [255; 4], [9, 8, 7, 6]];

#[test]
fn places_and_sizes_are_those_of_the_check_figures() {
    let package = pack(&payloads(1), IDS).unwrap();
    let places: Vec<_> = package
        .entries
        .iter()
        .map(|entry| (entry.offset, entry.size))
        .collect();
    assert_eq!(
        places,
        [
            (0x4000, 0x9ef0),
            (0x10000, 0x18c0),
            (0x14000, 0x11130),
            (0x28000, 0xa7810)
        ]
    );
    let first = FirstStage::vendor_signed(&made_up::bl1(1)).unwrap();
    let image = boot_area(&first, &package, Lba(8192), "partition 1").unwrap();
    assert_eq!(image.size.0, 901_632);
}

#[test]
fn every_byte_is_that_of_the_other_implementation() {
    for seed in 0..4 {
        let payloads = payloads(seed);
        let package = pack(&payloads, IDS).unwrap();
        let fip = expected(&payloads, IDS);
        assert!(package.bytes == fip, "the packages of seed {seed} differ");

        let bl1 = made_up::bl1(seed);
        let first = FirstStage::vendor_signed(&bl1).unwrap();
        let area = boot_area(&first, &package, Lba(8192), "partition 1").unwrap();
        assert!(bytes(&area) == made_up::boot_area(&bl1, &fip));

        let bl2 = made_up::noise(seed, BL2_SIZE);
        let signed = FirstStage::sign(&bl2, *b"0123456789abcdef").unwrap();
        let usb = bytes(&usb_image(&signed, &package));
        assert!(usb == [made_up::signed_bl2(&bl2, *b"0123456789abcdef"), fip].concat());
    }
}

/// Sizes of BL30, BL301, BL31 and BL33, then the SHA-256 of what other programs make of noise of these sizes, as a boot
/// area for USB and as one for a card or an eMMC.
///
/// The first was written by `fiptool` 2.8 of Trusted Firmware-A (`create --align 0x4000`, BL301 as `--blob`, so that it
/// comes last, zeros behind up to a multiple of 16 KiB) and signed by `amlbootsig` of meson-tools at 0a02e2d, which was
/// written after the output of the vendor's signer. The second was made of the first by the steps of U-Boot's
/// `doc/board/amlogic/p201.rst`, with `aml_chksum` of LibreELEC at 4b1a54b and noise for the third sector.
const OF_OTHERS: [([usize; 4], &str, &str); 3] = [
    (
        [0x60, 200, 211, 0x3f90],
        "d623ac2b6365e512613bc2aa1083f0048a79b3a3ed1585414fa1b472c3d0b4f5",
        "a4745dcfd5b81f6f378e9ea560cdaaf8c225015f44539067cf9165f88e83930f",
    ),
    (
        [0x3fa0, 0x7fa0, 0x13fa0, 0x3fa0],
        "c88526d7cb761fc66ca9ba2d1d9013e5d89158b3e42684b97afb78221886be40",
        "c75c88ac8fbf0367c9f1c88a6fb5c0c95b763bb5e3983877a6c6f28f13e1740e",
    ),
    (
        [40_584, 6_228, 69_840, 685_992],
        "057e1f520af1ded1471ede5a5aca11d74b3b014c950e1213336cd6fe053ba785",
        "99ea7024220a93464eeaadf33dacaf5a451e3ffe1e41fe2ec11a8b69893278de",
    ),
];

#[test]
fn every_byte_is_that_of_other_signers() {
    for (number, (sizes, usb, card_and_emmc)) in (1..).zip(OF_OTHERS) {
        let seed = 100 * number;
        let blobs: Vec<_> = (seed..)
            .zip(sizes)
            .map(|(seed, size)| made_up::noise(seed, size))
            .collect();
        let place = |loader: Loader| LOADERS.iter().position(|other| *other == loader).unwrap();
        let order = [Loader::Bl30, Loader::Bl31, Loader::Bl33, Loader::Bl301];
        let list: Vec<_> = (0..)
            .zip(order)
            .map(|(at, loader)| (loader, &blobs[place(loader)][..], [at, b'B', b'B', b'B']))
            .collect();
        let first = FirstStage::sign(&made_up::noise(seed + 9, BL2_SIZE), [b'B'; 16]).unwrap();
        let area = bytes(&usb_image(&first, &package(&list).unwrap()));
        assert_eq!(hex(&Sha256::digest(&area)), usb, "{sizes:?}");
        let both = made_up::card_and_emmc(&area, &made_up::noise(seed + 8, 512));
        assert_eq!(hex(&Sha256::digest(&both)), card_and_emmc, "{sizes:?}");

        for (area, packaging) in [(area, Packaging::Usb), (both, Packaging::CardAndEmmc)] {
            let found = read(&&area[..]).unwrap().unwrap();
            assert_eq!(found.packaging, packaging);
            assert!(found.parts.iter().all(|part| part.faults.is_empty()), "{found:?}");
        }
    }
}

#[test]
fn entries_of_edge_sizes() {
    for size in [
        1, 15, 16, 17, 0x5f, 0x60, 0x61, 0x3fa0, 0x3fa1, 0x13fa0, 0x13fb0, 0xfffff,
    ] {
        for place in 0..4 {
            let mut payloads = payloads(size as u64);
            payloads[place] = made_up::noise(77, size);
            let package = pack(&payloads, IDS).unwrap();
            assert!(
                package.bytes == expected(&payloads, IDS),
                "{} of {size:#x} bytes",
                LOADERS[place]
            );
            let found = read(&&package.bytes[..]).unwrap().unwrap();
            assert_eq!(found.packaging, Packaging::Package);
            assert!(found.parts.iter().all(|part| part.faults.is_empty()));
            let part = &found.parts[1 + place];
            assert_eq!(part.name, PartName::Loader(LOADERS[place]));
            let mut payload = payloads[place].clone();
            payload.resize(size.next_multiple_of(16), 0);
            assert!(part.content == payload);
        }
    }
}

#[test]
fn an_entry_that_spills_into_the_next_slot_moves_what_follows() {
    let mut payloads = payloads(3);
    // With its signature it has one slot and 16 bytes.
    payloads[0] = made_up::noise(5, 0x13fb0);
    let package = pack(&payloads, IDS).unwrap();
    assert_eq!(package.entries[0].size, 0x14010);
    assert_eq!(package.entries[1].offset, 0x4000 + 0x18000);
}

#[test]
fn nothing_covers_the_partition_table() {
    let package = pack(&payloads(1), IDS).unwrap();
    let first = FirstStage::vendor_signed(&made_up::bl1(1)).unwrap();
    let bl2 = FirstStage::sign(&made_up::noise(1, BL2_SIZE), [7; 16]).unwrap();
    for first in [first, bl2] {
        let area = boot_area(&first, &package, Lba(8192), "partition 1").unwrap();
        for piece in &area.pieces {
            let range = piece.range();
            assert!(range.end <= 440 || range.start >= 512, "{range:?}");
        }
    }
}

#[test]
fn what_is_derived_depends_on_the_content_alone() {
    let one = made_up::noise(1, 1000);
    let mut other = one.clone();
    other[500] ^= 1;
    assert_eq!(derived_id(&one), derived_id(&one.clone()));
    assert_ne!(derived_id(&one), derived_id(&other));
    assert_eq!(derived_nonce(&one), derived_nonce(&one.clone()));
    assert_ne!(derived_nonce(&one), derived_nonce(&other));
    assert_ne!(derived_id(&one), derived_nonce(&one)[..4]);
}

/// A digest once recorded: what is written for the same input never changes unnoticed.
#[test]
fn the_area_of_the_first_set_is_as_recorded() {
    let payloads = payloads(1);
    let ids = std::array::from_fn(|at| derived_id(&payloads[at]));
    let first = FirstStage::vendor_signed(&made_up::bl1(1)).unwrap();
    let package = pack(&payloads, ids).unwrap();
    let area = boot_area(&first, &package, Lba(8192), "partition 1").unwrap();
    assert_eq!(
        hex(&Sha256::digest(bytes(&area))),
        "269d1c6a0d76ab09104d195473997eba149a0c33465ee583014150adbd06fbef"
    );
}

#[test]
fn a_bl1_that_does_not_start_is_refused() {
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bl1 = made_up::bl1(1);
        change(&mut bl1);
        FirstStage::vendor_signed(&bl1).unwrap_err()
    };
    let size = |bytes| FipError::Bl1Size {
        size: bytes,
        expected: BL1_SIZE as u64,
    };
    assert_eq!(refused(&|bl1| bl1.clear()), size(0));
    assert_eq!(refused(&|bl1| bl1.truncate(49_663)), size(49_663));
    assert_eq!(refused(&|bl1| bl1.push(0)), size(49_665));
    for at in [0x10, 0x210] {
        let error = refused(&|bl1| bl1[at] = b'#');
        assert_eq!(error, FipError::Bl1(Fault::NoHeader { at: at as u64 }));
    }
    assert_eq!(
        refused(&|bl1| bl1[49_663] ^= 0x80),
        FipError::Bl1(Fault::Digest { at: 0x210 })
    );
    assert_eq!(
        refused(&|bl1| bl1[0x50] ^= 1),
        FipError::Bl1(Fault::Digest { at: 0x10 })
    );
    for at in [0x70, 0x1b7, 0x1b8, 0x1bb, 0x1ff] {
        let error = refused(&|bl1| bl1[at] = 1);
        assert_eq!(error, FipError::Bl1OverTable { at: at as u64 });
        assert!(error.to_string().contains("the partition table's"), "{error}");
    }
    // A header that says that it covers more than there is.
    let error = refused(&|bl1| bl1[0x10 + 44..0x10 + 48].fill(0xff));
    assert!(matches!(
        error,
        FipError::Bl1(Fault::HashedRange { at: 0x10, .. })
    ));
    let error = refused(&|bl1| bl1[0x10 + 20..0x10 + 24].fill(0xff));
    assert_eq!(error, FipError::Bl1(Fault::Digest { at: 0x10 }));
}

#[test]
fn only_the_header_for_cards_is_wrong() {
    let mut bl1 = made_up::bl1(1);
    // Signed again for an eMMC over a damaged header for cards.
    bl1[0x250] ^= 1;
    let digest = Sha256::digest([&bl1[0x10..0x50], &bl1[0x200..]].concat());
    bl1[0x50..0x70].copy_from_slice(&digest);
    let error = FirstStage::vendor_signed(&bl1).unwrap_err();
    assert_eq!(error, FipError::Bl1(Fault::Digest { at: 0x210 }));
}

#[test]
fn a_bl2_of_another_size_is_refused() {
    for size in [0, 0xb000, BL2_SIZE - 1, BL2_SIZE + 1] {
        let error = FirstStage::sign(&vec![1; size], [0; 16]).unwrap_err();
        let expected = FipError::Bl2Size {
            size: size as u64,
            expected: BL2_SIZE as u64,
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn packages_that_do_not_start_are_refused() {
    let blobs = payloads(1);
    for place in 0..4 {
        let mut payloads = blobs.clone();
        payloads[place].clear();
        let loader = LOADERS[place];
        assert_eq!(pack(&payloads, IDS).unwrap_err(), FipError::Empty { loader });
    }
    let mut payloads = blobs.clone();
    payloads[3] = vec![1; MAX_BL33 as usize];
    let error = pack(&payloads, IDS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bl33 has 4194304 bytes, it must stay below 4194304 (4 MiB)"
    );
    payloads[3].pop();
    pack(&payloads, IDS).unwrap();

    let one = |loader| (loader, &blobs[0][..], [0; 4]);
    let twice = package(&[
        one(Loader::Bl30),
        one(Loader::Bl30),
        one(Loader::Bl31),
        one(Loader::Bl33),
    ]);
    assert_eq!(twice.unwrap_err(), FipError::Twice { loader: Loader::Bl30 });
    let without = package(&[one(Loader::Bl30), one(Loader::Bl33)]).unwrap_err();
    assert_eq!(without, FipError::Missing { loader: Loader::Bl31 });
    let mut image = blobs[2].clone();
    image[..4].copy_from_slice(&[0x65, 0x87, 0x34, 0x12]);
    let header = package(&[
        one(Loader::Bl30),
        (Loader::Bl31, &image, [0; 4]),
        one(Loader::Bl33),
    ]);
    assert_eq!(header.unwrap_err(), FipError::Bl31Header);
    // A board whose BL30 holds what another has as BL301.
    package(&[one(Loader::Bl30), one(Loader::Bl31), one(Loader::Bl33)]).unwrap();
}

#[test]
fn a_package_ends_before_partition_1() {
    let first = FirstStage::vendor_signed(&made_up::bl1(1)).unwrap();
    let mut payloads = payloads(1);
    let mut place = |size, limit| {
        payloads[3] = made_up::noise(9, size);
        boot_area(&first, &pack(&payloads, IDS).unwrap(), Lba(limit), "partition 1").map(|_| ())
    };
    // What the usual first partition would leave.
    place(819_104, 2048).unwrap();
    let error = place(819_105, 2048).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the FIP reaches from byte 49664 to 1049088, but partition 1 starts at byte 1048576: bl33 has 819105 bytes, at most \
         819104 would fit"
    );
    let most = (8192 - 97) * 512 / 0x4000 * 0x4000 - 0x28000 - 0x60;
    place(most, 8192).unwrap();
    assert!(
        place(most + 1, 8192)
            .unwrap_err()
            .to_string()
            .contains(&format!("at most {most} "))
    );
    assert!(place(1, 0).unwrap_err().to_string().contains("at most 0 "));
}
