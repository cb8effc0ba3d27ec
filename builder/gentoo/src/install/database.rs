//! The package manager's own records: which packages there are, whose each file is, the counter and the world.
//!
//! ```text
//! /var/db/pkg/CATEGORY/PF/     what a package says about itself, CONTENTS, COUNTER, BINPKGMD5
//! /var/cache/edb/counter       the last COUNTER that was given
//! /var/lib/portage/world       what the user asked for
//! /var/lib/portage/config      MD5 of each protected file as a package brought it
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;

use formats::digest::hex;
use formats::layer::Attributes;
use formats::tree::InodeId;
use formats::units::Time;

use super::error::Fault;
use super::root::{Place, Root, below};
use crate::Cpv;
use crate::contents::{self, Item, Kind};
use crate::filters::Filters;

pub(super) const VDB: &[u8] = b"var/db/pkg";
pub(super) const COUNTER: &[u8] = b"var/cache/edb/counter";
pub(super) const WORLD: &[u8] = b"var/lib/portage/world";

/// Files of `/var/db/pkg` that say where a package is, not what it is.
const OWN_FILES: [&str; 3] = ["CONTENTS", "COUNTER", "BINPKGMD5"];

/// An installed package.
#[derive(Debug)]
pub(super) struct Installed {
    pub cpv: Cpv,
    /// The slot without its subslot.
    pub slot: String,
    /// Whether the base had it.
    pub of_base: bool,
    /// Whether it was replaced.
    pub gone: bool,
}

/// A package by its position in [`Database::packages`].
pub(super) type PackageId = u32;

#[derive(Debug, Default)]
pub(super) struct Database {
    pub packages: Vec<Installed>,
    /// Whose a name is.
    owners: HashMap<Place, Vec<PackageId>>,
    counter: u64,
    pub world: BTreeSet<Vec<u8>>,
}

impl Database {
    /// What the base has installed.
    pub fn read<W: Write>(root: &Root<W>) -> Result<Self, Fault> {
        let mut database = Self {
            counter: match root.read(COUNTER)? {
                None => 0,
                Some(bytes) => counter(COUNTER, &bytes)?,
            },
            ..Self::default()
        };
        if let Some(world) = root.read(WORLD)? {
            let lines = world.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            database.world = lines
                .filter(|line| !line.is_empty())
                .map(<[u8]>::to_vec)
                .collect();
        }
        for category in folders(root, VDB) {
            for pf in folders(root, &below(VDB, &category)) {
                let cpv = String::from_utf8_lossy(&below(&category, &pf)).into_owned();
                // Portage calls a merge that was interrupted so.
                if pf.starts_with(b"-MERGING-") {
                    continue;
                }
                let installed = Installed {
                    cpv: cpv.parse().map_err(|source| Fault::Name {
                        path: below(VDB, cpv.as_bytes()),
                        source,
                    })?,
                    slot: String::new(),
                    of_base: true,
                    gone: false,
                };
                database.read_package(root, installed)?;
            }
        }
        Ok(database)
    }

    fn read_package<W: Write>(&mut self, root: &Root<W>, mut installed: Installed) -> Result<(), Fault> {
        let folder = folder(&installed.cpv);
        let slot = root
            .read(&below(&folder, b"SLOT"))?
            .unwrap_or_else(|| b"0".to_vec());
        installed.slot = main_slot(&String::from_utf8_lossy(&slot)).to_owned();
        let path = below(&folder, b"COUNTER");
        if let Some(bytes) = root.read(&path)? {
            self.counter = self.counter.max(counter(&path, &bytes)?);
        }
        let items = read_contents(root, &installed.cpv)?;
        let id = self.add(installed);
        for place in places(root, &items).into_iter().flatten() {
            self.own(place, id);
        }
        Ok(())
    }

    pub fn add(&mut self, installed: Installed) -> PackageId {
        self.packages.push(installed);
        // Packages are at most as many as inodes, of which there are fewer.
        (self.packages.len() - 1) as PackageId
    }

