//! Paths through symbolic links. A link is followed as if the tree were the root of the system: a target that starts
//! with `/` starts at the root, and `..` at the root stays there, so no path leaves the tree.

use super::{InodeId, InodeKind, Tree};

/// Most symbolic links in one path (Linux: `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Where a path to a directory leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// To this directory.
    Directory(InodeId),
    /// To a component of the path itself that `parent` has not: the first of `missing`; the others come below it.
    Missing { parent: InodeId, missing: Vec<Vec<u8>> },
    /// To a component of this symbolic link's target that is not there.
    Dangling(InodeId),
    /// To this inode, which is not a directory.
    NotDirectory(InodeId),
    /// Through more than [`MAX_LINKS`] symbolic links.
    Loop(InodeId),
}

impl Tree {
    /// Follows all components of `path`, the last one too.
    pub(super) fn resolve(&self, path: &[u8]) -> Resolved {
        // Components still to follow, the next one last.
        let mut todo: Vec<Vec<u8>> = Vec::new();
        push_components(&mut todo, path);
        // How many of them are the path's own; those of links lie above.
        let mut own = todo.len();
        // The directories that `..` goes back to.
        let mut above = vec![Self::ROOT];
        let mut links = 0;
        let mut last_link = Self::ROOT;
        while let Some(name) = todo.pop() {
            let of_link = todo.len() >= own;
            own = own.min(todo.len());
            if name == b".." {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let parent = above.last().copied().unwrap_or(Self::ROOT);
            let Some(id) = self.names(parent).and_then(|names| names.get(&name)).copied() else {
                if of_link {
                    return Resolved::Dangling(last_link);
                }
                todo.push(name);
                todo.reverse();
                return Resolved::Missing {
                    parent,
                    missing: todo,
                };
            };
            match &self.inodes[id.0].kind {
                InodeKind::Directory(_) => above.push(id),
                InodeKind::Symlink(target) => {
                    links += 1;
                    last_link = id;
                    if links > MAX_LINKS {
                        return Resolved::Loop(id);
                    }
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    push_components(&mut todo, target);
                }
                _ => return Resolved::NotDirectory(id),
            }
        }
        Resolved::Directory(above.last().copied().unwrap_or(Self::ROOT))
    }
}

fn push_components(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let components = path.split(|byte| *byte == b'/').rev();
    todo.extend(
        components
            .filter(|name| !name.is_empty() && *name != b".")
            .map(<[u8]>::to_vec),
    );
}
