//! CONFIG_PROTECT: a file that the user may have changed is not replaced; the package's comes beside it as
//! `._cfg0000_NAME`, where `etc-update` and `dispatch-conf` find it. As portage does it (`dblink._protect`).

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use formats::digest::hex;
use formats::tree::InodeKind;
use md5::{Digest as _, Md5};

use super::error::Fault;
use super::root::{Place, Root};
use crate::contents::Kind;

/// MD5 of each protected file as a package brought it, so that one that the user refused is not offered again.
pub(super) const MEMORY: &[u8] = b"var/lib/portage/config";

/// What a package wants to put in place.
pub(super) struct Offer<'a> {
    /// Its path in the package.
    pub path: &'a [u8],
    /// MD5 of a file's bytes, or of a symbolic link's target.
    pub md5: [u8; 16],
    /// The target of a symbolic link.
    pub link: Option<&'a [u8]>,
    /// What the version that is replaced had there.
    pub replaced: Option<&'a Kind>,
}

/// Where something that is protected goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To its place.
    InPlace,
    /// Beside it, under this name.
    Beside(Vec<u8>),
    /// Nowhere: it is there already, or was refused before.
    Nowhere,
}

#[derive(Debug, Default)]
pub(super) struct Protection {
    pub protected: Vec<Vec<u8>>,
    pub masked: Vec<Vec<u8>>,
    memory: BTreeMap<Vec<u8>, Vec<u8>>,
    remembered: bool,
    /// MD5 of what packages put at protected places.
    brought: HashMap<Place, [u8; 16]>,
}

impl Protection {
    /// What the system remembers.
    pub fn read<W: Write>(root: &Root<W>) -> Result<Self, Fault> {
        let mut protection = Self::default();
        for line in root
            .read(MEMORY)?
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
        {
            // Names may have spaces; the sum is behind the last.
            if let Some(space) = line.iter().rposition(|byte| *byte == b' ') {
                let (path, md5) = (line[..space].to_vec(), line[space + 1..].to_vec());
                protection.memory.insert(path, md5);
            }
        }
        Ok(protection)
    }

    /// Whether a path is protected: it lies deeper in a protected folder than in a masked one.
    pub fn covers(&self, path: &[u8]) -> bool {
        let depth = |folders: &[Vec<u8>]| {
            let around = folders.iter().filter(|folder| {
                path.strip_prefix(&folder[..])
                    .is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest[0] == b'/')
            });
            around.map(|folder| folder.len() + 1).max().unwrap_or(0)
        };
        depth(&self.protected) > depth(&self.masked)
    }

    /// Decides where an offer goes whose place is protected.
    pub fn decide<W: Write>(
        &mut self,
        root: &Root<W>,
        place: &Place,
        offer: &Offer<'_>,
    ) -> Result<Verdict, Fault> {
        let new = hex(&offer.md5).into_bytes();
        let key = [b"/", offer.path].concat();
        let there = root.at(place).map(|id| root.inode(id).kind.clone());
        let (old, old_link) = match &there {
            None => (None, None),
            Some(InodeKind::Symlink(target)) => (Some(Md5::digest(target).into()), Some(&target[..])),
            Some(_) => (self.sum(root, place)?, None),
        };
        let unchanged = match offer.replaced {
            Some(Kind::File { md5, .. }) => old == Some(*md5) && old_link.is_none(),
            Some(Kind::Symlink { target, .. }) => old_link == Some(&target[..]),
            _ => false,
        };
        let verdict = if there.is_none() {
            // Taken away by the user: the update is offered, not forced on him.
            if offer.replaced.is_some() {
                self.beside(root, place, offer)?
            } else {
                Verdict::InPlace
            }
        } else if unchanged || old == Some(offer.md5) {
            Verdict::InPlace
        } else if self.memory.get(&key) == Some(&new) {
            return Ok(Verdict::Nowhere);
        } else {
            self.beside(root, place, offer)?
        };
        // Only what the user has in another form is worth remembering.
        if there.is_some() && !unchanged && self.memory.insert(key, new.clone()).as_ref() != Some(&new) {
            self.remembered = true;
        }
        if let Verdict::InPlace = verdict {
            self.brought.insert(place.clone(), offer.md5);
        }
        Ok(verdict)
    }

    /// Forgets what was remembered of a file that is gone.
    pub fn forget(&mut self, path: &[u8]) {
        if self.memory.remove(&[b"/", path].concat()).is_some() {
            self.remembered = true;
        }
    }

    /// Writes what is remembered.
    pub fn finish<W: Write>(&self, root: &mut Root<W>) -> Result<(), Fault> {
        if !self.remembered {
            return Ok(());
        }
        let lines = self.memory.iter();
        let lines: Vec<Vec<u8>> = lines
            .map(|(path, md5)| [path, &b" "[..], md5, b"\n"].concat())
            .collect();
        root.write_text(MEMORY, 0o644, lines.concat())
    }

    /// MD5 of the file at a place.
    pub fn sum<W: Write>(&self, root: &Root<W>, place: &Place) -> Result<Option<[u8; 16]>, Fault> {
        let Some(id) = root.at(place) else { return Ok(None) };
        if let Some(md5) = self.brought.get(place).filter(|_| root.is_new(id)) {
            return Ok(Some(*md5));
        }
        let bytes = root.read_inode(id, &root.path_of(place))?;
        Ok(bytes.map(|bytes| Md5::digest(bytes).into()))
    }

    /// The name beside a protected place: one more than the highest that is there, unless that is the same.
    fn beside<W: Write>(
        &mut self,
        root: &Root<W>,
        place: &Place,
        offer: &Offer<'_>,
    ) -> Result<Verdict, Fault> {
        let number = |name: &Vec<u8>| -> Option<u32> {
            let rest = name.strip_prefix(b"._cfg")?;
            let (digits, rest) = rest.split_at_checked(4)?;
            let is_of_place = rest.strip_prefix(b"_") == Some(&place.name[..]);
            str::from_utf8(digits).ok()?.parse().ok().filter(|_| is_of_place)
        };
        let names = root.tree.names(place.directory).into_iter().flatten();
        let highest = names.filter_map(|(name, _)| number(name)).max();
        let name_of = |number: u32| [format!("._cfg{number:04}_").as_bytes(), &place.name].concat();
        if let Some(highest) = highest {
            let last = Place {
                name: name_of(highest),
                ..*place
            };
            if offer.link.is_none() && self.sum(root, &last)? == Some(offer.md5) {
                return Ok(Verdict::Nowhere);
            }
        }
        let next = highest.map_or(0, |highest| highest + 1);
        if next > 9999 {
            return Err(Fault::Line {
                path: root.path_of(place),
                line: 0,
                what: "it has 10000 updates beside it already: run `dispatch-conf`".to_owned(),
            });
        }
        let place = Place {
            name: name_of(next),
            ..*place
        };
        self.brought.insert(place.clone(), offer.md5);
        Ok(Verdict::Beside(place.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deeper_folder_decides() {
        let protection = Protection {
            protected: vec![
                b"etc".to_vec(),
                b"etc/env.d/own".to_vec(),
                b"usr/share/x".to_vec(),
            ],
            masked: vec![b"etc/env.d".to_vec()],
            ..Protection::default()
        };
        for (path, is_protected) in [
            ("etc/foo", true),
            ("etcetera", false),
            ("etc/env.d/50foo", false),
            ("etc/env.d/own/x", true),
            ("etc/env.data", true),
            ("usr/share/x", true),
            ("usr/share/xy", false),
        ] {
            assert_eq!(protection.covers(path.as_bytes()), is_protected, "{path}");
        }
    }
}
