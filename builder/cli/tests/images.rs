//! Images that are read by the program itself: what is not an image, what is not there, what differs, what is damaged. Each
//! has one clear error and the exit code that the help tells of.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use formats::bmap::BlockMap;
use formats::digest::hex;
use formats::manifest::{FORMAT, Firmware, Image, Manifest, Table, TableKind};
use formats::pack::{self, Index, Node, PackedBase};
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use sha2::{Digest as _, Sha256};

/// A folder to work in, with the project of the tests.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portadc"));
        command
            .args(["-C", testkit::fleet::PROJECT, "--out", "out", "--cache", "cache"])
            .args(arguments)
            .current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must end with `code` and one error that has each of `named`.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, named: &[&str]) {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert_eq!(errors.matches("error:").count(), 1, "{errors}");
        for name in named {
            assert!(errors.contains(name), "{name:?} is not named in:\n{errors}");
        }
    }

    /// Runs the program, which must end with `code`, without an error; returns what it prints.
    #[track_caller]
    fn ends(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(!errors.contains("error:"), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A volume with one file, which holds `content`.
    fn volume(&self, name: &str, content: &str) {
        self.write("file", content);
        let tar = Command::new("tar")
            .args(["--mtime=@0", "-cf", "root.tar", "file"])
            .current_dir(self.0.path())
            .status();
        assert!(tar.unwrap().success());
        self.ends(&["-q", "volume", "root.tar", "-o", name], 0);
    }

    /// A made-up image of red-07 where `build` leaves them, with its block map and its manifest.
    fn image(&self, firmware: Firmware) -> PathBuf {
        let folder = self.path("out/images");
        fs::create_dir_all(&folder).unwrap();
        let bytes = vec![7; 1 << 20];
        let mut image = SparseImage::empty(Bytes::mib(1));
        image.put(0, bytes.clone());
        let map = BlockMap::of(&Segments::cut(&image, &[]).unwrap()).to_xml();
        let manifest = Manifest {
            format: FORMAT,
            fleet: "test".to_owned(),
            node: "red-07".to_owned(),
            board: "odroid-c2".to_owned(),
            layout: "card".to_owned(),
            sources: "debian".to_owned(),
            inputs: Vec::new(),
            installed: None,
            firmware,
            firmware_sha256: None,
            firmware_advice: None,
            partition_table: Table {
                kind: TableKind::Mbr,
                id: "00000001".to_owned(),
            },
            partitions: Vec::new(),
            image: Image {
                file: "red-07.img".to_owned(),
                size: image.size,
                mapped: image.size,
                map_sha256: hex(&Sha256::digest(&map)),
            },
        };
        let path = folder.join("red-07.img");
        fs::write(&path, bytes).unwrap();
        fs::write(folder.join("red-07.img.bmap"), map).unwrap();
        let manifest = serde_json::to_vec(&manifest).unwrap();
        fs::write(folder.join("red-07.manifest.json"), manifest).unwrap();
        path
    }
}

/// Runs a command that must end by itself.
#[track_caller]
fn ends_soon(command: &mut Command) -> Output {
    let mut timeout = Command::new("timeout");
    timeout
        .arg("60")
        .arg(command.get_program())
        .args(command.get_args());
    timeout.current_dir(command.get_current_dir().unwrap());
    let output = timeout.stdin(Stdio::null()).output().unwrap();
    assert_ne!(output.status.code(), Some(124), "{command:?} waits");
    output
}

#[test]
fn diff_tells_difference_and_trouble_apart() {
    let place = Workplace::new();
    place.volume("one", "content");
    place.volume("other", "another");
    place.write("neither", "nothing that is known");
    assert_eq!(place.ends(&["diff", "one", "one"], 0), "");
    assert!(
        place
            .ends(&["diff", "one", "other"], 1)
            .contains("file: content from byte 0")
    );
    assert!(
        place
            .ends(&["diff", "one", "neither"], 1)
            .contains("another file system")
    );
    place.fails(&["diff", "one", "none.img"], 2, &["there is no file none.img"]);
    place.fails(&["diff", "--fleet"], 2, &["has no finished image of red-01"]);
    place.fails(&["diff", "one"], 2, &["<SECOND>"]);
    let help = place.ends(&["--help"], 0).replace("\n", " ");
    assert!(
        help.contains("of diff: 0 the same, 1 different, 2 trouble"),
        "{help}"
    );
}

#[test]
fn what_has_no_end_is_no_image() {
    let place = Workplace::new();
    place.volume("volume", "content");
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(place.path("pack")).unwrap();
    let index = place.path("pack").join(pack::INDEX);
    assert!(Command::new("mkfifo").arg(&index).status().unwrap().success());
    let listener = UnixListener::bind(place.path("socket")).unwrap();
    for (arguments, code) in [
        (&["inspect", "pipe"][..], 1),
        (&["inspect", "socket"], 1),
        (&["inspect", "/dev/zero"], 1),
        (&["inspect", "pipe", "--verify"], 1),
        (&["firmware", "inspect", "pipe"], 1),
        (&["diff", "volume", "pipe"], 2),
        (&["diff", "pipe", "volume"], 2),
        (&["diff", "/dev/zero", "/dev/null"], 2),
        (&["export", "--pack", "pack", "--all", "-o", "exported"], 1),
        (&["u-boot", "--source", "pipe"], 1),
        (&["kernel", "config", "--source", "pipe"], 1),
    ] {
        let output = ends_soon(&mut place.command(arguments));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(
            errors.contains("it is no regular file or block device"),
            "{errors}"
        );
    }
    drop(listener);
    // What a shell makes of <(...); a file on standard input is one.
    let output = place
        .command(&["inspect", "/dev/stdin"])
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let file = fs::File::open(place.path("volume")).unwrap();
    let output = place.command(&["inspect", "/dev/stdin"]).stdin(file).output();
    assert!(String::from_utf8_lossy(&output.unwrap().stdout).contains("btrfs"));
}

#[test]
fn a_name_is_a_file_or_a_node() {
    let place = Workplace::new();
    let only_file = |name: &str| {
        let output = place.run(&["inspect", name]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, format!("error: there is no file {name}\n"));
        assert_eq!(output.status.code(), Some(1));
    };
    only_file("none.img");
    only_file("folder/none");
    place.fails(
        &["inspect", "red-70"],
        1,
        &["neither a file nor a node red-70: did you mean `red-07`?"],
    );
    place.fails(
        &["inspect", "red-07"],
        1,
        &["no finished image of red-07", "`portadc build red-07`"],
    );
}

#[test]
fn damage_has_an_exit_code_of_its_own() {
    let place = Workplace::new();
    place.volume("volume", "content");
    assert!(
        place
            .ends(&["inspect", "volume", "--verify"], 0)
            .contains("nothing wrong")
    );
    place.write("empty", "");
    assert!(
        place
            .ends(&["inspect", "empty", "--verify"], 3)
            .contains("nothing to verify")
    );
    place.ends(&["inspect", "empty"], 0);

    // A table that tells of more than there is.
    let mut cut = vec![0; 1 << 20];
    cut[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0]);
    cut[510..512].copy_from_slice(&[0x55, 0xaa]);
    place.write("cut.img", cut);
    let said = "goes on behind the end of cut.img, which has 1048576 bytes: it is truncated";
    assert!(place.ends(&["inspect", "cut.img"], 3).contains(said));
    assert!(place.ends(&["inspect", "cut.img", "--verify"], 3).contains(said));
    place.fails(&["inspect", "cut.img", "--cat", "/etc/hostname"], 1, &[said]);
}

