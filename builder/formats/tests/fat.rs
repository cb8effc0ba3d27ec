//! FAT volumes as `fsck.fat` and mtools see them.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;

use formats::fat::{self, FatError, FatFile, FatOptions, FatType};
use formats::units::{Bytes, Time};
use proptest::collection::btree_map;
use proptest::prelude::*;
use testkit::oracle;

/// 2024-02-29T13:47:59Z: a leap day and an odd second.
const TIME: Time = Time::from_seconds(1_709_214_479);

fn options(size: Bytes) -> FatOptions {
    FatOptions {
        size,
        volume_id: 0x1234_abcd,
        label: "BOOT".to_owned(),
        time: TIME,
    }
}

/// Bytes that differ from place to place and from seed to seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// A boot partition's files.
fn boot_files() -> Vec<FatFile> {
    vec![
        FatFile::from_bytes("Image", noise(1, 3_000_001)),
        FatFile::from_bytes("dtbs/amlogic/meson-gxbb-odroidc2.dtb", noise(2, 30_000)),
        FatFile::from_bytes("dtbs/empty", Vec::new()),
        FatFile::from_bytes("extlinux/extlinux.conf", b"DEFAULT linux\n".to_vec()),
    ]
}

fn lay_out_to(path: &Path, files: &[FatFile], options: &FatOptions) -> fat::FatVolume {
    let volume = fat::lay_out(files, options).unwrap();
    assert_eq!(volume.image.size, options.size);
    support::write(volume.image.clone(), path);
    volume
}

fn fsck(path: &Path) {
    let said = oracle::run(
        "dosfstools",
        "fsck.fat",
        ["-n".as_ref(), "-v".as_ref(), path.as_os_str()],
    );
    for complaint in [
        "rong",
        "rror",
        "ifference",
        "uninitialized",
        "hould",
        "bad",
        "Reclaim",
    ] {
        assert!(!said.contains(complaint), "{said}");
    }
}

/// Every file as mtools reads it back.
fn check_contents(path: &Path, files: &[FatFile]) {
    let out = tempfile::tempdir().unwrap();
    let arguments = [
        "-s",
        "-n",
        "-Q",
        "-i",
        path.to_str().unwrap(),
        "::/",
        out.path().to_str().unwrap(),
    ];
    oracle::run("mtools", "mcopy", arguments);
    for file in files {
        let mut expected = vec![0; file.length as usize];
        file.blob.read_exact_at(&mut expected, file.blob_offset).unwrap();
        let read = fs::read(out.path().join(&file.path)).unwrap();
        assert!(read == expected, "{} differs", file.path);
    }
    let listed = oracle::run(
        "mtools",
        "mdir",
        ["-b", "-/", "-a", "-i", path.to_str().unwrap(), "::/"],
    );
    let names = listed.lines().filter(|line| !line.ends_with('/')).count();
    assert_eq!(names, files.len(), "{listed}");
}

