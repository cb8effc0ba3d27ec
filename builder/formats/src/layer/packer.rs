//! Files in, extents out: cuts file data into pieces, has them compressed by a pool of threads and writes the result
//! to the blob in the order in which the data came.
//!
//! ```text
//! caller's thread                workers (`jobs` of them)        caller's thread
//! cut a file into chunks ------> zstd, crc32c, SHA-256 -------> in order: join raw runs, find equals, write
//!            '----- a bounded queue of chunks under way -------'
//! ```
//!
//! The order of the blob is the order of the calls, so the number of workers changes nothing but the time. Memory is
//! bounded by the queue: [`QUEUE`] chunks of 128 KiB for each worker, and one raw run.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::extents::{Chunk, Compression, Encoder, Inline, Place, Stored, StoredExtent};
use super::{Content, Data, Encoding, Extent, MAX_COMPRESSED, MAX_INLINE, SECTOR};

/// Chunks under way for each worker.
const QUEUE: usize = 16;

/// Longest raw extent, in bytes. Longer ones save metadata but have to be held in memory until they are known to be
/// new.
const MAX_RAW: usize = 1 << 20;

/// How file data becomes extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// How data is compressed.
    pub compression: Compression,
    /// How files are stored that fit into the metadata.
    pub inline: Inline,
    /// Threads that compress. The result does not depend on it.
    pub jobs: NonZeroUsize,
}

/// Why file data could not be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The blob could not be written.
    #[error("cannot write the extents of a layer")]
    Write(#[source] io::Error),
    /// A compressing thread could not be started, or zstd ran out of memory.
    #[error("cannot compress file data")]
    Compress(#[source] io::Error),
}

/// A run of a file that has data; what no region covers is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First byte in the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Region {
    pub(super) fn end(self) -> u64 {
        self.offset + self.length
    }
}

/// Chunks to compress, and where each result goes.
type Job = (Chunk, Sender<io::Result<Stored>>);

/// A chunk under way.
struct Pending {
    /// The file it belongs to, by position in `contents`.
    file: usize,
    file_offset: u64,
    result: Receiver<io::Result<Stored>>,
}

/// Consecutive raw chunks of a file that will become one extent.
struct RawRun {
    file: usize,
    file_offset: u64,
    bytes: Vec<u8>,
    checksums: Vec<u32>,
    digests: Vec<[u8; 32]>,
}

/// What two extents have in common when they are one.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    encoding: Encoding,
    stored_length: u64,
    /// SHA-256 of the stored bytes; of the chunks' digests where there are several.
    digest: [u8; 32],
}

/// Packs the data of files, one after the other, into a blob.
pub(super) struct Packer<W> {
    blob: W,
    blob_length: u64,
    known: HashMap<Identity, u64>,
    contents: Vec<Content>,
    pending: VecDeque<Pending>,
    run: Option<RawRun>,
    queue: Sender<Job>,
    most_pending: usize,
}

/// What a packer made.
pub(super) struct Packed<W> {
    /// Content of each file, in the order of the calls.
    pub contents: Vec<Content>,
    /// The sink, with all extents written to it.
    pub blob: W,
    /// Bytes written to the sink.
    pub blob_length: u64,
}

