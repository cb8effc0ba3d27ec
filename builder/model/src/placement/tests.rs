//! Cards that can be divided, and each reason why others cannot.

use super::*;

/// A board with an MBR and the boot area of the ODROID-C2.
fn odroid() -> Board {
    Board {
        name: "odroid-c2".to_owned(),
        description: String::new(),
        memory: None,
        consoles: Vec::new(),
        device_tree: None,
        u_boot: None,
        load: None,
        partition_table: PartitionTable::Mbr,
        boot_area: vec![
            region("bl1", 1, 96, "the ROM reads it there"),
            region("fip", 97, 8095, "BL1 reads it there"),
        ],
    }
}

/// A board with a GPT and nothing on the card.
fn virt() -> Board {
    Board {
        name: "virt".to_owned(),
        partition_table: PartitionTable::Gpt,
        boot_area: Vec::new(),
        ..odroid()
    }
}

fn region(name: &str, first: u64, sectors: u64, reason: &str) -> BootRegion {
    BootRegion {
        name: name.to_owned(),
        first: Lba(first),
        sectors,
        reason: reason.to_owned(),
        content: None,
    }
}

fn with_boot_area(boot_area: Vec<BootRegion>, board: Board) -> Board {
    Board { boot_area, ..board }
}

fn wanted(label: &str, start: impl Into<Option<u64>>, size: Bytes) -> Wanted<'_> {
    Wanted {
        label,
        start: start.into().map(Lba),
        size,
    }
}

fn sectors(first: u64, count: u64) -> Sectors {
    Sectors {
        first: Lba(first),
        count,
    }
}

#[test]
fn partitions_follow_the_boot_area_and_each_other() {
    let list = [
        wanted("boot", None, Bytes::mib(64)),
        wanted("root", None, Bytes(300 << 20 | 512)),
    ];
    let placement = place(&odroid(), &list, None).unwrap();
    assert_eq!(
        placement.partitions,
        [sectors(8192, 131_072), sectors(139_264, 614_401)]
    );
    assert_eq!(placement.size, Bytes::mib(369));

    let placement = place(&virt(), &list, None).unwrap();
    assert_eq!(
        placement.partitions,
        [sectors(2048, 131_072), sectors(133_120, 614_401)]
    );
    assert_eq!(placement.size, Bytes::mib(366));

    // A partition that ends with a MiB leaves the copy of the GPT another.
    let placement = place(&virt(), &list[..1], None).unwrap();
    assert_eq!(placement.size, Bytes::mib(66));
    let placement = place(&odroid(), &list[..1], Some(Bytes::gib(1))).unwrap();
    assert_eq!(placement.size, Bytes::gib(1));
    assert_eq!(place(&odroid(), &[], None).unwrap().size, Bytes::mib(4));
}

#[test]
fn explicit_starts_may_leave_gaps() {
    let list = [
        wanted("boot", 8192, Bytes::mib(1)),
        wanted("gap", 1 << 20, Bytes::mib(1)),
        wanted("root", None, Bytes::mib(1)),
    ];
    let placement = place(&odroid(), &list, None).unwrap();
    assert_eq!(
        placement.partitions,
        [
            sectors(8192, 2048),
            sectors(1 << 20, 2048),
            sectors((1 << 20) + 2048, 2048)
        ]
    );
}

#[test]
fn limits_can_be_reached() {
    let all = Bytes((1 << 41) - (4 << 20));
    assert_eq!(
        place(&odroid(), &[wanted("root", None, all)], None).unwrap().size,
        Bytes(1 << 41)
    );
    let fits = Bytes::mib(64) - Bytes::mib(1) - Bytes(33 * 512);
    assert_eq!(
        place(&virt(), &[wanted("root", None, fits)], Some(Bytes::mib(64)))
            .unwrap()
            .size,
        Bytes::mib(64)
    );
    let four = ["1", "2", "3", "4"].map(|label| wanted(label, None, Bytes::mib(1)));
    assert_eq!(place(&odroid(), &four, None).unwrap().partitions.len(), 4);
    // The first sector can be the firmware's as far as the table leaves it.
    let shared = with_boot_area(vec![region("bl1", 0, 97, "")], odroid());
    place(&shared, &four, None).unwrap();
    place(
        &with_boot_area(vec![region("bl1", 0, 1, "")], virt()),
        &four,
        None,
    )
    .unwrap();
}

/// Board, partitions, size of the image, and the error that must come of them.
type Refused<'a> = (Board, Vec<Wanted<'a>>, Option<Bytes>, &'a str);

