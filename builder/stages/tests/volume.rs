//! A tarball made by GNU tar as a volume, seen by the kernel.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use formats::btrfs::Profile;
use formats::layer::{Compression, ZstdLevel};
use formats::units::Bytes;
use stages::volume::{Input, SubvolumeRequest, VolumeRequest, volume_from_tar};
use tempfile::TempDir;
use testkit::oracle::run;
use testkit::volume::{Access, LoopMount, btrfs_check, btrfs_check_lowmem};

/// A folder with most of what a root file system has, and its tar.
fn tarball() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let script = r"
        mkdir -p tree/etc tree/usr/bin tree/var/log tree/dev tree/srv
        seq 1 100000 > tree/usr/numbers
        head -c 300000 /dev/zero > tree/usr/zeros
        truncate -s 3M tree/usr/sparse; echo end >> tree/usr/sparse
        cp tree/usr/numbers tree/usr/bin/tool; chmod 4755 tree/usr/bin/tool
        ln tree/usr/bin/tool tree/usr/bin/alias
        ln -s ../usr/bin/tool tree/etc/link
        mknod tree/dev/null c 1 3; mknod tree/dev/disk b 259 65537; mkfifo tree/dev/pipe
        ln -P tree/etc/link tree/srv/
        setfattr -n user.note -v 'a note' tree/usr/numbers
        setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 tree/usr/bin/tool
        printf 'odd' > tree/etc/$'\xff\xfename'
        chown -R 1000:1001 tree/srv; touch -d '1969-07-20 20:17:40.5' tree/srv
        echo log > tree/var/log/syslog
        tar --create --file tar --directory tree --xattrs --xattrs-include='*' --sparse --format=posix .
    ";
    let folder_text = folder.path().to_str().unwrap();
    run("bash", "bash", ["-euc", &format!("cd {folder_text}\n{script}")]);
    let tar = folder.path().join("tar");
    (folder, tar)
}

fn request(tar: &Path, output: &Path) -> VolumeRequest {
    VolumeRequest {
        tar: Input::File(tar.to_owned()),
        output: output.to_owned(),
        compression: Compression::Zstd(ZstdLevel::DEFAULT),
        subvolumes: Vec::new(),
        size: None,
        label: "test".to_owned(),
        metadata: Profile::Dup,
        jobs: NonZeroUsize::MIN,
    }
}

/// What rsync would have to change to make the two folders the same.
fn differences(from: &Path, to: &Path) -> String {
    let options = "--dry-run --archive --checksum --hard-links --acls --xattrs --sparse --devices --specials --delete --itemize-changes --numeric-ids";
    let folders = [from, to].map(|path| format!("{}/", path.display()));
    run(
        "rsync",
        "rsync",
        options.split(' ').chain(folders.iter().map(String::as_str)),
    )
}

#[test]
fn the_kernel_sees_what_tar_took() {
    let (folder, tar) = tarball();
    for compression in [Compression::None, Compression::Zstd(ZstdLevel::DEFAULT)] {
        let output = folder.path().join("volume");
        let report = volume_from_tar(&VolumeRequest {
            compression,
            ..request(&tar, &output)
        })
        .unwrap();
        assert_eq!(report.written.size.0, output.metadata().unwrap().len());
        btrfs_check(&output);
        btrfs_check_lowmem(&output);
        let mount = LoopMount::new(&output, 0, Access::ReadOnly, &[]);
        assert_eq!(differences(&folder.path().join("tree"), mount.path()), "");
        let time = mount.path().join("srv").metadata().unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((time.mtime(), time.mtime_nsec()), (-14_182_940, 500_000_000));
    }
}

