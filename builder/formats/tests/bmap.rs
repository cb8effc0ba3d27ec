//! A block map comes back from its file, bmaptool copies and checks by it, and what is not a block map is refused.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use formats::bmap::{BlockMap, BmapError};
use formats::digest::hex;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::{Digest, Sha256};
use testkit::oracle;

const MIB: u64 = 1 << 20;

/// An image that ends within a block, with a block of its own, a long stretch, and a block that ends with the image.
fn image() -> SparseImage {
    let mut image = SparseImage::empty(Bytes(7 * MIB + 512));
    image.put(440, vec![1; 72]);
    image.put(MIB, (0..5 * MIB / 2).map(|n| (n / 77) as u8).collect());
    image.put(7 * MIB + 100, vec![3; 300]);
    image.sort().unwrap();
    image
}

fn map() -> BlockMap {
    BlockMap::of(&Segments::cut(&image(), &[MIB + 9000..MIB + 9001, 5 * MIB..5 * MIB + 4096]).unwrap())
}

fn bmaptool(folder: &Path) -> std::process::Output {
    let names = ["map.bmap", "image", "copy"].map(|name| folder.join(name).into_os_string());
    let [map, image, copy] = names;
    oracle::output(
        "bmap-tools",
        "bmaptool",
        ["copy".into(), "--bmap".into(), map, image, copy],
    )
}

#[test]
fn bmaptool_copies_and_checks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    testkit::image::write(&image(), &folder.join("image"));
    let xml = map().to_xml();
    fs::write(folder.join("map.bmap"), &xml).unwrap();
    let copied = bmaptool(folder);
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    let (bytes, copy) = (
        fs::read(folder.join("image")).unwrap(),
        fs::read(folder.join("copy")).unwrap(),
    );
    assert!(bytes == copy);

    // One flipped byte in any range, at its edges too.
    for at in [
        0,
        511,
        MIB + 8191,
        MIB + 12288,
        3 * MIB,
        5 * MIB + 4095,
        7 * MIB + 511,
    ] {
        let mut flipped = bytes.clone();
        flipped[at as usize] ^= 1;
        fs::write(folder.join("image"), &flipped).unwrap();
        let refused = bmaptool(folder);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && words.contains("checksum mismatch"),
            "byte {at}: {words}"
        );
    }

    // One digit of the map itself.
    fs::write(folder.join("image"), &bytes).unwrap();
    fs::write(
        folder.join("map.bmap"),
        xml.replace("<ImageSize> 7", "<ImageSize> 8"),
    )
    .unwrap();
    assert!(!bmaptool(folder).status.success());
}

#[test]
fn bmaptool_copies_an_image_of_holes() {
    let folder = tempfile::tempdir().unwrap();
    let image = SparseImage::empty(Bytes(2 * MIB));
    testkit::image::write(&image, &folder.path().join("image"));
    let map = BlockMap::of(&Segments::cut(&image, &[]).unwrap());
    fs::write(folder.path().join("map.bmap"), map.to_xml()).unwrap();
    let copied = bmaptool(folder.path());
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    assert_eq!(BlockMap::from_xml(map.to_xml().as_bytes()).unwrap(), map);
}

#[test]
fn maps_of_bmaptool_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    testkit::image::write(&image(), &path);
    let written = oracle::run("bmap-tools", "bmaptool", ["create".as_ref(), path.as_os_str()]);
    let map = BlockMap::from_xml(written.as_bytes()).unwrap();
    assert_eq!(map.image_size, image().size);
    let bytes = fs::read(path).unwrap();
    assert!(!map.ranges.is_empty());
    for mapped in &map.ranges {
        let range = mapped.range();
        let digest = Sha256::digest(&bytes[range.start as usize..range.end as usize]);
        assert_eq!(mapped.sha256, <[u8; 32]>::from(digest), "{range:?}");
    }
}

/// `xml` after an edit, with the digest that it then has to have.
fn edited(xml: &str, edit: impl Fn(&str) -> String) -> String {
    let (head, rest) = xml.split_once("<BmapFileChecksum> ").unwrap();
    let zeros = "0".repeat(64);
    let blank = edit(&format!("{head}<BmapFileChecksum> {zeros}{}", &rest[64..]));
    let digest = hex(&Sha256::digest(&blank));
    blank.replacen(&format!("> {zeros}"), &format!("> {digest}"), 1)
}

fn refusal(from: &str, to: &str) -> String {
    let edited = edited(&map().to_xml(), |xml| {
        assert!(xml.contains(from), "{from}");
        xml.replacen(from, to, 1)
    });
    BlockMap::from_xml(edited.as_bytes()).unwrap_err().to_string()
}