#[test]
fn checkers_accept_and_read_back_every_size_class() {
    let folder = tempfile::tempdir().unwrap();
    for (mib, fat_type, cluster) in [
        (4, FatType::Fat16, 512),
        (32, FatType::Fat16, 512),
        (33, FatType::Fat32, 512),
        (64, FatType::Fat32, 512),
        (128, FatType::Fat32, 1024),
        (256, FatType::Fat32, 2048),
        (2100, FatType::Fat32, 32768),
    ] {
        let path = folder.path().join(format!("{mib}.fat"));
        let files = boot_files();
        let volume = lay_out_to(&path, &files, &options(Bytes::mib(mib)));
        assert_eq!(
            (volume.fat_type, volume.cluster.0),
            (fat_type, cluster),
            "{mib} MiB"
        );
        fsck(&path);
        check_contents(&path, &files);
        let bytes = fs::metadata(&path).unwrap().len();
        assert_eq!(bytes, mib << 20);
        // The files themselves, two tables of at most 4 bytes a cluster, directories.
        assert!(
            volume.image.mapped().0 < 3_100_000 + 2 * 4 * 132_000,
            "{}",
            volume.image.mapped().0
        );
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn directory_listing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    lay_out_to(&path, &boot_files(), &options(Bytes::mib(64)));
    let listed = oracle::run(
        "mtools",
        "mdir",
        ["-/", "-a", "-i", path.to_str().unwrap(), "::/"],
    );
    insta::assert_snapshot!(listed);
    let found = oracle::output("util-linux", "blkid", ["-p".as_ref(), path.as_os_str()]);
    let found = String::from_utf8(found.stdout).unwrap();
    for expected in [
        "UUID=\"1234-ABCD\"",
        "LABEL=\"BOOT\"",
        "VERSION=\"FAT32\"",
        "TYPE=\"vfat\"",
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn sizes_around_every_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    let (mut smallest, mut divisions) = (None, Vec::new());
    // The smallest volume, and where FAT16 turns into FAT32.
    for sectors in (4_100..4_200).chain(65_500..67_800) {
        let volume = match fat::lay_out(&[], &options(Bytes(sectors * 512))) {
            Ok(volume) => volume,
            Err(FatError::Size { min, .. }) => {
                assert!(sectors * 512 < min, "{sectors} sectors");
                continue;
            }
            Err(error) => panic!("{sectors}: {error}"),
        };
        smallest.get_or_insert(sectors);
        // Where the division changes, and at a few places between.
        let division = (volume.fat_type, volume.cluster);
        if divisions.last() != Some(&division) || sectors % 400 == 0 {
            support::write(volume.image, &path);
            fsck(&path);
        }
        divisions.push(division);
    }
    assert_eq!(smallest, Some(4_157));
    // Just below FAT32, clusters of one sector are already too many for FAT16.
    assert!(
        divisions.contains(&(FatType::Fat16, Bytes(1024))),
        "{divisions:?}"
    );
    assert!(matches!(
        fat::lay_out(&[], &options(Bytes(1 << 42))),
        Err(FatError::Size { .. })
    ));
    assert!(matches!(
        fat::lay_out(&[], &options(Bytes((64 << 20) + 1))),
        Err(FatError::Size { .. })
    ));
}

#[test]
fn many_names_grow_directories() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    for size in [Bytes::mib(16), Bytes::mib(64)] {
        let mut files: Vec<_> = (0..300)
            .map(|n| {
                FatFile::from_bytes(
                    format!("dtbs/some vendor/board with a long name {n}.dtb"),
                    noise(n, n as usize * 7),
                )
            })
            .collect();
        // Names of 13 and 26 units end without a terminator; the last is not ASCII.
        for name in [
            "abcdefghi.txt",
            "abcdefghijklmnopqrstuv.txt",
            "KERNEL.IMG",
            ".hidden",
            "Grüße.txt",
        ] {
            files.push(FatFile::from_bytes(name, noise(9, 700)));
        }
        let volume = lay_out_to(&path, &files, &options(size));
        fsck(&path);
        let said = oracle::run("dosfstools", "fsck.fat", ["-n".as_ref(), path.as_os_str()]);
        // Our own count of what is taken agrees with the checker's: "310 files, 848/32481 clusters".
        let (_, counts) = said.trim_end_matches(" clusters\n").rsplit_once(", ").unwrap();
        let (taken, total) = counts.split_once('/').unwrap();
        let free = total.parse::<u64>().unwrap() - taken.parse::<u64>().unwrap();
        assert_eq!(free * volume.cluster.0, volume.free.0, "{said}");
        check_contents(&path, &files);
    }
}

#[test]
fn size_for_is_the_smallest_that_fits() {
    for (bytes, free) in [
        (0, 0),
        (1 << 20, 0),
        (30 << 20, Bytes::mib(1).0),
        (70 << 20, Bytes::mib(16).0),
    ] {
        let files = [
            FatFile::from_bytes("Image", vec![0; bytes]),
            FatFile::from_bytes("a/b", vec![1]),
        ];
        let size = fat::size_for(&files, Bytes(free)).unwrap();
        assert_eq!(size.0 % (1 << 20), 0);
        assert!(fat::lay_out(&files, &options(size)).unwrap().free.0 >= free);
        if let Ok(smaller) = fat::lay_out(&files, &options(size - Bytes::mib(1))) {
            assert!(smaller.free.0 < free, "{size} for {bytes}");
        }
    }
}

#[test]
fn same_values_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1"), folder.path().join("2"));
    lay_out_to(&first, &boot_files(), &options(Bytes::mib(40)));
    let other = FatOptions {
        volume_id: 7,
        time: Time::from_seconds(0x4000_0000),
        ..options(Bytes::mib(40))
    };
    lay_out_to(&second, &boot_files(), &other);
    assert!(fs::read(&first).unwrap() != fs::read(&second).unwrap());
    lay_out_to(&second, &boot_files(), &options(Bytes::mib(40)));
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
}