    pub fn own(&mut self, place: Place, package: PackageId) {
        let owners = self.owners.entry(place).or_default();
        if !owners.contains(&package) {
            owners.push(package);
        }
    }

    /// The packages that have a name, those that were replaced apart.
    pub fn owners(&self, place: &Place) -> impl Iterator<Item = PackageId> {
        let owners = self.owners.get(place).into_iter().flatten().copied();
        owners.filter(|id| !self.package(*id).gone)
    }

    pub fn package(&self, id: PackageId) -> &Installed {
        &self.packages[id as usize]
    }

    /// The package of the same name in the same slot, or of the same version.
    pub fn in_slot(&self, cpv: &Cpv, slot: &str) -> Option<PackageId> {
        let is_same = |other: &Installed| {
            !other.gone && (other.cpv == *cpv || other.cpv.name == cpv.name && other.slot == slot)
        };
        let position = self.packages.iter().position(is_same)?;
        PackageId::try_from(position).ok()
    }

    /// The next `COUNTER`.
    fn tick(&mut self) -> Result<u64, Fault> {
        // Portage reads it as a number of any size; those who keep it in 63 bits have to be able to.
        let next = self
            .counter
            .checked_add(1)
            .filter(|next| i64::try_from(*next).is_ok());
        self.counter = next.ok_or_else(|| Fault::Counter {
            path: COUNTER.to_vec(),
            value: self.counter.to_string(),
        })?;
        Ok(self.counter)
    }

    /// Writes a package's folder. `items` go to CONTENTS in the order of their paths.
    pub fn write_entry<W: Write>(
        &mut self,
        root: &mut Root<W>,
        cpv: &Cpv,
        metadata: &BTreeMap<String, Vec<u8>>,
        items: &BTreeMap<Vec<u8>, Kind>,
        bin_md5: &[u8; 16],
        time: Time,
    ) -> Result<(), Fault> {
        let folder = root.directory(&folder(cpv))?;
        let items = items.iter().map(|(path, kind)| Item {
            path: path.clone(),
            kind: kind.clone(),
        });
        let own = [
            ("CONTENTS", contents::to_bytes(&items.collect::<Vec<_>>())),
            ("COUNTER", self.tick()?.to_string().into_bytes()),
            ("BINPKGMD5", format!("{}\n", hex(bin_md5)).into_bytes()),
        ];
        let given = metadata.iter().map(|(name, bytes)| (&name[..], &bytes[..]));
        let given = given.filter(|(name, _)| !OWN_FILES.contains(name));
        for (name, bytes) in given.chain(own.iter().map(|(name, bytes)| (*name, &bytes[..]))) {
            let attributes = Attributes {
                mode: 0o644,
                mtime: time,
                ..Attributes::default()
            };
            let place = Place {
                directory: folder,
                name: name.as_bytes().to_vec(),
            };
            let path = root.path_of(&place);
            root.layer().file(&path, attributes.clone(), bytes)?;
            root.add_file(&place, attributes, bytes.len() as u64);
        }
        Ok(())
    }

    /// Takes a package out of the records: its folder goes, and it owns nothing any more.
    pub fn forget<W: Write>(&mut self, root: &mut Root<W>, id: PackageId) {
        let folder = folder(&self.package(id).cpv);
        if let Some(place) = root.place(&folder) {
            root.remove(&place);
        }
        self.packages[id as usize].gone = true;
    }

