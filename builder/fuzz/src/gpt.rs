//! Makes the checksums of a GPT and of its copy right.

use formats::source::ReadAt;

use crate::image::Image;

const SECTOR: u64 = 512;

// Places in a header; see `formats::gpt`.
const SIZE: usize = 12;
const CHECKSUM: usize = 16;
const ENTRIES: usize = 72;
const COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;
const ENTRIES_CHECKSUM: usize = 88;

/// Makes the checksums right of the headers in the second and in the last sector, and of their entries.
pub fn fix(image: &mut Image) {
    let last = (image.size() / SECTOR).saturating_sub(1);
    for sector in [1, last] {
        let start = sector * SECTOR;
        let Some(mut header) = image.read(start, SECTOR as usize) else {
            continue;
        };
        if !header.starts_with(b"EFI PART") {
            continue;
        }
        let entries = u64::from_le_bytes(header[ENTRIES..][..8].try_into().unwrap_or_default());
        let length = u64::from(number(&header, COUNT)) * u64::from(number(&header, ENTRY_SIZE));
        // More is refused before it is read.
        let length = length.min(1 << 20) as usize;
        if let Some(entries) = image.read(entries.saturating_mul(SECTOR), length) {
            header[ENTRIES_CHECKSUM..][..4].copy_from_slice(&crc32(&entries).to_le_bytes());
        }
        let size = (number(&header, SIZE) as usize).min(header.len());
        header[CHECKSUM..][..4].fill(0);
        let sum = crc32(&header[..size]);
        header[CHECKSUM..][..4].copy_from_slice(&sum.to_le_bytes());
        image.write(start, &header);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
