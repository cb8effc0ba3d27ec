//! Boot areas as they are read: each packaging, part by part, and tables that send a reader round.

#![allow(clippy::unwrap_used, missing_docs)]

mod fip_common;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use formats::fip::{Loader, Packaging, PartName, read, u_boot_version};
use formats::source::ReadAt;
use testkit::fip as made_up;

use fip_common::{BOTH, CARD, FIP, faults, found, payloads};

#[test]
fn a_card_is_read_part_by_part() {
    let firmware = found(&CARD);
    assert_eq!(firmware.packaging, Packaging::Card);
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
    assert_eq!((usb.packaging, usb.parts.len()), (Packaging::Usb, 6));
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
        assert_eq!((card.packaging, card.parts.len()), (Packaging::SignedCard, 6));
        assert_eq!(
            (card.parts[0].name, card.parts[0].range.clone()),
            (PartName::Bl2, 512..0xc200)
        );
        assert_eq!(faults(&card), [""; 0]);
    }

    let both = found(&BOTH);
    assert_eq!((both.packaging, both.parts.len()), (Packaging::CardAndEmmc, 6));
    assert_eq!(
        (both.parts[0].name, both.parts[0].range.clone()),
        (PartName::Bl2, 0..0xc000)
    );
    assert_eq!(both.parts[1].range.start, 96 * 512);
    assert_eq!(faults(&both), [""; 0]);

    let package = found(&FIP);
    assert_eq!((package.packaging, package.parts.len()), (Packaging::Package, 5));

    // First stages alone.
    let bl1 = found(&made_up::bl1(1));
    assert_eq!((bl1.packaging, bl1.parts.len()), (Packaging::Card, 1));
    assert_eq!(faults(&bl1), [""; 0]);
    let bl2 = found(&bl2);
    assert_eq!((bl2.packaging, bl2.parts.len()), (Packaging::Usb, 1));
    assert_eq!(faults(&bl2), [""; 0]);
    let both = found(&BOTH[..0xc000]);
    assert_eq!((both.packaging, both.parts.len()), (Packaging::CardAndEmmc, 1));
    assert_eq!(faults(&both), [""; 0]);

    for nothing in [vec![], vec![0; 100], vec![0; 1 << 20], made_up::noise(6, 1 << 17)] {
        assert!(read(&&nothing[..]).unwrap().is_none());
    }
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