impl<W: Write> Packer<W> {
    /// Starts the compressing threads; they end with the packer.
    pub(super) fn new(packing: Packing, blob: W) -> Result<Self, PackError> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..packing.jobs.get() {
            let encoder = Encoder::new(packing.compression, packing.inline).map_err(PackError::Compress)?;
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name("compress".to_owned())
                .spawn(move || work(encoder, &jobs))
                .map_err(PackError::Compress)?;
        }
        Ok(Self {
            blob,
            blob_length: 0,
            known: HashMap::new(),
            contents: Vec::new(),
            pending: VecDeque::new(),
            run: None,
            queue,
            most_pending: packing.jobs.get().saturating_mul(QUEUE),
        })
    }

    /// Packs a file of `size` bytes that has data in `regions` (in order, disjoint, within the file); `read` fills
    /// buffers with the bytes of the regions, one after the other.
    pub(super) fn file<E: From<PackError>>(
        &mut self,
        size: u64,
        regions: &[Region],
        mut read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.contents.push(Content {
            size,
            data: Data::Extents(Vec::new()),
        });
        if size == 0 {
            return Ok(());
        }
        if size <= MAX_INLINE {
            let mut bytes = vec![0; size as usize];
            for region in regions {
                read(&mut bytes[region.offset as usize..region.end() as usize])?;
            }
            return Ok(self.submit(
                0,
                Chunk {
                    bytes,
                    place: Place::Inline,
                },
            )?);
        }
        let mut cursor = Cursor {
            regions,
            read_of_first: 0,
        };
        while let Some((start, end)) = cursor.next_run() {
            let mut chunk_start = start;
            while chunk_start < end {
                let chunk_end = end.min(chunk_start + MAX_COMPRESSED);
                let mut bytes = vec![0; (chunk_end - chunk_start) as usize];
                cursor.fill(&mut bytes, chunk_start, &mut read)?;
                self.submit(
                    chunk_start,
                    Chunk {
                        bytes,
                        place: Place::Extent,
                    },
                )?;
                chunk_start = chunk_end;
            }
        }
        Ok(())
    }

    /// Waits for what is under way and writes it.
    pub(super) fn finish(mut self) -> Result<Packed<W>, PackError> {
        self.settle(0)?;
        self.end_run()?;
        self.blob.flush().map_err(PackError::Write)?;
        Ok(Packed {
            contents: self.contents,
            blob: self.blob,
            blob_length: self.blob_length,
        })
    }

    /// Hands a chunk of the last file to the workers; first makes room when too many are under way.
    fn submit(&mut self, file_offset: u64, chunk: Chunk) -> Result<(), PackError> {
        if self.pending.len() >= self.most_pending {
            // Half at once, so that the workers are not woken for each chunk anew.
            self.settle(self.most_pending / 2)?;
        }
        let (sender, result) = mpsc::channel();
        self.queue.send((chunk, sender)).map_err(|_| worker_lost())?;
        self.pending.push_back(Pending {
            file: self.contents.len() - 1,
            file_offset,
            result,
        });
        Ok(())
    }

    /// Takes results in order until only `left` chunks are under way.
    fn settle(&mut self, left: usize) -> Result<(), PackError> {
        while self.pending.len() > left {
            let Some(Pending {
                file,
                file_offset,
                result,
            }) = self.pending.pop_front()
            else {
                break;
            };
            match result
                .recv()
                .map_err(|_| worker_lost())?
                .map_err(PackError::Compress)?
            {
                Stored::Hole => {}
                Stored::Inline(encoding, stored) => {
                    self.contents[file].data = Data::Inline { encoding, stored };
                }
                Stored::Extent(extent) if extent.encoding == Encoding::Raw => {
                    self.join_run(file, file_offset, extent)?;
                }
                Stored::Extent(extent) => {
                    self.end_run()?;
                    self.store(file, file_offset, extent)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a raw chunk to the run it continues, or starts a new one.
    fn join_run(&mut self, file: usize, file_offset: u64, chunk: StoredExtent) -> Result<(), PackError> {
        if let Some(run) = &mut self.run
            && run.file == file
            && run.file_offset + run.bytes.len() as u64 == file_offset
            && run.bytes.len() + chunk.bytes.len() <= MAX_RAW
        {
            run.bytes.extend_from_slice(&chunk.bytes);
            run.checksums.extend_from_slice(&chunk.checksums);
            run.digests.push(chunk.digest);
            return Ok(());
        }
        self.end_run()?;
        self.run = Some(RawRun {
            file,
            file_offset,
            bytes: chunk.bytes,
            checksums: chunk.checksums,
            digests: vec![chunk.digest],
        });
        Ok(())
    }

    /// Stores the raw run, if there is one.
    fn end_run(&mut self) -> Result<(), PackError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let digest = match run.digests[..] {
            [digest] => digest,
            ref digests => Sha256::digest(digests.as_flattened()).into(),
        };
        let extent = StoredExtent {
            encoding: Encoding::Raw,
            length: run.bytes.len() as u64,
            bytes: run.bytes,
            checksums: run.checksums,
            digest,
        };
        self.store(run.file, run.file_offset, extent)
    }

    /// Writes an extent unless the blob has it, and gives it to its file.
    fn store(&mut self, file: usize, file_offset: u64, extent: StoredExtent) -> Result<(), PackError> {
        let stored_length = extent.bytes.len() as u64;
        let identity = Identity {
            encoding: extent.encoding,
            stored_length,
            digest: extent.digest,
        };
        let blob_offset = match self.known.get(&identity) {
            Some(offset) => *offset,
            None => {
                let offset = self.blob_length;
                self.blob.write_all(&extent.bytes).map_err(PackError::Write)?;
                self.blob_length += stored_length;
                self.known.insert(identity, offset);
                offset
            }
        };
        if let Data::Extents(extents) = &mut self.contents[file].data {
            extents.push(Extent {
                file_offset,
                length: extent.length,
                encoding: extent.encoding,
                blob_offset,
                stored_length,
                checksums: extent.checksums,
            });
        }
        Ok(())
    }
}

/// A compressing thread: until the packer is gone.
fn work(mut encoder: Encoder, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // A poisoned lock means that another worker panicked while it waited; the packer reports the lost result.
        let Ok(job) = jobs.lock().map(|jobs| jobs.recv()) else {
            return;
        };
        let Ok((chunk, result)) = job else { return };
        if result.send(encoder.encode(chunk)).is_err() {
            // The packer was dropped: nobody waits for the other results either.
            return;
        }
    }
}

fn worker_lost() -> PackError {
    PackError::Compress(io::Error::other("a compressing thread ended early"))
}

/// Reads the regions of a file in order.
struct Cursor<'a> {
    /// Regions that are not fully read.
    regions: &'a [Region],
    /// Bytes of the first of them that are.
    read_of_first: u64,
}

impl Cursor<'_> {
    /// The next run of sectors that regions touch, as first byte and first byte after it; `None` when all is read.
    fn next_run(&mut self) -> Option<(u64, u64)> {
        while let [first, rest @ ..] = self.regions
            && self.read_of_first == first.length
        {
            (self.regions, self.read_of_first) = (rest, 0);
        }
        let first = self.regions.first()?;
        let start = first.offset / SECTOR * SECTOR;
        let mut end = first.end().next_multiple_of(SECTOR);
        for region in self.regions.iter().filter(|region| region.length > 0) {
            if region.offset / SECTOR * SECTOR > end {
                break;
            }
            end = end.max(region.end().next_multiple_of(SECTOR));
        }
        Some((start, end))
    }

    /// Fills `bytes`, which start at `start` of the file, with the data of the regions in them.
    fn fill<E>(
        &mut self,
        bytes: &mut [u8],
        start: u64,
        read: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = start + bytes.len() as u64;
        while let [first, rest @ ..] = self.regions {
            let from = first.offset + self.read_of_first;
            if from >= end && first.length > self.read_of_first {
                break;
            }
            let to = first.end().min(end);
            if from < to {
                read(&mut bytes[(from - start) as usize..(to - start) as usize])?;
                self.read_of_first += to - from;
            }
            if self.read_of_first < first.length {
                break;
            }
            (self.regions, self.read_of_first) = (rest, 0);
        }
        Ok(())
    }
}
