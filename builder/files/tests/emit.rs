//! Images as files: the bytes, the digest, and what is left when it fails.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use files::emit::{Readers, check_output, write_file, write_image};
use formats::blob::Blob;
use formats::sparse::SparseImage;
use formats::units::Bytes;
use testkit::oracle;

/// An image with pieces from memory, from a file, and holes around them.
fn image() -> SparseImage {
    let mut image = SparseImage::empty(Bytes::mib(20));
    image.put(4096, b"from memory".to_vec());
    let source = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    source.write_all_at(&bytes, 0).unwrap();
    let blob = Blob::from(source);
    image.put_blob(1 << 20, 2_500_000, blob.clone(), 12_345);
    image.put_blob(10 << 20, 7, blob, 0);
    image.put((20 << 20) - 3, b"end".to_vec());
    image
}

/// The image's bytes, put together in memory.
fn bytes_of(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.size.0 as usize];
    for piece in &image.pieces {
        let start = piece.offset as usize;
        let buffer = &mut bytes[start..start + piece.length as usize];
        piece.blob.read_exact_at(buffer, piece.blob_offset).unwrap();
    }
    bytes
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_file_has_the_bytes_and_the_holes() {
    let folder = tempfile::tempdir().unwrap();
    let image = image();
    let expected = bytes_of(&image);
    for _ in 0..2 {
        let path = folder.path().join("image");
        let written = write_image(&image, &path, Readers::Owner).unwrap();
        assert!(fs::read(&path).unwrap() == expected);
        assert_eq!(written.size, image.size);
        assert_eq!(written.mapped, Bytes(11 + 2_500_000 + 7 + 3));
        let metadata = path.metadata().unwrap();
        assert!(
            metadata.blocks() * 512 < 4 << 20,
            "holes are stored: {} blocks",
            metadata.blocks()
        );
        assert_eq!(names(folder.path()), ["image"]);
    }
}

#[test]
fn others_may_read_what_holds_no_keys_as_any_new_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // An old image that others could read.
    File::create(at("closed")).unwrap();
    File::create(at("any")).unwrap();
    write_image(&image(), &at("open"), Readers::Anybody).unwrap();
    write_image(&image(), &at("closed"), Readers::Owner).unwrap();
    write_file(&at("closed file"), b"bytes", Readers::Owner).unwrap();
    let mode = |name: &str| at(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("open"), mode("any"));
    assert_eq!([mode("closed"), mode("closed file")], [0o600; 2]);
}

#[test]
fn a_blob_that_ends_early_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, "old").unwrap();
    let sources = [Blob::from(vec![0; 10]), Blob::from(tempfile::tempfile().unwrap())];
    for blob in sources {
        let mut image = image();
        image.put_blob(12 << 20, 11, blob, 0);
        image.sort().unwrap();
        let error = format!("{:#}", write_image(&image, &path, Readers::Owner).unwrap_err());
        assert!(error.contains("which needs 2500032 bytes"), "{error}");
        assert!(
            error.contains("bytes 12582912..12582923 of the image") && error.ends_with("early"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["image"]);
    }
}

