//! Boot areas as they are read: sound, damaged anywhere, and made of noise.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::LazyLock;

use formats::fip::{Fault, Form, FoundFirmware, Loader, PartName, read, u_boot_version};
use proptest::prelude::*;
use testkit::fip as made_up;

const IDS: [[u8; 4]; 4] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]];

/// Small payloads, so that thousands of areas can be read; the first does not fill its last 16 bytes, the last fills slots
/// to the end.
fn payloads() -> [(&'static str, Vec<u8>); 4] {
    let mut bl33 = made_up::noise(4, 2 * 0x4000 - 0x60);
    bl33[100..100 + made_up::VERSION.len()].copy_from_slice(made_up::VERSION.as_bytes());
    bl33[100 + made_up::VERSION.len()] = b'\n';
    [
        ("bl30", made_up::noise(1, 0x4010)),
        ("bl301", made_up::noise(2, 33)),
        ("bl31", made_up::noise(3, 3000)),
        ("bl33", bl33),
    ]
}

/// The FIP of these payloads, and where its parts are.
static FIP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let payloads = payloads();
    let payloads: Vec<_> = payloads
        .iter()
        .zip(IDS)
        .map(|((name, payload), id)| (*name, &payload[..], id))
        .collect();
    made_up::fip(&payloads)
});

/// The boot area of a card, with a partition table.
static CARD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut area = made_up::boot_area(&made_up::bl1(1), &FIP);
    area[440..512].copy_from_slice(&made_up::noise(8, 72));
    area
});

fn found(bytes: &[u8]) -> FoundFirmware {
    read(&bytes).unwrap().expect("boot loaders")
}

/// What is wrong, as `name: fault`.
fn faults(firmware: &FoundFirmware) -> Vec<String> {
    let all = firmware.parts.iter().flat_map(|part| {
        part.faults
            .iter()
            .map(move |fault| format!("{}: {fault}", part.name))
    });
    all.collect()
}

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

#[test]
fn a_card_is_read_part_by_part() {
    let firmware = found(&CARD);
    assert_eq!(firmware.form, Form::Card);
    assert_eq!(faults(&firmware), [""; 0]);
    let parts: Vec<_> = firmware
        .parts
        .iter()
        .map(|part| (part.name.to_string(), part.range.clone()))
        .collect();
    let fip = 0xc200;
    let expected = [
        ("bl1", 0..fip),
        ("fip table", fip..fip + 0x4000),
        ("bl30", fip + 0x4000..fip + 0x8070),
        ("bl301", fip + 0xc000..fip + 0xc090),
        ("bl31", fip + 0x10000..fip + 0x10c20),
        ("bl33", fip + 0x14000..fip + 0x1c000),
    ];
    assert_eq!(parts, expected.map(|(name, range)| (name.to_owned(), range)));
    assert!(firmware.parts[0].content == made_up::bl1(1));
    for (part, (_, payload)) in firmware.parts[2..].iter().zip(payloads()) {
        let (content, rest) = part.content.split_at(payload.len());
        assert!(content == payload && rest.len() < 16 && rest.iter().all(|byte| *byte == 0));
    }
    assert_eq!(
        u_boot_version(&firmware.parts[5].content).as_deref(),
        Some(made_up::VERSION)
    );
    assert_eq!(u_boot_version(&firmware.parts[4].content), None);
}

#[test]
fn zeros_that_fill_an_entry_up_may_be_its_own() {
    let firmware = found(&FIP);
    let lengths: Vec<_> = firmware.parts.iter().map(|part| part.lengths()).collect();
    assert_eq!(
        lengths,
        [
            0x4000..=0x4000,
            0x4010..=0x4010,
            33..=48,
            3000..=3008,
            0x7fa0..=0x7fa0
        ]
    );
    let mut payload = made_up::noise(1, 100);
    payload[60..].fill(0);
    let fip = made_up::fip(&[("bl30", &payload[..], [0; 4])]);
    assert_eq!(found(&fip).parts[1].lengths(), 97..=112);
}

#[test]
fn other_forms_are_told_apart() {
    let bl2 = made_up::signed_bl2(&made_up::noise(5, 0xc000), [3; 16]);
    let usb = found(&[&bl2[..], &FIP].concat());
    assert_eq!((usb.form, usb.parts.len()), (Form::Usb, 6));
    assert_eq!(usb.parts[0].name, PartName::Bl2);
    assert_eq!(faults(&usb), [""; 0]);

    // A card that only starts as one: nothing is in sector 0 but the table.
    let card = found(&[&vec![0; 512], &bl2[..], &FIP].concat());
    assert_eq!((card.form, card.parts.len()), (Form::Card, 6));
    assert_eq!(
        (card.parts[0].name, card.parts[0].range.clone()),
        (PartName::Bl2, 512..0xc200)
    );
    assert_eq!(faults(&card), [""; 0]);

    let package = found(&FIP);
    assert_eq!((package.form, package.parts.len()), (Form::Package, 5));

    // First stages alone.
    let bl1 = found(&made_up::bl1(1));
    assert_eq!((bl1.form, bl1.parts.len()), (Form::Card, 1));
    assert_eq!(faults(&bl1), [""; 0]);
    let bl2 = found(&bl2);
    assert_eq!((bl2.form, bl2.parts.len()), (Form::Usb, 1));
    assert_eq!(faults(&bl2), [""; 0]);

    for nothing in [vec![], vec![0; 100], vec![0; 1 << 20], made_up::noise(6, 1 << 17)] {
        assert!(read(&&nothing[..]).unwrap().is_none());
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
        if let Some(firmware) = read(&&CARD[..length]).unwrap() {
            let is_whole = length == 0xc200;
            prop_assert_eq!(faults(&firmware).is_empty(), is_whole);
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

/// One public signer leaves the table as it was when an entry needs another slot for its signature.
#[test]
fn a_stale_table_of_another_signer_is_read() {
    let payloads = [
        ("bl30", made_up::noise(1, 0x13fb0)),
        ("bl31", made_up::noise(2, 100)),
        ("bl33", made_up::noise(3, 100)),
    ];
    let list: Vec<_> = payloads
        .iter()
        .map(|(name, payload)| (*name, &payload[..], [0; 4]))
        .collect();
    let mut fip = made_up::fip(&list);
    for number in 1..4 {
        let at = 16 + 40 * number + 16;
        let offset = u64::from_le_bytes(fip[at..at + 8].try_into().unwrap());
        fip[at..at + 8].copy_from_slice(&(offset - 0x4000).to_le_bytes());
    }
    let firmware = found(&fip);
    assert_eq!(
        faults(&firmware),
        [
            "fip table: record 1 says offset 0x18000, it must be 0x1c000",
            "fip table: record 2 says offset 0x1c000, it must be 0x20000",
            "fip table: record 3 says offset 0x20000, it must be 0x24000"
        ]
    );
    assert!(firmware.parts[3].content[..100] == payloads[2].1);
}

#[test]
fn loaders_have_names_and_uuids() {
    for loader in Loader::ALL {
        assert_eq!(Loader::from_name(loader.name()), Some(loader));
        assert_eq!(Loader::from_uuid(loader.uuid()), Some(loader));
    }
    assert_eq!(Loader::from_name("bl2"), None);
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
