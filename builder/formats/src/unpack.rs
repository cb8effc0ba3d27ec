//! Compressed streams. The first bytes say how one is compressed, not the name of its file; gzip, bzip2, xz and zstd may
//! have several members, streams or frames, one after another, and nothing else behind the last.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Error as XzError, Stream};
use thiserror::Error;

use crate::units::Bytes;

/// Bytes read or decompressed at once.
const BUFFER: usize = 128 << 10;

/// Bytes that tell the compressions apart.
pub const MAGIC: usize = 6;

/// Largest zstd window, as a power of two: what `zstd` itself accepts without being told to.
const ZSTD_WINDOW: u32 = 27;

/// Largest window or dictionary of a stream: so much of what came before a decoder has to keep. `xz -9` needs 64 MiB.
pub const MAX_WINDOW: Bytes = Bytes(1 << ZSTD_WINDOW);

/// Most memory that xz may take: its dictionary, and tables.
const XZ_MEMORY: u64 = MAX_WINDOW.0 + (1 << 20);

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// A compression that is known and not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("compressed with {0}, which is not supported: gzip, bzip2, xz and zstd are")]
pub struct Unsupported(pub &'static str);

impl Codec {
    /// What a stream that begins with `magic`, its first [`MAGIC`] bytes, is compressed with.
    pub fn of(magic: &[u8]) -> Result<Self, Unsupported> {
        match magic {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Ok(Self::Xz),
            // A frame, or a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Ok(Self::Bzip2),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(Unsupported("lz4")),
            [0x5d, 0, 0, ..] => Err(Unsupported("lzma")),
            [b'P', b'K', 3, 4, ..] => Err(Unsupported("zip")),
            _ => Ok(Self::Plain),
        }
    }

    /// The name of the compression.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "no compression",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The bytes that `input` holds, compressed like this. Fails on what follows the compressed stream, and on a window
    /// above [`MAX_WINDOW`].
    pub fn decoder<'a>(self, input: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => buffered(MultiGzDecoder::new(input)),
            Self::Bzip2 => buffered(MultiBzDecoder::new(input)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                buffered(XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                buffered(decoder)
            }
        })
    }
}

/// The bytes that `input` holds, decompressed as its first bytes say, and how it was compressed.
pub fn unpack<'a>(mut input: impl Read + 'a) -> Result<(Codec, Box<dyn BufRead + 'a>), UnpackError> {
    let mut magic = Vec::with_capacity(MAGIC);
    input.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
    if magic.is_empty() {
        return Err(UnpackError::Empty);
    }
    let codec = Codec::of(&magic).map_err(UnpackError::Unsupported)?;
    let file = BufReader::with_capacity(BUFFER, io::Cursor::new(magic).chain(input));
    Ok((codec, codec.decoder(file)?))
}

/// Why a stream cannot be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It is compressed in a way that is not read.
    #[error("it is {0}")]
    Unsupported(Unsupported),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] io::Error),
}

fn buffered<'a>(decoder: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    Box::new(BufReader::with_capacity(BUFFER, Explained(decoder)))
}

/// A decoder whose refusal of a window names the limit.
struct Explained<R>(R);

impl<R: Read> Read for Explained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            // libzstd has this sentence for one thing only, and its codes do not come through.
            if inner == Some(&XzError::MemLimit) || error.to_string().contains("requires too much memory") {
                let message = format!("its window or dictionary is above the limit of {MAX_WINDOW}");
                return io::Error::new(io::ErrorKind::InvalidData, message);
            }
            error
        })
    }
}