#[test]
fn maps_that_break_a_rule() {
    let xml = map().to_xml();
    assert_eq!(edited(&xml, str::to_owned), xml);
    assert_eq!(
        refusal("version=\"2.0\"", "version=\"3.0\""),
        "the block map has version 3.0; this program reads version 2.0"
    );
    assert_eq!(
        refusal("<BlockSize> 4096", "<BlockSize> 512"),
        "BlockSize of the block map is \"512\", not 4096"
    );
    assert_eq!(
        refusal("<ImageSize> 7340544", "<ImageSize> all"),
        "ImageSize of the block map is \"all\", which is no number"
    );
    assert_eq!(
        refusal("<BlocksCount> 1793", "<BlocksCount> 1794"),
        "BlocksCount of the block map is \"1794\", not 1793"
    );
    assert_eq!(
        refusal("<MappedBlocksCount> ", "<MappedBlocksCount> 1"),
        "MappedBlocksCount of the block map is \"1643\", not 643"
    );
    assert_eq!(
        refusal("> sha256 <", "> sha1 <"),
        "ChecksumType of the block map is \"sha1\", not sha256"
    );
    assert_eq!(
        refusal("> 0 </Range>", "> 1-0 </Range>"),
        "range 1-0 of the block map ends before it starts"
    );
    assert_eq!(
        refusal("> 0 </Range>", "> -0 </Range>"),
        "range -0 of the block map names no blocks"
    );
    assert_eq!(
        refusal("> 0 </Range>", "> 1793 </Range>"),
        "range 1793 of the block map lies behind the end of the image"
    );
    assert_eq!(
        refusal("> 0 </Range>", "> 0-300 </Range>"),
        "range 256-257 of the block map overlaps one before it or is out of order"
    );
    assert_eq!(
        refusal("<Range chksum", "<Range sha1"),
        "range 0 of the block map has no checksum"
    );
    assert_eq!(
        refusal("chksum=\"", "chksum=\"0"),
        "range 0 of the block map has a checksum that is no SHA-256"
    );
    for (from, to) in [
        ("<bmap", "<card"),
        ("</bmap>", ""),
        ("</bmap>", "</bmap><bmap version=\"2.0\"/>"),
        ("<bmap", "<!DOCTYPE bmap><bmap"),
        ("> sha256 <", "> &sha; <"),
        ("</BlockMap>", "</BlockMap><BlockSize>4096</BlockSize>"),
    ] {
        assert!(refusal(from, to).starts_with("this is no block map: "), "{to}");
    }
    assert_eq!(
        BlockMap::from_xml(b"<bmap\xFF").unwrap_err(),
        BmapError::NotText { position: 5 }
    );
    let other = xml.replace("7340544", "7340545");
    assert_eq!(
        BlockMap::from_xml(other.as_bytes()).unwrap_err(),
        BmapError::Damaged
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn maps_come_back(pieces in prop::collection::vec((0..400_u64, 1..100_u64), 0..10), sectors in 1..3300_u64) {
        let size = sectors * 512;
        let mut image = SparseImage::empty(Bytes(size));
        let mut end = 0;
        for (gap, length) in pieces {
            let (at, length) = (end + gap * 512, length * 512);
            if at + length <= size {
                image.put(at, vec![gap as u8; length as usize]);
                end = at + length;
            }
        }
        let map = BlockMap::of(&Segments::cut(&image, &[]).unwrap());
        prop_assert_eq!(BlockMap::from_xml(map.to_xml().as_bytes()).unwrap(), map);
    }

    #[test]
    fn hostile_maps_are_no_panic(at in any::<Index>(), length in 0..40_usize,
                                 inserted in "[<>/a-z0-9 &;!\"=-]{0,12}") {
        let mutated = edited(&map().to_xml(), |xml| {
            let start = at.index(xml.len());
            let end = (start + length).min(xml.len());
            format!("{}{inserted}{}", &xml[..start], &xml[end..])
        });
        let _ = BlockMap::from_xml(mutated.as_bytes());
        let _ = BlockMap::from_xml(&mutated.as_bytes()[..at.index(mutated.len())]);
    }
}

#[test]
fn a_map_gives_its_segments_back() {
    let segments = Segments::cut(&image(), &[MIB + 9000..MIB + 9001, 5 * MIB..5 * MIB + 4096]).unwrap();
    let found = BlockMap::of(&segments).segments().unwrap();
    assert_eq!(found.size, segments.size);
    assert_eq!(found.list.len(), segments.list.len());
    for (found, segment) in found.list.iter().zip(&segments.list) {
        assert_eq!(
            (found.range(), found.sha256()),
            (segment.range(), segment.sha256())
        );
    }
    let mut long = map();
    long.ranges[0].length = 2 * MIB;
    assert_eq!(long.segments(), None);
}
