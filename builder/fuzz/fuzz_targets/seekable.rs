//! A compressed image: its table, and all its frames.
#![no_main]

use formats::seekable::{MAX_CONTENT, Reader};
use formats::source::ReadAt;
use libfuzzer_sys::fuzz_target;

/// Bytes that are read: a table may tell of terabytes.
const MOST: u64 = 8 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::open(bytes) else {
        return;
    };
    let mut content = 0;
    for (start, frame) in reader.frames() {
        assert!(start + u64::from(frame.stored) <= bytes.len() as u64);
        assert!(frame.content as usize <= MAX_CONTENT);
        content += u64::from(frame.content);
    }
    assert_eq!(content, reader.size());
    let mut buffer = vec![0; 100_000];
    let mut offset = 0;
    while offset < reader.size().min(MOST) {
        let length = (reader.size() - offset).min(buffer.len() as u64) as usize;
        let _ = reader.read_exact_at(&mut buffer[..length], offset);
        offset += length as u64;
    }
    assert!(reader.read_exact_at(&mut buffer[..1], reader.size()).is_err());
});
