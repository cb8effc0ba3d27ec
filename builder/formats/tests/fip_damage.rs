//! Boot areas that are damaged anywhere, or made of noise: what is wrong is told by the name of the part, and reading ends.

#![allow(clippy::unwrap_used, missing_docs)]

mod fip_common;

use formats::fip::{Fault, Packaging, read};
use proptest::prelude::*;
use testkit::fip as made_up;

use fip_common::{BOTH, CARD, FIP, faults, found};

/// Whose byte `at` of the card is.
fn owner(at: usize) -> &'static str {
    match at {
        0..0xc200 => "bl1",
        0xc200..0x10200 => "fip table",
        0x10200..0x18200 => "bl30",
        0x18200..0x1c200 => "bl301",
        0x1c200..0x20200 => "bl31",
        _ => "bl33",
    }
}

/// Every bit of everything that has a fixed place or value; bits of content are tried at random below.
#[test]
fn any_bit_of_headers_and_table_is_told_by_name() {
    let mut card = CARD.clone();
    let entries = [0x10200, 0x18200, 0x1c200, 0x20200];
    let records = 0xc200..0xc200 + 16 + 6 * 40;
    let signatures = entries.into_iter().flat_map(|start| start..start + 0x60);
    // Before byte 16 is the nonce for an eMMC, which nothing covers.
    let first = (0x10..440).chain(0x200..0x280);
    for at in first.chain(records).chain(signatures) {
        for bit in 0..8 {
            card[at] ^= 1_u8 << bit;
            let firmware = found(&card);
            card[at] ^= 1_u8 << bit;
            let wrong = faults(&firmware);
            let owner = owner(at);
            assert!(
                wrong.iter().any(|fault| fault.starts_with(&format!("{owner}: "))),
                "bit {bit} of byte {at:#x} ({owner}): {wrong:?}"
            );
        }
    }
    assert!(card == *CARD);
}

/// As above, where two headers are before a package from sector 96 on.
#[test]
fn any_bit_of_an_area_for_card_and_emmc_is_told_by_name() {
    let mut area = BOTH.clone();
    let first = (0x10..440)
        .chain(0x200..0x680)
        .chain(0x1000..0x1300)
        .chain(0xbf00..0xc000);
    let table = 0xc000..0xc000 + 16 + 6 * 40;
    for at in first.chain(table) {
        for bit in 0..8 {
            area[at] ^= 1_u8 << bit;
            let firmware = found(&area);
            area[at] ^= 1_u8 << bit;
            let owner = if at < 0xc000 { "bl2: " } else { "fip table: " };
            let wrong = faults(&firmware);
            assert_eq!(
                firmware.packaging,
                Packaging::CardAndEmmc,
                "bit {bit} of byte {at:#x}: {wrong:?}"
            );
            assert!(
                wrong.iter().any(|fault| fault.starts_with(owner)),
                "bit {bit} of byte {at:#x}: {wrong:?}"
            );
        }
    }
    assert!(area == *BOTH);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bit_is_told_by_name(at in (16..CARD.len()).prop_filter("the partition table's", |at| !(440..512).contains(at)), bit in 0..8_u32) {
        let mut card = CARD.clone();
        card[at] ^= 1_u8 << bit;
        let firmware = found(&card);
        let wrong = faults(&firmware);
        prop_assert!(wrong.iter().any(|fault| fault.starts_with(&format!("{}: ", owner(at)))), "{wrong:?}");
        // Nothing else is blamed, unless the table misplaces the others.
        if owner(at) != "fip table" {
            prop_assert!(wrong.iter().all(|fault| fault.starts_with(&format!("{}: ", owner(at)))), "{wrong:?}");
        }
    }

    #[test]
    fn a_cut_area_is_read_to_its_end(length in 0..CARD.len()) {
        for (area, stage) in [(&*CARD, 0xc200), (&*BOTH, 0xc000)] {
            let Some(firmware) = read(&&area[..length.min(area.len() - 1)]).unwrap() else {
                continue;
            };
            prop_assert_eq!(faults(&firmware).is_empty(), length == stage);
        }
    }

    #[test]
    fn noise_around_any_mark_ends(seed in any::<u64>(), length in 0..0x12000_usize, marks in prop::collection::vec(0..6_usize, 0..4)) {
        let mut bytes = made_up::noise(seed, length);
        for mark in marks {
            let (at, magic) = [
                (0x10, *b"@AML"),
                (0x210, *b"@AML"),
                (0, [1, 0, 0x64, 0xaa]),
                (0xc000, [1, 0, 0x64, 0xaa]),
                (0xc200, [1, 0, 0x64, 0xaa]),
                (0xc480, [0x65, 0x87, 0x34, 0x12]),
            ][mark];
            if let Some(place) = bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&magic);
            }
        }
        if let Some(firmware) = read(&&bytes[..]).unwrap() {
            prop_assert!(!faults(&firmware).is_empty());
        }
    }

    #[test]
    fn noise_in_the_table_ends(seed in any::<u64>(), length in 0..0x4000_usize, start in 0..0x4000_usize) {
        let mut card = CARD.clone();
        let end = (start + length).min(0x4000);
        card[0xc200 + start..0xc200 + end].copy_from_slice(&made_up::noise(seed, end - start));
        found(&card);
    }

    #[test]
    fn tables_with_wild_records_end(offsets in prop::collection::vec((any::<u64>(), any::<u64>(), 0..6_usize), 0..12)) {
        let mut card = CARD.clone();
        for (number, (offset, size, shift)) in offsets.into_iter().enumerate() {
            let at = 0xc200 + 16 + 40 * number + 16;
            card[at..at + 8].copy_from_slice(&(offset >> (10 * shift)).to_le_bytes());
            card[at + 8..at + 16].copy_from_slice(&(size >> (10 * shift)).to_le_bytes());
        }
        found(&card);
    }
}

