//! `portadc firmware`: boot areas packed and shown, by the program itself; each wrong input gives one clear error.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::fip as made_up;

/// A folder with made-up blobs.
struct Folder(tempfile::TempDir);

const PACK: [&str; 10] = [
    "--bl30",
    "bl30.bin",
    "--bl301",
    "bl301.bin",
    "--bl31",
    "bl31.bin",
    "--bl33",
    "u-boot.bin",
    "-o",
    "area",
];

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in made_up::blobs(1) {
            folder.write(name, &bytes);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_portadc"))
            .args(["firmware"])
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn pack(&self, more: &[&str]) -> Output {
        self.run(&[&["pack"], more, &PACK].concat())
    }

    #[track_caller]
    fn packs(&self, more: &[&str]) -> String {
        let output = self.pack(more);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The program fails with `code` and one error that says `said`; nothing is written.
    #[track_caller]
    fn refuses(&self, more: &[&str], code: i32, said: &str) {
        let output = self.pack(more);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(said), "{said:?} is not in: {errors}");
        assert_eq!(errors.matches("error:").count(), 1, "{errors}");
        assert!(!self.path("area").exists());
    }
}

fn fip(ids: [[u8; 4]; 4]) -> Vec<u8> {
    let blobs = made_up::blobs(1);
    let names = ["bl30", "bl301", "bl31", "bl33"];
    let list: Vec<_> = names
        .iter()
        .zip(&blobs[2..])
        .zip(ids)
        .map(|((name, (_, bytes)), id)| (*name, &bytes[..], id))
        .collect();
    made_up::fip(&list)
}

#[test]
fn packs_a_card() {
    let folder = Folder::new();
    let ids = "00000001,00000002,deadbeef,FFFFFFFF";
    let text = folder.packs(&["--bl1", "bl1.bin.hardkernel", "--ids", ids]);
    let ids = [[0, 0, 0, 1], [0, 0, 0, 2], [0xde, 0xad, 0xbe, 0xef], [255; 4]];
    let expected = made_up::boot_area(&made_up::bl1(1), &fip(ids));
    assert!(folder.read("area") == expected);
    assert!(text.contains("901632 bytes"), "{text}");
    assert!(text.contains("0x34200  0xa7810"), "{text}");

    // Without numbers given, the same comes of the same files.
    folder.packs(&["--bl1", "bl1.bin.hardkernel"]);
    let derived = folder.read("area");
    assert!(derived != expected);
    let json = folder.packs(&["--bl1", "bl1.bin.hardkernel", "--bl2", "bl2.package", "--json"]);
    assert!(folder.read("area") == derived);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["parts"][4]["name"], "bl33");
    assert_eq!(json["size"], 901_632);
}

#[test]
fn packs_for_usb() {
    let folder = Folder::new();
    let nonce = "000102030405060708090a0b0c0d0e0f";
    let ids = "00000000,00000000,00000000,00000000";
    folder.packs(&["--usb", "--bl2", "bl2.package", "--nonce", nonce, "--ids", ids]);
    let nonce = std::array::from_fn(|at| at as u8);
    let bl2 = made_up::signed_bl2(&made_up::blobs(1)[1].1, nonce);
    assert!(folder.read("area") == [bl2, fip([[0; 4]; 4])].concat());
    let shown = folder.run(&["inspect", "area", "--json"]);
    assert!(shown.status.success());
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["form"], "usb");
}

