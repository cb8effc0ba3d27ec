//! SHA-256 of what has holes, and as text.

use sha2::{Digest as _, Sha256};

/// Hashes as many zeros.
pub fn update_zeros(hash: &mut Sha256, mut count: u64) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    while count > 0 {
        let part = count.min(ZEROS.len() as u64);
        hash.update(&ZEROS[..part as usize]);
        count -= part;
    }
}

/// A digest in hexadecimal, lower case.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