#[test]
fn flash_says_what_to_do() {
    let place = Workplace::new();
    place.fails(
        &["flash", "red-09", "card"],
        1,
        &[
            "there is no finished image of red-09",
            "run `portadc build red-09`",
        ],
    );
    // A pack that has it.
    let index = Index {
        format: pack::FORMAT,
        fleet: "test".to_owned(),
        recipients: Vec::new(),
        bases: vec![PackedBase {
            name: "base".to_owned(),
            sha256: String::new(),
            map_sha256: String::new(),
        }],
        nodes: vec![Node {
            name: "red-09".to_owned(),
            base: "base".to_owned(),
            manifest_sha256: String::new(),
            inputs: String::new(),
            root_used: 0,
            delta_sha256: None,
        }],
    };
    fs::create_dir_all(place.path("out/pack")).unwrap();
    let file = Path::new("out/pack").join(pack::INDEX);
    place.write(file.to_str().unwrap(), index.to_json().unwrap());
    place.fails(
        &["flash", "red-09", "card"],
        1,
        &[
            "`portadc build red-09`",
            "`portadc export red-09 -o DIR/images`",
            "--out",
        ],
    );

    place.image(Firmware::Absent);
    place.fails(
        &["flash", "red-07", "card"],
        1,
        &["no firmware for odroid-c2", "--without-firmware"],
    );
    let image = place.image(Firmware::NotNeeded);
    place.fails(
        &["flash", "red-07", "card"],
        4,
        &["there is no card", "`truncate -s SIZE card`"],
    );
    place.fails(
        &["flash", "red-07", "/dev/no-such-disk"],
        4,
        &["no disk /dev/no-such-disk", "`lsblk`"],
    );
    assert!(!place.path("card").exists());

    place.write("card", vec![0; 4 << 20]);
    place.ends(&["-q", "flash", "red-07", "card"], 0);
    let mut bytes = fs::read(&image).unwrap();
    bytes[5000] ^= 1;
    fs::write(&image, &bytes).unwrap();
    place.fails(
        &["flash", "red-07", "card"],
        3,
        &["its block map says", "build it again"],
    );
    bytes.pop();
    fs::write(&image, &bytes).unwrap();
    place.fails(
        &["flash", "red-07", "card"],
        3,
        &["it is not whole, build it again"],
    );
}

