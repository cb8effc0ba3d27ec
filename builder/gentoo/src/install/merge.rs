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

use formats::layer::archive::{Kind as MemberKind, Member, Region};
use formats::layer::{Attributes, BuildError, Refusal};
use formats::tree::{InodeId, InodeKind, Tree};
use md5::{Digest as _, Md5};

use super::accounts::{self, Accounts};
use super::database::{Database, PackageId, VDB};
use super::environment;
use super::error::Fault;
use super::filters::Filters;
use super::phases::Capabilities;
use super::protect::{MEMORY, Offer, Protection, Verdict};
use super::report::Size;
use super::root::{MAX_READ, Place, Root, below, split, what};
use crate::binary::{ImageEntries, Limits};
use crate::contents::Kind;

/// Zeros that are summed at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

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
    deferred: HashMap<Vec<u8>, Attributes>,
    /// Where each directory of the package is.
    directories: HashMap<Vec<u8>, InodeId>,
    /// Where each entry went that is no directory; `None` for what went nowhere.
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

    /// Merges what is no directory; what CONTENTS says of it.
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

    /// Merges a directory.
    fn directory(&mut self, path: &[u8], attributes: Attributes) -> Result<(), Fault> {
        if let Some(id) = self.existing_directory(path)? {
            self.merged.directories.insert(path.to_vec(), id);
        } else {
            let (above, name) = split(path);
            let place = Place {
                directory: self.above(above)?,
                name: name.to_vec(),
            };
            self.make_directory(path, place, attributes)?;
        }
        self.merged.items.insert(path.to_vec(), Kind::Directory);
        let (above, name) = split(path);
        if let Some(directory) = self.existing_directory(above)? {
            let name = name.to_vec();
            self.database.own(Place { directory, name }, self.package);
        }
        Ok(())
    }

    fn make_directory(
        &mut self,
        path: &[u8],
        place: Place,
        attributes: Attributes,
    ) -> Result<InodeId, Fault> {
        if let Some(id) = self.root.at(&place) {
            // What goes with the version that is replaced makes room now.
            let of_replaced = self
                .replaced
                .is_some_and(|(replaced, _)| self.database.owners(&place).eq([replaced]));
            if !of_replaced {
                return Err(Fault::NotDirectory {
                    path: path.to_vec(),
                    what: what(&self.root.inode(id).kind),
                });
            }
            self.root.remove(&place);
        }
        let id = self.root.make_directory(place, attributes);
        self.merged.directories.insert(path.to_vec(), id);
        Ok(id)
    }

    /// The directory at a path of the package, made where it is missing.
    fn above(&mut self, path: &[u8]) -> Result<InodeId, Fault> {
        if let Some(id) = self.existing_directory(path)? {
            self.merged.directories.insert(path.to_vec(), id);
            return Ok(id);
        }
        // Left out, but something in it stays; or the image just does not list it.
        let given = self.merged.deferred.get(path).cloned();
        let attributes = given.unwrap_or_else(|| Attributes {
            mode: 0o755,
            mtime: self.root.time(),
            ..Attributes::default()
        });
        let (above, name) = split(path);
        let place = Place {
            directory: self.above(above)?,
            name: name.to_vec(),
        };
        self.merged.items.insert(path.to_vec(), Kind::Directory);
        self.database.own(place.clone(), self.package);
        self.make_directory(path, place, attributes)
    }

    /// The directory that a path of the package means on the system, if there is one.
    fn existing_directory(&self, path: &[u8]) -> Result<Option<InodeId>, Fault> {
        if path.is_empty() {
            return Ok(Some(Tree::ROOT));
        }
        if let Some(id) = self.merged.directories.get(path) {
            return Ok(Some(*id));
        }
        let (above, name) = split(path);
        let Some(directory) = self.existing_directory(above)? else {
            return Ok(None);
        };
        let place = Place {
            directory,
            name: name.to_vec(),
        };
        let Some(id) = self.root.at(&place) else {
            return Ok(None);
        };
        let through = |what| Fault::Through {
            path: path.to_vec(),
            ancestor: self.root.path_of(&place),
            what,
        };
        match &self.root.inode(id).kind {
            InodeKind::Directory(_) => Ok(Some(id)),
            InodeKind::Symlink(_) if id.0 >= self.first => {
                Err(through("a symbolic link of the package itself"))
            }
            InodeKind::Symlink(_) => match self.root.tree.directory(&self.root.path_of(&place)) {
                Some(id) => Ok(Some(id)),
                None => Err(through("a symbolic link that leads to no directory")),
            },
            _ if id.0 >= self.first => Err(through("no directory in the package itself")),
            _ => Ok(None),
        }
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

    /// Whether a path is left out, as the package or as the system has it.
    fn leaves_out(&self, path: &[u8]) -> bool {
        if self.filters.is_empty() {
            return false;
        }
        let (mut above, mut rest) = (path, Vec::new());
        // The deepest directory that is there, and what lies below it.
        let real = loop {
            let (folder, name) = split(above);
            rest = below(name, &rest);
            match self.existing_directory(folder) {
                Ok(Some(id)) => break below(&self.root.path(id), &rest),
                // What is wrong with it is said where it is merged.
                Ok(None) | Err(_) if !folder.is_empty() => above = folder,
                _ => break rest,
            }
        };
        let real = real.strip_suffix(b"/").unwrap_or(&real);
        self.filters.leaves_out(path) || self.filters.leaves_out(real)
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
        if let Some(given) = self.capabilities.get(path) {
            if let Some(value) = &given.value {
                attributes
                    .xattrs
                    .insert(b"security.capability".to_vec(), value.clone());
            }
            let name = |name: &Option<String>| name.clone().unwrap_or_default().into_bytes();
            attributes.uid = self.accounts.uid(&name(&given.user)).unwrap_or(attributes.uid);
            attributes.gid = self.accounts.gid(&name(&given.group)).unwrap_or(attributes.gid);
            attributes.mode = given.mode.unwrap_or(attributes.mode) | given.also;
        }
        attributes
    }
}

