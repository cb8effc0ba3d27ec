//! The packages of a root file system, from a layer and from a tree.

use std::num::NonZeroUsize;

use formats::layer::{Attributes, Compression, Inline, Layer, LayerBuilder, Packing, ZstdLevel};
use formats::tree::{Share, Tree};
use formats::units::Time;
use gentoo::Package;
use gentoo::installed::{in_layer, in_tree};

fn layer(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Layer {
    let packing = Packing {
        compression: Compression::Zstd(ZstdLevel::DEFAULT),
        inline: Inline::Smallest,
        jobs: NonZeroUsize::MIN,
    };
    let mut builder = LayerBuilder::in_memory(packing).expect("threads can be started");
    for (path, bytes) in files {
        let attributes = Attributes {
            mode: 0o644,
            ..Attributes::default()
        };
        if path.ends_with('/') {
            builder
                .directory(path.trim_end_matches('/').as_bytes(), attributes)
                .expect("a legal entry");
        } else {
            builder
                .file(path.as_bytes(), attributes, bytes)
                .expect("a legal entry");
        }
    }
    for (path, target) in links {
        builder
            .hardlink(path.as_bytes(), target.as_bytes())
            .expect("a legal entry");
    }
    builder.finish_layer().expect("memory can be written")
}

/// What both readers find, which has to be the same.
fn installed(layer: &Layer) -> Result<Vec<Package>, String> {
    let chain = |error: gentoo::installed::InstalledError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let of_layer = in_layer(layer).map_err(chain);
    let tree = Tree::stack(&[(layer, Share::Role)], Time::from_seconds(0)).expect("no conflict");
    let of_tree = in_tree(&tree).map_err(chain);
    assert_eq!(of_layer, of_tree);
    of_layer
}

#[test]
fn folders_are_packages_and_files_their_values() {
    let rdepend = format!("{}\n", ">=sys-libs/glibc-2.40:2.2=[-crypt(-)] ".repeat(200));
    let layer = layer(
        &[
            ("etc/passwd", b"root"),
            ("var/db/pkg/sys-libs/zlib-1.3.1-r1/SLOT", b"0/1\n"),
            ("var/db/pkg/sys-libs/zlib-1.3.1-r1/EAPI", b"8\n"),
            ("var/db/pkg/sys-libs/zlib-1.3.1-r1/RDEPEND", rdepend.as_bytes()),
            (
                "var/db/pkg/sys-libs/zlib-1.3.1-r1/PROVIDES",
                b"arm_64: libz.so.1\n",
            ),
            ("var/db/pkg/sys-libs/zlib-1.3.1-r1/CONTENTS", b"dir /usr\xff\n"),
            ("var/db/pkg/app/-MERGING-bar-1/SLOT", b"0\n"),
            ("var/db/pkg/app/.bar-2.portage_lockfile", b""),
            ("var/db/pkg/app/bar-2/", b""),
            ("var/db/pkg/.cache", b""),
            ("var/db/repos/x", b""),
        ],
        &[(
            "var/db/pkg/app/bar-2/EAPI",
            "var/db/pkg/sys-libs/zlib-1.3.1-r1/EAPI",
        )],
    );
    let packages = installed(&layer).unwrap();
    let names: Vec<String> = packages.iter().map(|package| package.cpv.to_string()).collect();
    assert_eq!(names, ["app/bar-2", "sys-libs/zlib-1.3.1-r1"]);
    let [bar, zlib] = &packages[..] else { panic!() };
    assert_eq!((&*bar.slot, &*bar.eapi), ("0", "8"));
    assert_eq!(
        (&*zlib.slot, &*zlib.subslot, &*zlib.provides),
        ("0", "1", "arm_64: libz.so.1")
    );
    assert_eq!(zlib.rdepend, rdepend.trim());
    assert_eq!(zlib.needs().unwrap().before.len(), 200);
    assert_eq!(zlib.path, None);
}

#[test]
fn a_tree_without_a_database_has_no_packages() {
    assert_eq!(installed(&layer(&[("etc/passwd", b"")], &[])).unwrap(), []);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (path, bytes, expected) in [
        (
            "var/db/pkg/app/bar/SLOT",
            &b"0"[..],
            "`var/db/pkg/app/bar` describes no installed package: `app/bar` is no package of a version: \
             it is written CATEGORY/PACKAGE-VERSION",
        ),
        (
            "var/db/pkg/app/bar-1/SLOT",
            b"a b",
            "`var/db/pkg/app/bar-1` describes no installed package: SLOT is `a b`, which is not SLOT or SLOT/SUBSLOT",
        ),
        (
            "var/db/pkg/app/bar-1/USE",
            b"\xff",
            "`var/db/pkg/app/bar-1/USE` is not UTF-8",
        ),
    ] {
        assert_eq!(installed(&layer(&[(path, bytes)], &[])).unwrap_err(), expected);
    }
    let large = vec![b'x'; (1 << 20) + 1];
    let error = installed(&layer(&[("var/db/pkg/app/bar-1/USE", &large)], &[])).unwrap_err();
    assert!(
        error.starts_with("cannot read `var/db/pkg/app/bar-1/USE`: the file has 1048577 bytes"),
        "{error}"
    );
}
