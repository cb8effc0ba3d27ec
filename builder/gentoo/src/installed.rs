//! The packages that a root file system has: `/var/db/pkg/CATEGORY/PACKAGE-VERSION/`, a folder each, in which a file
//! holds the value of the key that is its name.

use std::collections::BTreeMap;
use std::io;

use formats::blob::Blob;
use formats::layer::{Body, Content, Layer, shown};
use formats::tree::{InodeKind, Tree};
use thiserror::Error;

use crate::package::{Package, PackageError};

/// Where the database is.
pub const DATABASE: &str = "var/db/pkg";

/// Most bytes of a value.
const MAX_VALUE: u64 = 1 << 20;

/// The files that [`Package`] is made of.
const KEYS: [&str; 16] = [
    "BUILD_ID",
    "BUILD_TIME",
    "CHOST",
    "DEFINED_PHASES",
    "EAPI",
    "IDEPEND",
    "IUSE",
    "KEYWORDS",
    "LICENSE",
    "PDEPEND",
    "PROVIDES",
    "RDEPEND",
    "REQUIRES",
    "SLOT",
    "USE",
    "repository",
];

/// Why the database cannot be read.
#[derive(Debug, Error)]
pub enum InstalledError {
    /// A file of it cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file.
        path: Vec<u8>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of it is not text.
    #[error("{} is not UTF-8", shown(path))]
    Encoding {
        /// The file.
        path: Vec<u8>,
    },
    /// A folder of it describes no package.
    #[error("{} describes no installed package", shown(path))]
    Package {
        /// The folder.
        path: Vec<u8>,
        /// Why not.
        #[source]
        source: PackageError,
    },
}

/// Values by key, of each folder by its path below [`DATABASE`].
type Folders = BTreeMap<Vec<u8>, BTreeMap<&'static str, String>>;

/// The packages installed in a tree, by name and version. None where there is no database.
pub fn in_tree(tree: &Tree) -> Result<Vec<Package>, InstalledError> {
    let mut folders = Folders::new();
    let names = |path: &[u8]| tree.directory(path).and_then(|id| tree.names(id));
    for category in names(DATABASE.as_bytes())
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        let category_path = [DATABASE.as_bytes(), category].join(&b'/');
        for package in names(&category_path).into_iter().flatten().map(|(name, _)| name) {
            let path = [&category_path[..], package].join(&b'/');
            let Some(files) = names(&path) else { continue };
            let mut values = BTreeMap::new();
            for key in KEYS {
                let file = files.get(key.as_bytes()).map(|id| &tree.inodes[id.0].kind);
                if let Some(InodeKind::File(content, blob)) = file {
                    values.insert(
                        key,
                        value(&[&path[..], key.as_bytes()].join(&b'/'), content, blob)?,
                    );
                }
            }
            folders.insert([&category[..], package].join(&b'/'), values);
        }
    }
    packages(folders)
}

/// The packages installed in a layer alone, by name and version. Its database must not lie behind symbolic links.
pub fn in_layer(layer: &Layer) -> Result<Vec<Package>, InstalledError> {
    let mut folders = Folders::new();
    let prefix = [DATABASE.as_bytes(), b"/"].concat();
    let first = layer.entries.partition_point(|entry| entry.path < prefix);
    for entry in &layer.entries[first..] {
        let Some(below) = entry.path.strip_prefix(&prefix[..]) else {
            break;
        };
        let parts: Vec<&[u8]> = below.split(|byte| *byte == b'/').collect();
        let (folder, name) = match (&parts[..], &entry.body) {
            ([category, package], Body::Directory) => {
                folders.entry([*category, *package].join(&b'/')).or_default();
                continue;
            }
            ([category, package, name], _) => ([*category, *package].join(&b'/'), *name),
            _ => continue,
        };
        let Some(key) = KEYS.into_iter().find(|key| key.as_bytes() == name) else {
            continue;
        };
        // The first name of a file is not a hard link itself.
        let body = match &entry.body {
            Body::Hardlink(target) => layer
                .entries
                .binary_search_by(|other| other.path.cmp(target))
                .map_or(&entry.body, |at| &layer.entries[at].body),
            body => body,
        };
        if let Body::File(content) = body {
            let value = value(&entry.path, content, &layer.blob)?;
            folders.entry(folder).or_default().insert(key, value);
        }
    }
    packages(folders)
}

fn value(path: &[u8], content: &Content, blob: &Blob) -> Result<String, InstalledError> {
    let bytes = content
        .read(blob, MAX_VALUE)
        .map_err(|source| InstalledError::Read {
            path: path.to_vec(),
            source,
        })?;
    String::from_utf8(bytes).map_err(|_| InstalledError::Encoding { path: path.to_vec() })
}

fn packages(folders: Folders) -> Result<Vec<Package>, InstalledError> {
    let mut packages = Vec::with_capacity(folders.len());
    for (folder, values) in folders {
        // emerge names a package so while it is being merged, and ignores it then; hidden folders likewise.
        let unfinished = folder
            .split(|byte| *byte == b'/')
            .any(|part| part.starts_with(b"-MERGING-") || part.starts_with(b"."));
        if unfinished {
            continue;
        }
        let path = || [DATABASE.as_bytes(), &folder].join(&b'/');
        let cpv = std::str::from_utf8(&folder).map_err(|_| InstalledError::Encoding { path: path() })?;
        let package = Package::from_values(cpv, |key| values.get(key).map(String::as_str));
        packages.push(package.map_err(|source| InstalledError::Package { path: path(), source })?);
    }
    packages.sort_by(|a, b| (&a.cpv, &a.slot).cmp(&(&b.cpv, &b.slot)));
    Ok(packages)
}
