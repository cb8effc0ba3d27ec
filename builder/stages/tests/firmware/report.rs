//! What `firmware inspect` says of images.

use std::fs;
use std::path::Path;

use engine::is_verification_failure;
use formats::digest::hex;
use formats::manifest::{FORMAT, Firmware, Image, Input, Manifest, Table, TableKind};
use formats::units::Bytes;
use model::sources::Sources;
use sha2::{Digest, Sha256};
use stages::firmware::{FirmwareReport, Known, PackagingReport, firmware_report};
use testkit::fip as made_up;

/// The boot area of made-up blobs of the real sizes, as a file of an image.
fn area() -> Vec<u8> {
    let blobs = made_up::blobs(1);
    let names = ["bl30", "bl301", "bl31", "bl33"];
    let list: Vec<_> = names
        .iter()
        .zip(&blobs[2..])
        .map(|(name, (_, bytes))| (*name, &bytes[..], [1, 2, 3, 4]))
        .collect();
    made_up::boot_area(&blobs[0].1, &made_up::fip(&list))
}

fn report(bytes: &[u8]) -> FirmwareReport {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    fs::write(&path, bytes).unwrap();
    firmware_report(&path, &Known::built_in()).unwrap().unwrap()
}

/// A manifest that says that `card.img` was made of these.
pub fn manifest(folder: &Path, firmware: Firmware, parts: &[(&str, &[u8])]) {
    let inputs = parts.iter().map(|(name, bytes)| Input {
        name: format!("firmware {name}"),
        version: None,
        sha256: hex(&Sha256::digest(bytes)),
    });
    let manifest = Manifest {
        format: FORMAT,
        fleet: "fleet".into(),
        node: "card".into(),
        board: "odroid-c2".into(),
        layout: "card".into(),
        sources: "debian".into(),
        inputs: inputs.collect(),
        installed: None,
        firmware,
        firmware_sha256: None,
        firmware_advice: None,
        partition_table: Table {
            kind: TableKind::Mbr,
            id: "00000000".into(),
        },
        partitions: Vec::new(),
        image: Image {
            file: "card.img".into(),
            size: Bytes(0),
            mapped: Bytes(0),
            map_sha256: String::new(),
        },
    };
    let text = serde_json::to_string(&manifest).unwrap();
    fs::write(folder.join("card.manifest.json"), text).unwrap();
}

#[test]
fn each_part_is_described() {
    let report = report(&area());
    assert!(report.is_valid());
    assert_eq!(report.form, PackagingReport::Card);
    let blobs = made_up::blobs(1);
    let expected = [
        ("bl1", 0, 0xc200, Some(0)),
        ("fip table", 0xc200, 0x4000, None),
        ("bl30", 0x10200, 0x9ef0, Some(2)),
        ("bl301", 0x1c200, 0x18c0, Some(3)),
        ("bl31", 0x20200, 0x11130, Some(4)),
        ("bl33", 0x34200, 0xa7810, Some(5)),
    ];
    for (part, (name, offset, size, blob)) in report.parts.iter().zip(expected) {
        assert_eq!((part.name.as_str(), part.offset, part.size), (name, offset, size));
        if let Some(blob) = blob {
            assert_eq!(part.content, blobs[blob].1.len() as u64, "{name}");
            assert_eq!(part.sha256, hex(&Sha256::digest(&blobs[blob].1)), "{name}");
        }
    }
    assert_eq!(report.parts[5].version.as_deref(), Some(made_up::VERSION));
    assert!(report.parts.iter().all(|part| part.known.is_none()));
}

#[test]
fn blobs_are_known_by_name() {
    let bl30 = &made_up::blobs(1)[2].1;
    let known = Known {
        name: "board bl30.bin".to_owned(),
        size: bl30.len() as u64,
        sha256: Sha256::digest(bl30).into(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    fs::write(&path, area()).unwrap();
    let report = firmware_report(&path, &[known]).unwrap().unwrap();
    let known: Vec<_> = report.parts.iter().map(|part| part.known.as_deref()).collect();
    assert_eq!(known, [None, None, Some("board bl30.bin"), None, None, None]);
}

/// What is known without a project is what this one pins; a signed bl2.package cannot be told by its hash.
#[test]
fn what_is_built_in_is_what_is_pinned() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut pinned = Known::of(&Sources::load(root).unwrap());
    pinned.retain(|known| known.name.starts_with("odroid-c2 ") && known.name != "odroid-c2 bl2.package");
    assert_eq!(pinned, Known::built_in());
}

#[test]
fn an_image_is_held_against_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    let blobs = made_up::blobs(1);
    let parts = |at: &[usize]| -> Vec<(&'static str, Vec<u8>)> {
        let names = ["bl1", "bl2", "bl30", "bl301", "bl31", "bl33"];
        at.iter().map(|at| (names[*at], blobs[*at].1.clone())).collect()
    };
    let write = |firmware, at: &[usize]| {
        let parts = parts(at);
        let parts: Vec<_> = parts.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        manifest(folder.path(), firmware, &parts);
    };
    let faults = || -> Vec<String> {
        let report = firmware_report(&path, &[]).unwrap().unwrap();
        let parts = report.parts.into_iter();
        parts
            .flat_map(|part| {
                part.faults
                    .into_iter()
                    .map(move |fault| format!("{}: {fault}", part.name))
            })
            .collect()
    };
    let whole = [0, 2, 3, 4, 5];
    write(Firmware::Present, &whole);
    fs::write(&path, area()).unwrap();
    assert_eq!(faults(), [""; 0]);

    // No signature covers the nonce in front of the header for an eMMC.
    for at in 0..16 {
        for bit in 0..8 {
            let mut bytes = area();
            bytes[at] ^= 1_u8 << bit;
            fs::write(&path, bytes).unwrap();
            let faults = faults();
            assert!(
                faults.len() == 1 && faults[0].starts_with("bl1: it is not what the manifest names"),
                "{faults:?}"
            );
        }
    }
    // An entry that somebody signed anew.
    let other = made_up::blobs(2);
    let list: Vec<_> = ["bl30", "bl301", "bl31", "bl33"]
        .iter()
        .zip(&other[2..])
        .map(|(name, (_, bytes))| (*name, &bytes[..], [0; 4]))
        .collect();
    fs::write(&path, made_up::boot_area(&blobs[0].1, &made_up::fip(&list))).unwrap();
    assert_eq!(faults().len(), 4);

    // Without its manifest it is sound.
    fs::rename(&path, folder.path().join("other.img")).unwrap();
    let report = firmware_report(&folder.path().join("other.img"), &[])
        .unwrap()
        .unwrap();
    assert!(report.is_valid());

    fs::write(&path, vec![0; 1 << 20]).unwrap();
    let error = firmware_report(&path, &[]).unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    write(Firmware::Absent, &[]);
    assert!(firmware_report(&path, &[]).unwrap().is_none());

    fs::write(&path, &area()[..0xc200]).unwrap();
    write(Firmware::Present, &whole);
    let faults = faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults[3].starts_with("bl33: the manifest names it, but it is not there"));

    fs::write(folder.path().join("card.manifest.json"), "{}").unwrap();
    let error = format!("{:#}", firmware_report(&path, &[]).unwrap_err());
    assert!(error.contains("card.manifest.json is no manifest"), "{error}");
}
