//! The hashes that keys are made of. All are CRC-32C without the final inversion, each from its own seed.

/// CRC-32C from `seed`, not inverted: the kernel's `crc32c(seed, bytes)`.
fn raw(seed: u32, bytes: &[u8]) -> u32 {
    // The crate inverts before and after, as the common checksum does.
    !crc32c::crc32c_append(!seed, bytes)
}

/// Hash of a name in a directory or of an extended attribute: `btrfs_name_hash`.
pub(super) fn name(name: &[u8]) -> u64 {
    u64::from(raw(!1, name))
}

/// Hash of a name with its directory, for INODE_EXTREF: `btrfs_extref_hash`, which seeds with the low half of the
/// directory's inode number.
pub(super) fn extref(parent: u64, name: &[u8]) -> u64 {
    u64::from(raw(parent as u32, name))
}

/// Hash of a reference to a data extent: `hash_extent_data_ref`. Inline references are in descending order of it.
pub(super) fn data_ref(root: u64, inode: u64, offset: u64) -> u64 {
    let high = raw(!0, &root.to_le_bytes());
    let low = raw(raw(!0, &inode.to_le_bytes()), &offset.to_le_bytes());
    (u64::from(high) << 31) ^ u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that mkfs.btrfs gives to the name of the default subvolume.
    #[test]
    fn default_hashes_as_in_every_volume() {
        assert_eq!(name(b"default"), 2_378_154_706);
    }
}
