//! A layer kept as two files, and what is noticed when they are not what they were.

mod layer_common;

use formats::layer::*;
use layer_common::packing;

fn finished() -> (Index, Vec<u8>) {
    let mut builder = LayerBuilder::new(packing(2), Vec::new()).expect("threads can be started");
    let attributes = Attributes {
        mode: 0o644,
        ..Attributes::default()
    };
    builder
        .file(b"a", attributes.clone(), &testkit::tars::text(300_000))
        .expect("a legal entry");
    builder
        .file(b"b/c", attributes.clone(), b"inline")
        .expect("a legal entry");
    builder.hardlink(b"d", b"a").expect("a legal entry");
    builder.symlink(b"e", attributes, b"a").expect("a legal entry");
    builder.finish().expect("memory can be written")
}

/// The message that an index with a changed entry is refused with.
fn refused(path: &[u8], change: impl Fn(&mut Entry)) -> String {
    let (mut index, _) = finished();
    change(
        index
            .entries
            .iter_mut()
            .find(|entry| entry.path == path)
            .expect("it has this entry"),
    );
    Index::from_bytes(&index.to_bytes())
        .expect_err("the change has to be noticed")
        .to_string()
}

/// The first extent of an entry.
fn extent(entry: &mut Entry) -> &mut Extent {
    match &mut entry.body {
        Body::File(Content {
            data: Data::Extents(extents),
            ..
        }) => &mut extents[0],
        _ => panic!("it is a large file"),
    }
}

#[test]
fn two_files_make_a_layer() {
    let (index, blob) = finished();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("blob");
    std::fs::write(&path, &blob).expect("a file");
    let open = || std::fs::File::open(&path).expect("a file");
    let read = Index::from_bytes(&index.to_bytes()).expect("it was just written");
    let layer = read.with_blob(open().into()).expect("it is this index's blob");
    layer.verify().expect("it is intact");
    assert_eq!(layer.entries, index.entries);

    let mut damaged = blob.clone();
    damaged[5000] ^= 1;
    std::fs::write(&path, &damaged).expect("a file");
    let layer = index
        .clone()
        .with_blob(open().into())
        .expect("the length is right");
    assert_eq!(
        layer.verify().expect_err("a byte differs").to_string(),
        "the blob is damaged at byte 4096, in `a`"
    );

    std::fs::write(&path, &blob[4096..]).expect("a file");
    let error = index.with_blob(open().into()).expect_err("it is too short");
    assert_eq!(
        error.to_string(),
        format!(
            "the blob has {} bytes, its index says {}",
            blob.len() - 4096,
            blob.len()
        )
    );
}

#[test]
fn other_bytes_are_told_apart() {
    let bytes = finished().0.to_bytes();
    let message = |bytes: &[u8]| {
        Index::from_bytes(bytes)
            .expect_err("this is no index")
            .to_string()
    };
    assert_eq!(message(b""), "this is not the index of a layer");
    assert_eq!(message(&[b'x'; 100]), "this is not the index of a layer");
    let damaged = "the index is damaged or cut short: its SHA-256 does not match";
    assert_eq!(message(&bytes[..20]), damaged);
    assert_eq!(message(&bytes[..bytes.len() - 1]), damaged);
    assert_eq!(message(&[&bytes[..], b"x"].concat()), damaged);
    let mut newer = bytes;
    newer[8] = 9;
    assert_eq!(
        message(&newer),
        "the index has version 9; this program reads version 1"
    );
}

#[test]
fn entries_that_break_a_rule_are_refused() {
    let of = |path: &str, fault: &str| format!("entry `{path}` of the index is not valid: {fault}");
    assert_eq!(
        refused(b"a", |entry| entry.path = b"../a".to_vec()),
        of("../a", "the path contains `..`")
    );
    assert_eq!(
        refused(b"a", |entry| entry.path = b"z".to_vec()),
        of("b/c", "it is out of order")
    );
    assert_eq!(
        refused(b"b/c", |entry| entry.path = b"a".to_vec()),
        of("a", "it is out of order")
    );
    assert_eq!(
        refused(b"b/c", |entry| entry.path = b"a/c".to_vec()),
        of("a/c", "a directory above it is something else")
    );
    assert_eq!(
        refused(b"a", |entry| entry.attributes.mode = 0o10000),
        of("a", "mode 10000 has bits beyond 7777")
    );
    assert_eq!(
        refused(b"d", |entry| entry.body = Body::Hardlink(b"missing".to_vec())),
        of("d", "it links to nothing, a directory or another hard link")
    );
    assert_eq!(
        refused(b"d", |entry| entry.body = Body::Hardlink(b"d".to_vec())),
        of("d", "it links to nothing, a directory or another hard link")
    );
    assert_eq!(
        refused(b"e", |entry| entry.body = Body::Symlink(Vec::new())),
        of("e", "it links to no path")
    );
    assert_eq!(
        refused(b"a", |entry| extent(entry).blob_offset = 1),
        of("a", "an extent does not lie on sectors")
    );
    assert_eq!(
        refused(b"a", |entry| extent(entry).blob_offset = 1 << 40),
        of("a", "an extent lies behind the end of the blob")
    );
    assert_eq!(
        refused(b"a", |entry| extent(entry).blob_offset = u64::MAX - 4095),
        of("a", "an extent lies behind the end of the blob")
    );
    assert_eq!(
        refused(b"a", |entry| extent(entry).length = 1 << 20),
        of("a", "an extent has the wrong length")
    );
    assert_eq!(
        refused(b"a", |entry| extent(entry).file_offset = 4096),
        of("a", "its extents overlap or lie behind its end")
    );
    assert_eq!(
        refused(b"a", |entry| extent(entry).checksums.clear()),
        of("a", "an extent has the wrong number of checksums")
    );
    let inline = Data::Inline {
        encoding: Encoding::Raw,
        stored: b"inline".to_vec(),
    };
    let content = Content {
        size: 7,
        data: inline,
    };
    assert_eq!(
        refused(b"b/c", |entry| entry.body = Body::File(content.clone())),
        of("b/c", "its inline data has the wrong length")
    );
}

/// Changes only with the format of the index (then its version goes up too) or with the zstd that is built in.
#[test]
fn bytes_stay_the_same() {
    use sha2::{Digest, Sha256};
    let (index, blob) = finished();
    let digest = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    assert_eq!(
        [digest(&index.to_bytes()), digest(&blob)],
        [
            "5ea7e9a7955aeccf826e3c49be626bb580892159c21387dbb35f62b23d279d63",
            "57bde5cdddb6fa4513643ae9b85d44dbd714cf26d28b7c40569f804b4a55dc3b"
        ]
    );
}
