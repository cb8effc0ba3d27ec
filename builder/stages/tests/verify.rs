//! What `inspect --verify` finds: nothing to verify, what a partition's type promises and it lacks, and what only a block
//! map knows.

#![allow(clippy::unwrap_used, missing_docs)]

mod cards;

use std::fs;
use std::path::{Path, PathBuf};

use cards::{TestCard, card, volume_of};
use formats::bmap::BlockMap;
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::units::{Bytes, SECTOR};
use stages::inspect::{Image, Verified, verify};
use testkit::oracle::run;

/// Bytes of a card.
fn bytes_of(card: &TestCard) -> Vec<u8> {
    fs::read(&card.path).unwrap()
}

fn verified(path: &Path) -> Verified {
    verify(&Image::open(path).unwrap()).unwrap()
}

/// What is wrong with an image of these bytes, in a file beside which there is nothing.
fn faults_of(bytes: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, bytes).unwrap();
    verified(&path).faults
}

/// The first byte of the first partition, as sfdisk has it.
fn boot_offset(card: &TestCard) -> usize {
    let table = run("fdisk", "sfdisk", ["--dump".as_ref(), card.path.as_os_str()]);
    let start = table.lines().find_map(|line| line.split_once("start="));
    let (start, _) = start.unwrap().1.split_once(',').unwrap();
    start.trim().parse::<usize>().unwrap() * SECTOR as usize
}

#[test]
fn where_nothing_can_be_verified_something_is_wrong() {
    let card = card("one", "red-01");
    let nothing = ["no partition table and no volume: nothing to verify"];
    let whole = bytes_of(&card);
    for bytes in [&b""[..], &whole[..100], &whole[..511], b"hello\n", &[0; 1 << 20]] {
        assert_eq!(faults_of(bytes), nothing);
    }
    let mut unsigned = whole.clone();
    unsigned[510..512].fill(0);
    assert_eq!(faults_of(&unsigned), nothing);
    // A swap area promises nothing, but then the other one has to be there.
    let mut foreign = whole.clone();
    foreign[446 + 4] = 0x82;
    foreign[boot_offset(&card)..][..512].fill(0);
    assert_eq!(faults_of(&foreign), [""; 0]);
    foreign[446 + 16..446 + 32].fill(0);
    assert_eq!(
        faults_of(&foreign),
        ["no partition holds FAT or btrfs: nothing to verify"]
    );
    // A bare volume is enough.
    assert_eq!(verified(&volume_of(&card)).faults, [""; 0]);
}

#[test]
fn a_partition_holds_what_its_type_promises() {
    let card = card("one", "red-01");
    let (boot, root) = (boot_offset(&card), card.root_offset as usize);
    let mut bytes = bytes_of(&card);
    assert_eq!(faults_of(&bytes), [""; 0]);
    bytes[boot..boot + 512].fill(0);
    let no_fat = "partition 1: it is of type 0x0e but has no FAT file system";
    assert_eq!(faults_of(&bytes), [no_fat]);
    // Both superblocks.
    bytes[root + (64 << 10)..][..4096].fill(0);
    if let Some(second) = bytes.get_mut(root + (64 << 20)..) {
        second[..4096].fill(0);
    }
    assert_eq!(
        faults_of(&bytes),
        [
            no_fat,
            "partition 2: it is of type 0x83 but has no btrfs, and no other file system of Linux can be verified"
        ]
    );
}

/// Where the block map of an image lies.
fn map_of(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".bmap");
    name.into()
}

/// Writes the block map of the image of these bytes beside `path`.
fn write_map(path: &Path, bytes: &[u8]) {
    let mut image = SparseImage::empty(Bytes(bytes.len() as u64));
    for (block, bytes) in (0..).zip(bytes.chunks(4096)) {
        if bytes.iter().any(|byte| *byte != 0) {
            image.put(block * 4096, bytes.to_vec());
        }
    }
    let map = BlockMap::of(&Segments::cut(&image, &[]).unwrap());
    fs::write(map_of(path), map.to_xml()).unwrap();
}

#[test]
fn a_block_map_knows_what_a_fat_does_not() {
    let card = card("one", "red-01");
    let mut bytes = bytes_of(&card);
    assert_eq!(verified(&card.path).mapped, None);
    write_map(&card.path, &bytes);
    let sound = verified(&card.path);
    assert_eq!(sound.faults, [""; 0]);
    assert!(sound.mapped.is_some_and(|mapped| mapped > Bytes(3_000_000)));

    // One bit in the middle of the kernel.
    let middle = bytes
        .windows(18)
        .position(|window| window == b"kernelkernelkernel");
    let place = middle.unwrap() + 1_500_000;
    assert_eq!(&bytes[place..place + 6], b"kernel");
    bytes[place] ^= 1;
    fs::write(&card.path, &bytes).unwrap();
    let faults = verified(&card.path).faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    let range = faults[0]
        .strip_prefix("partition 1: bytes ")
        .and_then(|rest| rest.strip_suffix(" of the image are not what its block map says"));
    let (start, end) = range.unwrap().split_once("..").unwrap();
    let range = start.parse::<usize>().unwrap()..end.parse::<usize>().unwrap();
    assert!(range.contains(&place), "{range:?}");
    bytes[place] ^= 1;

    // Too short, too long.
    for length in [bytes.len() - 512, bytes.len() + 512] {
        let mut other = bytes.clone();
        other.resize(length, 0);
        fs::write(&card.path, other).unwrap();
        let faults = verified(&card.path).faults;
        let said = format!("the image has {length} bytes, its block map says {}", bytes.len());
        assert!(faults.contains(&said), "{faults:?}");
    }
    fs::write(&card.path, &bytes).unwrap();
    assert_eq!(verified(&card.path).faults, [""; 0]);

    // A map that is none.
    let map = map_of(&card.path);
    let text = fs::read_to_string(&map).unwrap();
    fs::write(&map, text.replacen("<Range", "<Rangf", 1)).unwrap();
    let faults = verified(&card.path).faults;
    assert!(
        faults.len() == 1 && faults[0].contains(".bmap cannot be used"),
        "{faults:?}"
    );
}
