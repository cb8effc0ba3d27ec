//! An image as a fuzzer has it: what is not zero, in runs.
//!
//! ```text
//! size
//! 4      size of the image in sectors of 512 bytes
//!        for each run:
//! 4      where it lies, in units of 16 bytes
//! 2      its length in bytes, n
//! n      its bytes
//! ```
//!
//! All numbers are little-endian. What is cut off at the end is as if it was not there; of runs that overlap the last one
//! counts.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use formats::source::ReadAt;
use formats::sparse::SparseImage;

/// Bytes of a page, the unit in which an image is kept.
pub const PAGE: u64 = 4096;

/// Largest image: no reader is asked to read more zeros than that.
const MAX_SIZE: u64 = 1 << 30;

/// Bytes that a run is made of, and that stay zero at least between two runs.
const UNIT: usize = 16;

const SECTOR: u64 = 512;

/// Where the first run starts in the bytes.
const RUNS: usize = 4;

/// Bytes of a run before its own.
const HEAD: usize = 6;

/// An image of which only what is not zero is kept.
#[derive(Debug, Default)]
pub struct Image {
    size: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Image {
    /// The image that `bytes` tell of.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let size = u64::from(u32::from_le_bytes(*bytes.first_chunk()?)) * SECTOR;
        let mut image = Self {
            size: size.min(MAX_SIZE),
            pages: BTreeMap::new(),
        };
        for run in runs(bytes) {
            let place = u64::from(u32::from_le_bytes(*bytes[run.start - HEAD..].first_chunk()?));
            image.write(place * UNIT as u64, &bytes[run]);
        }
        Some(image)
    }

    /// Writes what lies within the image.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64).min(self.size);
        let mut at = offset;
        while at < end {
            let within = at % PAGE;
            let length = (PAGE - within).min(end - at);
            let page = self
                .pages
                .entry(at / PAGE)
                .or_insert_with(|| Box::new([0; PAGE as usize]));
            let from = (at - offset) as usize;
            page[within as usize..][..length as usize].copy_from_slice(&bytes[from..][..length as usize]);
            at += length;
        }
    }

    /// Bytes of the image; `None` where it ends before.
    pub fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// Where the pages start that are not all zeros.
    pub fn pages(&self) -> Vec<u64> {
        self.pages.keys().map(|page| page * PAGE).collect()
    }
}

impl ReadAt for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        let end = end
            .filter(|end| *end <= self.size)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.fill(0);
        for (page, bytes) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let start = page * PAGE;
            let (from, to) = (start.max(offset), (start + PAGE).min(end));
            buffer[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
        }
        Ok(())
    }
}

/// Where the runs' own bytes are in `bytes`.
fn runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = RUNS;
    while let Some(head) = bytes.get(at..at + HEAD) {
        let start = at + HEAD;
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
        at = start + length;
        if at <= bytes.len() {
            runs.push(start..at);
        }
    }
    runs
}

/// Changes the first `size` of `data` and tells how many bytes count then. Mostly the bytes of one run change and their
/// number does not, so that all other runs stay where they are; `mutate` is what libFuzzer does to bytes.
pub fn mutate_run(
    data: &mut [u8],
    size: usize,
    seed: u32,
    mutate: fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut runs = runs(&data[..size]);
    runs.retain(|run| !run.is_empty());
    if seed.is_multiple_of(16) || runs.is_empty() {
        return mutate(data, size, data.len());
    }
    let run = runs[(seed / 16) as usize % runs.len()].clone();
    let mut bytes = data[run.clone()].to_vec();
    let length = bytes.len();
    mutate(&mut bytes, length, length);
    data[run].copy_from_slice(&bytes);
    size
}

/// The bytes that tell of `image`.
pub fn to_bytes(image: &SparseImage) -> Vec<u8> {
    let mut bytes = ((image.size.0 / SECTOR) as u32).to_le_bytes().to_vec();
    for piece in &image.pieces {
        let mut content = vec![0; piece.length as usize];
        piece
            .blob
            .read_exact_at(&mut content, piece.blob_offset)
            .expect("a blob has its pieces");
        let units: Vec<&[u8]> = content.chunks(UNIT).collect();
        let mut at = 0;
        while at < units.len() {
            let run = units[at..]
                .iter()
                .take(usize::from(u16::MAX) / UNIT)
                .take_while(|unit| unit.iter().any(|byte| *byte != 0));
            let run: Vec<u8> = run.copied().flatten().copied().collect();
            if !run.is_empty() {
                let place = (piece.offset as usize + at * UNIT) / UNIT;
                bytes.extend_from_slice(&(place as u32).to_le_bytes());
                bytes.extend_from_slice(&(run.len() as u16).to_le_bytes());
                bytes.extend_from_slice(&run);
            }
            at += run.len().div_ceil(UNIT).max(1);
        }
    }
    bytes
}
