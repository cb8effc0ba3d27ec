//! Files as a tar in PAX format, as GNU tar and `layer::from_tar` read it: any path, time, owner and size, extended
//! attributes as `SCHILY.xattr.*`, holes as GNU's sparse format 1.0.

use std::io::{self, Write};
use std::ops::Range;

use crate::layer::{Attributes, Device};

/// Bytes that everything in a tar is a multiple of.
const BLOCK: usize = 512;

/// Bytes that a whole tar is a multiple of: twenty blocks, as other writers do.
const RECORD: u64 = 20 * BLOCK as u64;

/// Most regions of a sparse file; one with more is written with its zeros.
const MAX_REGIONS: usize = 1 << 18;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A directory.
    Directory,
    /// A regular file. Its data follows with [`TarWriter::data`].
    File {
        /// Its bytes, holes included.
        size: u64,
        /// Where it has data: in order, disjoint, not empty, within `size`.
        regions: &'a [Range<u64>],
    },
    /// Another name of the file at this path, which came before.
    Hardlink(&'a [u8]),
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

/// Writes a tar.
#[derive(Debug)]
pub struct TarWriter<W> {
    output: W,
    written: u64,
}

/// How the data of a file has to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// Only what is in regions.
    Skipped,
    /// All of the file, zeros too.
    Written,
}

impl<W: Write> TarWriter<W> {
    /// A tar on `output`, which should have a buffer.
    pub fn new(output: W) -> Self {
        Self { output, written: 0 }
    }

    /// Begins a member at `path`: components joined by `/`, empty for the root. Tells for a file what of it
    /// [`TarWriter::data`] gets; the data has to be complete before [`TarWriter::end_file`].
    pub fn member(&mut self, path: &[u8], attributes: &Attributes, kind: &Kind<'_>) -> io::Result<Zeros> {
        let mut name = [b"./", path].concat();
        let mut records = Records::default();
        let mut map = Vec::new();
        let (mut size, mut zeros) = (0, Zeros::Written);
        let (mut target, mut device) = (&[][..], Device { major: 0, minor: 0 });
        let typeflag = match kind {
            Kind::Directory => {
                if !path.is_empty() {
                    name.push(b'/');
                }
                b'5'
            }
            Kind::File { size: all, regions } => {
                size = *all;
                let data: u64 = regions.iter().map(|region| region.end - region.start).sum();
                if data < *all && regions.len() < MAX_REGIONS {
                    zeros = Zeros::Skipped;
                    map = sparse_map(*all, regions);
                    size = data + map.len() as u64;
                    records.add(b"GNU.sparse.major", b"1");
                    records.add(b"GNU.sparse.minor", b"0");
                    records.add(b"GNU.sparse.name", &name);
                    records.add(b"GNU.sparse.realsize", all.to_string().as_bytes());
                    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
                    name = [b"./GNUSparseFile.0/", file].concat();
                    // The record above has the whole one.
                    name.truncate(NAME);
                }
                b'0'
            }
            Kind::Hardlink(path) => {
                target = path;
                b'1'
            }
            Kind::Symlink(path) => {
                target = path;
                b'2'
            }
            Kind::CharacterDevice(number) => {
                device = *number;
                b'3'
            }
            Kind::BlockDevice(number) => {
                device = *number;
                b'4'
            }
            Kind::Fifo => b'6',
        };
        // Names of hard links have to be those of their members.
        let target = match kind {
            Kind::Hardlink(_) => [b"./", target].concat(),
            _ => target.to_vec(),
        };
        if name.len() > NAME {
            records.add(b"path", &name);
        }
        if target.len() > NAME {
            records.add(b"linkpath", &target);
        }
        for (field, value, limit) in [
            (&b"size"[..], size, 1 << 33),
            (b"uid", attributes.uid.into(), 1 << 21),
            (b"gid", attributes.gid.into(), 1 << 21),
        ] {
            if value >= limit {
                records.add(field, value.to_string().as_bytes());
            }
        }
        let time = attributes.mtime;
        if time.nanoseconds != 0 || !(0..1 << 33).contains(&time.seconds) {
            records.add(b"mtime", seconds(time.seconds, time.nanoseconds).as_bytes());
        }
        // A hard link has the attributes of its file.
        for (key, value) in &attributes.xattrs {
            if key.contains(&b'=') {
                let key = String::from_utf8_lossy(key);
                let message = format!("a tar has no place for an extended attribute named {key}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            if !matches!(kind, Kind::Hardlink(_)) {
                records.add(&[b"SCHILY.xattr.", &key[..]].concat(), value);
            }
        }
        if !records.0.is_empty() {
            let header = header(b"./PaxHeaders/x", b'x', 0o644, records.0.len() as u64);
            self.block(header)?;
            self.write(&records.0)?;
            self.pad()?;
        }
        let mut block = header(&name, typeflag, attributes.mode, size);
        block.text(157, 100, &target);
        block.octal(108, 8, attributes.uid.into());
        block.octal(116, 8, attributes.gid.into());
        block.octal(136, 12, time.seconds.try_into().unwrap_or(0));
        block.octal(329, 8, device.major.into());
        block.octal(337, 8, device.minor.into());
        self.block(block)?;
        self.write(&map)?;
        Ok(zeros)
    }

    /// Adds to the data of the last member.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)
    }

