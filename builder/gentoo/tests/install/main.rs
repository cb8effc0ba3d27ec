//! Packages merged over a small system: the rules, and what is refused. `ci/check-install` holds the same rules against
//! portage.

#![allow(clippy::unwrap_used)]

mod hostile;
mod rules;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use formats::layer::{Compression, Devices, Inline, Layer, Limits, Packing, TarOptions, from_tar};
use formats::tree::{Inode, InodeKind, Share, Tree};
use formats::units::Time;
use gentoo::install::{InstallError, Installer, Options, PackageInput, Report};
use testkit::error::chain;
use testkit::tars::RawTar;

const PACKING: Packing = Packing {
    compression: Compression::None,
    inline: Inline::Smallest,
    jobs: NonZeroUsize::MIN,
};

const TIME: Time = Time::from_seconds(1_700_000_000);

/// A package by its image and what else of it matters.
#[derive(Clone)]
struct Package {
    cpv: &'static str,
    image: Vec<u8>,
    metadata: BTreeMap<String, Vec<u8>>,
}

impl Package {
    fn new(cpv: &'static str, image: RawTar) -> Self {
        let metadata = BTreeMap::from([("SLOT".to_owned(), b"0\n".to_vec())]);
        Self {
            cpv,
            image: image.end(),
            metadata,
        }
    }

    fn with(mut self, file: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.metadata.insert(file.to_owned(), bytes.as_ref().to_vec());
        self
    }
}

/// A system after packages were installed.
struct System {
    tree: Tree,
    removed: Vec<String>,
    report: Report,
    index: Vec<u8>,
}

impl System {
    fn inode(&self, path: &str) -> Option<&Inode> {
        let id = self.tree.lookup(path.as_bytes())?;
        Some(&self.tree.inodes[id.0])
    }

    fn text(&self, path: &str) -> Option<String> {
        match &self.inode(path)?.kind {
            InodeKind::File(content, blob) => {
                Some(String::from_utf8(content.read(blob, 1 << 20).unwrap()).unwrap())
            }
            _ => None,
        }
    }
}

/// A system with merged `/usr`, accounts and two installed packages.
fn system() -> RawTar {
    let old = "dir /usr\ndir /usr/share\ndir /usr/share/old\n\
               obj /usr/share/old/file 68b329da9893e34099c7d8ad5cb9c940 1\n\
               obj /etc/old.conf 68b329da9893e34099c7d8ad5cb9c940 1\n\
               obj /etc/old.changed 00000000000000000000000000000000 1\n\
               sym /usr/share/old/link -> file 1\n";
    RawTar::default()
        .directory("./")
        .directory("./etc/")
        .directory("./usr/")
        .directory("./usr/bin/")
        .symlink("./bin", "usr/bin")
        .symlink("./nowhere", "usr/missing")
        .symlink("./outside", "../../../usr")
        .file(
            "./etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nsvc:x:42:43::/:/bin/false\n",
        )
        .file("./etc/group", "root:x:0:\nsvc:x:43:\n")
        .file("./etc/shadow", "root:*:19000::::::\n")
        .file("./etc/gshadow", "root:*::\n")
        .file("./etc/old.conf", "\n")
        .file("./etc/old.changed", "the user's")
        .file("./usr/bin/other", "other")
        .file("./usr/file", "not a directory")
        .directory("./usr/share/")
        .directory("./usr/share/old/")
        .file("./usr/share/old/file", "\n")
        .symlink("./usr/share/old/link", "file")
        .directory("./var/")
        .directory("./var/db/pkg/app/old-1/")
        .file("./var/db/pkg/app/old-1/SLOT", "0/1\n")
        .file("./var/db/pkg/app/old-1/COUNTER", "7")
        .file("./var/db/pkg/app/old-1/metadata", "a cache")
        .file("./var/db/pkg/app/old-1/CONTENTS", old)
        .directory("./var/db/pkg/app/other-2/")
        .file("./var/db/pkg/app/other-2/SLOT", "0\n")
        .file(
            "./var/db/pkg/app/other-2/CONTENTS",
            "obj /bin/other 795f3202b17cb6bc3d4b771d8c6c9eaf 1\n",
        )
        .file("./var/cache/edb/counter", "40")
        .file("./var/lib/portage/world", "app/other\n")
}

fn layer(system: RawTar) -> Layer {
    let options = TarOptions {
        packing: PACKING,
        devices: Devices::Allowed,
        limits: Limits::default(),
    };
    let mut blob = Vec::new();
    let index = from_tar(&system.end()[..], &mut blob, &options).unwrap();
    index.with_blob(blob.into()).unwrap()
}

fn options() -> Options {
    Options::new(PACKING, TIME)
}

/// Installs packages, the last one as what the user asked for.
fn install(system: RawTar, packages: &[Package], options: Options) -> Result<System, InstallError> {
    let base = layer(system);
    let mut installer = Installer::new(&base, Vec::new(), options)?;
    for (number, package) in packages.iter().enumerate() {
        installer.add(PackageInput {
            cpv: &package.cpv.parse().unwrap(),
            metadata: &package.metadata,
            image: &mut &package.image[..],
            prefix: "image/",
            bin_md5: [0xab; 16],
            requested: number + 1 == packages.len(),
        })?;
    }
    let installed = installer.finish()?;
    let index = installed.index.to_bytes();
    // A layer of the installer is as sound as any other.
    let index_again = formats::layer::Index::from_bytes(&index).unwrap();
    let over = index_again.with_blob(installed.blob.into()).unwrap();
    let removed = installed.removed;
    let base = base.without(&removed);
    let tree = Tree::stack(&[(&base, Share::Role), (&over, Share::Role)], TIME).unwrap();
    Ok(System {
        tree,
        removed: removed
            .into_iter()
            .map(|path| String::from_utf8(path).unwrap())
            .collect(),
        report: installed.report,
        index,
    })
}