#[test]
fn shows_what_it_packed_and_what_became_of_it() {
    let folder = Folder::new();
    folder.packs(&["--bl1", "bl1.bin.hardkernel"]);
    let shown = folder.run(&["inspect", "area"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{text}");
    assert!(text.starts_with("a card's boot area: a vendor's bl1 "), "{text}");
    assert!(text.contains(&format!("bl33 is {}", made_up::VERSION)), "{text}");
    assert_eq!(text.matches("  valid  ").count(), 5, "{text}");

    let mut bytes = folder.read("area");
    bytes[0x40000] ^= 4;
    folder.write("area", &bytes);
    let shown = folder.run(&["inspect", "area"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(3), "{text}");
    assert!(
        text.contains("bl33: the signature at byte 0x0 does not verify"),
        "{text}"
    );
    let shown = folder.run(&["inspect", "area", "--json"]);
    assert_eq!(shown.status.code(), Some(3));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let valid: Vec<_> = shown["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["valid"].as_bool().unwrap())
        .collect();
    assert_eq!(valid, [true, true, true, true, true, false]);

    folder.write("empty", &[0; 1 << 20]);
    let shown = folder.run(&["inspect", "./empty"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("./empty has no boot loaders"));
    assert_eq!(folder.run(&["inspect", "./nothing"]).status.code(), Some(1));
}

/// What vendors' tools write, and what is none of theirs.
#[test]
fn tells_what_others_wrote() {
    let folder = Folder::new();
    let bl2 = made_up::signed_bl2(&made_up::blobs(1)[1].1, [7; 16]);
    let package = fip([[0; 4]; 4]);
    let usb = [&bl2[..], &package].concat();
    let both = made_up::card_and_emmc(&usb, &made_up::noise(2, 512));
    let mut of_bl31_img = usb.clone();
    made_up::say_where_bl31_is_loaded(&mut of_bl31_img[0xc000..]);
    let damaged_card = {
        let mut bytes = both.clone();
        bytes[0xc000..0xc010].fill(0);
        bytes
    };
    let last = [("bl33", 0x28000 + 0xc000)];
    for (name, bytes, form, heading, code, parts) in [
        (
            "usb",
            &usb,
            "usb",
            "a boot area for USB or an eMMC, not for a card",
            0,
            &last[..],
        ),
        (
            "img",
            &of_bl31_img,
            "usb",
            "a boot area for USB or an eMMC, not for a card",
            0,
            &last,
        ),
        (
            "sd",
            &[made_up::noise(3, 512), usb.clone()].concat(),
            "signed-card",
            "(.sd.bin)",
            0,
            &[],
        ),
        (
            "both",
            &both,
            "card-and-emmc",
            "the FIP from sector 96 on",
            0,
            &last,
        ),
        (
            "damaged",
            &damaged_card,
            "card-and-emmc",
            "the FIP from sector 96 on",
            3,
            &last,
        ),
        ("fip", &package, "fip", "(FIP) alone", 0, &[]),
    ] {
        folder.write(name, bytes);
        let shown = folder.run(&["inspect", &format!("./{name}")]);
        let text = String::from_utf8_lossy(&shown.stdout);
        assert_eq!(shown.status.code(), Some(code), "{name}: {text}");
        assert!(text.lines().next().unwrap().contains(heading), "{name}: {text}");
        let json = folder.run(&["inspect", &format!("./{name}"), "--json"]);
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["form"], form, "{name}");
        for (part, offset) in parts {
            let shown = json["parts"]
                .as_array()
                .unwrap()
                .iter()
                .find(|shown| shown["name"] == *part);
            assert_eq!(shown.unwrap()["offset"], *offset, "{name}: {json}");
        }
    }
    for (number, length) in (0..).zip([0, 1, 4, 511, 512, 0xc000, 0xc204, 1 << 18]) {
        folder.write("noise", &made_up::noise(number, length));
        let shown = folder.run(&["inspect", "./noise"]);
        let errors = String::from_utf8_lossy(&shown.stderr);
        assert_eq!(shown.status.code(), Some(1), "{errors}");
        assert_eq!(errors, "error: ./noise has no boot loaders of an Amlogic S905\n");
    }
}

#[test]
fn refuses_what_does_not_start() {
    let bl1 = ["--bl1", "bl1.bin.hardkernel"];
    let folder = Folder::new();
    let refuses = |name: &str, bytes: &[u8], said: &str| {
        let whole = folder.read(name);
        folder.write(name, bytes);
        folder.refuses(&bl1, 1, said);
        folder.write(name, &whole);
    };
    refuses(
        "bl1.bin.hardkernel",
        &[],
        "cannot use bl1.bin.hardkernel: BL1 has 0 bytes",
    );
    let mut spoiled = made_up::bl1(1);
    spoiled[0x1ff] = 0xaa;
    refuses("bl1.bin.hardkernel", &spoiled, "byte 0x1ff of BL1 is not zero");
    spoiled = made_up::bl1(1);
    spoiled[0x12] = 0;
    refuses("bl1.bin.hardkernel", &spoiled, "no @AML header at byte 0x10");
    refuses("bl301.bin", &[], "bl301 is empty");
    refuses(
        "bl31.bin",
        &[&[0x65, 0x87, 0x34, 0x12], &made_up::noise(1, 5000)[..]].concat(),
        "bl31 is a bl31.img: its first 512 bytes say where it is loaded",
    );
    refuses("u-boot.bin", &vec![1; 5 << 20], "bl33 has 5242880 bytes");
    refuses(
        "u-boot.bin",
        &vec![1; 4_000_000],
        "partition 1 starts at byte 4194304",
    );
    folder.refuses(
        &[&bl1[..], &["--partition-1", "1700"]].concat(),
        1,
        "partition 1 starts at byte 870400: bl33 has 685992 bytes, at most 655264 would fit",
    );
    folder.refuses(&["--bl1", "nothing"], 1, "cannot read nothing");
    folder.refuses(&["--bl1", "/dev/zero"], 1, "/dev/zero: it is no regular file");
    folder.refuses(
        &["--usb", "--bl2", "bl31.bin"],
        1,
        "BL2 has 69840 bytes, a bl2.package has 49152",
    );
    folder.refuses(
        &[&bl1[..], &["--bl2", "bl30.bin"]].concat(),
        1,
        "BL2 has 40584 bytes",
    );
    folder.refuses(
        &[&bl1[..], &["--ids", "00000000"]].concat(),
        1,
        "1 ids were given for 4 entries: bl30, bl301, bl31, bl33",
    );
    // Wrong usage.
    folder.refuses(&[], 2, "--bl1 <FILE>");
    folder.refuses(&["--usb"], 2, "--bl2 <FILE>");
    folder.refuses(&[&bl1[..], &["--ids", "123"]].concat(), 2, "8 hexadecimal digits");
    folder.refuses(
        &[&bl1[..], &["--nonce", "0g"]].concat(),
        2,
        "32 hexadecimal digits",
    );
}
