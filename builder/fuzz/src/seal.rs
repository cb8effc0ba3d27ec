//! Digests that end or fill a file, made right.

use sha2::{Digest, Sha256};

/// `bytes` with their SHA-256 behind them, as indexes and deltas have it.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &Sha256::digest(bytes)].concat()
}

/// A block map with the right digest in the place where it has one.
pub fn sealed_map(bytes: &[u8]) -> Vec<u8> {
    let mut map = bytes.to_vec();
    let name = b"<BmapFileChecksum>";
    let Some(start) = map.windows(name.len()).position(|window| window == name) else {
        return map;
    };
    let start = start + name.len();
    let space = map[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    let place = start + space..start + space + 64;
    if map.get(place.clone()).is_none() {
        return map;
    }
    map[place.clone()].fill(b'0');
    let digest = Sha256::digest(&map);
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    map[place].copy_from_slice(text.as_bytes());
    map
}
