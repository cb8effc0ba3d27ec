//! Packages that portage made, read as portage reads them.

mod package_common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use formats::layer::archive::Kind;
use formats::units::Bytes;
use gentoo::Package;
use gentoo::binary::{BinaryPackage, Expected, Limits, Signatures};
use gentoo::index::Packages;
use package_common::{Anybody, Signer, entries};
use testkit::error::chain;
use testkit::packages::made_by_portage;

/// What the indexes of portage say of each package.
fn packages(folder: &Path) -> BTreeMap<PathBuf, Expected> {
    let index = fs::read(folder.join("Packages")).expect("portage wrote an index");
    let index = Packages::parse(&index).expect("portage wrote it");
    let package = |package: &Package| {
        let expected = Expected::from(package);
        let Expected { size, md5, sha1, .. } = expected;
        assert!(size.is_some() && md5.is_some() && sha1.is_some());
        (folder.join(package.path.as_ref().expect("a path")), expected)
    };
    index.packages.iter().map(package).collect()
}

fn open(path: &Path, expected: &Expected, signatures: &dyn Signatures) -> Result<BinaryPackage, String> {
    let file = File::open(path).expect("a package");
    BinaryPackage::open(file, expected, signatures).map_err(|error| chain(&error))
}

/// Compares a package with what portage unpacked from it. Returns how many entries its image has.
fn compare(path: &Path, package: &BinaryPackage) -> usize {
    let beside = |part: &str| PathBuf::from(format!("{}.{part}", path.display()));
    let listed = fs::read_dir(beside("metadata")).expect("what portage read");
    let theirs: BTreeMap<String, Vec<u8>> = listed
        .map(|entry| entry.expect("a file").path())
        .map(|path| {
            let name = path
                .file_name()
                .expect("a name")
                .to_str()
                .expect("a plain name")
                .to_owned();
            (name, fs::read(path).expect("a file"))
        })
        .collect();
    assert_eq!(*package.metadata(), theirs, "{}", path.display());

    let root = beside("image");
    let mut left = paths(&root);
    let mut stream = package.image().expect("it was opened").entries();
    let mut count = 0;
    while let Some(entry) = stream.next_entry().expect("portage makes sound images") {
        count += 1;
        if entry.name.is_empty() {
            // Portage does not set what the image's own folder is like.
            continue;
        }
        let theirs = root.join(std::ffi::OsStr::from_bytes(&entry.name));
        let metadata = fs::symlink_metadata(&theirs).expect("portage unpacked it, too");
        assert!(left.remove(&theirs));
        assert_eq!((metadata.uid(), metadata.gid()), (entry.uid, entry.gid));
        if entry.kind != Kind::Symlink {
            assert_eq!(metadata.mode() & 0o7777, entry.mode, "{}", theirs.display());
        }
        match entry.kind {
            Kind::Directory => assert!(metadata.is_dir()),
            Kind::Symlink => {
                let target = fs::read_link(&theirs).expect("a link");
                assert_eq!(target.as_os_str().as_bytes(), entry.target);
            }
            Kind::Hardlink => {
                let other = root.join(std::ffi::OsStr::from_bytes(&entry.target));
                assert_eq!(fs::metadata(other).expect("its other name").ino(), metadata.ino());
            }
            Kind::File => {
                assert_eq!(metadata.mtime(), entry.mtime.seconds);
                let mut content = vec![0; entry.size as usize];
                stream.read_data(&mut content).expect("the file's data");
                assert!(
                    content == fs::read(&theirs).expect("a file"),
                    "{}",
                    theirs.display()
                );
            }
            kind => panic!("{} is {}", theirs.display(), kind.what()),
        }
    }
    assert_eq!(left, BTreeSet::new(), "of {}", path.display());
    count
}

/// All that lies below a folder.
fn paths(folder: &Path) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            paths.extend(self::paths(&entry.path()));
        }
        paths.insert(entry.path());
    }
    paths
}

#[test]
fn every_format_and_compression_is_read_as_portage_reads_it() {
    let fixtures = made_by_portage();
    let mut read = 0;
    for (folder, suffix) in [
        ("gpkg-zstd", ".zst"),
        ("gpkg-xz", ".xz"),
        ("gpkg-gzip", ".gz"),
        ("gpkg-bzip2", ".bz2"),
        ("gpkg-none", ""),
    ] {
        for path in packages(&fixtures.join(folder)).keys() {
            let members = testkit::tars::filter("tar", &["-t"], &fs::read(path).expect("a package"));
            let members = String::from_utf8(members).expect("plain names");
            let image = format!("/image.tar{suffix}\n");
            assert!(members.contains(&image), "{folder}: {members}");
        }
    }
    for folder in [
        "gpkg-zstd",
        "gpkg-xz",
        "gpkg-gzip",
        "gpkg-bzip2",
        "gpkg-none",
        "xpak-zstd",
        "xpak-xz",
        "xpak-gzip",
        "xpak-bzip2",
    ] {
        for (path, expected) in packages(&fixtures.join(folder)) {
            let package = open(&path, &expected, &Anybody)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(Some(package.md5()), expected.md5);
            // foo has files with names too long for a header.
            let entries = compare(&path, &package);
            assert!(
                entries >= 20 || !path.ends_with("foo-1.2.3-1.gpkg.tar"),
                "{entries} entries"
            );
            read += 1;
        }
    }
    assert_eq!(read, 13);
}

