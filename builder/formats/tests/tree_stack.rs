//! Layers over each other.

mod layer_common;

use formats::layer::*;
use formats::tree::{InodeKind, Share, Tree};
use formats::units::{Bytes, Time};
use layer_common::packing;

/// One entry of a layer to be built.
enum Is<'a> {
    Directory(u32),
    File(&'a str),
    Symlink(&'a str),
    Hardlink(&'a str),
    Fifo,
}
use Is::{Directory, Fifo, File, Hardlink, Symlink};

fn layer(entries: &[(&str, Is<'_>)]) -> Layer {
    let mut builder = LayerBuilder::in_memory(packing(1)).expect("threads can be started");
    for (path, is) in entries {
        let path = path.as_bytes();
        let attributes = Attributes {
            mode: 0o644,
            ..Attributes::default()
        };
        match is {
            Directory(mode) => builder.directory(
                path,
                Attributes {
                    mode: *mode,
                    ..attributes
                },
            ),
            File(data) => builder.file(path, attributes, data.as_bytes()),
            Symlink(target) => builder.symlink(path, attributes, target.as_bytes()),
            Hardlink(target) => builder.hardlink(path, target.as_bytes()),
            Fifo => builder.fifo(path, attributes),
        }
        .expect("a legal entry");
    }
    builder.finish_layer().expect("memory can be written")
}

fn stack(layers: &[Layer]) -> Result<Tree, String> {
    let layers: Vec<_> = layers.iter().map(|layer| (layer, Share::Role)).collect();
    Tree::stack(&layers, Time::from_seconds(7)).map_err(|error| error.to_string())
}

/// The tree, a line for each path.
fn dump(tree: &Tree) -> String {
    let mut lines = Vec::new();
    for (path, id) in tree.walk() {
        let inode = &tree.inodes[id.0];
        let what = match &inode.kind {
            InodeKind::Directory(_) => format!("{:o}", inode.attributes.mode),
            InodeKind::File(
                Content {
                    data: Data::Inline { stored, .. },
                    ..
                },
                _,
            ) => {
                format!("= {}", String::from_utf8_lossy(stored))
            }
            InodeKind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            kind => format!("{kind:?}"),
        };
        lines.push(format!("/{} {what}", String::from_utf8_lossy(&path)));
    }
    lines.join("\n")
}

#[test]
fn missing_directories_are_made() {
    let tree = stack(&[layer(&[("a/b/c", File("x"))])]).expect("no conflict");
    assert_eq!(dump(&tree), "/ 755\n/a 755\n/a/b 755\n/a/b/c = x");
    let made = &tree.inodes[tree.lookup(b"a/b").expect("it was made").0];
    let expected = Attributes {
        mode: 0o755,
        mtime: Time::from_seconds(7),
        ..Attributes::default()
    };
    assert_eq!((&made.attributes, made.share), (&expected, Share::Role));
}

#[test]
fn later_layers_win() {
    let tree = stack(&[
        layer(&[
            ("", Directory(0o700)),
            ("d", Directory(0o711)),
            ("d/a", File("1")),
            ("d/b", File("1")),
        ]),
        layer(&[("d", Directory(0o750)), ("d/b", File("2")), ("d/c", File("2"))]),
        layer(&[("d/a", Symlink("b")), ("d/c", Fifo)]),
    ])
    .expect("no conflict");
    assert_eq!(dump(&tree), "/ 700\n/d 750\n/d/a -> b\n/d/b = 2\n/d/c Fifo");
}

#[test]
fn hard_links_are_one_inode_and_others_keep_it() {
    let lower = layer(&[("z", File("old")), ("a", Hardlink("z")), ("m", Hardlink("a"))]);
    let tree = stack(std::slice::from_ref(&lower)).expect("no conflict");
    assert_eq!(tree.lookup(b"a"), tree.lookup(b"z"));
    assert_eq!(tree.lookup(b"m"), tree.lookup(b"z"));
    assert_eq!((tree.usage().inodes, tree.usage().names), (2, 3));
    let tree = stack(&[lower, layer(&[("z", File("new"))])]).expect("no conflict");
    assert_eq!(dump(&tree), "/ 755\n/a = old\n/m = old\n/z = new");
}

#[test]
fn whatever_is_no_directory_can_have_more_names() {
    let lower = layer(&[
        ("link", Symlink("nowhere")),
        ("a", Hardlink("link")),
        ("pipe", Fifo),
        ("b", Hardlink("pipe")),
    ]);
    let tree = stack(&[lower]).expect("no conflict");
    assert_eq!(
        dump(&tree),
        "/ 755\n/a -> nowhere\n/b Fifo\n/link -> nowhere\n/pipe Fifo"
    );
    assert_eq!(tree.lookup(b"a"), tree.lookup(b"link"));
    assert_eq!(tree.lookup(b"b"), tree.lookup(b"pipe"));
    assert_eq!((tree.usage().inodes, tree.usage().names), (3, 4));
}

#[test]
fn paths_through_links_stay_inside() {
    let merged_usr = || layer(&[("usr/lib", Directory(0o755)), ("lib", Symlink("usr/lib"))]);
    let tree = stack(&[merged_usr(), layer(&[("lib/modules/6.12/x.ko", File("x"))])]).expect("no conflict");
    assert_eq!(
        dump(&tree),
        "/ 755\n/lib -> usr/lib\n/usr 755\n/usr/lib 755\n/usr/lib/modules 755\n/usr/lib/modules/6.12 755\n\
         /usr/lib/modules/6.12/x.ko = x"
    );
    assert_eq!(
        tree.lookup(b"lib/modules/6.12/x.ko"),
        tree.lookup(b"/usr/lib/modules/6.12/x.ko")
    );
    // The directory itself may be given too: it is the one that the link leads to.
    let tree = stack(&[
        merged_usr(),
        layer(&[("lib", Directory(0o750)), ("lib/x", File("x"))]),
    ])
    .expect("no conflict");
    assert_eq!(
        dump(&tree),
        "/ 755\n/lib -> usr/lib\n/usr 755\n/usr/lib 750\n/usr/lib/x = x"
    );
    // Absolute targets and `..` mean the tree's root, and never what is above.
    let links = layer(&[
        ("a/b/up", Symlink("../../../../../run")),
        ("var", Symlink("/a")),
        ("run", Directory(0o755)),
    ]);
    let tree = stack(&[links, layer(&[("var/b/up/x", File("x"))])]).expect("no conflict");
    assert!(tree.lookup(b"run/x").is_some());
}

#[test]
fn conflicts_name_both_sides() {
    let file = || layer(&[("a", File("x"))]);
    let full = || layer(&[("a/b", File("x"))]);
    let empty = || layer(&[("a", Directory(0o755))]);
    for (layers, message) in [
        (
            vec![file(), empty()],
            "directory `a` of layer 1 would replace file `a` of layer 0",
        ),
        (
            vec![file(), full()],
            "`a/b` of layer 1 passes through file `a` of layer 0",
        ),
        (
            vec![full(), file()],
            "`a` of layer 1 would replace directory `a`, which is not empty",
        ),
        (
            vec![
                layer(&[("a", Directory(0o755)), ("a/b", File("x"))]),
                layer(&[("a", Symlink("c"))]),
            ],
            "`a` of layer 1 would replace directory `a` of layer 0, which is not empty",
        ),
        (
            vec![layer(&[("a", Symlink("nowhere"))]), full()],
            "`a/b` of layer 1 passes through symbolic link `a` of layer 0, which leads to nothing",
        ),
        (
            vec![layer(&[("a", Symlink("c")), ("c", Symlink("a"))]), full()],
            "`a/b` of layer 1 passes through a loop of symbolic links at symbolic link `a` of layer 0",
        ),
        (
            vec![
                layer(&[("a", Symlink("c")), ("c", Directory(0o755))]),
                layer(&[("a/x", File("1")), ("c/x", File("2"))]),
            ],
            "`c/x` of layer 1 leads to the same place as file `a/x` of layer 1",
        ),
    ] {
        assert_eq!(stack(&layers).expect_err("a conflict"), message);
    }
    assert_eq!(
        dump(&stack(&[empty(), file()]).expect("an empty directory may go")),
        "/ 755\n/a = x"
    );
}

#[test]
fn shares_follow_what_changed() {
    let role = layer(&[
        ("etc", Directory(0o755)),
        ("etc/a", File("1")),
        ("etc/b", File("1")),
        ("srv", Directory(0o755)),
    ]);
    let node = layer(&[
        ("etc", Directory(0o755)),
        ("etc/a", File("2")),
        ("srv", Directory(0o700)),
        ("new/x", File("2")),
    ]);
    let tree =
        Tree::stack(&[(&role, Share::Role), (&node, Share::Node)], Time::default()).expect("no conflict");
    let share = |path: &str| tree.inodes[tree.lookup(path.as_bytes()).expect("it is there").0].share;
    let shares = ["", "etc", "etc/a", "etc/b", "srv", "new", "new/x"].map(share);
    use Share::{Node, Role};
    assert_eq!(shares, [Role, Role, Node, Role, Node, Role, Node]);
}

#[test]
fn names_can_be_removed() {
    let mut tree = stack(&[layer(&[
        ("usr/lib/a", File("1")),
        ("usr/lib/b", File("1")),
        ("lib", Symlink("usr/lib")),
        ("d/e/f", File("1")),
    ])])
    .expect("no conflict");
    assert!(tree.remove(b"lib/a").is_some());
    assert!(tree.remove(b"/d").is_some());
    assert!(
        tree.remove(b"lib").is_some(),
        "the link itself goes, not what it leads to"
    );
    for absent in [&b"lib"[..], b"d/e", b"usr/lib/a/x", b"", b"/"] {
        assert_eq!(tree.remove(absent), None, "{}", shown(absent));
    }
    assert_eq!(dump(&tree), "/ 755\n/usr 755\n/usr/lib 755\n/usr/lib/b = 1");
}

#[test]
fn usage_counts_what_is_reached() {
    let noise = testkit::tars::noise(10_000, 1);
    let mut builder = LayerBuilder::in_memory(packing(1)).expect("threads can be started");
    for path in [&b"a"[..], b"b"] {
        builder
            .file(path, Attributes::default(), &noise)
            .expect("a legal entry");
    }
    builder
        .file(b"c", Attributes::default(), b"inline")
        .expect("a legal entry");
    let layer = builder.finish_layer().expect("memory can be written");
    let mut tree = stack(&[layer]).expect("no conflict");
    let usage = tree.usage();
    assert_eq!((usage.inodes, usage.names), (4, 3));
    assert_eq!(usage.file_bytes, Bytes(20_006));
    assert_eq!(
        (usage.stored_bytes, usage.inline_bytes),
        (Bytes(12_288), Bytes(6))
    );
    tree.remove(b"a");
    tree.remove(b"b");
    assert_eq!(tree.usage().stored_bytes, Bytes(0));
}
