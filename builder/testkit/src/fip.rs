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
    let mut bytes = noise(seed ^ 1, 49_664);
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
