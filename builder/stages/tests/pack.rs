//! Packs: what is exported is what a build writes, byte for byte; what is damaged is named and not exported; what is
//! not finished is not there.

#![allow(missing_docs, clippy::unwrap_used)]

mod cards;
mod packs;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cards::card;
use formats::blob::Blob;
use formats::bmap::BlockMap;
use formats::delta::Delta;
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use packs::{Bench, NODES, names};
use stages::delta_base::{DeltaBase, ImageFormat};
use stages::pack::{Pack, PackFolder, PackWriter, Recipients, card_of_delta};

#[test]
fn what_is_exported_is_what_a_build_writes() {
    let bench = Bench::new();
    for format in ImageFormat::ALL {
        bench.export(format).unwrap();
        let direct = DeltaBase::new(format, &bench.base, &bench.segments, bench.folder.path(), 2).unwrap();
        for (name, (delta, segments, manifest)) in NODES.iter().zip(&bench.nodes) {
            let written = bench.path("direct");
            direct.write(delta, segments, &written).unwrap();
            let exported = |end: &str| fs::read(bench.path("exported").join(format!("{name}{end}"))).unwrap();
            assert!(exported(format.suffix()) == fs::read(&written).unwrap());
            assert_eq!(
                exported(".img.bmap"),
                BlockMap::of(segments).to_xml().into_bytes()
            );
            assert_eq!(exported(".manifest.json"), manifest.as_bytes());
            let plain = fs::read(card("of the role", name).path).unwrap();
            match format {
                ImageFormat::Plain => assert!(exported(".img") == plain),
                ImageFormat::Compressed => assert!(zstd_decoded(&exported(".img.zst")) == plain),
            }
        }
    }
}

fn zstd_decoded(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [stored, plain] = ["stored", "plain"].map(|name| folder.path().join(name));
    fs::write(&stored, bytes).unwrap();
    let arguments = [
        "-qd".as_ref(),
        stored.as_os_str(),
        "-o".as_ref(),
        plain.as_os_str(),
    ];
    testkit::oracle::run("zstd", "zstd", arguments);
    fs::read(plain).unwrap()
}

#[test]
fn a_card_is_read_where_it_is() {
    let bench = Bench::new();
    let read = card_of_delta(&bench.path("pack").join("red-01.delta"), None).unwrap();
    let expected = fs::read(card("of the role", "red-01").path).unwrap();
    let mut bytes = vec![0; expected.len()];
    read.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == expected);
    let error = |path: &Path| format!("{:#}", card_of_delta(path, None).unwrap_err());
    assert!(error(&bench.path("pack").join("red-01")).contains("expected NODE.delta or NODE.delta.age"));
    assert!(error(&bench.path("pack").join("red-09.delta")).contains("2 nodes from red-01 to blue-02"));
    assert!(error(&bench.path("red-01.delta")).contains("cannot read the pack's index"));
}

#[test]
fn whatever_is_damaged_is_named() {
    let bench = Bench::new();
    let flipped = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    };
    let cut = |bytes: &mut Vec<u8>| {
        bytes.pop();
    };
    let changes: [fn(&mut Vec<u8>); 2] = [flipped, cut];
    for change in changes {
        for name in [
            "role.board.card.img.zst",
            "role.board.card.img.bmap",
            "blue-02.manifest.json",
        ] {
            let message = bench.refusal(name, change);
            assert!(
                message.contains(&format!("{name} has SHA-256 ")) && message.ends_with("build it again"),
                "{message}"
            );
        }
        let message = bench.refusal("red-01.delta", change);
        assert!(message.contains("red-01.delta: "), "{message}");
    }
    let message = bench.refusal("index.json", |bytes| bytes.clear());
    assert!(
        message.contains("index.json: it is no index of a pack"),
        "{message}"
    );
}

#[test]
fn the_delta_of_another_node_is_found_out() {
    let bench = Bench::new();
    let other = fs::read(bench.path("pack").join("blue-02.delta")).unwrap();
    let message = bench.refusal("red-01.delta", |bytes| bytes.clone_from(&other));
    assert!(
        message
            .starts_with("cannot export red-01: base and delta make an image whose block map has SHA-256 "),
        "{message}"
    );
    let mut beyond = Delta::default();
    beyond.append(bench.base.size.0.next_multiple_of(4096), &[1; 4096]);
    let message = bench.refusal("red-01.delta", |bytes| *bytes = beyond.to_bytes());
    assert!(
        message.ends_with("goes on behind the end of its base"),
        "{message}"
    );
}

#[test]
fn a_pack_is_whole_or_not_there() {
    let bench = Bench::new();
    let before = names(&bench.path("pack"));
    let folder = PackFolder::open(&bench.path("pack")).unwrap();
    let second = PackFolder::open(&bench.path("pack")).unwrap_err();
    assert!(format!("{second:#}").contains("another build is writing a pack"));
    let recipients = Recipients::default();
    let writer = PackWriter::create(&folder, &recipients).unwrap();
    writer.node("red-01", &Delta::default(), "{}", None).unwrap();
    assert_eq!(names(bench.folder.path()), [".portadc-pack", "pack"]);
    drop(writer);
    assert_eq!(names(bench.folder.path()), ["pack"]);
    drop(folder);
    // What a killed build has left.
    fs::create_dir(bench.path(".portadc-pack")).unwrap();
    fs::write(bench.path(".portadc-pack/red-01.delta"), "x").unwrap();
    bench.write();
    assert_eq!(names(bench.folder.path()), ["pack"]);
    assert_eq!(names(&bench.path("pack")), before);
    assert!(Pack::open(&bench.path("pack")).unwrap().is_untouched());
    let delta = bench.path("pack/red-01.delta");
    let bytes = fs::read(&delta).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&delta, bytes).unwrap();
    assert!(!Pack::open(&bench.path("pack")).unwrap().is_untouched());
}

#[test]
fn other_people_s_folders_stay() {
    let bench = Bench::new();
    fs::create_dir(bench.path("photos")).unwrap();
    fs::write(bench.path("photos/1.jpg"), "x").unwrap();
    let error = format!("{:#}", PackFolder::open(&bench.path("photos")).unwrap_err());
    assert!(
        error.ends_with("holds something else than a pack, which would be lost: choose another folder"),
        "{error}"
    );
    fs::create_dir(bench.path("empty")).unwrap();
    PackFolder::open(&bench.path("empty")).unwrap();
}

#[test]
fn a_base_in_a_file_gives_the_same_images() {
    let bench = Bench::new();
    let file = tempfile::tempfile().unwrap();
    file.set_len(bench.base.size.0).unwrap();
    for piece in &bench.base.pieces {
        let mut bytes = vec![0; piece.length as usize];
        piece.blob.read_exact_at(&mut bytes, piece.blob_offset).unwrap();
        file.write_all_at(&bytes, piece.offset).unwrap();
    }
    let blob = Blob::from(file);
    let mut base = SparseImage::empty(bench.base.size);
    for piece in &bench.base.pieces {
        base.put_blob(piece.offset, piece.length, blob.clone(), piece.offset);
    }
    let (delta, segments, _) = &bench.nodes[0];
    let images = [&bench.base, &base].map(|base| {
        let path = bench.path("image");
        let delta_base =
            DeltaBase::new(ImageFormat::Plain, base, &bench.segments, bench.folder.path(), 2).unwrap();
        delta_base.write(delta, segments, &path).unwrap();
        fs::read(&path).unwrap()
    });
    assert!(images[0] == images[1]);
}
