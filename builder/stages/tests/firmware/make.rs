//! Boot areas as boards describe them.

use std::fs;

use engine::is_verification_failure;
use fetch::{Mode, Network};
use formats::digest::hex;
use formats::fip::derived_id;
use sha2::{Digest, Sha256};
use stages::firmware::BoardFirmware;
use testkit::fip as made_up;
use testkit::golden;
use testkit::server::{Answer, Server};

use crate::bench::{Bench, bytes};

/// The FIP of made-up blobs with derived ids.
fn fip(payloads: &[(&str, &[u8])]) -> Vec<u8> {
    let list: Vec<_> = payloads
        .iter()
        .map(|(name, payload)| (*name, *payload, derived_id(payload)))
        .collect();
    made_up::fip(&list)
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[test]
fn an_odroid_c2_gets_its_boot_area() {
    let bench = Bench::without_clocks();
    let made = bench.made("odroid-c2");
    let blobs = made_up::blobs(1);
    let names = ["bl30", "bl301", "bl31", "bl33"];
    let payloads: Vec<_> = names
        .iter()
        .zip(&blobs[2..])
        .map(|(name, (_, bytes))| (*name, &bytes[..]))
        .collect();
    assert!(bytes(&made.image) == made_up::boot_area(&blobs[0].1, &fip(&payloads)));
    let described: Vec<_> = made
        .described
        .iter()
        .map(|input| {
            (
                input.name.as_str(),
                input.version.as_deref(),
                input.sha256.clone(),
            )
        })
        .collect();
    let part = |name, version, at: usize| (name, version, sha256(&blobs[at].1));
    assert_eq!(
        described,
        [
            part("firmware bl1", None, 0),
            part("firmware bl30", None, 2),
            part("firmware bl301", None, 3),
            part("firmware bl31", None, 4),
            part("firmware bl33", Some(made_up::VERSION), 5),
        ]
    );
    // They are not the vendor's, which is not hidden.
    let [warning] = &made.warnings[..] else {
        panic!("{:?}", made.warnings);
    };
    assert!(
        warning.ends_with("sources.toml pins: bl1.bin.hardkernel, bl30.bin, bl301.bin, bl31.bin"),
        "{warning}"
    );
    assert_eq!(made.key, bench.made("odroid-c2").key);
    fs::write(bench.blobs().join("u-boot.bin"), made_up::noise(9, 1000)).unwrap();
    assert_ne!(made.key, bench.made("odroid-c2").key);
}

#[test]
fn a_boot_area_is_the_bytes_of_its_revision() {
    let bench = Bench::without_clocks();
    golden::check("firmware", [("odroid-c2", bytes(&bench.made("odroid-c2").image))]);
}

#[test]
fn nothing_is_fetched_before_its_licence_is_accepted() {
    let bench = Bench::new();
    let Ok(BoardFirmware::Absent(why)) = bench.find("odroid-c2", None) else {
        panic!("something was fetched");
    };
    for named in [
        "Amlogic's terms",
        "https://github.com/LibreELEC/amlogic-boot-fip/blob/",
        "accept-licenses = [\"amlogic-gxbb\"]",
        "--blob-dir",
    ] {
        assert!(why.contains(named), "{named} is not named: {why}");
    }
    // Where nobody has pinned them.
    bench.edit("sources.toml", "[blobs.odroid-c2", "[blobs.other");
    bench.edit("sources.toml", "[blobs.odroid-c2", "[blobs.other");
    let Ok(BoardFirmware::Absent(why)) = bench.find("odroid-c2", None) else {
        panic!("something was fetched");
    };
    assert!(why.contains("[blobs.odroid-c2]"), "{why}");
}

/// Lets `sources.toml` pin the made-up blobs at a server.
fn pin(bench: &Bench, url: &str) {
    let text = fs::read_to_string(bench.path("sources.toml")).unwrap();
    let kept = text.split("[blobs.odroid-c2]").next().unwrap();
    let mut text = format!(
        "{kept}[blobs.odroid-c2]\nlicense = \"amlogic-gxbb\"\nmirrors = [\"{url}\"]\n\n[blobs.odroid-c2.files]\n"
    );
    for (name, bytes) in made_up::blobs(1).into_iter().take(5) {
        text += &format!(
            "\"{name}\" = {{ size = {}, sha256 = \"{}\" }}\n",
            bytes.len(),
            sha256(&bytes)
        );
    }
    fs::write(bench.path("sources.toml"), text).unwrap();
}

#[test]
fn accepted_blobs_are_fetched_once_and_kept_apart() {
    let mut bench = Bench::without_clocks();
    let server = Server::start(|request| {
        let blobs = made_up::blobs(1);
        let (_, bytes) = blobs
            .iter()
            .find(|(name, _)| request.path.ends_with(name))
            .expect("a known blob");
        Answer::file(request, bytes)
    });
    pin(&bench, &server.url());
    let from_folder = bench.made("odroid-c2");
    assert_eq!(server.requests().len(), 0);
    assert_eq!(from_folder.warnings, [""; 0]);

    bench.accept();
    let u_boot = bench.folder.path().join("u-boot");
    fs::write(&u_boot, &made_up::blobs(1)[5].1).unwrap();
    bench.u_boot.insert("odroid-c2".to_owned(), u_boot);
    let Ok(BoardFirmware::Ready(fetched)) = bench.find("odroid-c2", None) else {
        panic!("not fetched");
    };
    assert!(bytes(&fetched.image) == bytes(&from_folder.image));
    // bl2.package is not part of a card.
    assert_eq!(server.requests().len(), 4);
    let cache = bench.folder.path().join("cache");
    assert_eq!(fs::read_dir(cache.join("blobs")).unwrap().count(), 4);
    assert!(!cache.join("sources").exists());

    bench.network = Network::new(Mode::Offline);
    bench.find("odroid-c2", None).unwrap();
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_blob_that_was_changed_is_not_used() {
    let bench = Bench::without_clocks();
    let server = Server::start(|request| {
        let blobs = made_up::blobs(2);
        let (_, bytes) = blobs
            .iter()
            .find(|(name, _)| request.path.ends_with(name))
            .unwrap();
        Answer::file(request, bytes)
    });
    pin(&bench, &server.url());
    bench.accept();
    let error = bench.find("odroid-c2", None).unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    assert!(format!("{error:#}").contains("bl1.bin.hardkernel"), "{error:#}");
}

#[test]
fn what_is_missing_is_named_at_once() {
    let bench = Bench::without_clocks();
    for name in ["bl30.bin", "bl31.bin", "u-boot.bin"] {
        fs::remove_file(bench.blobs().join(name)).unwrap();
    }
    let error = bench.refused("odroid-c2");
    for named in [
        "lacks bl30.bin, bl31.bin, u-boot.bin: put what is missing into",
        "bl30.bin, bl31.bin would be fetched if you accepted",
        "accept-licenses = [\"amlogic-gxbb\"]",
        "u-boot.bin cannot be fetched",
    ] {
        assert!(error.contains(named), "{named} is not in: {error}");
    }
}

#[test]
fn a_bl301_that_may_lack_clocks_is_refused() {
    let bench = Bench::new();
    let error = bench.refused("odroid-c2");
    let digest = sha256(&made_up::blobs(1)[3].1);
    for named in [
        "cannot make the boot area of odroid-c2",
        "boards/odroid-c2/node.dts enables scpi_clocks",
        &digest,
        "cpufreq would set clocks that the firmware does not have",
        "scpi-firmware in boards/odroid-c2/board.toml",
    ] {
        assert!(error.contains(named), "{named} is not in: {error}");
    }
    bench.edit(
        "boards/odroid-c2/board.toml",
        "scpi-firmware = [",
        &format!("scpi-firmware = [\"{digest}\", "),
    );
    bench.made("odroid-c2");
}

#[test]
fn files_that_make_no_boot_area_are_refused_by_name() {
    let bl1 = || made_up::bl1(1);
    let mut over_table = bl1();
    over_table[0x1b8] = 1;
    let mut unsigned = bl1();
    unsigned[0x4000] ^= 1;
    for (name, bytes, said) in [
        (
            "bl1.bin.hardkernel",
            bl1()[1..].to_vec(),
            "BL1 has 49663 bytes, it must have 49664",
        ),
        (
            "bl1.bin.hardkernel",
            made_up::noise(1, 49_664),
            "no @AML header at byte 0x210",
        ),
        ("bl1.bin.hardkernel", over_table, "byte 0x1b8 of BL1 is not zero"),
        (
            "bl1.bin.hardkernel",
            unsigned,
            "the signature at byte 0x210 does not verify",
        ),
        ("bl30.bin", Vec::new(), "bl30 is empty: bl30.bin has no bytes"),
        (
            "bl31.bin",
            [&[0x65, 0x87, 0x34, 0x12], &made_up::noise(1, 70_000)[..]].concat(),
            "bl31 is a bl31.img: its first 512 bytes say where it is loaded",
        ),
        (
            "u-boot.bin",
            vec![1; 4 << 20],
            "it must stay below 4194304 (4 MiB)",
        ),
        (
            "u-boot.bin",
            vec![1; 4_000_000],
            "what is behind region \"fip\" starts at byte 4194304: bl33 has 4000000 bytes, at most 3964832 would fit",
        ),
    ] {
        let bench = Bench::without_clocks();
        fs::write(bench.blobs().join(name), bytes).unwrap();
        let error = bench.refused("odroid-c2");
        assert!(error.contains(said), "{said:?} is not in: {error}");
        assert!(
            error.contains("cannot make the boot area of odroid-c2"),
            "{error}"
        );
    }
    let bench = Bench::without_clocks();
    fs::remove_file(bench.blobs().join("bl31.bin")).unwrap();
    fs::create_dir(bench.blobs().join("bl31.bin")).unwrap();
    let error = bench.refused("odroid-c2");
    assert!(error.contains("bl31.bin: it is a folder"), "{error}");
    fs::remove_dir_all(bench.blobs()).unwrap();
    let error = bench.refused("odroid-c2");
    assert!(error.ends_with("blobs is no folder"), "{error}");
}