#[test]
fn wrong_records_are_told_from_wrong_entries() {
    let fault_of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut card = CARD.clone();
        change(&mut card);
        faults(&found(&card))
    };
    let record = |number: usize| 0xc200 + 16 + 40 * number;
    assert_eq!(
        fault_of(&|card| card[record(1) + 16] = 1),
        ["fip table: record 1 says offset 0xc001, it must be 0xc000"]
    );
    assert_eq!(
        fault_of(&|card| card[record(2) + 24] = 0x10),
        ["fip table: record 2 says 0xc10 bytes, the entry has 0xc20"]
    );
    assert_eq!(
        fault_of(&|card| card[record(3)] ^= 1),
        [
            "fip table: record 3 has the UUID a7eed0d7-eafc-4bd5-9782-9934f234b6e4, which stands for no boot loader",
            "fip table: it has no bl33"
        ]
    );
    assert_eq!(
        fault_of(&|card| card[record(4) + 17] ^= 0x40),
        ["fip table: record 4 says offset 0x18000, it must be 0x1c000"]
    );
    assert_eq!(
        fault_of(&|card| card[0x10200 + 4] ^= 1),
        ["bl30: the header's total size is 0x4071, it must be 0x4070"]
    );
    assert_eq!(
        fault_of(&|card| card[0x10200 + 0x4070] = 1),
        ["bl30: byte 0x4070 is not zero, as all bytes between 0x4070 and 0x8000 must be"]
    );
    assert_eq!(
        fault_of(&|card| card[0xc200..0x10200].fill(0)),
        ["fip table: its magic number is 0x0, it must be 0xaa640001"]
            .map(String::from)
            .into_iter()
            .chain(["fip table: its serial number is 0x0, it must be 0x12345678".to_owned()])
            .collect::<Vec<_>>()
    );
    assert_eq!(
        fault_of(&|card| card[record(0) + 33] = 1),
        ["fip table: record 0 has the flags 0x100, there are none"]
    );
    let copy = |card: &mut Vec<u8>| card.copy_within(record(0)..record(0) + 16, record(1));
    assert_eq!(fault_of(&copy), ["fip table: record 1 is a second one of bl30"]);
}

/// A vendor's package of a `bl31.img` is sound; one that has the whole image as its entry, as it would be signed without
/// knowing of its header, is not.
#[test]
fn where_bl31_is_loaded_is_told() {
    let mut fip = FIP.clone();
    made_up::say_where_bl31_is_loaded(&mut fip);
    assert_eq!(faults(&found(&fip)), [""; 0]);
    // Of the mark and of what the data start with. No signature covers the addresses.
    for (range, other) in [(0x400..0x408, 0x480), (0x480..0x488, 0x400)] {
        for at in range.clone() {
            for bit in 0..8 {
                fip[at] ^= 1_u8 << bit;
                assert_eq!(
                    faults(&found(&fip)),
                    [format!(
                        "fip table: what it says of where bl31 is loaded is damaged at byte {:#x}",
                        range.start
                    )],
                    "beside byte {other:#x}"
                );
                fip[at] ^= 1_u8 << bit;
            }
        }
    }
    for (at, range) in [
        (0x3ff, "0xd8 and 0x400"),
        (0x408, "0x408 and 0x480"),
        (0x4b0, "0x4b0 and 0x4000"),
    ] {
        fip[at] ^= 1;
        assert_eq!(
            faults(&found(&fip)),
            [format!(
                "fip table: byte {at:#x} is not zero, as all bytes between {range} must be"
            )]
        );
        fip[at] ^= 1;
    }

    let image = [
        &[0x65, 0x87, 0x34, 0x12, 0x20, 0x4e, 0, 0],
        &made_up::noise(3, 3000)[..],
    ]
    .concat();
    let list = [("bl30", &image[..]), ("bl31", &image), ("bl33", &image)];
    let fip = made_up::fip(&list.map(|(name, payload)| (name, payload, [0; 4])));
    assert_eq!(
        faults(&found(&fip)),
        [
            "bl31: it starts with the header of a bl31.img, which belongs into the table: BL2 would run it as code"
        ]
    );
}

#[test]
fn faults_say_where() {
    let mut bl1 = made_up::bl1(1);
    bl1[0x300] ^= 1;
    let firmware = found(&bl1);
    assert_eq!(
        firmware.parts[0].faults,
        [Fault::Digest { at: 0x210 }, Fault::Digest { at: 0x10 }]
    );
}
