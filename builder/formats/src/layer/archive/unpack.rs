//! The tar stream inside a file, compressed or not: the first bytes say which, not the name.

use std::io::{BufRead, BufReader, Read};

use liblzma::stream::{CONCATENATED, Stream};

use super::ArchiveError;

/// Bytes read from the file at once.
const BUFFER: usize = 128 << 10;

/// Bytes that tell the compressions apart.
const MAGIC: usize = 6;

/// Most memory that xz may take for its dictionary and tables, in bytes. `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// Largest zstd window, as a power of two: 128 MiB, what `zstd` itself accepts without being told to.
const ZSTD_WINDOW: u32 = 27;

/// The bytes of the archive. gzip, xz and zstd may have several members or frames, one after another.
pub(super) fn unpack<'a>(mut input: impl Read + 'a) -> Result<Box<dyn BufRead + 'a>, ArchiveError> {
    let read_error = |source| ArchiveError::Read { offset: 0, source };
    let mut magic = Vec::with_capacity(MAGIC);
    input
        .by_ref()
        .take(MAGIC as u64)
        .read_to_end(&mut magic)
        .map_err(read_error)?;
    let kind = Kind::of(&magic)?;
    let file = BufReader::with_capacity(BUFFER, std::io::Cursor::new(magic).chain(input));
    Ok(match kind {
        Kind::Tar => Box::new(file),
        Kind::Gzip => Box::new(BufReader::with_capacity(
            BUFFER,
            flate2::bufread::MultiGzDecoder::new(file),
        )),
        Kind::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                .map_err(|error| read_error(error.into()))?;
            Box::new(BufReader::with_capacity(
                BUFFER,
                liblzma::bufread::XzDecoder::new_stream(file, stream),
            ))
        }
        Kind::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(read_error)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(read_error)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
    })
}

enum Kind {
    Tar,
    Gzip,
    Xz,
    Zstd,
}

impl Kind {
    fn of(magic: &[u8]) -> Result<Self, ArchiveError> {
        match magic {
            [] => Err(ArchiveError::Empty),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Ok(Self::Xz),
            // A frame, or a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', ..] => Err(ArchiveError::Compression("bzip2")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(ArchiveError::Compression("lz4")),
            [0x5d, 0, 0, ..] => Err(ArchiveError::Compression("lzma")),
            [b'P', b'K', 3, 4, ..] => Err(ArchiveError::Compression("zip")),
            _ => Ok(Self::Tar),
        }
    }
}