#[test]
fn a_full_disk_leaves_nothing_and_is_told() {
    // A file system of 2 MiB; the image needs a bit more.
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    testkit::oracle::run("mount", "mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", at]);
    let result = write_image(&image(), &folder.path().join("image"), Readers::Owner);
    let left = names(folder.path());
    testkit::oracle::run("mount", "umount", [at]);
    let error = format!("{:#}", result.unwrap_err());
    assert!(
        error.contains("needs 2500021 bytes (2.4 MiB) of disk space"),
        "{error}"
    );
    assert!(error.contains("No space left on device"), "{error}");
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn pieces_out_of_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut overlapping = image();
    overlapping.put((20 << 20) - 1, b"x".to_vec());
    let error = format!(
        "{:#}",
        write_image(&overlapping, &path, Readers::Owner).unwrap_err()
    );
    assert!(
        error.ends_with("bytes 20971519..20971520 of the image: the piece before it ends at 20971520"),
        "{error}"
    );
    let mut beyond = image();
    beyond.put(20 << 20, b"x".to_vec());
    let error = format!("{:#}", write_image(&beyond, &path, Readers::Owner).unwrap_err());
    assert!(
        error.ends_with("it lies behind the end of the image of 20971520 bytes"),
        "{error}"
    );
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn places_where_no_file_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let image = image();
    let error = |path: &Path| format!("{:#}", write_image(&image, path, Readers::Owner).unwrap_err());
    assert!(error(folder.path()).ends_with("there is a folder of this name"));
    assert!(error(Path::new("/")).ends_with("the path names no file"));
    let missing = folder.path().join("missing/image");
    assert!(
        error(&missing).contains("cannot make a file in its folder: No such file"),
        "{}",
        error(&missing)
    );
}

#[test]
fn what_is_no_regular_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    oracle::run("coreutils", "mkfifo", [at("pipe")]);
    let node = |name: &str, number: [&str; 3]| {
        let path = at(name);
        let arguments = [path.to_str().unwrap()].into_iter().chain(number);
        oracle::run("coreutils", "mknod", arguments);
    };
    node("device", ["c", "1", "3"]);
    // A major number for local use: there is no such disk.
    node("disk", ["b", "240", "7"]);
    let listener = UnixListener::bind(at("socket")).unwrap();
    symlink("device", at("link")).unwrap();
    let image = image();
    for (name, said) in [
        ("pipe", "it is a pipe, which is not replaced: name a file"),
        (
            "device",
            "it is a character device, which is not replaced: name a file",
        ),
        (
            "disk",
            "it is a disk: write to a file, and bring that to the disk with `dd`, or the image of a node with `portadc flash`",
        ),
        ("socket", "it is a socket, which is not replaced: name a file"),
        (
            "link",
            "it is a character device, which is not replaced: name a file",
        ),
    ] {
        let kind = fs::symlink_metadata(at(name)).unwrap().file_type();
        for result in [
            write_image(&image, &at(name), Readers::Owner).map(drop),
            write_file(&at(name), b"bytes", Readers::Anybody),
            check_output(&at(name), &[]),
        ] {
            let error = format!("{:#}", result.unwrap_err());
            assert!(
                error.starts_with("cannot write ") && error.ends_with(said),
                "{error}"
            );
        }
        assert_eq!(
            fs::symlink_metadata(at(name)).unwrap().file_type(),
            kind,
            "{name}"
        );
    }
    assert!(fs::metadata(at("disk")).unwrap().file_type().is_block_device());
    assert_eq!(names(folder.path()).len(), 5);
    drop(listener);
}

#[test]
fn a_link_becomes_the_file_and_what_it_led_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("old"), "old").unwrap();
    for (link, target) in [("link", "old"), ("dangling", "none")] {
        symlink(target, at(link)).unwrap();
        write_file(&at(link), b"new", Readers::Anybody).unwrap();
        assert!(fs::symlink_metadata(at(link)).unwrap().is_file());
        assert_eq!(fs::read(at(link)).unwrap(), b"new");
    }
    assert_eq!(fs::read(at("old")).unwrap(), b"old");
    assert!(!at("none").exists());
}

#[test]
fn an_input_is_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("input"), "input").unwrap();
    fs::write(at("other"), "other").unwrap();
    fs::hard_link(at("input"), at("second name")).unwrap();
    symlink("input", at("link")).unwrap();
    let inputs = [at("missing"), at("input")];
    let inputs: Vec<_> = inputs.iter().map(|path| path.as_path()).collect();
    for name in ["input", "second name", "link"] {
        let error = format!("{:#}", check_output(&at(name), &inputs).unwrap_err());
        assert!(error.contains("/input; name another file"), "{error}");
    }
    check_output(&at("other"), &inputs).unwrap();
    check_output(&at("new"), &inputs).unwrap();
}