    /// Ends the data of the last member.
    pub fn end_file(&mut self) -> io::Result<()> {
        self.pad()
    }

    /// Ends the tar.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&[0; 2 * BLOCK])?;
        let filling = self.written.next_multiple_of(RECORD) - self.written;
        self.write(&vec![0; filling as usize])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn block(&mut self, mut header: HeaderBlock) -> io::Result<()> {
        let sum: u64 = header.0.iter().map(|byte| u64::from(*byte)).sum();
        // The sum counts its own field as spaces.
        let sum = format!("{:06o}\0 ", sum + 8 * u64::from(b' '));
        header.0[148..156].copy_from_slice(sum.as_bytes());
        self.write(&header.0)
    }

    fn pad(&mut self) -> io::Result<()> {
        let filling = self.written.next_multiple_of(BLOCK as u64) - self.written;
        self.write(&[0; BLOCK][..filling as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Longest name that a header has room for.
const NAME: usize = 100;

/// Records of an extended header.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// Adds `length key=value\n`, where the length counts its own digits.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() > length {
            length += 1;
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

/// A header without its checksum.
struct HeaderBlock([u8; BLOCK]);

fn header(name: &[u8], typeflag: u8, mode: u32, size: u64) -> HeaderBlock {
    let mut block = HeaderBlock([0; BLOCK]);
    block.text(0, NAME, name);
    block.octal(100, 8, mode.into());
    block.octal(108, 8, 0);
    block.octal(116, 8, 0);
    block.octal(124, 12, size);
    block.octal(136, 12, 0);
    block.0[156] = typeflag;
    block.text(257, 8, b"ustar\x0000");
    block.octal(329, 8, 0);
    block.octal(337, 8, 0);
    block
}

impl HeaderBlock {
    /// Puts as much of `text` at `start` as `room` bytes hold; a record has all of it.
    fn text(&mut self, start: usize, room: usize, text: &[u8]) {
        let length = text.len().min(room);
        self.0[start..start + length].copy_from_slice(&text[..length]);
    }

    /// Puts octal digits and a NUL into `width` bytes at `start`; 0 for a number that does not fit, which a record has.
    fn octal(&mut self, start: usize, width: usize, number: u64) {
        let digits = width - 1;
        let number = if number < 1 << (3 * digits) { number } else { 0 };
        let text = format!("{number:0digits$o}");
        self.0[start..start + digits].copy_from_slice(text.as_bytes());
    }
}

/// The map at the start of a sparse file's data: the number of regions, then offset and length of each, one a line.
fn sparse_map(size: u64, regions: &[Range<u64>]) -> Vec<u8> {
    // An empty region at the end says how long the file is where it ends in a hole.
    let has_end = regions.last().is_none_or(|last| last.end < size);
    let mut text = format!("{}\n", regions.len() + usize::from(has_end));
    for region in regions {
        text += &format!("{}\n{}\n", region.start, region.end - region.start);
    }
    if has_end {
        text += &format!("{size}\n0\n");
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// A time as a decimal number: -1.25 is 0.75 s after -2.
fn seconds(seconds: i64, nanoseconds: u32) -> String {
    let (sign, whole, nanoseconds) = match (seconds < 0, nanoseconds) {
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, _) => (
            "-",
            seconds.unsigned_abs() - 1,
            1_000_000_000_u32.saturating_sub(nanoseconds),
        ),
    };
    let text = format!("{sign}{whole}.{nanoseconds:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        let record = |value: &[u8]| {
            let mut records = Records::default();
            records.add(b"path", value);
            String::from_utf8(records.0).unwrap()
        };
        assert_eq!(record(b"a"), "9 path=a\n");
        assert_eq!(record(b"ab"), "11 path=ab\n");
        for length in 0..2000 {
            let text = record(&vec![b'x'; length]);
            assert!(text.starts_with(&format!("{} ", text.len())), "{length}");
        }
    }

    #[test]
    fn times_have_signs_and_fractions() {
        assert_eq!(seconds(12, 0), "12");
        assert_eq!(seconds(100, 0), "100");
        assert_eq!(seconds(12, 500_000_000), "12.5");
        assert_eq!(seconds(-2, 750_000_000), "-1.25");
        assert_eq!(seconds(-1, 500_000_000), "-0.5");
        assert_eq!(seconds(-3, 0), "-3");
    }
}