#[test]
fn what_does_not_fit_is_refused_with_the_bytes() {
    let files = [
        FatFile::from_bytes("Image", vec![1; 5 << 20]),
        FatFile::from_bytes("a/b", vec![1; 4096]),
    ];
    let error = fat::lay_out(&files, &options(Bytes::mib(4))).unwrap_err();
    insta::assert_snapshot!(error, @r#"the files need 5247488 bytes in clusters of 512, the FAT volume of 4194304 has 4141056; the largest is "Image" with 5242880 bytes"#);

    // The last cluster can be used, one byte more cannot.
    let exactly = |bytes: u64| {
        fat::lay_out(
            &[FatFile::from_bytes("x", vec![1; bytes as usize])],
            &options(Bytes::mib(4)),
        )
    };
    let all = fat::lay_out(&[], &options(Bytes::mib(4))).unwrap().free.0;
    assert_eq!(exactly(all).unwrap().free.0, 0);
    assert!(matches!(exactly(all + 1), Err(FatError::Full { .. })));

    let many: Vec<_> = (0..260)
        .map(|n| FatFile::from_bytes(format!("name{n}"), Vec::new()))
        .collect();
    assert!(matches!(
        fat::lay_out(&many, &options(Bytes::mib(4))),
        Err(FatError::RootFull {
            needed: 521,
            limit: 512
        })
    ));
    fat::lay_out(&many[..255], &options(Bytes::mib(4))).unwrap();

    let huge = FatFile {
        length: 1 << 32,
        ..FatFile::from_bytes("huge", Vec::new())
    };
    assert!(matches!(
        fat::lay_out(&[huge], &options(Bytes::gib(8))),
        Err(FatError::FileTooLarge { .. })
    ));
}

#[test]
fn a_full_volume_names_no_free_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    let options = options(Bytes::mib(33));
    let all = fat::lay_out(&[], &options).unwrap().free.0;
    // Free clusters and where to look for the next, as FSInfo and its copy in sectors 1 and 7 say.
    let hints = |length: u64| {
        let files = [FatFile::from_bytes("x", vec![1; length as usize])];
        lay_out_to(&path, &files, &options);
        fsck(&path);
        check_contents(&path, &files);
        let bytes = fs::read(&path).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(bytes[512..1024], bytes[7 * 512..8 * 512]);
        (word(512 + 488), word(512 + 492))
    };
    assert_eq!(hints(all), (0, 0xffff_ffff));
    // The last cluster: 2 is the first, which the root has.
    let last = 2 + (all / 512) as u32;
    assert_eq!(hints(all - 512), (1, last));
}

