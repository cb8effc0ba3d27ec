//! What a person, a mirror or a disk can do wrong, tried on the program itself: each gives one clear error that names
//! what is wrong, exit code 1 (or 2 for wrong usage), no panic, and nothing half-written.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::server::{Answer, Server};

/// The project of this repository in a folder of its own.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        for part in ["boards", "kernel", "overlays", "images"] {
            copy(&root.join(part), &folder.path().join(part));
        }
        for file in ["sources.toml", "sources.lock"] {
            fs::copy(root.join(file), folder.path().join(file)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Replaces `from`, which the file must have, by `to`.
    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        fs::write(self.path(path), text.replacen(from, to, 1)).unwrap();
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(path), bytes).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let old = fs::read_to_string(self.path(path)).unwrap();
        self.write(path, old + text);
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portadc"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Runs the program, which must fail with `code` and name every one of `named`.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, named: &[&str]) {
        assert_fails(&self.command(arguments).output().unwrap(), code, named);
    }

    /// `check` must find each of `named`.
    #[track_caller]
    fn finds(&self, named: &[&str]) {
        self.fails(&["check"], 1, named);
    }
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, named: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    for name in named {
        assert!(errors.contains(name), "{name:?} is not named in:\n{errors}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

const FLEET: &str = "images/fleet.toml";
const C2: &str = "boards/odroid-c2/board.toml";
const CARD: &str = "images/layouts/card.toml";
const COMMON: &str = "overlays/common/overlay.toml";

#[test]
fn the_project_itself_is_right() {
    let output = Project::new().command(&["check"]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn fleet() {
    type Change = fn(&Project);
    let changes: [(Change, &[&str]); 12] = [
        (|project| project.remove(FLEET), &["images/fleet.toml"]),
        (|project| project.write(FLEET, ""), &["fleet.toml", "name"]),
        (
            |project| project.write(FLEET, b"name = \"\xff\""),
            &["fleet.toml", "UTF-8"],
        ),
        (
            |project| project.edit(FLEET, "[defaults]", "[defaults"),
            &["fleet.toml"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\nadress = \"172.16.1.9\"\n"),
            &["adress", "address"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\naddress = \"172.16.1.8\"\n"),
            &["172.16.1.8", "red-08"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\naddress = \"10.0.0.1\"\n"),
            &["10.0.0.1"],
        ),
        (
            |project| project.append(FLEET, "\n[nodes.red-07]\nrole = \"hypervizor\"\n"),
            &["hypervizor", "hypervisor"],
        ),
        (
            |project| project.edit(FLEET, "overlays = [\"common\",", "overlays = [\"comon\","),
            &["comon", "common"],
        ),
        (
            |project| project.edit(FLEET, "admin-keys = []", "admin-keys = [\"secret\"]"),
            &["secret"],
        ),
        (
            |project| project.edit(FLEET, "slots = \"1-23\"", "slots = \"1-99\""),
            &["ports"],
        ),
        (
            |project| project.edit(FLEET, "gateway = \"172.16.0.1\"", "gateway = \"172.16.1.7\""),
            &["172.16.1.7"],
        ),
    ];
    for (change, named) in changes {
        let project = Project::new();
        change(&project);
        // With -C the folder need not look like a project.
        project.fails(&["-C", ".", "check"], 1, named);
    }
}

#[test]
fn boards_and_layouts() {
    let changes: [(&str, &str, &str, &[&str]); 8] = [
        (
            C2,
            "partition-table = \"mbr\"",
            "partition-table = \"gpt\"",
            &["odroid-c2", "bl1"],
        ),
        (C2, "last = 96", "last = 97", &["bl1", "fip"]),
        (
            C2,
            "source = \"node.dts\"",
            "source = \"none.dts\"",
            &["none.dts"],
        ),
        (
            C2,
            "partition-table = \"mbr\"",
            "partition-table = \"apm\"",
            &["apm"],
        ),
        (CARD, "mount = \"/srv\"", "mount = \"srv\"", &["srv"]),
        (CARD, "zstd = 3", "zstd = 99", &["99"]),
        (CARD, "size = \"128 MiB\"", "size = \"128 MIB\"", &["128 MIB"]),
        (
            CARD,
            "file-system = \"btrfs\"",
            "file-system = \"ext4\"",
            &["ext4"],
        ),
    ];
    for (file, from, to, named) in changes {
        let project = Project::new();
        project.edit(file, from, to);
        project.finds(named);
    }
}

#[test]
fn overlays_and_templates() {
    let project = Project::new();
    project.append(COMMON, "\n[unit]\nenable = []\n");
    project.finds(&["unit"]);

    let project = Project::new();
    project.edit(COMMON, "description", "remove = [\"/etc/../root\"]\ndescription");
    project.finds(&["/etc/../root"]);

    let project = Project::new();
    symlink("/etc/shadow", project.path("overlays/common/files/etc/stolen")).unwrap();
    project.finds(&["stolen"]);

    let project = Project::new();
    fs::create_dir(project.path("overlays/common/filez")).unwrap();
    project.finds(&["filez"]);

    let project = Project::new();
    let hostname = "overlays/common/templates/etc/hostname.hbs";
    project.edit(hostname, "node.name", "node.colour");
    project.finds(&["hostname.hbs:1", "red-01", "node.colour"]);
    project.fails(&["build", "--all"], 1, &["node.colour"]);
    project.write(hostname, "{{#if node.name}}");
    project.finds(&["hostname.hbs"]);
}

#[test]
fn kernel() {
    let project = Project::new();
    project.append("kernel/fragments/base.config", "CONFIG_NET=maybe\n");
    project.finds(&["base.config", "CONFIG_NET"]);

    let project = Project::new();
    project.append("kernel/fragments/base.config", "CONFIG_BTRFS_FS=m\n");
    project.finds(&["BTRFS_FS"]);

    let project = Project::new();
    // Of a fragment that comes with the program only the copy would be gone.
    project.edit("kernel/kernel.toml", "\"usb\"", "\"own-usb\"");
    project.finds(&["own-usb.config", "kernel/kernel.toml:"]);

    let project = Project::new();
    project.append("kernel/kernel.toml", "\n[[patch]]\nfile = \"0001-none.patch\"\n");
    project.finds(&["0001-none.patch"]);

    project.write("kernel/kernel.toml", "");
    project.finds(&["kernel.toml"]);

    let project = Project::new();
    project.write("linux.tar.xz", "no kernel");
    project.fails(
        &["kernel", "config", "--source", "linux.tar.xz"],
        1,
        &["linux.tar.xz"],
    );
    // Another series is not fetched to say that it is another.
    let project = Project::new();
    project.fails(
        &["kernel", "config", "--series", "6.99", "--offline"],
        1,
        &["sources.lock", "6.99", "--source FILE"],
    );
}

#[test]
fn sources_and_lock() {
    let offline = ["build", "red-07", "--offline", "--locked"];
    let project = Project::new();
    project.remove("sources.lock");
    project.fails(&offline, 1, &["sources.lock", "portadc update"]);
    project.write("sources.lock", "[debian");
    project.fails(&offline, 1, &["sources.lock"]);

    let project = Project::new();
    project.fails(&offline, 1, &["the base is not in the cache", "offline"]);
    project.fails(
        &["build", "red-07", "--sources", "gentu"],
        1,
        &["gentu", "gentoo"],
    );
    // The keys of that set are nowhere: no server is named, and no package of this machine has them.
    let sources = fs::read_to_string(project.path("sources.toml")).unwrap();
    let nowhere = |line: &&str| !line.starts_with("wkd = ") && !line.starts_with("keyserver = ");
    let lines: Vec<&str> = sources.lines().filter(nowhere).collect();
    project.write("sources.toml", lines.join("\n"));
    project.fails(
        &["build", "red-07", "--sources", "gentoo"],
        1,
        &[
            "keys/kernel-org.asc",
            "is missing",
            "names no `wkd` or `keyserver`",
        ],
    );
    project.fails(
        &["keys", "--offline"],
        1,
        &[
            "`kernel-org` is missing",
            "`gentoo` is missing",
            "without `--offline`",
        ],
    );
    project.fails(&["keys", "gento"], 1, &["no signer `gento`", "gentoo"]);
    project.fails(
        &["keys", "debian"],
        1,
        &["no fingerprint", "debian-archive-keyring"],
    );
    assert!(!project.path("keys").exists());
    project.fails(&["update", "--offline"], 1, &["offline"]);
    project.fails(&["update", "--mirror", "file:///etc"], 1, &["file:///etc"]);
    // Nobody listens on port 1.
    project.fails(
        &["update", "--mirror", "http://127.0.0.1:1/debian"],
        1,
        &["127.0.0.1"],
    );
    // A mirror that is named is reached through apt's proxy, as the host's own is.
    let proxy = Server::start(|_| Answer::status(404));
    project.write("apt.conf", format!("Acquire::http::Proxy \"{}\";", proxy.url()));
    let output = project
        .command(&["update", "--mirror", "http://mirror.invalid/debian"])
        .env("APT_CONFIG", project.path("apt.conf"))
        .output()
        .unwrap();
    assert_fails(&output, 1, &["mirror.invalid", "the server answered 404"]);
    assert_eq!(
        proxy.requests()[0].path,
        "http://mirror.invalid/debian/dists/trixie/InRelease"
    );
    project.fails(&["update", "--sources", "gentoo"], 1, &["keys/kernel-org.asc"]);
    assert!(!project.path("out/images/red-07.img").exists());

    project.edit("sources.toml", "default = \"debian\"", "default = \"devuan\"");
    project.finds(&["devuan"]);
}

#[test]
fn what_is_not_as_its_hash_says_has_an_exit_code_of_its_own() {
    let project = Project::new();
    let lock: toml::Table = fs::read_to_string(project.path("sources.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let kernel = &lock["debian"]["kernel"];
    let text = |name: &str| kernel[name].as_str().unwrap();
    let folder = project.path("cache/portadc/sources").join(text("sha256"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(text("file")), "garbage").unwrap();
    project.fails(
        &["kernel", "config", "--offline"],
        3,
        &[text("file"), "it has 7 bytes instead of"],
    );
}

#[test]
fn missing_programs_are_listed_at_once() {
    let project = Project::new();
    let output = project
        .command(&["build", "red-07"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_fails(
        &output,
        1,
        &["`make`", "mmdebstrap", "gcc-aarch64-linux-gnu", "apt-get install"],
    );
}

#[test]
fn tarballs() {
    let project = Project::new();
    let volume = |tar: &str| ["volume", tar, "-o", "volume.btrfs"].map(String::from);
    let fails = |tar: &str, named: &[&str]| {
        let arguments = volume(tar);
        project.fails(&arguments.each_ref().map(String::as_str), 1, named);
        assert!(!project.path("volume.btrfs").exists());
    };
    fails("none.tar", &["none.tar"]);
    fails("images", &["images"]);
    project.write("garbage.tar", [7; 2000]);
    fails("garbage.tar", &["garbage.tar"]);
    project.write("empty.tar", "");
    fails("empty.tar", &["empty"]);
    let tar = |name: &str, options: &[&str]| {
        let output = Command::new("tar")
            .current_dir(project.folder.path())
            .args(["-cf", name])
            .args(options)
            .output();
        assert!(output.unwrap().status.success());
    };
    tar("absolute.tar", &["-P", "--transform=s,^,/,", "boards"]);
    fails("absolute.tar", &["/boards"]);
    tar("outside.tar", &["-P", "--transform=s,^,../,", "boards"]);
    fails("outside.tar", &["../boards"]);
    tar(
        "twice.tar",
        &["sources.toml", "sources.toml", "--hard-dereference"],
    );
    fails("twice.tar", &["sources.toml"]);
    tar("good.tar", &["boards"]);
    let bytes = fs::read(project.path("good.tar")).unwrap();
    project.write("cut.tar", &bytes[..bytes.len() / 2]);
    fails("cut.tar", &["cut.tar"]);
}

#[test]
fn outputs() {
    let project = Project::new();
    let tar = Command::new("tar")
        .current_dir(project.folder.path())
        .args(["-cf", "good.tar", "boards"])
        .status();
    assert!(tar.unwrap().success());
    project.fails(
        &["volume", "good.tar", "-o", "no/such/folder/v"],
        1,
        &["no/such/folder"],
    );
    project.fails(&["volume", "good.tar", "-o", "boards"], 1, &["boards"]);
    project.fails(&["volume", "good.tar", "-o", "v", "--size", "1 MiB"], 1, &["109"]);
    project.fails(&["volume", "good.tar", "-o", "v", "--size", "much"], 2, &["much"]);
    project.fails(
        &["volume", "good.tar", "-o", "v", "--subvol", "@:relative"],
        2,
        &["@:relative"],
    );
    // sysfs: nobody can make a file there, not even root.
    project.fails(
        &["volume", "good.tar", "-o", "/sys/kernel/v"],
        1,
        &["/sys/kernel"],
    );
    project.fails(
        &["build", "red-07", "--out", "/sys/kernel/out"],
        1,
        &["/sys/kernel/out"],
    );
    project.write("file", "");
    project.fails(&["--cache", "file", "build", "red-07"], 1, &["cache"]);
    assert!(!project.path("v").exists());
}

#[test]
fn a_full_disk_leaves_nothing() {
    let project = Project::new();
    let tar = Command::new("tar")
        .current_dir(project.folder.path())
        .args(["-cf", "good.tar", "boards"])
        .status();
    assert!(tar.unwrap().success());
    let small = project.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(mounted.success(), "mounting a small tmpfs needs root");
    let output = project
        .command(&["volume", "good.tar", "-o", "small/v"])
        .output()
        .unwrap();
    let left = fs::read_dir(&small).unwrap().count();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert_fails(&output, 1, &["small/v", "bytes"]);
    assert_eq!(left, 0);
}

#[test]
fn usage() {
    let project = Project::new();
    for arguments in [
        &["build"][..],
        &["build", "--all", "red-07"],
        &["frobnicate"],
        &["check", "-j", "0"],
        &["volume", "a.tar"],
        &["boot"],
        &["boot", "red-07", "--timeout", "3"],
        &["boot", "red-07", "--keep"],
        &["schema", "flet"],
        &["-q", "-v", "check"],
        &["update", "--locked"],
        &["kernel", "config", "--series", "new"],
    ] {
        project.fails(arguments, 2, &[]);
    }
    project.fails(&["show", "red-70"], 1, &["red-70", "red-07"]);
    project.fails(&["build", "red-07", "blau-01"], 1, &["blau-01", "blue-01"]);
    project.fails(&["boot", "red-07", "--check"], 1, &["red-07", "portadc build"]);
    project.fails(
        &["boot", "blue-01", "--tap", "lo"],
        1,
        &["blue-01 are 2 and the taps 1"],
    );
    project.fails(
        &["boot", "red-07", "--tap", "lo,lo"],
        1,
        &["red-07 are 1 and the taps 2"],
    );
    project.fails(
        &["boot", "red-07", "--tap", "nosuchtap"],
        1,
        &["nosuchtap", "ip tuntap add"],
    );
    project.fails(&["-C", "cache", "check"], 1, &["images/fleet.toml"]);
}

#[test]
fn a_reader_that_went_away_changes_nothing() {
    let project = Project::new();
    project.append(COMMON, "\n[unit]\nenable = []\n");
    for arguments in [&["check"][..], &["check", "--json"]] {
        let mut command = project.command(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(1), "{arguments:?}");
    }
}
