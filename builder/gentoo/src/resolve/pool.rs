//! All packages that play a part, installed or offered, by name and by slot.

mod preference;

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::builds::Flags;
use super::{Mask, Request, Source};
use crate::atom::Atom;
use crate::name::PackageName;
use crate::package::{Needs, NeedsError, Package};
use preference::{Brought, Ranked};

/// A package of the pool, by position: installed ones first, then source by source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(usize);

/// A slot of a name: no two packages can be installed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId(pub usize);

/// Where a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Installed,
    /// In a source, by position.
    Source(usize),
}

struct Entry<'a> {
    package: &'a Package,
    origin: Origin,
    slot: SlotId,
    needs: OnceCell<Result<Needs, NeedsError>>,
}

/// The packages of one name.
#[derive(Default)]
pub(super) struct Named {
    /// Highest version first.
    pub installed: Vec<Id>,
    /// Those of sources, as they come.
    pub(super) offered: Vec<Id>,
    /// Slots that any of them is in.
    pub slots: Vec<SlotId>,
    /// Those of sources, the one to be preferred first as far as each shows by itself; then with what they bring.
    ranked: OnceCell<Vec<Ranked>>,
    preferred: OnceCell<Vec<Id>>,
}

/// Why a package of a source is out of the question, whatever else is chosen.
pub(super) enum Exclusion<'p> {
    Masked(&'p Mask),
    Foreign(&'p str),
    Unreadable(&'p NeedsError),
}

/// All packages.
pub(super) struct Pool<'a, 'r> {
    entries: Vec<Entry<'a>>,
    names: HashMap<&'a str, Named>,
    /// What each slot has installed.
    installed_in: Vec<Option<Id>>,
    sources: Vec<&'a str>,
    request: Request<'r>,
    pub(super) flags: Flags<'a, 'r>,
    brought: Brought,
    /// Who brings a library, by kind and soname; by name, as they come.
    libraries: OnceCell<HashMap<&'a str, HashMap<&'a str, Vec<Id>>>>,
}

/// A library: the kind of processor it is for, and its soname.
pub(super) type Library<'p> = (&'p str, &'p str);

impl<'a, 'r> Pool<'a, 'r> {
    pub fn new(installed: &'a [Package], sources: &[Source<'a>], request: &Request<'r>) -> Self {
        let mut pool = Self {
            entries: Vec::new(),
            names: HashMap::new(),
            installed_in: Vec::new(),
            sources: sources.iter().map(|source| source.name).collect(),
            request: *request,
            flags: Flags::new(installed, request.init, request.package_use),
            brought: Brought::default(),
            libraries: OnceCell::new(),
        };
        let mut slots = HashMap::new();
        let offered = sources.iter().enumerate();
        let offered =
            offered.flat_map(|(at, source)| source.packages.iter().map(move |one| (Origin::Source(at), one)));
        for (origin, package) in installed
            .iter()
            .map(|one| (Origin::Installed, one))
            .chain(offered)
        {
            let id = Id(pool.entries.len());
            let name = package.cpv.name.as_str();
            let named = pool.names.entry(name).or_default();
            let slot = *slots.entry((name, package.slot.as_str())).or_insert_with(|| {
                pool.installed_in.push(None);
                SlotId(pool.installed_in.len() - 1)
            });
            if !named.slots.contains(&slot) {
                named.slots.push(slot);
            }
            match origin {
                Origin::Installed => {
                    named.installed.push(id);
                    pool.installed_in[slot.0] = Some(id);
                }
                Origin::Source(_) => named.offered.push(id),
            }
            pool.entries.push(Entry {
                package,
                origin,
                slot,
                needs: OnceCell::new(),
            });
        }
        let key = |id: &Id| &pool.entries[id.0].package.cpv.version;
        for named in pool.names.values_mut() {
            named.installed.sort_by_key(|id| Reverse(key(id)));
        }
        pool
    }

    pub fn package(&self, id: Id) -> &'a Package {
        self.entries[id.0].package
    }

    pub fn origin(&self, id: Id) -> Origin {
        self.entries[id.0].origin
    }

    pub fn slot(&self, id: Id) -> SlotId {
        self.entries[id.0].slot
    }

    pub fn slots(&self) -> usize {
        self.installed_in.len()
    }

    pub fn installed_in(&self, slot: SlotId) -> Option<Id> {
        self.installed_in[slot.0]
    }

    /// The installed packages, one for each slot.
    pub fn all_installed(&self) -> impl Iterator<Item = Id> {
        self.installed_in.iter().copied().flatten()
    }

    /// All packages of a name, if there are any.
    pub fn named(&self, name: &PackageName) -> Option<&Named> {
        self.names.get(name.as_str())
    }

    /// What a package needs; read when it is asked for the first time.
    pub fn needs(&self, id: Id) -> Result<&Needs, &NeedsError> {
        let entry = &self.entries[id.0];
        entry.needs.get_or_init(|| entry.package.needs()).as_ref()
    }

    /// Why a package of a source is out of the question, if it is.
    pub fn exclusion(&self, id: Id) -> Option<Exclusion<'_>> {
        let package = self.package(id);
        if let Some(mask) = self.request.masks.iter().find(|mask| mask.atom.matches(package)) {
            return Some(Exclusion::Masked(mask));
        }
        let foreign = |chost: &&str| !package.chost.is_empty() && *chost != package.chost;
        if self.request.chost.as_ref().is_some_and(foreign) {
            return Some(Exclusion::Foreign(&package.chost));
        }
        self.needs(id).err().map(Exclusion::Unreadable)
    }

    /// What a source is called.
    pub fn source(&self, at: usize) -> &'a str {
        self.sources[at]
    }

    /// What all sources are called.
    pub fn sources(&self) -> &[&'a str] {
        &self.sources
    }

    /// The packages of sources of a name, the one to be preferred first.
    pub fn preferred(&self, name: &PackageName) -> &[Id] {
        let Some(named) = self.named(name) else { return &[] };
        named.preferred.get_or_init(|| self.refined(named))
    }

    /// Packages of sources that an atom takes, the one to be preferred first.
    pub fn offered(&self, atom: &Atom) -> impl Iterator<Item = Id> {
        let preferred = self.preferred(&atom.name).iter().copied();
        preferred.filter(|id| atom.matches(self.package(*id)))
    }

    /// Packages of sources that bring a library. By name, the one to be preferred first.
    pub fn bringing(&self, (kind, soname): Library<'_>) -> Vec<Id> {
        let libraries = self.libraries.get_or_init(|| {
            let mut libraries: HashMap<&'a str, HashMap<&'a str, Vec<Id>>> = HashMap::new();
            let mut names: Vec<_> = self.names.iter().collect();
            names.sort_by_key(|(name, _)| **name);
            for id in names.iter().flat_map(|(_, named)| &named.offered) {
                for (kind, soname) in libraries_of(&self.package(*id).provides) {
                    let kind = libraries.entry(kind).or_default();
                    kind.entry(soname).or_default().push(*id);
                }
            }
            libraries
        });
        let bringing = libraries.get(kind).and_then(|kind| kind.get(soname));
        let bringing = bringing.map_or(&[][..], Vec::as_slice);
        let name = |id: &Id| &self.package(*id).cpv.name;
        let of_one_name = bringing.chunk_by(|a, b| name(a) == name(b));
        let preferred = of_one_name.flat_map(|ids| {
            let preferred = self.preferred(name(&ids[0])).iter();
            let ids: HashSet<&Id> = ids.iter().collect();
            preferred.filter(move |id| ids.contains(id))
        });
        preferred.copied().collect()
    }
}

/// The libraries of a value of `REQUIRES` or `PROVIDES`: `arm_64: libc.so.6 libz.so.1`.
pub(super) fn libraries_of(text: &str) -> impl Iterator<Item = Library<'_>> {
    let mut kind = "";
    crate::package::words(text).filter_map(move |word| match word.strip_suffix(':') {
        Some(name) => {
            kind = name;
            None
        }
        None => Some((kind, word)),
    })
}
