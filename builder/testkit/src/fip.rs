//! Made-up boot loaders of the real sizes, and the boot area that they make, put together the plainest way from the
//! tables of the format: what the product writes is compared with this. Nothing here uses the product's code.

use sha2::{Digest, Sha256};

/// Sizes of the blobs of the ODROID-C2, and of a U-Boot.
pub const SIZES: [(&str, usize); 4] = [
    ("bl30.bin", 40_584),
    ("bl301.bin", 6_228),
    ("bl31.bin", 69_840),
    ("u-boot.bin", 685_992),
];

/// The version that the made-up U-Boot has.
pub const VERSION: &str = "U-Boot 2025.01 (Jan 01 2025 - 00:00:00 +0000)";

/// As many bytes of noise as asked for; the same for the same seed (SplitMix64).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    };
    let words = length.div_ceil(8);
    let mut bytes: Vec<u8> = (0..words).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

/// A set of blobs by file name, as a `--blob-dir` has them; another one for each seed.
pub fn blobs(seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    let mut files = vec![
        ("bl1.bin.hardkernel", bl1(seed)),
        ("bl2.package", noise(seed ^ 2, 49_152)),
    ];
    files.extend(SIZES.iter().zip(3..).map(|((name, size), salt)| {
        let mut bytes = noise(seed ^ salt, *size);
        if *name == "u-boot.bin" {
            // Behind some code, ended as a string of C is.
            bytes[1000..1000 + VERSION.len()].copy_from_slice(VERSION.as_bytes());
            bytes[1000 + VERSION.len()] = 0;
        }
        (*name, bytes)
    }));
    files
}

