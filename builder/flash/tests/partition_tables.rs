//! Partition tables on cards of other sizes than their images.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, reason = "not every part of a card is looked at")]
mod bench;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bench::{Bench, Loop, MIB};
use flash::device::{FixedDisks, System, Target};
use flash::image::{Image, ImageError};
use flash::{FlashError, Writes};
use formats::manifest::{Firmware, TableKind};
use formats::partition::{self, Partition, PartitionKind, TableId};
use formats::source::ReadAt as _;
use formats::units::{Bytes, Lba, Sectors};
use formats::{gpt, ids};
use testkit::oracle;

const SECTOR: u64 = 512;

/// An image with a GPT, whose one partition is the 5 MiB of data.
fn with_gpt() -> Bench {
    let mut bench = Bench::new();
    let root = Partition {
        sectors: Sectors {
            first: Lba(3 * MIB / SECTOR),
            count: 5 * MIB / SECTOR,
        },
        kind: PartitionKind::Linux,
        active: false,
        label: "root".to_owned(),
        guid: ids::uuid("partition", &["test"]),
    };
    let mut table = gpt::lay_out(Bytes(12 * MIB), ids::uuid("disk", &["test"]), &[root]).unwrap();
    table.sort().unwrap();
    let mut disk = vec![0; 12 * MIB as usize];
    table.read_exact_at(&mut disk, 0).unwrap();
    for range in [0..34 * 512, disk.len() - 33 * 512..disk.len()] {
        bench.bytes[range.clone()].copy_from_slice(&disk[range]);
    }
    fs::write(&bench.image, &bench.bytes).unwrap();
    bench.table = TableKind::Gpt;
    bench.describe(&[], Firmware::NotNeeded);
    bench
}

fn with_size(bench: &Bench, size: u64) {
    fs::write(&bench.card, vec![0xee; size as usize]).unwrap();
}

/// Whether both copies of the GPT on the card are right, say the same, and are right for sfdisk.
fn check_table(bench: &Bench) {
    let card = fs::read(&bench.card).unwrap();
    let last = card.len() as u64 / SECTOR - 1;
    let table = gpt::read_at(&card, 1).unwrap();
    assert_eq!(gpt::read_at(&card, last).unwrap(), table);
    let of_image = partition::read(&bench.bytes).unwrap().unwrap();
    assert_eq!(table, of_image);
    let verdict = oracle::run("fdisk", "sfdisk", ["--verify".as_ref(), bench.card.as_os_str()]);
    assert!(verdict.contains("No errors detected"), "{verdict}");
    let dump = oracle::run("fdisk", "sfdisk", ["--dump".as_ref(), bench.card.as_os_str()]);
    // 33 sectors for the copy.
    assert!(dump.contains(&format!("last-lba: {}\n", last - 33)), "{dump}");
}

#[test]
fn a_gpt_is_whole_on_a_card_of_any_size() {
    // As large as the image, one sector larger, so that old and new copy overlap, larger, and with an odd end.
    for size in [12 * MIB, 12 * MIB + 512, 80 * MIB, 80 * MIB + 100] {
        let bench = with_gpt();
        with_size(&bench, size);
        bench.flash().unwrap();
        check_table(&bench);
        let card = fs::read(&bench.card).unwrap();
        // All behind the table is the image's.
        for range in [34 * 512..MIB + 8192, 3 * MIB..8 * MIB] {
            let range = range.start as usize..range.end as usize;
            assert!(
                card[range.clone()] == bench.bytes[range.clone()],
                "{size} {range:?}"
            );
        }
        if size >= 80 * MIB {
            // Of the image's own copy neither header nor entries are there.
            for sector in [12 * MIB - 33 * SECTOR, 12 * MIB - SECTOR] {
                let sector = sector as usize..(sector + SECTOR) as usize;
                assert!(card[sector.clone()].iter().all(|byte| *byte == 0), "{sector:?}");
            }
        }
    }
}

