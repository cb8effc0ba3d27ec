//! One package's image into the system, entry by entry as it is read.
//!
//! | in the package | on the system | gives |
//! |---|---|---|
//! | directory | directory, or a link to one | what is there, with its attributes |
//! | directory | something of the version that is replaced | the directory |
//! | directory | anything else | an error |
//! | anything else | directory | an error (portage would merge it under another name) |
//! | anything else | a file of another package | an error that names both |
//! | file, link | a protected file that differs | the package's beside it |
//! | anything else | anything else | the package's |
//!
//! Links of the system are followed, never out of it; links of the package itself are not.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read, Write};

use formats::layer::archive::{Kind as MemberKind, Member};
use formats::layer::{Attributes, BuildError, Refusal};
use formats::tree::{InodeId, InodeKind};
use md5::{Digest as _, Md5};

use super::accounts::Accounts;
use super::capabilities::Capabilities;
use super::database::{Database, PackageId};
use super::environment;
use super::error::Fault;
use super::member::{Sum, check_path, check_text, is_text, kind_name, read, unrecordable};
use super::protect::{Offer, Protection, Verdict};
use super::report::Size;
use super::root::{Place, Root, split};
use crate::binary::{ImageEntries, Limits};
use crate::contents::Kind;
use crate::filters::Filters;

/// A package on its way into the system.
pub(super) struct Merge<'a, W> {
    pub root: &'a mut Root<W>,
    pub database: &'a mut Database,
    pub accounts: &'a Accounts,
    pub protection: &'a mut Protection,
    pub filters: &'a Filters,
    /// The package itself.
    pub package: PackageId,
    /// The version that it replaces, and what that has, by path.
    pub replaced: Option<(PackageId, &'a BTreeMap<Vec<u8>, Kind>)>,
    /// By path, without the system's links in it.
    pub capabilities: &'a BTreeMap<Vec<u8>, Capabilities>,
    /// Inodes from this one on are the package's.
    pub first: usize,
    pub merged: Merged,
}

/// What merging a package came to.
#[derive(Default)]
pub(super) struct Merged {
    /// What goes into CONTENTS.
    pub items: BTreeMap<Vec<u8>, Kind>,
    /// What filters left out.
    pub left_out: Size,
    /// Paths whose file went beside them, and under which name.
    pub beside: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether files of `/etc/env.d` changed.
    pub environment_changed: bool,
    /// Directories that packages have and filters leave out, unless something in them stays.
    pub deferred: HashMap<Vec<u8>, Attributes>,
    /// Where each directory of the package is.
    pub directories: HashMap<Vec<u8>, InodeId>,
    /// Where each entry went that is not a directory; `None` for what went nowhere.
    entries: HashMap<Vec<u8>, Option<Place>>,
}