/// Accepts the path of an entry that the database can hold and that is not the package manager's own.
fn check_path(member: &Member) -> Result<(), Fault> {
    let path = &member.name[..];
    check_text(path, path, "a name")?;
    if [VDB, b"var/lib/portage", b"var/cache/edb"].iter().any(|folder| {
        let below = path
            .strip_prefix(*folder)
            .filter(|rest| rest.first() == Some(&b'/'));
        below.is_some_and(|rest| member.kind != MemberKind::Directory && !rest.starts_with(b"/.keep"))
    }) {
        return Err(Fault::Records { path: path.to_vec() });
    }
    Ok(())
}

/// Accepts what a line of CONTENTS can hold: portage reads it as UTF-8.
fn check_text(path: &[u8], text: &[u8], what: &'static str) -> Result<(), Fault> {
    let fault = if str::from_utf8(text).is_err() {
        match what {
            "a name" => "a name that is no UTF-8",
            _ => "a target that is no UTF-8",
        }
    } else if text.contains(&b'\n') || text.contains(&b'\r') {
        "a line break"
    } else {
        return Ok(());
    };
    Err(unrecordable(path, fault))
}

fn unrecordable(path: &[u8], what: &'static str) -> Fault {
    Fault::Unrecordable {
        path: path.to_vec(),
        what,
    }
}

/// Whether a file is kept in memory, because what is installed later reads or changes it.
fn is_text(path: &[u8]) -> bool {
    let (folder, name) = split(path);
    let is_one_of = |files: &[&str]| files.iter().any(|file| file.as_bytes() == path);
    folder == environment::FOLDER
        || folder == b"usr/lib/sysusers.d" && name.starts_with(b"acct-")
        || is_one_of(&accounts::FILES)
        || is_one_of(&environment::FILES)
        || path == MEMORY
}

/// All bytes of a file.
fn read(entries: &mut ImageEntries<'_>, member: &Member, path: &[u8]) -> Result<Vec<u8>, Fault> {
    let large = || Fault::Large {
        path: path.to_vec(),
        size: member.size,
        limit: MAX_READ,
    };
    let size = usize::try_from(member.size).map_err(|_| large())?;
    if member.size > MAX_READ {
        return Err(large());
    }
    let mut bytes = vec![0; size];
    for region in &member.regions {
        // Regions lie within the size, which fits.
        let start = region.offset as usize;
        entries.read_data(&mut bytes[start..start + region.length as usize])?;
    }
    Ok(bytes)
}

fn kind_name(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::Symlink => "a symbolic link",
        MemberKind::Fifo => "a named pipe",
        _ => "a file",
    }
}

/// The MD5 of a file whose data comes without its holes.
struct Sum<'a> {
    md5: Md5,
    regions: &'a [Region],
    /// Bytes of the file that were summed.
    position: u64,
}

impl<'a> Sum<'a> {
    fn new(regions: &'a [Region]) -> Self {
        Self {
            md5: Md5::new(),
            regions,
            position: 0,
        }
    }

    /// Adds the next data, which lies within one region.
    fn add(&mut self, data: &[u8]) {
        while let [first, rest @ ..] = self.regions
            && self.position >= first.offset + first.length
        {
            self.regions = rest;
        }
        if let Some(first) = self.regions.first() {
            self.zeros(first.offset);
        }
        self.md5.update(data);
        self.position += data.len() as u64;
    }

    fn finish(mut self, size: u64) -> [u8; 16] {
        self.zeros(size);
        self.md5.finalize().into()
    }

    /// Adds zeros up to a position.
    fn zeros(&mut self, end: u64) {
        while self.position < end {
            let step = (end - self.position).min(ZEROS.len() as u64);
            self.md5.update(&ZEROS[..step as usize]);
            self.position += step;
        }
    }
}