/// Has the kernel show a partition of 1 MiB at 1 MiB, as if it had found one. Returns what it says of it.
fn show_partition(device: &Loop) -> PathBuf {
    oracle::run(
        "util-linux",
        "addpart",
        [device.path(), "1".as_ref(), "2048".as_ref(), "2048".as_ref()],
    );
    let name = device.path().file_name().unwrap().to_str().unwrap();
    let partition = Path::new("/sys/class/block").join(format!("{name}p1"));
    assert_eq!(start(&partition).as_deref(), Some("2048"));
    partition
}

fn start(partition: &Path) -> Option<String> {
    let start = fs::read_to_string(partition.join("start")).ok()?;
    Some(start.trim().to_owned())
}

#[test]
fn a_gpt_is_whole_on_a_disk_and_the_kernel_shows_nothing_else() {
    let bench = with_gpt();
    let device = Loop::new(&bench.card, &["--partscan"]);
    let partition = show_partition(&device);
    let report = bench.flash_to(device.path()).unwrap();
    assert_eq!(report.not_shown, None);
    // Not every kernel reads every kind of table.
    let shown = start(&partition);
    assert!(
        shown.is_none() || shown == Some((3 * MIB / SECTOR).to_string()),
        "{shown:?}"
    );
    drop(device);
    check_table(&bench);
}

#[test]
fn a_partition_that_stays_shown_is_no_error() {
    let bench = with_gpt();
    let device = Loop::new(&bench.card, &["--partscan"]);
    let partition = show_partition(&device);
    let opened = File::open(Path::new("/dev").join(partition.file_name().unwrap())).unwrap();
    let report = bench.flash_to(device.path()).unwrap();
    assert!(report.not_shown.unwrap().contains("busy"));
    assert_eq!(start(&partition).as_deref(), Some("2048"));
    drop(opened);
    oracle::run("util-linux", "delpart", [device.path(), "1".as_ref()]);
    drop(device);
    check_table(&bench);
}

#[test]
fn the_copy_of_a_gpt_comes_after_all_has_been_read_back() {
    let bench = with_gpt();
    let image = Image::open(&bench.image, "red-07", &mut |_, _| {}).unwrap();
    let target = Target::open(&bench.card, FixedDisks::Refuse, &System::host()).unwrap();
    let body = flash::write::write_body(&image, &target, Writes::All, &mut |_, _| {}).unwrap();
    assert!(bench.card_is_dead());
    let last = 80 * MIB / SECTOR - 1;
    assert!(gpt::read_at(&fs::read(&bench.card).unwrap(), last).is_err());
    let ends = flash::write::write_ends(&body, &target).unwrap();
    let places: Vec<_> = ends.iter().map(|chunk| (chunk.offset, chunk.length)).collect();
    assert_eq!(places, [(80 * MIB - 33 * SECTOR, 33 * SECTOR), (0, MIB)]);
    flash::verify::verify(&target, &ends, &mut |_, _| {}).unwrap();
    check_table(&bench);
}

#[test]
fn nothing_of_a_gpt_is_left_under_an_image_with_an_mbr() {
    let old = with_gpt();
    old.flash().unwrap();
    let mut new = Bench::new();
    new.card.clone_from(&old.card);
    new.flash().unwrap();
    let card = fs::read(&new.card).unwrap();
    assert!(gpt::read_at(&card, card.len() as u64 / SECTOR - 1).is_err());
    assert!(!card.chunks(512).any(|sector| sector.starts_with(b"EFI PART")));
}

#[test]
fn a_gpt_that_cannot_be_moved_is_refused_before_anything_is_written() {
    let mut bench = with_gpt();
    // As an image whose maker erred: its map is right, its table is not.
    bench.bytes[600] ^= 1;
    fs::write(&bench.image, &bench.bytes).unwrap();
    bench.describe(&[], Firmware::NotNeeded);
    let error = bench.flash().unwrap_err();
    assert!(
        matches!(error, FlashError::Image(ImageError::Table { .. })),
        "{error}"
    );
    assert!(bench.card_is_untouched());
    assert!(matches!(
        partition::read(&bench.bytes).unwrap().unwrap().id,
        TableId::Gpt(_)
    ));
    // A card without room for another copy gets the image as it is.
    File::options()
        .write(true)
        .open(&bench.card)
        .unwrap()
        .set_len(12 * MIB)
        .unwrap();
    bench.flash().unwrap();
}