/// Little-endian words at their offsets, in `size` bytes.
fn words(size: usize, fields: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (offset, value) in fields {
        bytes[*offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// An `@AML` header; the 16-bit fields at 8 and 10 are always 0x40 and 1.
fn header(fields: &[(usize, u32)]) -> Vec<u8> {
    let mut all = vec![(0, 0x4c4d_4140), (8, 0x0001_0040), (20, 0x40)];
    all.extend_from_slice(fields);
    words(64, &all)
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

/// A BL1: noise behind two headers that accept it, zeros from byte 0x70 to sector 1.
pub fn bl1(seed: u64) -> Vec<u8> {
    bl1_of(noise(seed ^ 1, 49_664))
}

/// The BL1 of these 49,664 bytes, some of which its headers take.
pub fn bl1_of(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[0x70..0x200].fill(0);
    // The card's header covers what is behind its digest, that of an eMMC everything from sector 1 on.
    for (at, hashed_offset, hashed_size) in [(0x210, 0x60, 0xbf90), (0x10, 0x1f0, 0xc000)] {
        let header = header(&[
            (4, 0xbff0),
            (24, 0x200),
            (28, hashed_offset),
            (36, 0x240),
            (40, 0xdb0),
            (44, hashed_size),
            (52, 0xff0),
            (56, 0xb000),
        ]);
        let start = at + hashed_offset as usize;
        let digest = sha256(&[&header, &bytes[start..start + hashed_size as usize]]);
        bytes[at..at + 64].copy_from_slice(&header);
        bytes[at + 64..at + 96].copy_from_slice(&digest);
    }
    bytes
}

/// A signed BL2.
pub fn signed_bl2(package: &[u8], nonce: [u8; 16]) -> Vec<u8> {
    let header = header(&[
        (4, 0xbff0),
        (24, 0x200),
        (28, 0x60),
        (36, 0x240),
        (40, 0xdb0),
        (44, 0xbf90),
        (52, 0xff0),
        (56, 0xb000),
    ]);
    let hashed = [&vec![0; 0xff0 - 0x60][..], &package[..0xb000]].concat();
    let digest = sha256(&[&header, &hashed]);
    [&nonce[..], &header, &digest, &hashed].concat()
}

/// All boot loaders of a board with a later SoC (G12A, SM1) in one file of `size` bytes, as the vendor's signer writes it for an eMMC:
/// the header of a BL2 of 64 KiB behind its nonce, and noise.
pub fn signed_whole(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = noise(seed, size);
    let header = header(&[
        (4, 0xfff0),
        (24, 0x200),
        (28, 0x60),
        (36, 0x240),
        (40, 0xdb0),
        (44, 0xff90),
        (52, 0xff0),
        (56, 0xf000),
    ]);
    bytes[0x10..0x50].copy_from_slice(&header);
    bytes
}

/// A signed entry of a FIP.
pub fn entry(payload: &[u8], id: [u8; 4]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    while !payload.len().is_multiple_of(16) {
        payload.push(0);
    }
    let size = payload.len() as u32;
    let header = header(&[
        (4, 0x60 + size),
        (12, u32::from_le_bytes(id)),
        (24, 0x20),
        (28, 0x60),
        (36, 0x60),
        (44, size),
        (52, 0x60),
        (56, size),
    ]);
    let digest = sha256(&[&header, &payload]);
    let moved = payload.len().min(0x60);
    [&header[..], &digest, &payload[moved..], &payload[..moved]].concat()
}

/// The bytes of a UUID as a FIP has them: the first three fields turned around.
fn uuid(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hexadecimal digits");
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        .map(byte)
        .to_vec()
}

/// UUIDs by name.
const UUIDS: [(&str, &str); 5] = [
    ("bl30", "3dfd6697-be89-49e8-ae5d-78a140608213"),
    ("bl301", "aabbccdd-abcd-efef-abcd-12345678abcd"),
    ("bl31", "6d08d447-fe4c-4698-9b95-2950cbbd5a00"),
    ("bl32", "89e1d005-dc53-4713-8d2b-500a4b7a3e38"),
    ("bl33", "a7eed0d6-eafc-4bd5-9782-9934f234b6e4"),
];

/// A FIP of payloads with their names and ids.
pub fn fip(payloads: &[(&str, &[u8], [u8; 4])]) -> Vec<u8> {
    let mut table = words(16, &[(0, 0xaa64_0001), (4, 0x1234_5678)]);
    let mut body: Vec<u8> = Vec::new();
    for (name, payload, id) in payloads {
        let (_, text) = UUIDS
            .iter()
            .find(|(known, _)| known == name)
            .expect("a known name");
        let entry = entry(payload, *id);
        table.extend(uuid(text));
        for word in [0x4000 + body.len() as u64, entry.len() as u64, 0] {
            table.extend(word.to_le_bytes());
        }
        body.extend(entry);
        while !body.len().is_multiple_of(0x4000) {
            body.push(0);
        }
    }
    table.extend([0; 16]);
    table.extend((0x4000 + body.len() as u64).to_le_bytes());
    table.resize(0x4000, 0);
    [table, body].concat()
}

/// The boot area of a card: BL1, then the FIP.
pub fn boot_area(bl1: &[u8], fip: &[u8]) -> Vec<u8> {
    [bl1, fip].concat()
}

/// A boot area for a card or an eMMC, of what the vendor's signer wrote for USB and of a third sector that starts it from
/// either: the payload of BL2 moves a sector up, whose last sector makes room; a header for a card comes before what is
/// already signed. The steps are those of U-Boot's `doc/board/amlogic/p201.rst`.
pub fn card_and_emmc(usb: &[u8], third: &[u8]) -> Vec<u8> {
    let mut bytes = usb.to_vec();
    bytes.copy_within(0x1000..0xbe00, 0x1200);
    bytes[0x1000..0x1200].fill(0);
    bytes[0x400..0x600].copy_from_slice(third);
    bytes.copy_within(0..16, 0x200);
    for (at, total, hashed_offset, payload_offset) in
        [(0x210, 0xbdf0, 0x60, 0xff0), (0x10, 0xbff0, 0x1f0, 0x3f0)]
    {
        let payload_size = match at {
            0x210 => 0xae00,
            _ => total - payload_offset,
        };
        let header = header(&[
            (4, total),
            (24, 0x200),
            (28, hashed_offset),
            (36, 0x240),
            (40, 0xdb0),
            (44, total - hashed_offset),
            (52, payload_offset),
            (56, payload_size),
        ]);
        let start = at + hashed_offset as usize;
        let digest = sha256(&[&header, &bytes[start..at + total as usize]]);
        bytes[at..at + 64].copy_from_slice(&header);
        bytes[at + 64..at + 96].copy_from_slice(&digest);
    }
    bytes
}

/// What the table of `fip` says of where BL31 is loaded, as of a vendor whose BL31 is a `bl31.img`. Found in published
/// files of such a board: the words of the image's header with a 1 for the second one.
pub fn say_where_bl31_is_loaded(fip: &mut [u8]) {
    fip[0x400..0x408].copy_from_slice(&words(8, &[(0, 0x8765_4321), (4, 1)]));
    let data = [
        (0x00, 0x1234_8765),
        (0x04, 1),
        (0x08, 0x1010_0000),
        (0x10, 0x1000_0000),
        (0x18, 0x0020_0000),
        (0x20, 0x1010_0000),
        (0x28, 0x0010_0000),
    ];
    fip[0x480..0x4b0].copy_from_slice(&words(0x30, &data));
}
