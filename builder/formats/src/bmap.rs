//! The block map of an image, `.bmap`: which blocks have to be written, and what they hash to, so that a card is written
//! and checked without its holes. Format 2.0 of bmap-tools, the XML that `bmaptool copy` reads.
//!
//! A map names its own SHA-256, computed over the file with 64 zeros in place of its digits. Readers look for the first
//! place where these digits stand.

use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::delta::BLOCK;
use crate::digest::{hex, parse_hex};
use crate::segments::{Kind, MAX_SEGMENT, Segment, Segments, in_segments};
use crate::units::Bytes;

const VERSION: &str = "2.0";

/// Takes the place of the map's own digest while that is computed.
const NO_DIGEST: [u8; 64] = [b'0'; 64];

/// The blocks of an image that have to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    /// The size of the image. bmaptool reads no map of an empty one.
    pub image_size: Bytes,
    /// What is mapped, in order.
    pub ranges: Vec<MappedRange>,
}

/// Blocks without a gap that have to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedRange {
    /// Where they lie in the image, in bytes; a multiple of [`BLOCK`].
    pub offset: u64,
    /// How many bytes they have, never zero: whole blocks, except that an image may end within its last one.
    pub length: u64,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
}

/// Why a file is not a block map, or none that can be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BmapError {
    /// It is not text.
    #[error("this is no block map: byte {position} is not UTF-8")]
    NotText {
        /// The first byte that is not, counted from zero.
        position: usize,
    },
    /// It is no XML, or XML of a kind that no block map needs.
    #[error("this is no block map: {fault} at byte {position}")]
    Xml {
        /// Where, in bytes from the start.
        position: u64,
        /// What is wrong there.
        fault: String,
    },
    /// It is of another version.
    #[error("the block map has version {found}; this program reads version {VERSION}")]
    Version {
        /// The version it has.
        found: String,
    },
    /// An element has not the value that it has to have.
    #[error("{element} of the block map {fault}")]
    Element {
        /// The element's name.
        element: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The file is not as it was written.
    #[error("the block map is damaged: its SHA-256 does not match")]
    Damaged,
    /// A range is not one of blocks of the image, or has no checksum.
    #[error("range {range} of the block map {fault}")]
    Range {
        /// What it says.
        range: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl MappedRange {
    /// The bytes of the image that it covers.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }
}

impl BlockMap {
    /// The map of an image: its mapped segments, a range each, with the digests that they already have.
    pub fn of(segments: &Segments) -> Self {
        let ranges = segments.mapped().map(|(segment, sha256)| MappedRange {
            offset: segment.offset,
            length: u64::from(segment.length),
            sha256: *sha256,
        });
        Self {
            image_size: segments.size,
            ranges: ranges.collect(),
        }
    }

    /// The segments that this is the map of; which of them a node may touch, no map says. `None` for a map of another
    /// maker, whose ranges are longer.
    pub fn segments(&self) -> Option<Segments> {
        let size = self.image_size;
        let mut list = Vec::with_capacity(2 * self.ranges.len());
        let mut end = 0;
        for range in &self.ranges {
            list.extend(in_segments(end..range.offset, Kind::Hole));
            list.push(Segment {
                offset: range.offset,
                length: u32::try_from(range.length)
                    .ok()
                    .filter(|length| *length <= MAX_SEGMENT)?,
                kind: Kind::Shared(range.sha256),
            });
            end = range.range().end;
        }
        list.extend(in_segments(end..size.0, Kind::Hole));
        Some(Segments { size, list })
    }

    /// The map as a file.
    pub fn to_xml(&self) -> String {
        let mapped: u64 = self.ranges.iter().map(|range| range.length.div_ceil(BLOCK)).sum();
        let mut head = String::from("<?xml version=\"1.0\" ?>\n");
        head += &format!("<bmap version=\"{VERSION}\">\n");
        head += &format!("    <ImageSize> {} </ImageSize>\n", self.image_size.0);
        head += &format!("    <BlockSize> {BLOCK} </BlockSize>\n");
        head += &format!(
            "    <BlocksCount> {} </BlocksCount>\n",
            self.image_size.0.div_ceil(BLOCK)
        );
        head += &format!("    <MappedBlocksCount> {mapped} </MappedBlocksCount>\n");
        head += "    <ChecksumType> sha256 </ChecksumType>\n";
        head += "    <BmapFileChecksum> ";
        let mut tail = String::from(" </BmapFileChecksum>\n    <BlockMap>\n");
        for range in &self.ranges {
            let first = range.offset / BLOCK;
            let last = range.range().end.saturating_sub(1) / BLOCK;
            let blocks = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            tail += &format!(
                "        <Range chksum=\"{}\"> {blocks} </Range>\n",
                hex(&range.sha256)
            );
        }
        tail += "    </BlockMap>\n</bmap>\n";
        let digest = digest_around(head.as_bytes(), tail.as_bytes());
        head + &hex(&digest) + &tail
    }

    /// The map that a file is. Everything that bmaptool checks is checked, and that all ranges have checksums, are in
    /// order, do not overlap and lie in the image.
    pub fn from_xml(file: &[u8]) -> Result<Self, BmapError> {
        let text = str::from_utf8(file).map_err(|error| BmapError::NotText {
            position: error.valid_up_to(),
        })?;
        let elements = Elements::read(text)?;
        elements.verify(text)?;

        let image_size = elements.number("ImageSize")?;
        elements.expect("BlockSize", BLOCK)?;
        let blocks = image_size.div_ceil(BLOCK);
        elements.expect("BlocksCount", blocks)?;
        let mut mapped = 0;
        let mut ranges: Vec<MappedRange> = Vec::with_capacity(elements.ranges.len());
        for (text, chksum) in &elements.ranges {
            let fault = |fault| BmapError::Range {
                range: text.clone(),
                fault,
            };
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (Ok(first), Ok(last)) = (first.trim().parse::<u64>(), last.trim().parse::<u64>()) else {
                return Err(fault("names no blocks"));
            };
            if first > last {
                return Err(fault("ends before it starts"));
            }
            if last >= blocks {
                return Err(fault("lies behind the end of the image"));
            }
            // `last < blocks`, so no product exceeds the size of the image by more than a block.
            let (offset, end) = (
                first * BLOCK,
                image_size.min((last * BLOCK).saturating_add(BLOCK)),
            );
            if ranges.last().is_some_and(|before| offset < before.range().end) {
                return Err(fault("overlaps one before it or is out of order"));
            }
            let chksum = chksum.as_ref().ok_or_else(|| fault("has no checksum"))?;
            mapped += last - first + 1;
            ranges.push(MappedRange {
                offset,
                length: end - offset,
                sha256: parse_hex(chksum).ok_or_else(|| fault("has a checksum that is no SHA-256"))?,
            });
        }
        elements.expect("MappedBlocksCount", mapped)?;
        Ok(Self {
            image_size: Bytes(image_size),
            ranges,
        })
    }
}

/// SHA-256 of a map of which `head` is before its digest and `tail` behind it.
fn digest_around(head: &[u8], tail: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(NO_DIGEST);
    hash.update(tail);
    hash.finalize().into()
}

/// What a map says, before it is understood.
#[derive(Default)]
struct Elements {
    /// The texts of the elements directly in the root, by name.
    values: BTreeMap<String, String>,
    /// The ranges as they stand there: blocks, and the checksum if there is one.
    ranges: Vec<(String, Option<String>)>,
}

impl Elements {
    fn read(file: &str) -> Result<Self, BmapError> {
        let mut reader = Reader::from_str(file);
        reader.config_mut().expand_empty_elements = true;
        let mut elements = Self::default();
        // The names of the elements that are open, from the root on.
        let mut open: Vec<String> = Vec::new();
        let (mut text, mut chksum, mut complete) = (String::new(), None, false);
        loop {
            let position = reader.buffer_position();
            let fault = |fault: &str| BmapError::Xml {
                position,
                fault: fault.to_owned(),
            };
            match reader.read_event().map_err(|error| fault(&error.to_string()))? {
                Event::Start(start) => {
                    let attribute = |name| -> Result<Option<String>, BmapError> {
                        let found = start
                            .try_get_attribute(name)
                            .map_err(|error| fault(&error.to_string()))?;
                        Ok(found.map(|found| found.value.into_owned()))
                    };
                    let name = start.name().as_ref().to_owned();
                    if open.is_empty() {
                        if complete || name != "bmap" {
                            return Err(fault("there is an element other than bmap"));
                        }
                        let found = attribute("version")?.unwrap_or_default();
                        if found != VERSION {
                            return Err(BmapError::Version { found });
                        }
                    }
                    chksum = attribute("chksum")?;
                    text.clear();
                    open.push(name);
                }
                Event::Text(part) => text += &part,
                Event::End(_) => {
                    let value = text.trim().to_owned();
                    match &open[..] {
                        [_, map, range] if map == "BlockMap" && range == "Range" => {
                            elements.ranges.push((value, chksum.take()));
                        }
                        [_, name] if elements.values.insert(name.clone(), value).is_some() => {
                            return Err(fault(&format!("{name} ends for the second time")));
                        }
                        _ => {}
                    }
                    open.pop();
                    complete = open.is_empty();
                }
                Event::Eof if complete => return Ok(elements),
                Event::Eof => return Err(fault("the file ends early")),
                Event::Comment(_) | Event::Decl(_) => {}
                // Nothing that a map says needs these, and some of them let a file grow without bounds.
                Event::CData(_)
                | Event::PI(_)
                | Event::DocType(_)
                | Event::GeneralRef(_)
                | Event::Empty(_) => {
                    return Err(fault("there is an entity, an instruction or the like"));
                }
            }
        }
    }

    /// Compares the map's digest with the file.
    fn verify(&self, file: &str) -> Result<(), BmapError> {
        self.expect("ChecksumType", "sha256")?;
        let digits = self.value("BmapFileChecksum")?;
        let (head, tail) = file.split_once(digits).ok_or(BmapError::Damaged)?;
        if hex(&digest_around(head.as_bytes(), tail.as_bytes())) == *digits {
            Ok(())
        } else {
            Err(BmapError::Damaged)
        }
    }

    fn value(&self, element: &'static str) -> Result<&str, BmapError> {
        let value = self.values.get(element);
        value.map(String::as_str).ok_or_else(|| BmapError::Element {
            element,
            fault: "is missing".to_owned(),
        })
    }

    fn number(&self, element: &'static str) -> Result<u64, BmapError> {
        let value = self.value(element)?;
        value.parse().map_err(|_| BmapError::Element {
            element,
            fault: format!("is {value:?}, which is no number"),
        })
    }

    /// Refuses the map where an element has another value.
    fn expect(&self, element: &'static str, expected: impl ToString) -> Result<(), BmapError> {
        let (found, expected) = (self.value(element)?, expected.to_string());
        if found == expected {
            return Ok(());
        }
        Err(BmapError::Element {
            element,
            fault: format!("is {found:?}, not {expected}"),
        })
    }
}
