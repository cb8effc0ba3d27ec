//! What portage, or phases of packages, would make of files of all packages together. It takes programs of the node, so it
//! is left for the node's first start; where nothing of the kind was installed, nothing is.

use std::collections::BTreeSet;
use std::io::Write;

use super::environment::{Environment, LD_SO_CONF, folders_of};
use super::error::Fault;
use super::merge::Merged;
use super::root::{Root, below, split};

/// Something that a node still has to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pending {
    /// `ld.so.cache`: libraries are in folders where only it leads.
    LibraryCache,
    /// `/etc/ssl/certs`: links to the certificates of authorities that are trusted.
    Certificates,
    /// The locales that `locale.gen` names.
    Locales,
    /// `hwdb.bin`: what udev knows of devices.
    HardwareDatabase,
    /// The journal's explanations of messages.
    Catalog,
}

impl Pending {
    /// A word for it, as the name of a file can be.
    pub fn name(self) -> &'static str {
        match self {
            Self::LibraryCache => "library-cache",
            Self::Certificates => "certificates",
            Self::Locales => "locales",
            Self::HardwareDatabase => "hardware-database",
            Self::Catalog => "catalog",
        }
    }
}

/// Folders whose files something is made of, below `/usr` or, on a system where that is split, below `/`.
const SOURCES: [(&[u8], Pending); 5] = [
    (b"share/ca-certificates/", Pending::Certificates),
    (b"local/share/ca-certificates/", Pending::Certificates),
    (b"share/i18n/locales/", Pending::Locales),
    (b"lib/udev/hwdb.d/", Pending::HardwareDatabase),
    (b"lib/systemd/catalog/", Pending::Catalog),
];

/// Where the loader looks without its cache.
const ALWAYS_SEARCHED: [&[u8]; 2] = [b"lib64", b"usr/lib64"];

/// What the packages so far leave for the first start.
#[derive(Debug, Default)]
pub(super) struct Remainder {
    pending: BTreeSet<Pending>,
    /// Folders into which packages put libraries, as they call them.
    libraries: BTreeSet<Vec<u8>>,
    /// Folders that `ld.so.conf` of the base has: its cache knows what is in them.
    cached: BTreeSet<String>,
}

impl Remainder {
    /// Nothing yet; of the base it is known what its cache covers.
    pub fn new<W: Write>(root: &Root<W>) -> Result<Self, Fault> {
        let conf = root.read(LD_SO_CONF.as_bytes())?.unwrap_or_default();
        let conf = String::from_utf8_lossy(&conf);
        Ok(Self {
            cached: searched(root, folders_of(&conf))?,
            ..Self::default()
        })
    }

    /// Takes note of a package.
    pub fn add(&mut self, merged: &Merged) {
        for path in merged.items.keys() {
            let below_usr = path.strip_prefix(b"usr/").unwrap_or(path);
            let made_of = SOURCES.iter().find(|(folder, _)| below_usr.starts_with(folder));
            self.pending.extend(made_of.map(|(_, pending)| *pending));
            let (folder, name) = split(path);
            if name.windows(3).any(|three| three == b".so") && !self.libraries.contains(folder) {
                self.libraries.insert(folder.to_vec());
            }
        }
    }

    /// All that is left to do.
    pub fn pending<W: Write>(&self, root: &Root<W>) -> Result<BTreeSet<Pending>, Fault> {
        let mut pending = self.pending.clone();
        // Its folder by the name that it has without links.
        let real = |path: &[u8]| {
            let trimmed: Vec<u8> = path.strip_prefix(b"/").unwrap_or(path).to_vec();
            root.tree.directory(&trimmed).map_or(trimmed, |id| root.path(id))
        };
        let always: BTreeSet<Vec<u8>> = ALWAYS_SEARCHED.iter().map(|folder| real(folder)).collect();
        let libraries: BTreeSet<Vec<u8>> = self.libraries.iter().map(|folder| real(folder)).collect();
        let environment = Environment::read(root)?;
        let needs_cache = searched(root, environment.library_folders())?
            .iter()
            .any(|folder| {
                let path = real(folder.as_bytes());
                let is_searched = !always.contains(&path) && root.tree.directory(&path).is_some();
                is_searched && (libraries.contains(&path) || !self.cached.contains(folder))
            });
        if needs_cache {
            pending.insert(Pending::LibraryCache);
        }
        Ok(pending)
    }
}

/// The folders that lines of `ld.so.conf` mean. Of `include` only files of one folder are understood, which is what there
/// is: `include ld.so.conf.d/*.conf`.
fn searched<'t, W: Write>(
    root: &Root<W>,
    lines: impl Iterator<Item = &'t str>,
) -> Result<BTreeSet<String>, Fault> {
    let mut folders = BTreeSet::new();
    for line in lines {
        let Some(pattern) = line
            .strip_prefix("include")
            .filter(|rest| rest.starts_with([' ', '\t']))
        else {
            folders.insert(line.to_owned());
            continue;
        };
        let pattern = pattern.trim();
        let path = match pattern.strip_prefix('/') {
            Some(path) => path.as_bytes().to_vec(),
            None => below(b"etc", pattern.as_bytes()),
        };
        let (above, name) = split(&path);
        let Some((start, end)) = str::from_utf8(name).ok().and_then(|name| name.split_once('*')) else {
            continue;
        };
        let names = root.tree.directory(above).and_then(|id| root.tree.names(id));
        for name in names.into_iter().flatten().map(|(name, _)| name) {
            let is_meant = name.len() >= start.len() + end.len()
                && name.starts_with(start.as_bytes())
                && name.ends_with(end.as_bytes());
            if is_meant && let Some(bytes) = root.read(&below(above, name))? {
                folders.extend(folders_of(&String::from_utf8_lossy(&bytes)).map(str::to_owned));
            }
        }
    }
    Ok(folders)
}
