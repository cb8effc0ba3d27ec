//! What can be read and what cannot: at once, whatever it is.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, reason = "only its image and its loop device are needed")]
mod bench;

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use bench::{Bench, Loop};
use formats::source::{ReadAt as _, WholeBlob};
use testkit::oracle;

#[test]
fn a_disk_is_read_as_the_image_on_it() {
    let bench = Bench::new();
    let device = Loop::new(&bench.image, &["--read-only"]);
    for path in [&bench.image, device.path()] {
        let source = WholeBlob::new(files::open(path).unwrap().into()).unwrap();
        assert_eq!(source.size(), bench.bytes.len() as u64);
        let mut bytes = vec![0; bench.bytes.len()];
        source.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == bench.bytes);
    }
    assert!(files::read(device.path()).unwrap() == bench.bytes);
}

#[test]
fn what_would_wait_or_never_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let kind = |path: &Path| files::open(path).unwrap_err().kind();
    // Nobody writes to it: opening it as a file would wait for ever.
    oracle::run("coreutils", "mkfifo", [at("pipe")]);
    symlink("pipe", at("link")).unwrap();
    let listener = UnixListener::bind(at("socket")).unwrap();
    for name in ["pipe", "link", "socket"] {
        assert_eq!(kind(&at(name)), ErrorKind::InvalidInput, "{name}");
    }
    assert_eq!(kind(Path::new("/dev/zero")), ErrorKind::InvalidInput);
    assert_eq!(kind(folder.path()), ErrorKind::IsADirectory);
    assert_eq!(kind(&at("none")), ErrorKind::NotFound);
    drop(listener);

    // A pipe that has a writer has no size, and could be read once only.
    let (reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    assert_eq!(kind(path.as_ref()), ErrorKind::InvalidInput);
    drop(writer);

    fs::write(at("file"), "bytes").unwrap();
    symlink("file", at("link to a file")).unwrap();
    let mut text = String::new();
    let mut file = files::open(&at("link to a file")).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "bytes");
}
