//! What holds for any input: no reader panics, data comes back, threads and stacking order change nothing they should not.

mod layer_common;

use formats::layer::*;
use formats::tree::{Share, Tree};
use formats::units::Time;
use layer_common::{bytes, content_bytes, options, packing, read};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use testkit::tars::{self, RawMember, RawTar};

/// Contents with the turns that matter: text, noise and zeros, one after another, of lengths around the limits.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![0_usize..5000, 130_000_usize..132_000, 0_usize..400_000];
    let part = (0..3, length, any::<u64>()).prop_map(|(kind, length, seed)| match kind {
        0 => tars::text(length),
        1 => tars::noise(length, seed),
        _ => vec![0; length],
    });
    vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn layer(files: &[Vec<u8>], packing: Packing) -> Layer {
    let mut builder = LayerBuilder::in_memory(packing).expect("threads can be started");
    for (number, file) in files.iter().enumerate() {
        builder
            .file(format!("file-{number}").as_bytes(), Attributes::default(), file)
            .expect("a legal entry");
    }
    builder.finish_layer().expect("memory can be written")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contents_come_back(files in vec(content(), 1..6)) {
        let settings = [
            packing(2),
            Packing { compression: Compression::None, ..packing(2) },
            Packing { inline: Inline::Raw, ..packing(1) },
        ];
        for packing in settings {
            let layer = layer(&files, packing);
            for (number, file) in files.iter().enumerate() {
                let path = format!("file-{number}");
                prop_assert!(&bytes(&layer, path.as_bytes()) == file, "file {} has other bytes", number);
            }
            layer.verify().expect("it was just written");
        }
    }

    #[test]
    fn threads_change_nothing(files in vec(content(), 1..6)) {
        let results = [1, 2, 4].map(|jobs| {
            let mut builder = LayerBuilder::new(packing(jobs), Vec::new()).expect("threads can be started");
            for (number, file) in files.iter().enumerate() {
                let path = format!("file-{number}");
                builder.file(path.as_bytes(), Attributes::default(), file).expect("a legal entry");
            }
            builder.finish().expect("memory can be written")
        });
        prop_assert!(results[0] == results[1] && results[1] == results[2]);
    }

    #[test]
    fn an_index_comes_back(files in vec(content(), 0..4), flip in any::<prop::sample::Index>(), bit in 0..8) {
        let layer = layer(&files, packing(2));
        let blob_length = layer.blob.length().expect("in memory");
        let index = Index { entries: layer.entries, blob_length };
        let written = index.to_bytes();
        prop_assert_eq!(&Index::from_bytes(&written).expect("it was just written"), &index);
        let mut damaged = written.clone();
        damaged[flip.index(written.len())] ^= 1_u8 << bit;
        prop_assert!(Index::from_bytes(&damaged).is_err(), "one flipped bit has to be noticed");
        prop_assert!(Index::from_bytes(&written[..flip.index(written.len())]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(noise in vec(any::<u8>(), 0..4000)) {
        prop_assert!(read(&noise, &options()).is_err());
        prop_assert!(Index::from_bytes(&noise).is_err());
    }

    #[test]
    fn any_index_body_is_read_without_panic(body in vec(any::<u8>(), 0..400)) {
        use sha2::{Digest, Sha256};
        // Behind a right header and before a right digest, so that the decoder and the rules see it.
        let mut bytes = b"pdclayer\x01\0\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(&body);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        if let Ok(index) = Index::from_bytes(&bytes) {
            prop_assert_eq!(index.to_bytes(), bytes);
        }
    }

    #[test]
    fn damaged_tars_are_read_without_panic(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        mend in any::<bool>(),
    ) {
        let mut tar = damaged_example();
        for (position, value) in flips {
            let position = position.index(tar.len());
            tar[position] = value;
            if mend {
                mend_checksum(&mut tar, position);
            }
        }
        // A result is fine where only data or an unimportant field was hit.
        let limits = Limits { total: formats::units::Bytes::mib(64), ..Limits::default() };
        for part in [&tar[..], &tar[..cut.index(tar.len())]] {
            if let Ok(layer) = read(part, &TarOptions { limits, ..options() }) {
                layer.verify().expect("what was read has right checksums");
            }
        }
    }
}

/// A tar with every extension in it.
fn damaged_example() -> Vec<u8> {
    let records: &[(&str, &[u8])] = &[
        ("path", b"pax"),
        ("mtime", b"-1.5"),
        ("SCHILY.xattr.user.a", b"value"),
    ];
    let sparse: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", b"100000"),
    ];
    let mut map = b"2\n4096\n5000\n90000\n10\n".to_vec();
    map.resize(512, 0);
    map.extend(tars::text(5010));
    let long = RawMember {
        data: [b"l".repeat(120), vec![0]].concat(),
        ..RawMember::new(b'L', "././@LongLink")
    };
    let tar = RawTar::default()
        .pax(b'g', &[("comment", b"any")])
        .directory("./")
        .pax(b'x', records)
        .file("a", tars::text(3000))
        .hardlink("b", "pax")
        .member(&long)
        .symlink("c", "target")
        .pax(b'x', sparse)
        .file("d", map)
        .end();
    assert!(read(&tar, &options()).is_ok(), "undamaged it is a sound tar");
    tar
}

/// Gives the block at a position the checksum of a header, so that the damage gets past it.
fn mend_checksum(tar: &mut [u8], position: usize) {
    let start = position / 512 * 512;
    if let Some(block) = tar
        .get(start..start + 512)
        .and_then(|block| block.first_chunk::<512>())
        && block[257..262] == *b"ustar"
    {
        let mended = tars::with_checksum(*block);
        tar[start..start + 512].copy_from_slice(&mended);
    }
}

/// A set of paths with contents: the names are few, so that layers meet.
fn small_tree() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let path = vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..4)
        .prop_map(|names| names.join("/").into_bytes());
    btree_map(path, vec(any::<u8>(), 0..8), 0..8).prop_map(|files| files.into_iter().collect())
}