    /// Takes what filters leave out from the CONTENTS of the base's packages, and the directories that go with it.
    pub fn filter<W: Write>(
        &self,
        root: &mut Root<W>,
        filters: &Filters,
        gone: &HashSet<InodeId>,
    ) -> Result<(), Fault> {
        for installed in &self.packages {
            let items = read_contents(root, &installed.cpv)?;
            let places = places(root, &items);
            let is_kept = |item: &Item, place: &Option<Place>| {
                // What is not there on the base either is not the filters' business unless they name it.
                let left_out = filters.leaves_out(&item.path)
                    || place
                        .as_ref()
                        .is_some_and(|place| filters.leaves_out(&root.path_of(place)));
                match (&item.kind, place.as_ref().and_then(|place| root.at(place))) {
                    (Kind::Directory, Some(id)) => !gone.contains(&id),
                    _ => !left_out,
                }
            };
            let kept: Vec<&Item> = items
                .iter()
                .zip(&places)
                .filter(|(item, place)| is_kept(item, place))
                .map(|(item, _)| item)
                .collect();
            if kept.len() == items.len() {
                continue;
            }
            let folder = folder(&installed.cpv);
            let bytes = contents::to_bytes(kept);
            root.write_text(&below(&folder, b"CONTENTS"), 0o644, bytes)?;
            // A cache that portage would believe over the files.
            if let Some(cache) = root.place(&below(&folder, b"metadata")) {
                root.remove(&cache);
            }
        }
        Ok(())
    }

    /// Writes the counter and the world.
    pub fn finish<W: Write>(&self, root: &mut Root<W>) -> Result<(), Fault> {
        if self.packages.iter().any(|package| !package.of_base) {
            root.write_text(COUNTER, 0o644, self.counter.to_string().into_bytes())?;
        }
        let mut world: Vec<u8> = Vec::new();
        for atom in &self.world {
            world.extend_from_slice(atom);
            world.push(b'\n');
        }
        if !world.is_empty() {
            root.write_text(WORLD, 0o644, world)?;
        }
        Ok(())
    }
}

/// What a package of the base has installed.
pub(super) fn read_contents<W: Write>(root: &Root<W>, cpv: &Cpv) -> Result<Vec<Item>, Fault> {
    let bytes = root.read(&below(&folder(cpv), b"CONTENTS"))?;
    contents::parse(&bytes.unwrap_or_default()).map_err(|source| Fault::Contents {
        package: cpv.to_string(),
        source,
    })
}

/// Where each item is on the system; `None` for what lies in no directory that is there.
pub(super) fn places<W: Write>(root: &Root<W>, items: &[Item]) -> Vec<Option<Place>> {
    let mut last: (Vec<u8>, Option<Place>) = (Vec::new(), None);
    items
        .iter()
        .map(|item| {
            let (above, name) = super::root::split(&item.path);
            // Lines of a folder stand together.
            if last.1.is_none() || last.0 != above {
                last = (above.to_vec(), root.place(&item.path));
            }
            last.1.as_ref().map(|place| Place {
                directory: place.directory,
                name: name.to_vec(),
            })
        })
        .collect()
}

/// The folder of a package.
fn folder(cpv: &Cpv) -> Vec<u8> {
    below(VDB, cpv.to_string().as_bytes())
}

/// A slot without its subslot.
pub(super) fn main_slot(slot: &str) -> &str {
    let slot = slot.trim();
    slot.split_once('/').map_or(slot, |(main, _)| main)
}

/// Names of the folders in a folder, in order.
fn folders<W: Write>(root: &Root<W>, path: &[u8]) -> Vec<Vec<u8>> {
    let names = root.tree.directory(path).and_then(|id| root.tree.names(id));
    let names = names.into_iter().flatten();
    let folders = names.filter(|(_, id)| root.tree.names(**id).is_some());
    folders.map(|(name, _)| name.clone()).collect()
}

fn counter(path: &[u8], bytes: &[u8]) -> Result<u64, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let first = text.lines().next().unwrap_or_default().trim();
    match first.parse() {
        Ok(counter) => Ok(counter),
        // What portage writes for a package that it never counted.
        Err(_) if first == "-1" => Ok(0),
        Err(_) => Err(Fault::Counter {
            path: path.to_vec(),
            value: first.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_numbers() {
        assert_eq!(counter(COUNTER, b"12\n").unwrap(), 12);
        assert_eq!(counter(COUNTER, b"-1").unwrap(), 0);
        for bad in ["", "x", "-2", "1.5", "99999999999999999999999"] {
            let error = counter(COUNTER, bad.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("no counter"), "{error}");
        }
    }
}
