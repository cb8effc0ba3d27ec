//! The card of the same parts, made by genimage: read here, and compared with ours.

use std::fs;

use formats::fip::derived_id;
use formats::source::ReadAt;
use stages::card::ids::CardIds;
use stages::diff::differences;
use stages::firmware::firmware_report;
use stages::inspect::{Image, boot_area, verify};
use testkit::fip as made_up;
use testkit::oracle::run;

use crate::bench::Bench;

#[test]
fn a_card_of_genimage_has_the_same_boot_area() {
    let bench = Bench::without_clocks();
    let folder = bench.folder.path();
    let card = bench.card("odroid-c2", Some(bench.made("odroid-c2").image));
    let ours = folder.join("ours.img");
    testkit::image::write(&card.image, &ours);

    let input = folder.join("input");
    fs::create_dir(&input).unwrap();
    for (name, partition) in ["boot", "root"].iter().zip(&card.partitions) {
        let mut bytes = vec![0; partition.sectors.size().0 as usize];
        let start = partition.sectors.first.to_bytes().0;
        card.image.read_exact_at(&mut bytes, start).unwrap();
        fs::write(input.join(name), bytes).unwrap();
    }
    // Not of our making either.
    let blobs = made_up::blobs(1);
    let list: Vec<_> = ["bl30", "bl301", "bl31", "bl33"]
        .iter()
        .zip(&blobs[2..])
        .map(|(name, (_, bytes))| (*name, &bytes[..], derived_id(bytes)))
        .collect();
    fs::write(input.join("bl1"), &blobs[0].1).unwrap();
    fs::write(input.join("fip"), made_up::fip(&list)).unwrap();
    let signature = CardIds::derive("fleet", "node").disk_signature;
    assert!(signature & 0xffff != 0, "nothing to spoil in {signature:08x}");
    let config = format!(
        r#"
image theirs.img {{
    hdimage {{ align = 1M disk-signature = {signature:#010x} }}
    partition bl1 {{ in-partition-table = "no" image = "bl1" offset = 0 holes = {{"(440; 512)"}} }}
    partition fip {{ in-partition-table = "no" image = "fip" offset = 49664 }}
    partition boot {{ partition-type = 0xC bootable = true image = "boot" offset = {} }}
    partition root {{ partition-type = 0x83 image = "root" offset = {} }}
}}
"#,
        card.partitions[0].sectors.first.to_bytes().0,
        card.partitions[1].sectors.first.to_bytes().0,
    );
    fs::write(folder.join("genimage.cfg"), config).unwrap();
    fs::create_dir(folder.join("root")).unwrap();
    let path = |name: &str| folder.join(name).into_os_string().into_string().unwrap();
    run(
        "genimage",
        "genimage",
        [
            ("--config", "genimage.cfg"),
            ("--inputpath", "input"),
            ("--outputpath", "output"),
            ("--rootpath", "root"),
            ("--tmppath", "tmp"),
        ]
        .iter()
        .flat_map(|(option, name)| [(*option).to_owned(), path(name)]),
    );
    let theirs = folder.join("output/theirs.img");

    let report = firmware_report(&theirs, &[]).unwrap().unwrap();
    assert!(report.is_valid(), "{report:?}");
    let (one, other) = (Image::open(&theirs).unwrap(), Image::open(&ours).unwrap());
    let areas = boot_area(&one).unwrap();
    assert_eq!(areas, boot_area(&other).unwrap());
    let names: Vec<_> = areas.iter().map(|area| area.what.as_str()).collect();
    assert_eq!(names, ["bl1", "fip table", "bl30", "bl301", "bl31", "bl33"]);
    let differ = differences(&one, &other).unwrap();
    assert_eq!(differ, [], "{differ:?}");

    // Whoever verifies the image hears of the boot area too; the root here is not a file system.
    let no_root = "partition 2: it is of type 0x83 but has no btrfs";
    let faults = verify(&other).unwrap().faults;
    assert!(faults.len() == 1 && faults[0].starts_with(no_root), "{faults:?}");
    let damaged = folder.join("damaged.img");
    let mut bytes = fs::read(&ours).unwrap();
    bytes[0x20200 + 0x60] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let verified = verify(&Image::open(&damaged).unwrap()).unwrap();
    assert_eq!(verified.faults.len(), 2);
    assert!(
        verified.faults[0].starts_with("boot area, bl31: the signature"),
        "{verified:?}"
    );

    // The recipe of the boards' vendors writes two bytes more than BL1 has before the table: half of the disk signature.
    run(
        "coreutils",
        "dd",
        [
            format!("if={}", path("input/bl1")),
            format!("of={}", theirs.display()),
            "bs=1".to_owned(),
            "count=442".to_owned(),
            "conv=notrunc".to_owned(),
        ],
    );
    let (spoiled, whole) = (fs::read(&theirs).unwrap(), fs::read(&ours).unwrap());
    let area = 8192 * 512;
    let differing: Vec<_> = (0..area)
        // genimage counts cylinders otherwise, which nothing reads.
        .filter(|at| !(446..510).contains(at))
        .filter(|at| spoiled[*at] != whole[*at])
        .collect();
    assert_eq!(differing, [440, 441]);
    let differ = differences(&Image::open(&theirs).unwrap(), &other).unwrap();
    let ids = format!(
        "image: disk id {:08x} -> {signature:08x}",
        signature & 0xffff_0000
    );
    assert_eq!(differ[0].to_string(), ids);
    assert!(
        differ[1..].iter().all(|found| found.what.starts_with("PARTUUID")),
        "{differ:?}"
    );
}
