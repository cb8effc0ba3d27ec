//! Identifiers derived from names. A rebuilt image must carry the ids of the first one, so none is drawn at random:
//! each is the SHA-256 of a purpose and of the names it belongs to.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// The SHA-256 over `purpose` and `parts`, each preceded by its length, so that no two lists run together.
pub(crate) fn digest(purpose: &str, parts: &[impl AsRef<[u8]>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().map(AsRef::as_ref)) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A UUID (version 8, RFC 9562: "vendor specific") for `purpose` within `names`.
pub fn uuid(purpose: &str, names: &[&str]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(purpose, names)[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// A 32-bit identifier that is not zero, as a disk signature or a FAT volume id.
pub fn id32(purpose: &str, names: &[&str]) -> u32 {
    let hash = digest(purpose, names);
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]).max(1)
}
