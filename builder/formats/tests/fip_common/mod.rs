//! What the tests of boot areas share: areas of small payloads, and what is wrong with one.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::sync::LazyLock;

use formats::fip::{FoundFirmware, read};
use testkit::fip as made_up;

const IDS: [[u8; 4]; 4] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]];

/// Small payloads, so that thousands of areas can be read; the first does not fill its last 16 bytes, the last fills slots
/// to the end.
pub fn payloads() -> [(&'static str, Vec<u8>); 4] {
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
pub static FIP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let payloads = payloads();
    let payloads: Vec<_> = payloads
        .iter()
        .zip(IDS)
        .map(|((name, payload), id)| (*name, &payload[..], id))
        .collect();
    made_up::fip(&payloads)
});

/// The boot area of a card, with a partition table.
pub static CARD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut area = made_up::boot_area(&made_up::bl1(1), &FIP);
    area[440..512].copy_from_slice(&made_up::noise(8, 72));
    area
});

/// The boot area for a card or an eMMC, with a partition table.
pub static BOTH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bl2 = made_up::signed_bl2(&made_up::noise(5, 0xc000), [3; 16]);
    let mut area = made_up::card_and_emmc(&[&bl2[..], &FIP].concat(), &made_up::noise(9, 512));
    area[440..512].copy_from_slice(&made_up::noise(8, 72));
    area
});

/// What is read of these bytes, which have boot loaders.
pub fn found(bytes: &[u8]) -> FoundFirmware {
    read(&bytes).unwrap().expect("boot loaders")
}

/// What is wrong, as `name: fault`.
pub fn faults(firmware: &FoundFirmware) -> Vec<String> {
    let all = firmware.parts.iter().flat_map(|part| {
        part.faults
            .iter()
            .map(move |fault| format!("{}: {fault}", part.name))
    });
    all.collect()
}
