//! What goes from the system: an older version, what filters leave out, the package manager.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use formats::tree::{InodeId, InodeKind, Tree};

use super::database::{Database, PackageId};
use super::error::Fault;
use super::protect::Protection;
use super::report::Size;
use super::root::{Place, Root};
use crate::contents::Kind;
use crate::filters::Filters;

/// The package manager's records.
const RECORDS: [&str; 3] = ["var/cache/edb", "var/db/pkg", "var/lib/portage"];

/// What goes with the package manager, beside its own files and records.
const OF_PACKAGE_MANAGER: [&str; 2] = ["etc/portage", "var/db/repos"];

/// Takes away what a package of the base has and no other one, and then its records. As portage does it
/// (`dblink._unmerge_pkgfiles`): protected files that were changed stay, and so do directories that are not empty.
pub(super) fn remove_package<W: Write>(
    root: &mut Root<W>,
    database: &mut Database,
    protection: &mut Protection,
    package: PackageId,
    items: &BTreeMap<Vec<u8>, Kind>,
) -> Result<(), Fault> {
    // From the last to the first: what is in a directory before itself.
    for (path, kind) in items.iter().rev() {
        let Some(place) = root.place(path) else { continue };
        if database.owners(&place).any(|owner| owner != package) {
            continue;
        }
        protection.forget(path);
        let Some(id) = root.at(&place) else { continue };
        let goes = match (kind, &root.inode(id).kind) {
            (Kind::Directory, InodeKind::Directory(names)) => names.is_empty(),
            (Kind::Directory, _) | (_, InodeKind::Directory(_)) => false,
            // Portage leaves them where they are.
            (Kind::Fifo | Kind::Device, _) => false,
            // What lies behind a link to a directory may be other packages'.
            (_, InodeKind::Symlink(_)) if leads_to_something(root, &place) => false,
            _ => !protection.covers(path) || is_unchanged(root, protection, &place, kind)?,
        };
        if goes {
            root.remove(&place);
        }
    }
    database.forget(root, package);
    Ok(())
}

/// Whether a symbolic link leads to a directory that is not empty.
fn leads_to_something<W: Write>(root: &Root<W>, place: &Place) -> bool {
    let directory = root.tree.directory(&root.path_of(place));
    directory
        .and_then(|id| root.tree.names(id))
        .is_some_and(|names| !names.is_empty())
}

/// Whether a file or link is as its package brought it.
fn is_unchanged<W: Write>(
    root: &Root<W>,
    protection: &Protection,
    place: &Place,
    kind: &Kind,
) -> Result<bool, Fault> {
    let Some(inode) = root.at(place).map(|id| root.inode(id)) else {
        return Ok(false);
    };
    let seconds = u64::try_from(inode.attributes.mtime.seconds).ok();
    Ok(match (kind, &inode.kind) {
        (Kind::File { md5, mtime }, InodeKind::File(..)) => {
            seconds == Some(*mtime) && protection.sum(root, place)? == Some(*md5)
        }
        (Kind::Symlink { mtime, .. }, InodeKind::Symlink(_)) => seconds == Some(*mtime),
        _ => false,
    })
}

/// Takes away what filters leave out, and out of the records of the packages that have it.
pub(super) fn apply_filters<W: Write>(
    root: &mut Root<W>,
    database: &Database,
    filters: &Filters,
) -> Result<Size, Fault> {
    let mut size = Size::default();
    if filters.is_empty() {
        return Ok(size);
    }
    for records in RECORDS {
        if filters.leaves_out(records.as_bytes()) {
            return Err(Fault::FilteredRecords { path: records.into() });
        }
    }
    let mut found = Found::default();
    found.directory(&root.tree, filters, Tree::ROOT, &mut Vec::new());
    database.filter(root, filters, &found.directories)?;
    for place in &found.places {
        size = size.plus(size_of(root, place));
        root.remove(place);
    }
    Ok(size)
}

/// What filters leave out of a tree.
#[derive(Default)]
struct Found {
    /// What goes, with all below it.
    places: Vec<Place>,
    /// All directories that go.
    directories: HashSet<InodeId>,
}

impl Found {
    /// Looks through a directory; whether nothing in it stays.
    fn directory(&mut self, tree: &Tree, filters: &Filters, id: InodeId, path: &mut Vec<u8>) -> bool {
        let mut is_empty = true;
        for (name, child) in tree.names(id).into_iter().flatten() {
            let (length, before) = (path.len(), self.places.len());
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let goes = match tree.names(*child) {
                None => filters.leaves_out(path),
                Some(_) => self.directory(tree, filters, *child, path) && filters.leaves_out(path),
            };
            path.truncate(length);
            if goes {
                // With the directory goes what is in it.
                self.places.truncate(before);
                self.places.push(Place {
                    directory: id,
                    name: name.clone(),
                });
                if tree.names(*child).is_some() {
                    self.directories.insert(*child);
                }
            }
            is_empty &= goes;
        }
        is_empty
    }
}

/// Takes the package manager away; how much that was.
pub(super) fn remove_package_manager<W: Write>(
    root: &mut Root<W>,
    database: &mut Database,
    protection: &mut Protection,
) -> Result<Size, Fault> {
    let before = Size::of(&root.tree);
    let portage = database.packages.iter().position(|package| {
        package.of_base && !package.gone && package.cpv.name.as_str() == "sys-apps/portage"
    });
    if let Some(id) = portage {
        let items = super::database::read_contents(root, &database.packages[id].cpv)?;
        let items = items.into_iter().map(|item| (item.path, item.kind)).collect();
        // Packages are fewer than inodes.
        remove_package(root, database, protection, id as PackageId, &items)?;
    }
    for path in OF_PACKAGE_MANAGER.iter().chain(&RECORDS) {
        if let Some(place) = root.place(path.as_bytes()) {
            root.remove(&place);
        }
    }
    let after = Size::of(&root.tree);
    Ok(Size {
        files: before.files - after.files,
        bytes: before.bytes - after.bytes,
    })
}

/// How much is at a place and below.
fn size_of<W: Write>(root: &Root<W>, place: &Place) -> Size {
    let mut size = Size::default();
    let mut open: Vec<InodeId> = root.at(place).into_iter().collect();
    while let Some(id) = open.pop() {
        match &root.inode(id).kind {
            InodeKind::Directory(names) => open.extend(names.values()),
            InodeKind::File(content, _) => size.add(content.size),
            _ => size.add(0),
        }
    }
    size
}
