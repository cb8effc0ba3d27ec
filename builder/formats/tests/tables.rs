//! Partition tables as `sfdisk` and `blkid` see them.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use formats::ids;
use formats::partition::{self, Partition, PartitionKind, TableError, TableId};
use formats::source::ReadAt;
use formats::sparse::{Piece, SparseImage};
use formats::units::{Bytes, Lba, Sectors};
use formats::{gpt, mbr};
use testkit::oracle;
use uuid::Uuid;

fn partition(first: u64, sectors: u64, kind: PartitionKind, label: &str) -> Partition {
    Partition {
        sectors: Sectors {
            first: Lba(first),
            count: sectors,
        },
        kind,
        active: kind != PartitionKind::Linux,
        label: label.to_owned(),
        guid: ids::uuid("partition", &["test", label, &first.to_string()]),
    }
}

fn boot_and_root() -> Vec<Partition> {
    vec![
        partition(8192, 131_072, PartitionKind::BootFat32, "boot"),
        partition(139_264, 400_000, PartitionKind::Linux, "root"),
    ]
}

/// What sfdisk says of a table, after it verified it.
fn dump(image: SparseImage) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    support::write(image, &path);
    let verdict = oracle::run("fdisk", "sfdisk", ["--verify".as_ref(), path.as_os_str()]);
    assert!(verdict.contains("No errors detected"), "{verdict}");
    let dump = oracle::run("fdisk", "sfdisk", ["--json".as_ref(), path.as_os_str()]);
    dump.replace(path.to_str().unwrap(), "card.img")
}

#[test]
fn mbr_dump() {
    insta::assert_snapshot!(dump(
        mbr::lay_out(Bytes::mib(512), 0x8a3c_01f2, &boot_and_root()).unwrap()
    ));
}

#[test]
fn gpt_dump() {
    let guid = ids::uuid("disk", &["test"]);
    insta::assert_snapshot!(dump(
        gpt::lay_out(Bytes::mib(512), guid, &boot_and_root()).unwrap()
    ));
}

#[test]
fn mbr_leaves_the_boot_loader_alone() {
    let image = mbr::lay_out(Bytes::mib(512), 0x0102_0304, &boot_and_root()).unwrap();
    let [piece] = image.pieces.as_slice() else {
        panic!("{image:?}")
    };
    assert_eq!((piece.offset, piece.length), (440, 72));
    let mut bytes = [0; 72];
    piece.blob.read_exact_at(&mut bytes, piece.blob_offset).unwrap();
    assert_eq!(bytes[..6], [4, 3, 2, 1, 0, 0]);
    assert_eq!(bytes[70..], [0x55, 0xaa]);
    assert_eq!(mbr::part_uuid(0x0102_0304, 2), "01020304-02");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    support::write(image, &path);
    let found = oracle::run("util-linux", "blkid", ["-p".as_ref(), path.as_os_str()]);
    assert!(found.contains("PTUUID=\"01020304\" PTTYPE=\"dos\""), "{found}");
}

#[test]
fn gpt_leaves_the_boot_loader_alone() {
    let image = gpt::lay_out(Bytes::mib(512), ids::uuid("disk", &[]), &boot_and_root()).unwrap();
    let [first, copy] = image.pieces.as_slice() else {
        panic!("{image:?}")
    };
    assert_eq!((first.offset, first.offset + first.length), (440, 34 * 512));
    assert_eq!(copy.offset + copy.length, 512 << 20);
    let bytes = |offset: u64, buffer: &mut [u8]| {
        first
            .blob
            .read_exact_at(buffer, first.blob_offset + offset - first.offset)
            .unwrap();
    };
    let (mut signature, mut header) = ([0; 2], [0; 8]);
    bytes(510, &mut signature);
    bytes(512, &mut header);
    assert_eq!((signature, &header), ([0x55, 0xaa], b"EFI PART"));
}