#[test]
fn images_can_be_read_twice_and_as_plain_tars() {
    let fixtures = made_by_portage();
    for (folder, prefix) in [("gpkg-xz", "image/"), ("xpak-xz", "")] {
        let (path, expected) = packages(&fixtures.join(folder)).pop_first().expect("a package");
        let package = open(&path, &expected, &Anybody).expect("a sound package");
        let mut tars = [Vec::new(), Vec::new()];
        for tar in &mut tars {
            let mut stream = package.image().expect("a stream");
            assert_eq!(stream.prefix(), prefix);
            stream.read_to_end(tar).expect("a sound image");
        }
        assert!(tars[0] == tars[1]);
        let listed = String::from_utf8(testkit::tars::filter("tar", &["-t"], &tars[0])).expect("plain names");
        assert_eq!(listed.lines().count(), entries(&package).expect("a sound image"));
    }
}

#[test]
fn a_signature_counts_if_its_key_does() {
    let fixtures = made_by_portage();
    let (path, expected) = packages(&fixtures.join("gpkg-signed"))
        .pop_first()
        .expect("a package");
    let signer = Signer::new(Some(&fixtures.join("key.asc")));
    let package = open(&path, &expected, &signer).expect("signed by the one who counts");
    compare(&path, &package);

    let stranger = open(&path, &expected, &Signer::new(None)).expect_err("nobody knows the signer");
    assert_eq!(
        stranger,
        "the signature of the Manifest is refused: gpg: Can't check signature: No public key"
    );
    // Where nobody asks for a signature, one that is there counts all the same.
    let said = open(&path, &expected, &Anybody).expect_err("the source is said not to sign");
    assert_eq!(
        said,
        "the signature of the Manifest is refused: this source is said to sign nothing"
    );

    let unsigned = packages(&fixtures.join("gpkg-zstd"))
        .pop_first()
        .expect("a package");
    assert_eq!(
        open(&unsigned.0, &unsigned.1, &signer).expect_err("it is not signed"),
        "the package is not signed, and its source requires a signature"
    );
    let old = packages(&fixtures.join("xpak-zstd"))
        .pop_first()
        .expect("a package");
    assert_eq!(
        open(&old.0, &old.1, &signer).expect_err("it cannot be signed"),
        "the package is in the old format xpak, which has no signatures, and its source requires one"
    );
}

#[test]
fn a_signed_manifest_that_was_changed_is_refused() {
    let fixtures = made_by_portage();
    let (path, _) = packages(&fixtures.join("gpkg-signed"))
        .pop_first()
        .expect("a package");
    let signer = Signer::new(Some(&fixtures.join("key.asc")));
    let mut bytes = fs::read(path).expect("a package");
    let line = bytes
        .windows(12)
        .rposition(|window| window == b"DATA gpkg-1 ")
        .expect("a Manifest");
    bytes[line + 12] = b'1';
    let error = package_common::read_signed(&bytes, &Expected::default(), Limits::default(), &signer)
        .expect_err("the signature is not that of this text");
    let error = chain(&*error);
    assert!(
        error.starts_with("the signature of the Manifest is refused: gpg: BAD signature"),
        "{error}"
    );
}

#[test]
fn what_the_index_says_has_to_be_true() {
    let fixtures = made_by_portage();
    let packages = packages(&fixtures.join("gpkg-zstd"));
    let (path, truth) = packages
        .iter()
        .find(|(path, _)| path.ends_with("bar-2-r1-1.gpkg.tar"))
        .expect("portage made it");
    let contradicted = |change: &dyn Fn(&mut Expected)| {
        let mut expected = truth.clone();
        change(&mut expected);
        open(path, &expected, &Anybody).expect_err("the package is another")
    };
    let words = |text: &str| Some(text.to_owned());
    let messages = [
        contradicted(&|expected| expected.cpv = words("app/bar-2")),
        contradicted(&|expected| expected.build_id = Some(2)),
        contradicted(&|expected| expected.slot = words("0/1")),
        contradicted(&|expected| expected.use_flags = words("arm64 elibc_glibc gui kernel_linux")),
        contradicted(&|expected| expected.rdepend = words("virtual/foo")),
    ];
    insta::assert_snapshot!(messages.join("\n"));
    let digests = [
        contradicted(&|expected| expected.size = Some(Bytes(1))),
        contradicted(&|expected| expected.md5 = Some([0; 16])),
        contradicted(&|expected| expected.sha1 = Some([0; 20])),
        contradicted(&|expected| expected.sha256 = Some([0; 32])),
    ];
    for (message, expected) in digests
        .iter()
        .zip(["bytes and should have 1:", "MD5", "SHA-1", "SHA-256"])
    {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_compression_that_is_not_read_is_named() {
    let fixtures = made_by_portage();
    let (path, expected) = packages(&fixtures.join("gpkg-lz4"))
        .pop_first()
        .expect("a package");
    insta::assert_snapshot!(
        open(&path, &expected, &Anybody).expect_err("lz4 is not read"),
        @r#"member `metadata.tar.lz4` is compressed with lz4, which is not supported: use a package that was built with BINPKG_COMPRESS="zstd", or bzip2, gzip, xz or none"#
    );
}
