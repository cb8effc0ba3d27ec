//! What installing packages came to, for the manifest and for who builds.

use std::collections::HashSet;

use formats::tree::{InodeKind, Tree};
use serde::{Deserialize, Serialize};

/// What was installed, and what of it a person should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The packages in the order in which they were installed.
    pub packages: Vec<PackageReport>,
    /// Protected files that packages brought anew; the old ones are still there.
    pub protected: Vec<ProtectedFile>,
    /// What the system would have with everything that filters leave out.
    pub before: Size,
    /// What it has.
    pub after: Size,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport {
    /// Category, name and version.
    pub package: String,
    /// The version of the base that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// Those of its phases `preinst` and `postinst` that would do what nothing here does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unhandled: Vec<String>,
}

/// A protected file that a package has other than the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedFile {
    /// The package.
    pub package: String,
    /// The file, from the root.
    pub path: String,
    /// The name of the package's file, beside it.
    pub beside: String,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Names that are no directories.
    pub files: u64,
    /// Bytes in files, each counted once.
    pub bytes: u64,
}

impl Size {
    /// One more file.
    pub(super) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What a tree has.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut size = Self::default();
        let mut seen = HashSet::new();
        for (_, id) in tree.walk() {
            match &tree.inodes[id.0].kind {
                InodeKind::Directory(_) => {}
                InodeKind::File(content, _) if seen.insert(id) => size.add(content.size),
                _ => size.add(0),
            }
        }
        size
    }
}