#[test]
fn partitions_at_the_very_ends_are_accepted() {
    let sectors = 1 << 20;
    let all = partition(34, sectors - 34 - 33, PartitionKind::Linux, "all");
    dump(gpt::lay_out(Bytes(sectors * 512), ids::uuid("disk", &[]), &[all]).unwrap());
    let all = partition(1, sectors - 1, PartitionKind::BootFat16, "all");
    dump(mbr::lay_out(Bytes(sectors * 512), 1, &[all]).unwrap());
    // The last sector that an MBR can name, on a sparse disk of 2 TiB.
    let last = partition((1 << 32) - 2048, 2048, PartitionKind::Linux, "last");
    dump(mbr::lay_out(Bytes(1 << 41), 1, &[last]).unwrap());
    let last = partition((1 << 33) - 2048 - 33, 2048, PartitionKind::Linux, "last");
    dump(gpt::lay_out(Bytes(1 << 42), ids::uuid("disk", &[]), &[last]).unwrap());
}

#[test]
fn four_partitions_and_a_hundred_and_twenty_eight() {
    let list = |count: u64| -> Vec<_> {
        (0..count)
            .map(|n| partition(2048 * (n + 1), 2048, PartitionKind::Linux, &format!("p{n}")))
            .collect()
    };
    dump(mbr::lay_out(Bytes::mib(200), 1, &list(4)).unwrap());
    dump(gpt::lay_out(Bytes::mib(200), ids::uuid("disk", &[]), &list(128)).unwrap());
    let error = mbr::lay_out(Bytes::mib(200), 1, &list(5)).unwrap_err();
    insta::assert_snapshot!(error, @"5 partitions do not fit in an MBR of 4 entries");
    let error = gpt::lay_out(Bytes::mib(200), ids::uuid("disk", &[]), &list(129)).unwrap_err();
    assert!(
        matches!(
            error,
            TableError::TooMany {
                count: 129,
                limit: 128,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn same_values_give_the_same_bytes() {
    let pieces = || {
        let image = gpt::lay_out(Bytes::mib(300), ids::uuid("disk", &["same"]), &boot_and_root()).unwrap();
        let bytes = |piece: &Piece| {
            let mut bytes = vec![0; piece.length as usize];
            piece.blob.read_exact_at(&mut bytes, piece.blob_offset).unwrap();
            (piece.offset, bytes)
        };
        image.pieces.iter().map(bytes).collect::<Vec<_>>()
    };
    assert!(pieces() == pieces());
}

#[test]
fn impossible_tables_are_refused() {
    let linux = |first, sectors| partition(first, sectors, PartitionKind::Linux, "p");
    let disk = Bytes::mib(1);
    let guid = ids::uuid("disk", &[]);
    let both = |list: &[Partition]| {
        (
            mbr::lay_out(disk, 1, list).unwrap_err(),
            gpt::lay_out(disk, guid, list).unwrap_err(),
        )
    };

    for list in [vec![linux(100, 0)], vec![linux(100, 10), linux(200, 0)]] {
        assert!(matches!(
            both(&list),
            (TableError::Empty { .. }, TableError::Empty { .. })
        ));
    }
    for list in [
        vec![linux(0, 10)],
        vec![linux(2000, 49)],
        vec![linux(u64::MAX, 2)],
        vec![linux(40, u64::MAX)],
    ] {
        assert!(
            matches!(
                both(&list),
                (TableError::Outside { .. }, TableError::Outside { .. })
            ),
            "{list:?}"
        );
    }
    for first in [33, 1980] {
        let error = gpt::lay_out(disk, guid, &[linux(first, 36)]).unwrap_err();
        assert!(matches!(error, TableError::Outside { .. }), "{error}");
    }
    let overlapping = [linux(200, 100), linux(100, 101)];
    let (error, _) = both(&overlapping);
    insta::assert_snapshot!(error, @"partitions 2 (sectors 100..200) and 1 (sectors 200..299) overlap");

    let mut twins = [linux(100, 10), linux(200, 10)];
    twins[1].guid = twins[0].guid;
    assert!(matches!(
        gpt::lay_out(disk, guid, &twins),
        Err(TableError::Guid { number: 2, .. })
    ));
    twins[1].guid = Uuid::nil();
    assert!(matches!(
        gpt::lay_out(disk, guid, &twins),
        Err(TableError::Guid { number: 2, .. })
    ));
    let long = partition(100, 1, PartitionKind::Linux, &"x".repeat(37));
    assert!(matches!(
        gpt::lay_out(disk, guid, &[long]),
        Err(TableError::LabelTooLong { units: 37, .. })
    ));
    assert!(matches!(
        gpt::lay_out(Bytes(67 * 512), guid, &[]),
        Err(TableError::DiskTooSmall { .. })
    ));
    assert!(matches!(
        mbr::lay_out(Bytes(511), 1, &[]),
        Err(TableError::DiskTooSmall { .. })
    ));
    let beyond = linux((1 << 32) - 1, 2);
    assert!(matches!(
        mbr::lay_out(Bytes(1 << 42), 1, &[beyond]),
        Err(TableError::Outside { .. })
    ));
}

/// A disk in memory that holds `image`.
fn in_memory(image: &SparseImage) -> Vec<u8> {
    let mut image = image.clone();
    image.sort().unwrap();
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn what_was_written_is_read() {
    let guid = ids::uuid("disk", &["test"]);
    let tables = [
        mbr::lay_out(Bytes::mib(512), 0x8a3c_01f2, &boot_and_root()).unwrap(),
        gpt::lay_out(Bytes::mib(512), guid, &boot_and_root()).unwrap(),
    ];
    for (image, id) in tables.iter().zip([TableId::Mbr(0x8a3c_01f2), TableId::Gpt(guid)]) {
        let table = partition::read(&in_memory(image)).unwrap().unwrap();
        assert_eq!(table.id, id);
        for (found, (number, given)) in table.partitions.iter().zip((1..).zip(boot_and_root())) {
            assert_eq!(
                (found.number, found.sectors, found.active),
                (number, given.sectors, given.active)
            );
            let (label, part_uuid) = match id {
                TableId::Mbr(signature) => (String::new(), mbr::part_uuid(signature, number)),
                TableId::Gpt(_) => (given.label, given.guid.to_string()),
            };
            assert_eq!((&found.label, &found.part_uuid), (&label, &part_uuid));
        }
        assert_eq!(table.partitions.len(), 2);
    }
    assert_eq!(partition::read(&vec![0; 1 << 20]).unwrap(), None);
    assert_eq!(partition::read(&Vec::new()).unwrap(), None);
}

#[test]
fn tables_of_sfdisk_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (label, active) in [("dos", "bootable"), ("gpt", "attrs=LegacyBIOSBootable")] {
        let path = folder.path().join(label);
        std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
        let script = folder.path().join("script");
        std::fs::write(
            &script,
            format!("label: {label}\nstart=2048, size=4096\nstart=8192, size=2048, {active}\n3: start=20480, size=100\n"),
        )
        .unwrap();
        oracle::run(
            "fdisk",
            "sh",
            [
                "-c",
                &format!("sfdisk --quiet {} < {}", path.display(), script.display()),
            ],
        );
        let disk = std::fs::read(&path).unwrap();
        let table = partition::read(&disk).unwrap().unwrap();
        let sectors: Vec<_> = table
            .partitions
            .iter()
            .map(|entry| {
                (
                    entry.number,
                    entry.sectors.first.0,
                    entry.sectors.count,
                    entry.active,
                )
            })
            .collect();
        assert_eq!(
            sectors,
            [
                (1, 2048, 4096, false),
                (2, 8192, 2048, true),
                (3, 20480, 100, false)
            ]
        );
    }
}

#[test]
fn the_copy_of_a_damaged_gpt_is_read() {
    let guid = ids::uuid("disk", &["test"]);
    let mut disk = in_memory(&gpt::lay_out(Bytes::mib(100), guid, &boot_and_root()[..1]).unwrap());
    let sound = partition::read(&disk).unwrap();
    for place in [512, 530, 600, 1024, 1100] {
        disk[place] ^= 1;
        assert_eq!(partition::read(&disk).unwrap(), sound, "{place}");
        assert!(gpt::read_at(&disk, 1).is_err());
        disk[place] ^= 1;
    }
    let last = disk.len() - 512;
    disk[last + 16] ^= 1;
    disk[512 + 16] ^= 1;
    let error = partition::read(&disk).unwrap_err().to_string();
    assert_eq!(error, "the GPT at sector 1 has a wrong checksum");
    disk.truncate(700);
    assert!(partition::read(&disk).is_err());
}

#[test]
fn a_gpt_that_is_moved_is_what_is_laid_out() {
    let guid = ids::uuid("disk", &["test"]);
    let partitions = boot_and_root();
    let small = in_memory(&gpt::lay_out(Bytes::mib(300), guid, &partitions).unwrap());
    for size in [
        Bytes::mib(300),
        Bytes(Bytes::mib(300).0 + 512),
        Bytes(Bytes::mib(512).0 + 100),
    ] {
        let whole = Bytes(size.0 / 512 * 512);
        let mut moved = small[..1 << 20].to_vec();
        let copy = gpt::move_to(&mut moved, size).unwrap();
        moved.resize(whole.0 as usize, 0);
        let end = moved.len() - copy.len();
        moved[end..].copy_from_slice(&copy);
        let expected = in_memory(&gpt::lay_out(whole, guid, &partitions).unwrap());
        assert!(moved == expected, "{size}");
    }
    let mut head = small[..1 << 20].to_vec();
    let error = gpt::move_to(&mut head, Bytes::mib(263)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the GPT at sector 1 has partitions that the disk has no room for"
    );
    assert!(gpt::move_to(&mut head, Bytes(0)).is_err());
    assert!(head == small[..1 << 20]);
    // Nothing that is no whole table is moved.
    head[600] ^= 1;
    assert!(gpt::move_to(&mut head, Bytes::mib(512)).is_err());
    assert!(gpt::move_to(&mut small[..1024].to_vec(), Bytes::mib(512)).is_err());
}

proptest::proptest! {
    #[test]
    fn any_table_is_read_to_an_end(
        changes in proptest::collection::vec((0..17408_usize, proptest::prelude::any::<u8>()), 0..50),
        is_gpt in proptest::prelude::any::<bool>(),
        is_summed in proptest::prelude::any::<bool>(),
    ) {
        static SOUND: std::sync::OnceLock<[Vec<u8>; 2]> = std::sync::OnceLock::new();
        let sound = SOUND.get_or_init(|| {
            let partitions = &boot_and_root()[..1];
            let images = [
                mbr::lay_out(Bytes::mib(100), 1, partitions),
                gpt::lay_out(Bytes::mib(100), Uuid::max(), partitions),
            ];
            images.map(|image| {
                let mut disk = in_memory(&image.unwrap());
                disk.truncate(40 << 10);
                disk
            })
        });
        let mut disk = sound[usize::from(is_gpt)].clone();
        for (place, byte) in changes {
            // Half of them where the header is.
            let place = if place % 2 == 0 { place } else { 512 + place % 92 };
            disk[place] = byte;
        }
        if is_summed {
            let crc = |bytes: &[u8]| {
                let mut crc = flate2::Crc::new();
                crc.update(bytes);
                crc.sum().to_le_bytes()
            };
            let entries = crc(&disk[1024..1024 + 16384]);
            disk[512 + 88..512 + 92].copy_from_slice(&entries);
            disk[512 + 16..512 + 20].fill(0);
            let header = crc(&disk[512..512 + 92]);
            disk[512 + 16..512 + 20].copy_from_slice(&header);
        }
        let _ = partition::read(&disk);
        let _ = gpt::move_to(&mut disk, Bytes::mib(200));
    }
}
