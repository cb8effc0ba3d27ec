//! The frames of a base, compressed once, from which the compressed images of its nodes are put together: what a node
//! has in common with the base is copied as it is compressed, only the rest is compressed for the node.
//!
//! A file system that shares blocks between files can share whole blocks only. So where frames of the base follow
//! frames of the node's own, they start at the same place within a block as in the base's file; a skippable frame fills
//! the gap.

use std::io::{self, Write};

use rayon::prelude::*;

use super::{Encoder, Frame, LEVEL, Reader, SeekableError, seek_table};
use crate::blob::Blob;
use crate::delta::BLOCK;
use crate::segments::{Kind, Segment, Segments};
use crate::source::{ReadAt, WholeBlob};
use crate::sparse::SparseImage;
use crate::units::Bytes;

/// Segments that are compressed before the first of them is written, for each thread: bounds what is in memory.
const AHEAD: usize = 8;

/// First four bytes of a skippable frame.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// Bytes of a skippable frame before its content.
const SKIPPABLE_HEADER: u64 = 8;

/// The compressed image of a base, with the place of each segment's frame.
#[derive(Debug)]
pub struct FrameStore {
    segments: Segments,
    /// For each segment its frame and where that starts in the blob.
    frames: Vec<(u64, Frame)>,
    blob: Blob,
}

impl FrameStore {
    /// Compresses `image`, a frame for each of `segments`, on all threads of the pool that this runs in. `sink` gets
    /// the file; [`FrameStore::open`] makes a store of it.
    pub fn write(image: &SparseImage, segments: &Segments, sink: &mut impl Write) -> io::Result<()> {
        let mut writer = FileWriter::default();
        let ahead = AHEAD * rayon::current_num_threads();
        let mut own_before = false;
        for window in segments.list.chunks(ahead) {
            let encoded: Vec<Vec<u8>> = window
                .par_iter()
                .map_init(Workbench::default, |bench, segment| bench.encode(image, segment))
                .collect::<io::Result<_>>()?;
            for (segment, stored) in window.iter().zip(encoded) {
                let is_own = matches!(segment.kind, Kind::Touchable(_));
                if own_before && !is_own {
                    sink.write_all(&writer.align(0)?)?;
                }
                own_before = is_own;
                writer.add(stored.len() as u64, segment.length)?;
                sink.write_all(&stored)?;
            }
        }
        sink.write_all(&writer.table()?)
    }

    /// The store in `blob`, which has the image of `segments`.
    pub fn open(blob: Blob, segments: Segments) -> Result<Self, SeekableError> {
        let reader = Reader::open(WholeBlob::new(blob.clone()).map_err(SeekableError::Read)?)?;
        let frames: Vec<_> = reader.frames().filter(|(_, frame)| frame.content > 0).collect();
        let fits = frames.len() == segments.list.len()
            && frames
                .iter()
                .zip(&segments.list)
                .all(|((_, frame), segment)| frame.content == segment.length);
        if !fits {
            return Err(SeekableError::OtherSegments);
        }
        Ok(Self {
            segments,
            frames,
            blob,
        })
    }

    /// The compressed file of `image`, whose segments are `segments`: those that are as in the base refer to the store.
    pub fn compose(&self, image: &SparseImage, segments: &Segments) -> io::Result<SparseImage> {
        let mut file = SparseImage::default();
        let mut writer = FileWriter::default();
        let mut bench = Workbench::default();
        // Where the frame behind the last one lies in the store, if that was a frame of the store.
        let mut follower = None;
        let mut shared = self.segments.list.iter().zip(&self.frames);
        for segment in &segments.list {
            let same = shared
                .next()
                .filter(|(base, _)| base.range() == segment.range() && base.sha256() == segment.sha256());
            follower = match same {
                Some((_, (place, frame))) => {
                    if follower != Some(*place) {
                        let start = writer.position;
                        file.put(start, writer.align(place % BLOCK)?);
                    }
                    let stored = u64::from(frame.stored);
                    let start = writer.add(stored, frame.content)?;
                    file.put_blob(start, stored, self.blob.clone(), *place);
                    Some(place + stored)
                }
                None => {
                    let stored = bench.encode(image, segment)?;
                    let start = writer.add(stored.len() as u64, segment.length)?;
                    file.put(start, stored);
                    None
                }
            };
        }
        let start = writer.position;
        file.put(start, writer.table()?);
        file.size = Bytes(file.pieces.last().map_or(0, |piece| piece.range().end));
        Ok(file)
    }
}

/// What a thread needs to compress segments.
#[derive(Default)]
struct Workbench {
    encoder: Option<Encoder>,
    content: Vec<u8>,
}

impl Workbench {
    fn encode(&mut self, image: &SparseImage, segment: &Segment) -> io::Result<Vec<u8>> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(LEVEL)?),
        };
        self.content.resize(segment.length as usize, 0);
        image.read_exact_at(&mut self.content, segment.offset)?;
        encoder.encode(&self.content)
    }
}

/// Keeps account of a file of frames.
#[derive(Default)]
struct FileWriter {
    position: u64,
    frames: Vec<Frame>,
}

impl FileWriter {
    /// A frame of `stored` bytes comes next; returns where it starts.
    fn add(&mut self, stored: u64, content: u32) -> io::Result<u64> {
        let start = self.position;
        let stored = u32::try_from(stored).map_err(io::Error::other)?;
        self.frames.push(Frame { stored, content });
        self.position += u64::from(stored);
        Ok(start)
    }

    /// The skippable frame behind which the next one starts `place` bytes behind the start of a block; none where it
    /// does already.
    fn align(&mut self, place: u64) -> io::Result<Vec<u8>> {
        let mut length = (BLOCK + place - self.position % BLOCK) % BLOCK;
        if length == 0 {
            return Ok(Vec::new());
        }
        if length < SKIPPABLE_HEADER {
            length += BLOCK;
        }
        self.add(length, 0)?;
        let mut frame = vec![0; length as usize];
        let content = (length - SKIPPABLE_HEADER) as u32;
        frame[..4].copy_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
        frame[4..8].copy_from_slice(&content.to_le_bytes());
        Ok(frame)
    }

    fn table(&self) -> io::Result<Vec<u8>> {
        seek_table(&self.frames)
            .ok_or_else(|| io::Error::other("the image has more frames than a seek table"))
    }
}