/// The layer of those of the paths that can stand together.
fn small_layer(files: &[(Vec<u8>, Vec<u8>)]) -> Layer {
    let mut builder = LayerBuilder::in_memory(packing(1)).expect("threads can be started");
    for (path, data) in files {
        // A path below an earlier file is refused, which is what the builder is for.
        match builder.file(
            path,
            Attributes {
                mode: 0o644,
                ..Attributes::default()
            },
            data,
        ) {
            Ok(()) | Err(BuildError::Refused { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    builder.finish_layer().expect("memory can be written")
}

/// All files of a tree with their bytes.
fn flat(tree: &Tree, layers: &[&Layer]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    tree.walk()
        .map(|(path, id)| match &tree.inodes[id.0].kind {
            formats::tree::InodeKind::File(content, _) => (path, Some(content_bytes(layers[0], content))),
            _ => (path, None),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stacking_keeps_its_laws(first in small_tree(), second in small_tree()) {
        let (first, second) = (small_layer(&first), small_layer(&second));
        let stack = |layers: &[&Layer]| {
            let layers: Vec<_> = layers.iter().map(|layer| (*layer, Share::Role)).collect();
            Tree::stack(&layers, Time::from_seconds(1))
        };
        let empty = small_layer(&[]);
        let alone = stack(&[&first]).expect("one layer is sound");
        // An empty layer changes nothing, and neither does the same layer again.
        for same in [&[&empty, &first][..], &[&first, &empty], &[&first, &first]] {
            prop_assert_eq!(flat(&stack(same).expect("no conflict"), same), flat(&alone, same));
        }
        // Everything of the upper layer is there; of the lower, what the upper has not.
        if let Ok(both) = stack(&[&first, &second]) {
            let upper = stack(&[&second]).expect("one layer is sound");
            for (path, data) in flat(&upper, &[&second]) {
                let id = both.lookup(&path).expect("the upper layer's path is there");
                let found = flat(&both, &[&first]).into_iter().find(|(other, _)| *other == path);
                prop_assert_eq!(found, Some((path.clone(), data)));
                prop_assert_eq!(both.walk().find(|(_, other)| *other == id), Some((path, id)));
            }
            for (path, data) in flat(&alone, &[&first]) {
                if upper.lookup(&path).is_none() {
                    let found = flat(&both, &[&first]).into_iter().find(|(other, _)| *other == path);
                    let replaced = path.split(|byte| *byte == b'/').count() > 1 && found.is_none();
                    prop_assert!(replaced || found == Some((path, data)));
                }
            }
        } else {
            // A conflict is one of a file with a directory, and is one whichever layer is below.
            prop_assert!(stack(&[&second, &first]).is_err());
        }
    }
}
