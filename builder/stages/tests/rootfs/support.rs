//! What these tests share.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use engine::{Cache, Engine, Progress, Verbosity};
use formats::layer::{Attributes, Body, Compression, Inline, Layer, LayerBuilder, Packing};
use formats::tree::{InodeKind, Share, Tree};
use formats::units::Time;
use model::project::Project;

/// The time that everything made in these tests gets.
pub const TIME: Time = Time::from_seconds(1_700_000_000);

/// The repository's root.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = manifest
        .ancestors()
        .find(|folder| folder.join("overlays/common").is_dir());
    found.expect("the repository is above the crate").to_owned()
}

/// The cluster of the tests.
pub fn project() -> Project {
    Project::load(Path::new(testkit::fleet::PROJECT)).unwrap_or_else(|findings| panic!("{findings}"))
}

/// An engine whose cache and logs are in `folder`.
pub fn engine(folder: &Path) -> Engine {
    Engine {
        cache: Cache::open(&folder.join("cache")).unwrap(),
        logs: folder.join("logs"),
        progress: Progress::new(Verbosity::Quiet),
        jobs: 2,
    }
}

/// A layer in memory of files and links.
pub fn layer(files: &[(&str, &str)], links: &[(&str, &str)]) -> Layer {
    let packing = Packing {
        compression: Compression::None,
        inline: Inline::Raw,
        jobs: NonZeroUsize::MIN,
    };
    let mut layer = LayerBuilder::in_memory(packing).unwrap();
    for (path, text) in files {
        layer
            .file(path.as_bytes(), Attributes::default(), text.as_bytes())
            .unwrap();
    }
    for (path, target) in links {
        layer
            .symlink(path.as_bytes(), Attributes::default(), target.as_bytes())
            .unwrap();
    }
    layer.finish_layer().unwrap()
}

/// A tree of files and links.
pub fn tree(files: &[(&str, &str)], links: &[(&str, &str)]) -> Tree {
    Tree::stack(&[(&layer(files, links), Share::Role)], TIME).unwrap()
}

/// The bytes of a file of `tree`.
pub fn read(tree: &Tree, path: &str) -> String {
    let id = tree
        .lookup(path.as_bytes())
        .unwrap_or_else(|| panic!("{path} is missing"));
    match &tree.inodes[id.0].kind {
        InodeKind::File(content, blob) => String::from_utf8(content.read(blob, 1 << 20).unwrap()).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

/// The target of a symbolic link of `tree`; `None` where there is nothing.
pub fn link(tree: &Tree, path: &str) -> Option<String> {
    let id = tree.lookup(path.as_bytes())?;
    match &tree.inodes[id.0].kind {
        InodeKind::Symlink(target) => Some(String::from_utf8(target.clone()).unwrap()),
        other => panic!("{path} is {other:?}"),
    }
}

/// The paths of a layer that are no directories.
pub fn paths(layer: &Layer) -> Vec<String> {
    let leaves = layer.entries.iter().filter(|entry| entry.body != Body::Directory);
    leaves
        .map(|entry| String::from_utf8(entry.path.clone()).unwrap())
        .collect()
}
