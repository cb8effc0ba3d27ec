//! Reading FAT volumes: ours, those of mkfs.fat filled by mtools, and damaged ones.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use formats::blob::Blob;
use formats::fat::read::{ReadError, Reader};
use formats::fat::{self, FatFile, FatOptions, FatType};
use formats::source::{ReadAt, WholeBlob};
use formats::units::{Bytes, Time};
use proptest::prelude::*;
use testkit::oracle::run;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn options(mib: u64) -> FatOptions {
    FatOptions {
        size: Bytes::mib(mib),
        volume_id: 0x1234_abcd,
        label: "BOOT".to_owned(),
        time: Time::from_seconds(1_700_000_000),
    }
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("Image".to_owned(), bytes(3_000_001)),
        ("dtbs/amlogic/meson-gxbb-odroidc2.dtb".to_owned(), bytes(30_000)),
        ("dtbs/empty".to_owned(), Vec::new()),
        ("extlinux/extlinux.conf".to_owned(), b"DEFAULT linux\n".to_vec()),
        ("grüße und 😀.text".to_owned(), bytes(512)),
    ]);
    for number in 0..300 {
        files.insert(format!("many/a rather long name, number {number}"), bytes(number));
    }
    files
}

/// Every file of a volume.
fn read_everything(source: &dyn ReadAt) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
    let reader = Reader::open(source)?;
    let mut found = BTreeMap::new();
    for entry in reader.walk()? {
        if !entry.is_directory {
            let parts: Vec<_> = reader.parts(&entry).collect::<Result<_, _>>()?;
            found.insert(entry.path, parts.concat());
        }
    }
    reader.tables_agree()?;
    Ok(found)
}

fn ours(mib: u64) -> fat::FatVolume {
    let files: Vec<_> = files()
        .into_iter()
        .map(|(path, bytes)| FatFile::from_bytes(path, bytes))
        .collect();
    let mut volume = fat::lay_out(&files, &options(mib)).unwrap();
    volume.image.sort().unwrap();
    volume
}

#[test]
fn our_volumes_are_read() {
    for (mib, fat_type) in [(8, FatType::Fat16), (64, FatType::Fat32), (300, FatType::Fat32)] {
        let volume = ours(mib);
        assert_eq!(volume.fat_type, fat_type);
        assert!(read_everything(&volume.image).unwrap() == files(), "{mib} MiB");
        let reader = Reader::open(&volume.image).unwrap();
        let summary = reader.summary();
        assert_eq!(
            (summary.fat_type, summary.label.as_str(), summary.volume_id),
            (fat_type, "BOOT", 0x1234_abcd)
        );
        assert_eq!((summary.size, summary.cluster), (Bytes::mib(mib), volume.cluster));
        assert!(reader.tables_agree().unwrap());
        let entry = reader.find("/EXTLINUX/extlinux.CONF").unwrap().unwrap();
        assert_eq!(
            (entry.path.as_str(), entry.length),
            ("extlinux/extlinux.conf", 14)
        );
        assert!(reader.find("extlinux").unwrap().unwrap().is_directory);
        assert_eq!(reader.find("nothing").unwrap(), None);
    }
}

#[test]
fn volumes_of_mkfs_are_read() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("files");
    // mtools cannot write what is beyond 16 bits.
    let files = || {
        let mut files = files();
        files.retain(|path, _| !path.contains('😀'));
        files
    };
    for (path, bytes) in files() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let variants: [(&str, u64, &[&str]); 4] = [
        ("16", 16, &[]),
        ("32", 64, &["-F32", "-s1"]),
        ("large sectors", 128, &["-S2048", "-F16"]),
        ("one table", 64, &["-f1"]),
    ];
    for (name, mib, options) in variants {
        let path = place.path().join(name);
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        let text = path.to_str().unwrap();
        run(
            "dosfstools",
            "mkfs.vfat",
            options.iter().chain(&["-nLABEL", text]),
        );
        let top: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .collect();
        let mut arguments = vec!["-s", "-i", text];
        arguments.extend(top.iter().map(String::as_str));
        arguments.push("::");
        run("mtools", "mcopy", &arguments);
        // Holes in what follows, and a file in pieces.
        run(
            "mtools",
            "mdel",
            ["-i", text, "::dtbs/amlogic/meson-gxbb-odroidc2.dtb"],
        );
        let piece = place.path().join("piece");
        fs::write(&piece, bytes(2_000_000)).unwrap();
        run(
            "mtools",
            "mcopy",
            ["-i", text, piece.to_str().unwrap(), "::lower.low"],
        );
        fs::remove_file(piece).unwrap();
        let mut expected = files();
        expected.remove("dtbs/amlogic/meson-gxbb-odroidc2.dtb");
        expected.insert("lower.low".to_owned(), bytes(2_000_000));
        let found = read_everything(&open_file(&path)).unwrap();
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{name}");
        assert!(found == expected, "{name}");
    }
}

fn open_file(path: &Path) -> WholeBlob {
    WholeBlob::new(Blob::from(File::open(path).unwrap())).unwrap()
}

fn in_memory(mib: u64) -> Vec<u8> {
    let image = ours(mib).image;
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn damage_is_named() {
    let sound = in_memory(8);
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut damaged = sound.clone();
        change(&mut damaged);
        read_everything(&damaged).unwrap_err().to_string()
    };
    assert!(error(&|volume| volume[510] = 0).contains("lacks the signature 55 AA"));
    assert!(error(&|volume| volume[13] = 3).contains("no legal cluster size"));
    assert!(error(&|volume| volume.truncate(1 << 20)).contains("behind the end"));
    assert!(error(&|volume| volume.clear()).contains("cannot read 512 bytes at byte 0"));
    // Every entry of the first table is the end of a chain.
    let cut = error(&|volume| {
        let start = usize::from(volume[14]) * 512;
        volume[start + 6..start + 4096].fill(0xff);
    });
    assert!(
        cut.contains("ends before the file") || cut.contains("directory"),
        "{cut}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_volumes_are_read_to_an_end(
        // The places that matter: boot sector, tables, root and first directories.
        changes in proptest::collection::vec((prop_oneof![0..90_usize, 512..70_000_usize], any::<u8>()), 0..60),
        kept in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        is_large in any::<bool>(),
    ) {
        static SOUND: std::sync::OnceLock<[Vec<u8>; 2]> = std::sync::OnceLock::new();
        let sound = SOUND.get_or_init(|| [in_memory(8), in_memory(40)]);
        let mut volume = sound[usize::from(is_large)].clone();
        for (place, byte) in changes {
            volume[place] = byte;
        }
        if is_cut {
            volume.truncate(kept.index(volume.len()));
        }
        let _ = read_everything(&volume);
    }
}