#[test]
fn subvolumes_and_size() {
    let (folder, tar) = tarball();
    let output = folder.path().join("volume");
    let subvolumes = ["@:/", "@log:/var/log", "@empty"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let size = Some(Bytes::mib(500));
    volume_from_tar(&VolumeRequest {
        subvolumes,
        size,
        ..request(&tar, &output)
    })
    .unwrap();
    assert_eq!(output.metadata().unwrap().len(), 500 << 20);
    btrfs_check(&output);
    let mut mount = LoopMount::new(&output, 0, Access::ReadWrite, &[]);
    mount.add("@log", "var/log");
    assert_eq!(differences(&folder.path().join("tree"), mount.path()), "");
    assert_eq!(fs::read(mount.path().join("var/log/syslog")).unwrap(), b"log\n");
}

#[test]
fn no_size_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; mkdir tree; truncate -s 20G tree/large; echo end >> tree/large; tar --create --sparse --file tar --directory tree .",
        folder.path().display()
    );
    run("bash", "bash", ["-euc", &script]);
    let output = folder.path().join("volume");
    volume_from_tar(&request(&folder.path().join("tar"), &output)).unwrap();
    btrfs_check(&output);
    let mount = LoopMount::new(&output, 0, Access::ReadOnly, &[]);
    let file = mount.path().join("large");
    assert_eq!(file.metadata().unwrap().len(), (20 << 30) + 4);
}

#[test]
fn the_same_tar_gives_the_same_volume() {
    let (folder, tar) = tarball();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("other.tar");
    fs::copy(&tar, &moved).unwrap();
    let one = folder.path().join("one");
    let other = elsewhere.path().join("other");
    let jobs = NonZeroUsize::new(5).unwrap();
    let first = volume_from_tar(&request(&tar, &one)).unwrap();
    let second = volume_from_tar(&VolumeRequest {
        jobs,
        ..request(&moved, &other)
    })
    .unwrap();
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap());
    assert_eq!(first.written, second.written);
    assert_eq!(first.fsid, second.fsid);
}

#[test]
fn other_content_has_another_uuid() {
    let (folder, tar) = tarball();
    let output = folder.path().join("volume");
    let first = volume_from_tar(&request(&tar, &output)).unwrap();
    let label = "other".to_owned();
    let second = volume_from_tar(&VolumeRequest {
        label,
        ..request(&tar, &output)
    })
    .unwrap();
    assert_ne!(first.fsid, second.fsid);
}

#[test]
fn failures_leave_no_file() {
    let (folder, tar) = tarball();
    let output = folder.path().join("volume");
    let error = |request: VolumeRequest| {
        let error = format!("{:#}", volume_from_tar(&request).unwrap_err());
        assert!(!output.exists());
        error
    };
    let size = Some(Bytes::mib(64));
    let small = error(VolumeRequest {
        size,
        ..request(&tar, &output)
    });
    assert!(
        small.contains("needs a volume of at least 114294784 bytes"),
        "{small}"
    );
    let missing = error(request(Path::new("no.tar"), &output));
    assert_eq!(
        missing,
        "cannot read the tarball no.tar: No such file or directory (os error 2)"
    );
    let folder_as_tar = error(request(folder.path(), &output));
    assert!(folder_as_tar.ends_with("it is a folder"), "{folder_as_tar}");
    fs::write(folder.path().join("cut"), &fs::read(&tar).unwrap()[..100_000]).unwrap();
    let cut = error(request(&folder.path().join("cut"), &output));
    assert!(cut.contains("cut short"), "{cut}");
    let no_folder = error(VolumeRequest {
        subvolumes: ["@:/", "@log:/var/lgo"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        ..request(&tar, &output)
    });
    assert!(
        no_folder.starts_with("the tarball has no folder \"/var/lgo\""),
        "{no_folder}"
    );
    let nowhere = error(request(&tar, Path::new("/nowhere/volume")));
    assert!(
        nowhere.starts_with("cannot write /nowhere/volume: cannot make a file in its folder"),
        "{nowhere}"
    );
}

#[test]
fn subvolumes_as_text() {
    let parse = |text: &str| text.parse::<SubvolumeRequest>();
    assert_eq!(
        parse("@").unwrap(),
        SubvolumeRequest {
            name: "@".into(),
            mount: None
        }
    );
    assert_eq!(
        parse("@:/").unwrap(),
        SubvolumeRequest {
            name: "@".into(),
            mount: Some("/".into())
        }
    );
    for (text, expected) in [
        (":/x", "has no name"),
        ("", "has no name"),
        ("@:x", "needs a path that starts with /"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
