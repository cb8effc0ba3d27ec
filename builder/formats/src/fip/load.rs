//! Where BL31 is loaded, of vendors whose BL31 is a `bl31.img`: code behind a header of 512 bytes. In a package the header
//! is not the entry's: what it says stands in the table, and the entry is the code alone. Read, not written: no free
//! program writes it that ours could be compared with.
//!
//! ```text
//! bl31.img  | 0x12348765 | a number   | addresses and sizes, 0 ...   | code, from byte 0x200 on
//! table     0x400: | 0x87654321 | 1 | 0 ...
//!           0x480: | 0x12348765 | 1 | addresses and sizes, 0 ...
//! ```

use std::ops::Range;

use super::error::Fault;

/// What a `bl31.img` starts with, and in the table what it says.
const HEADER: [u8; 4] = 0x1234_8765_u32.to_le_bytes();

/// Where the table has the mark that it holds such data.
const MARK_AT: usize = 0x400;

/// The mark.
const MARK: [u8; 8] = 0x1_8765_4321_u64.to_le_bytes();

/// Where the table has the data.
const DATA_AT: usize = 0x480;

/// What the data start with there.
const DATA: [u8; 8] = 0x1_1234_8765_u64.to_le_bytes();

/// Bytes of the data: the addresses where BL31, its memory and the part of that which is secure begin, and two sizes.
const DATA_SIZE: usize = 0x30;

/// Whether a BL31 brings its header along.
pub fn has_header(bl31: &[u8]) -> bool {
    bl31.starts_with(&HEADER)
}

/// The bytes of a `table` that say where BL31 is loaded, none where it says nothing; and what is wrong with them.
pub(super) fn find(table: &[u8]) -> (Vec<Range<usize>>, Option<Fault>) {
    let has = |at: usize, wanted: &[u8]| table.get(at..).is_some_and(|bytes| bytes.starts_with(wanted));
    let (mark, data) = (has(MARK_AT, &MARK), has(DATA_AT, &DATA));
    // Of the two one is enough: the other may be what is damaged.
    let ranges = match mark || data {
        true => vec![MARK_AT..MARK_AT + MARK.len(), DATA_AT..DATA_AT + DATA_SIZE],
        false => Vec::new(),
    };
    let fault = (mark != data).then_some(Fault::LoadData {
        at: match mark {
            true => DATA_AT as u64,
            false => MARK_AT as u64,
        },
    });
    (ranges, fault)
}