#[test]
fn directories_end_at_their_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    let files = |directory: &str, count: u32| -> Vec<FatFile> {
        (0..count)
            .map(|n| FatFile::from_bytes(format!("{directory}N{n:06}"), Vec::new()))
            .collect()
    };
    // `.` and `..` count.
    lay_out_to(&path, &files("FULL/", 65_534), &options(Bytes::mib(40)));
    fsck(&path);
    // And so does the volume label of the root.
    for (directory, count, shown) in [("FULL/", 65_535, "FULL"), ("", 65_536, "/")] {
        let error = fat::lay_out(&files(directory, count), &options(Bytes::mib(40))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "directory {shown:?} needs 65537 entries, FAT has at most 65536 in one; use subdirectories"
            )
        );
    }
}

#[test]
fn bad_names_labels_and_times_are_refused() {
    let lay_out = |paths: &[&str]| {
        let files: Vec<_> = paths
            .iter()
            .map(|path| FatFile::from_bytes(*path, vec![1]))
            .collect();
        fat::lay_out(&files, &options(Bytes::mib(4))).map(|_| ())
    };
    let long = "x".repeat(256);
    for path in [
        "", "/a", "a/", "a//b", "..", "a/../b", ".", "a:b", "a\\b", "nul\0", "dot.", "space ", " space",
        &long,
    ] {
        assert!(matches!(lay_out(&[path]), Err(FatError::Path { .. })), "{path:?}");
    }
    for paths in [
        ["Image", "IMAGE"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["dtbs/x", "DTBS/y"],
        ["x", "x"],
    ] {
        assert!(
            matches!(lay_out(&paths), Err(FatError::Clash { .. })),
            "{paths:?}"
        );
    }
    lay_out(&["a/b/c", "a/b/d", "a/c", &"y".repeat(255)]).unwrap();

    for label in ["", "boot", "TWELVE CHARS", "A.B", "ÄÖ", " A", "A "] {
        let options = FatOptions {
            label: label.to_owned(),
            ..options(Bytes::mib(4))
        };
        assert!(
            matches!(fat::lay_out(&[], &options), Err(FatError::Label { .. })),
            "{label:?}"
        );
    }
    for (seconds, good) in [
        (315_532_799, false),
        (315_532_800, true),
        (4_354_819_199, true),
        (4_354_819_200, false),
    ] {
        let options = FatOptions {
            time: Time::from_seconds(seconds),
            ..options(Bytes::mib(4))
        };
        assert_eq!(fat::lay_out(&[], &options).is_ok(), good, "{seconds}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any names and lengths, read back by an implementation that is not ours.
    #[test]
    fn another_implementation_reads_any_volume(
        paths in btree_map("([a-zA-Z0-9_é][a-zA-Z0-9_~+ .é]{0,30}[a-z0-9]/){0,3}[a-z][A-Za-z~ .ß€]{0,40}[a-z0-9]", 0_usize..20_000, 0..40),
        mib in prop::sample::select(vec![4_u64, 20, 40]),
    ) {
        let files: Vec<_> = (0..)
            .zip(&paths)
            .map(|(seed, (path, length))| FatFile::from_bytes(path.clone(), noise(seed, *length)))
            .collect();
        let volume = match fat::lay_out(&files, &options(Bytes::mib(mib))) {
            Ok(volume) => volume,
            Err(FatError::Clash { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("volume");
        support::write(volume.image, &path);
        fsck(&path);
        let disk = fs::File::options().read(true).write(true).open(&path).unwrap();
        let reader = fatfs::FileSystem::new(disk, fatfs::FsOptions::new()).unwrap();
        for file in &files {
            let mut read = Vec::new();
            reader.root_dir().open_file(&file.path).unwrap().read_to_end(&mut read).unwrap();
            let mut expected = vec![0; file.length as usize];
            file.blob.read_exact_at(&mut expected, 0).unwrap();
            prop_assert!(read == expected, "{}", file.path);
        }
    }
}