#[test]
fn every_contradiction_has_its_error() {
    let mib = Bytes::mib;
    let boot = |start: Option<u64>| wanted("boot", start, mib(64));
    let root = |start: Option<u64>| wanted("root", start, mib(64));
    let gpt_odroid = Board {
        partition_table: PartitionTable::Gpt,
        ..odroid()
    };
    let twice = vec![region("bl1", 1, 96, ""), region("fip", 96, 10, "")];
    let high = vec![region("env", 40_000, 10, "U-Boot keeps its variables there")];
    let cases: Vec<Refused<'_>> = vec![
        (
            odroid(),
            vec![boot(Some(2048))],
            None,
            "boot area region \"fip\" (sectors 97..8191) and partition \"boot\" (sectors 2048..133119) overlap: BL1 reads it there",
        ),
        (
            with_boot_area(high.clone(), odroid()),
            vec![boot(Some(2048))],
            None,
            "boot area region \"env\" (sectors 40000..40009) and partition \"boot\" (sectors 2048..133119) overlap: \
             U-Boot keeps its variables there",
        ),
        (
            gpt_odroid,
            vec![boot(None)],
            None,
            "board \"odroid-c2\" cannot have a GPT: it takes sectors 1..33, and boot area region \"bl1\" (sectors 1..96) \
             lies there: the ROM reads it there; an MBR leaves them free",
        ),
        (
            with_boot_area(twice, odroid()),
            vec![boot(None)],
            None,
            "boot area regions \"bl1\" (sectors 1..96) and \"fip\" (sectors 96..105) overlap",
        ),
        (
            with_boot_area(vec![region("bl1", 1, 0, "")], odroid()),
            vec![boot(None)],
            None,
            "boot area region \"bl1\" (no sectors at 1) does not lie on the image of 18014398509481984 sectors",
        ),
        (
            with_boot_area(high, odroid()),
            vec![],
            Some(mib(8)),
            "boot area region \"env\" (sectors 40000..40009) does not lie on the image of 16384 sectors",
        ),
        (
            odroid(),
            vec![boot(Some(8192)), root(Some(10_240))],
            None,
            "partitions \"boot\" (sectors 8192..139263) and \"root\" (sectors 10240..141311) overlap",
        ),
        (
            odroid(),
            vec![boot(Some(1 << 20)), root(Some(8192))],
            None,
            "partition \"root\" (sectors 8192..139263) lies before \"boot\" (sectors 1048576..1179647), which the layout \
             names first; name them in the order of the card",
        ),
        (
            virt(),
            vec![boot(Some(0))],
            None,
            "the GPT (sectors 0..33) and partition \"boot\" (sectors 0..131071) overlap",
        ),
        (
            with_boot_area(vec![], odroid()),
            vec![boot(Some(0))],
            None,
            "the MBR (sectors 0..0) and partition \"boot\" (sectors 0..131071) overlap",
        ),
        (
            odroid(),
            vec![boot(None); 5],
            None,
            "5 partitions do not fit in the MBR, which has 4 entries",
        ),
        (
            virt(),
            vec![boot(None); 129],
            None,
            "129 partitions do not fit in the GPT, which has 128 entries",
        ),
        (
            odroid(),
            vec![wanted("boot", None, Bytes(0))],
            None,
            "partition \"boot\" cannot have 0 bytes: a size is a multiple of 512 and not zero",
        ),
        (
            odroid(),
            vec![wanted("boot", None, Bytes(1000))],
            None,
            "partition \"boot\" cannot have 1000 bytes: a size is a multiple of 512 and not zero",
        ),
        (
            odroid(),
            vec![boot(Some(8193))],
            None,
            "partition \"boot\" cannot start at sector 8193: starts are multiples of 2048 sectors (1 MiB)",
        ),
        (
            odroid(),
            vec![boot(None), wanted("root", None, Bytes(1 << 41))],
            None,
            "partition \"root\" (sectors 139264..4295106559) ends behind sector 4294967295, the last that the MBR can name",
        ),
        (
            virt(),
            vec![wanted("root", u64::MAX - 2047, Bytes(u64::MAX - 511))],
            None,
            "partition \"root\" (sectors 18446744073709549568..18446744073709551614) ends behind sector \
             18014398509481983, the last that the GPT can name",
        ),
        (
            odroid(),
            vec![boot(None), root(None)],
            Some(mib(100)),
            "partition \"root\" (sectors 139264..270335) ends behind the 204800 sectors that an image of 104857600 bytes \
             (100 MiB) has before its end or the copy of its GPT",
        ),
        (
            virt(),
            vec![wanted("boot", None, mib(63))],
            Some(mib(64)),
            "partition \"boot\" (sectors 2048..131071) ends behind the 131039 sectors that an image of 67108864 bytes \
             (64 MiB) has before its end or the copy of its GPT",
        ),
        (
            virt(),
            vec![],
            Some(Bytes(66 * 512)),
            "an image cannot have 33792 bytes: the GPT needs whole sectors, at least 67",
        ),
        (
            odroid(),
            vec![],
            Some(Bytes(1025)),
            "an image cannot have 1025 bytes: the MBR needs whole sectors, at least 1",
        ),
    ];
    for (board, wanted, image, expected) in cases {
        let error = place(&board, &wanted, image).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
