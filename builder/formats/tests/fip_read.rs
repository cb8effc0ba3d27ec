//! Boot areas as they are read: sound, damaged anywhere, and made of noise.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use formats::fip::{Fault, Form, FoundFirmware, Loader, PartName, read, u_boot_version};
use formats::source::ReadAt;
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

/// The boot area for a card or an eMMC, with a partition table.
static BOTH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bl2 = made_up::signed_bl2(&made_up::noise(5, 0xc000), [3; 16]);
    let mut area = made_up::card_and_emmc(&[&bl2[..], &FIP].concat(), &made_up::noise(9, 512));
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

    // What the signer writes for a card, with noise in front; then only what is written to one, below a table alone, and
    // below the boot code of something else.
    let mut code = vec![0; 512];
    code[..440].copy_from_slice(&made_up::noise(7, 440));
    for sector in [made_up::noise(6, 512), vec![0; 512], code] {
        let mut card = [&sector[..], &bl2, &FIP].concat();
        card[440..512].copy_from_slice(&made_up::noise(8, 72));
        let card = found(&card);
        assert_eq!((card.form, card.parts.len()), (Form::SignedCard, 6));
        assert_eq!(
            (card.parts[0].name, card.parts[0].range.clone()),
            (PartName::Bl2, 512..0xc200)
        );
        assert_eq!(faults(&card), [""; 0]);
    }

    let both = found(&BOTH);
    assert_eq!((both.form, both.parts.len()), (Form::CardAndEmmc, 6));
    assert_eq!(
        (both.parts[0].name, both.parts[0].range.clone()),
        (PartName::Bl2, 0..0xc000)
    );
    assert_eq!(both.parts[1].range.start, 96 * 512);
    assert_eq!(faults(&both), [""; 0]);

    let package = found(&FIP);
    assert_eq!((package.form, package.parts.len()), (Form::Package, 5));

    // First stages alone.
    let bl1 = found(&made_up::bl1(1));
    assert_eq!((bl1.form, bl1.parts.len()), (Form::Card, 1));
    assert_eq!(faults(&bl1), [""; 0]);
    let bl2 = found(&bl2);
    assert_eq!((bl2.form, bl2.parts.len()), (Form::Usb, 1));
    assert_eq!(faults(&bl2), [""; 0]);
    let both = found(&BOTH[..0xc000]);
    assert_eq!((both.form, both.parts.len()), (Form::CardAndEmmc, 1));
    assert_eq!(faults(&both), [""; 0]);

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
                firmware.form,
                Form::CardAndEmmc,
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

/// A source that counts what is read of it.
struct Counted<'a> {
    bytes: &'a [u8],
    read: AtomicU64,
}

impl ReadAt for Counted<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.bytes.read_exact_at(buffer, offset)
    }
}

/// A table has room for 409 records, and all of them may name one place.
#[test]
fn a_table_that_names_one_place_for_ever_is_read_within_bounds() {
    let size = 24 << 20;
    let mut fip = FIP.clone();
    fip.resize(size, 0);
    let total = (size - 0x8000) as u32;
    // Records of nothing, each at a header that says that all of the file is its own.
    fip[0x4000 + 4..0x4000 + 8].copy_from_slice(&total.to_le_bytes());
    for number in 0..409 {
        let at = 16 + 40 * number;
        fip.copy_within(16..32, at);
        fip[at + 16..at + 24].copy_from_slice(&0x4000_u64.to_le_bytes());
        fip[at + 24..at + 40].fill(0);
    }
    for record_size in [0, u64::from(total)] {
        for number in 0..409 {
            let at = 16 + 40 * number + 24;
            fip[at..at + 8].copy_from_slice(&record_size.to_le_bytes());
        }
        let source = Counted {
            bytes: &fip,
            read: AtomicU64::new(0),
        };
        let firmware = read(&source).unwrap().unwrap();
        assert_eq!(firmware.parts.len(), 410);
        let read = source.read.into_inner();
        assert!(read < 160 << 20, "{read} bytes were read");
    }
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