impl<W: Write> Merge<'_, W> {
    /// Merges all entries of an image whose names start with `prefix`.
    pub fn image(&mut self, image: &mut dyn Read, prefix: &str) -> Result<(), Fault> {
        let image = BufReader::with_capacity(1 << 17, image);
        let mut entries = ImageEntries::new(image, prefix, Limits::default());
        while let Some(member) = entries.next_entry()? {
            if member.name.is_empty() {
                continue;
            }
            check_path(&member)?;
            let name = member.name.clone();
            self.member(&mut entries, member).map_err(|fault| match fault {
                Fault::Build(BuildError::Refused { reason, .. }) => Fault::Entry { name, reason },
                fault => fault,
            })?;
        }
        Ok(())
    }

    fn member(&mut self, entries: &mut ImageEntries<'_>, member: Member) -> Result<(), Fault> {
        let path = &member.name[..];
        let attributes = self.attributes(&member, path);
        if self.leaves_out(path) {
            if member.kind == MemberKind::Directory {
                self.merged.deferred.insert(path.to_vec(), attributes);
            } else {
                let bytes = if member.kind == MemberKind::File {
                    member.size
                } else {
                    0
                };
                self.merged.left_out.add(bytes);
                self.merged.entries.insert(path.to_vec(), None);
            }
            return Ok(());
        }
        if member.kind == MemberKind::Directory {
            return self.directory(path, attributes);
        }
        let (above, name) = split(path);
        let place = Place {
            directory: self.above(above)?,
            name: name.to_vec(),
        };
        let kind = self.kind(entries, &member, path, &place, attributes)?;
        self.database.own(place, self.package);
        self.merged.items.insert(path.to_vec(), kind);
        Ok(())
    }

    /// Merges what is not a directory; what CONTENTS says of it.
    fn kind(
        &mut self,
        entries: &mut ImageEntries<'_>,
        member: &Member,
        path: &[u8],
        place: &Place,
        attributes: Attributes,
    ) -> Result<Kind, Fault> {
        let is_protected = self.protection.covers(path);
        self.check(place, kind_name(member.kind), is_protected)?;
        let mtime = match u64::try_from(attributes.mtime.seconds) {
            Ok(mtime) => mtime,
            Err(_) => return Err(unrecordable(path, "a time before 1970")),
        };
        match member.kind {
            MemberKind::File => {
                let md5 = self.file(entries, member, path, place, attributes, is_protected)?;
                Ok(Kind::File { md5, mtime })
            }
            MemberKind::Symlink => {
                let target = &member.target;
                check_text(path, target, "a target")?;
                let md5 = Md5::digest(target).into();
                let to = self.destination(path, place, md5, Some(target), is_protected)?;
                if let Some(to) = &to {
                    self.root
                        .put_other(to, attributes, InodeKind::Symlink(target.clone()))?;
                }
                self.merged.entries.insert(path.to_vec(), to);
                let target = target.clone();
                Ok(Kind::Symlink { target, mtime })
            }
            MemberKind::Hardlink => self.hardlink(member, path, place, is_protected),
            MemberKind::Fifo => {
                self.root.put_other(place, attributes, InodeKind::Fifo)?;
                self.merged.entries.insert(path.to_vec(), Some(place.clone()));
                Ok(Kind::Fifo)
            }
            MemberKind::CharacterDevice | MemberKind::BlockDevice | MemberKind::Directory => {
                Err(Fault::Entry {
                    name: member.name.clone(),
                    reason: Refusal::Device,
                })
            }
        }
    }

    /// Merges a file; the MD5 of its bytes.
    fn file(
        &mut self,
        entries: &mut ImageEntries<'_>,
        member: &Member,
        path: &[u8],
        place: &Place,
        attributes: Attributes,
        is_protected: bool,
    ) -> Result<[u8; 16], Fault> {
        let real = self.root.path_of(place);
        self.merged.environment_changed |= real.starts_with(environment::FOLDER);
        let is_keep = member.size == 0 && place.name.starts_with(b".keep");
        let is_protected = is_protected && !is_keep;
        // Whether a protected file stays where it is depends on all of its bytes.
        let is_in_memory = is_text(&real)
            || is_protected && (self.root.at(place).is_some() || self.replaced_kind(path).is_some());
        if !is_in_memory {
            let mut sum = Sum::new(&member.regions);
            self.root.layer().sparse_file(
                &real,
                attributes.clone(),
                member.size,
                &member.regions,
                |buffer| {
                    entries.read_data(buffer).map_err(Fault::from)?;
                    sum.add(buffer);
                    Ok::<(), Fault>(())
                },
            )?;
            let md5 = sum.finish(member.size);
            if is_protected {
                self.destination(path, place, md5, None, true)?;
            }
            self.root.add_file(place, attributes, member.size);
            self.merged.entries.insert(path.to_vec(), Some(place.clone()));
            return Ok(md5);
        }
        let bytes = read(entries, member, path)?;
        let md5 = Md5::digest(&bytes).into();
        let to = self.destination(path, place, md5, None, is_protected)?;
        if let Some(to) = &to {
            if is_text(&real) {
                self.root.put_text(to, attributes, bytes);
            } else {
                let real = self.root.path_of(to);
                self.root.layer().file(&real, attributes.clone(), &bytes)?;
                self.root.add_file(to, attributes, member.size);
            }
        }
        self.merged.entries.insert(path.to_vec(), to);
        Ok(md5)
    }

    /// Merges another name of an earlier entry.
    fn hardlink(
        &mut self,
        member: &Member,
        path: &[u8],
        place: &Place,
        is_protected: bool,
    ) -> Result<Kind, Fault> {
        let target = &member.target[..];
        let (Some(kind), Some(first)) = (
            self.merged.items.get(target).cloned(),
            self.merged.entries.get(target).cloned(),
        ) else {
            return Err(match self.merged.entries.get(target) {
                Some(None) => Fault::LinkLeftOut {
                    path: path.to_vec(),
                    target: target.to_vec(),
                },
                _ => Fault::Entry {
                    name: member.name.clone(),
                    reason: Refusal::LinkMissing {
                        target: target.to_vec(),
                    },
                },
            });
        };
        let (md5, link) = match &kind {
            Kind::File { md5, .. } => (*md5, None),
            Kind::Symlink { target, .. } => (Md5::digest(target).into(), Some(&target[..])),
            _ => ([0; 16], None),
        };
        let to = self.destination(path, place, md5, link, is_protected)?;
        // A file that the user refused before has no other name either.
        if let (Some(to), Some(first)) = (&to, first) {
            self.root.put_hardlink(to, &first)?;
        }
        self.merged.entries.insert(path.to_vec(), to);
        Ok(kind)
    }

    /// Refuses a place that something else holds: a directory, a file of another package, of the package itself.
    fn check(&self, place: &Place, what: &'static str, is_protected: bool) -> Result<(), Fault> {
        let Some(id) = self.root.at(place) else {
            return Ok(());
        };
        let path = || self.root.path_of(place);
        if self.root.tree.names(id).is_some() {
            return Err(Fault::OverDirectory { path: path(), what });
        }
        let replaced = self.replaced.map(|(id, _)| id);
        for owner in self.database.owners(place) {
            if owner == self.package {
                return Err(Fault::Twice { path: path() });
            }
            if Some(owner) != replaced && !is_protected {
                return Err(Fault::Collision {
                    path: path(),
                    owner: self.database.package(owner).cpv.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Where something goes: to its place, beside it, or nowhere.
    fn destination(
        &mut self,
        path: &[u8],
        place: &Place,
        md5: [u8; 16],
        link: Option<&[u8]>,
        is_protected: bool,
    ) -> Result<Option<Place>, Fault> {
        if !is_protected {
            return Ok(Some(place.clone()));
        }
        let replaced = self.replaced.and_then(|(_, items)| items.get(path));
        let offer = Offer {
            path,
            md5,
            link,
            replaced,
        };
        Ok(match self.protection.decide(self.root, place, &offer)? {
            Verdict::InPlace => Some(place.clone()),
            Verdict::Nowhere => None,
            Verdict::Beside(name) => {
                self.merged.beside.push((path.to_vec(), name.clone()));
                Some(Place { name, ..*place })
            }
        })
    }

    fn replaced_kind(&self, path: &[u8]) -> Option<&Kind> {
        self.replaced.and_then(|(_, items)| items.get(path))
    }

    /// Owner by name as the system has it, else by number; capabilities as the package's phases would set them.
    fn attributes(&self, member: &Member, path: &[u8]) -> Attributes {
        let mut attributes = Attributes {
            mode: member.mode,
            uid: self.accounts.uid(&member.user).unwrap_or(member.uid),
            gid: self.accounts.gid(&member.group).unwrap_or(member.gid),
            mtime: member.mtime,
            xattrs: member.xattrs.clone(),
        };
        if let Some(given) = self.given(path) {
            if let Some(value) = &given.value {
                attributes
                    .xattrs
                    .insert(b"security.capability".to_vec(), value.clone());
            }
            if let Some(user) = &given.user {
                let uid = self.accounts.uid(user.as_bytes()).or_else(|| user.parse().ok());
                attributes.uid = uid.unwrap_or(attributes.uid);
            }
            if let Some(group) = &given.group {
                let gid = self.accounts.gid(group.as_bytes()).or_else(|| group.parse().ok());
                attributes.gid = gid.unwrap_or(attributes.gid);
            }
            attributes.mode = given.mode.apply(attributes.mode);
        }
        attributes
    }

    /// What the package's phases would give the file at `path`, by whichever name of its folder they call it.
    fn given(&self, path: &[u8]) -> Option<&Capabilities> {
        if self.capabilities.is_empty() {
            return None;
        }
        let real = self.root.place(path).map(|place| self.root.path_of(&place));
        self.capabilities.get(real.as_deref().unwrap_or(path))
    }
}