#[test]
fn a_changed_image_of_a_node_is_found_out() {
    let place = Workplace::new();
    let image = place.image(Firmware::NotNeeded);
    let mut bytes = fs::read(&image).unwrap();
    bytes[5000] ^= 1;
    fs::write(&image, bytes).unwrap();
    let output = place.run(&["inspect", "red-07", "--verify"]);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("red-07.img was changed since it was built"),
        "{told}"
    );
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(
        found.contains("bytes 0..1048576 of the image are not what its block map says"),
        "{found}"
    );
}

#[test]
fn an_output_is_neither_an_input_nor_a_node() {
    let place = Workplace::new();
    place.volume("volume", "content");
    let tar = fs::read(place.path("root.tar")).unwrap();
    place.fails(
        &["volume", "root.tar", "-o", "root.tar"],
        1,
        &["it is what is read"],
    );
    let mut command = place.command(&["volume", "-", "-o", "root.tar"]);
    let output = command
        .stdin(fs::File::open(place.path("root.tar")).unwrap())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("it is what is read, /dev/stdin"), "{errors}");
    assert!(fs::read(place.path("root.tar")).unwrap() == tar);

    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    place.write("bl", "a boot loader");
    place.write("source.tar", &tar);
    let pack = [
        "firmware", "pack", "--bl1", "bl", "--bl30", "bl", "--bl31", "bl", "--bl33", "bl", "-o",
    ];
    for (arguments, output, said) in [
        (&["volume", "root.tar", "-o"][..], "pipe", "it is a pipe"),
        (&pack, "pipe", "it is a pipe"),
        (&pack, "bl", "it is what is read, bl"),
        (&["u-boot", "-o"], "pipe", "it is a pipe"),
        (
            &["u-boot", "--source", "source.tar", "-o"],
            "source.tar",
            "it is what is read, source.tar",
        ),
    ] {
        place.fails(&[arguments, &[output]].concat(), 1, &[said]);
    }
    assert!(!fs::metadata(&pipe).unwrap().is_file());
    assert_eq!(fs::read(place.path("bl")).unwrap(), b"a boot loader");
    assert!(fs::read(place.path("source.tar")).unwrap() == tar);
}
