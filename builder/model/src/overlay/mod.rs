//! What is laid over a base root file system: `overlays/<name>/`.
//!
//! ```text
//! overlays/<name>/overlay.toml          description, packages, units, owners and modes, links, directories, removals
//! overlays/<name>/files/etc/foo         becomes /etc/foo, byte for byte: alike on all nodes of a role
//! overlays/<name>/templates/etc/bar.hbs becomes /etc/bar, rendered for each node
//! overlays/<name>/kernel/baz.config     fragments of the kernel's configuration that overlay.toml names
//! ```
//!
//! Modes and owners come from `overlay.toml` and times from the build. Of what a checkout says only the one bit counts that git
//! keeps: whether a file is executable.
//!
//! | module | owns |
//! |---|---|
//! | `written` | `overlay.toml` as it is written |
//! | `folder` | the files below `files/` and `templates/` |
//! | `check` | the rules |
//! | `services` | the rules of what it starts |
//! | `kernel`, `arguments` | the rules of what it asks of the kernel, and of what its command line has |

mod arguments;
mod check;
mod folder;
mod kernel;
mod services;
mod written;

pub use crate::path::{TargetPath, parse_target_path};
pub use crate::written::Placed;
pub(crate) use arguments::check_arguments;
pub use written::{
    DefaultsToml, DistributionToml, InitToml, OverlayToml, OwnSubvolumeToml, OwnUnitsToml, PackagesToml,
    PathToml, Provision, SysctlToml, UnitsToml, WhenToml,
};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::files::Files;
use crate::finding::{Findings, Place, SourceFile};
use crate::kernel::fragment::Request;
use crate::layout::Subvolume;
use crate::sources::{Distribution, Init, Platform};
use crate::users::{self, User};

/// An overlay: `overlays/<name>/`, checked and read into memory, so that what was checked is what is laid down.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The name of its folder.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it puts at which path.
    pub entries: BTreeMap<TargetPath, OverlayEntry>,
    /// The bases that it is laid over.
    pub when: When,
    /// What it does to units of systemd, whatever the base.
    pub units: Units,
    /// What it does beside that on a base of each distribution.
    pub own_units: BTreeMap<Distribution, Units>,
    /// Services of OpenRC that start in each runlevel.
    pub runlevels: BTreeMap<String, Vec<Placed<String>>>,
    /// What it needs installed.
    pub packages: Packages,
    /// The users that it brings, in the order of their names.
    pub users: Vec<User>,
    /// Settings of the kernel, in the order in which they are made; they are in `entries`, too.
    pub sysctls: Vec<Sysctl>,
    /// What the kernel's command line has for it.
    pub kernel_arguments: Vec<Placed<String>>,
    /// What it asks of the configuration of the fleet's kernel.
    pub kernel_requests: Vec<Request>,
    /// Subvolumes of the root file system beside those of the layout.
    pub subvolumes: Vec<Placed<Subvolume>>,
    /// Paths of the base, or of overlays before it, that go away with everything below them.
    pub removals: Vec<Placed<TargetPath>>,
    /// What a fleet may ask for and it does.
    pub provides: BTreeSet<Provision>,
    /// What is to be told of it, and keeps nothing from being built.
    pub warnings: Findings,
}

/// One path of an overlay.
#[derive(Debug, Clone)]
pub struct OverlayEntry {
    /// Permissions, 12 bits; links have none of their own.
    pub mode: u32,
    /// Whom it belongs to.
    pub owner: Owner,
    /// What it is.
    pub source: Source,
    /// Where it was declared, or the file it was read from (as `overlays/common/files/etc/fstab`).
    pub origin: EntryOrigin,
}

/// Where an entry of an overlay comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryOrigin {
    /// A line of `overlay.toml`.
    Declared(Place),
    /// A file below `files/` or `templates/`, relative to the project's root.
    File(std::path::PathBuf),
}

/// What an entry of an overlay is.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file with these bytes.
    Verbatim(Arc<[u8]>),
    /// A file rendered for each node from this template.
    Template(Arc<SourceFile>),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Link(String),
}

/// Whom a path belongs to. Names are looked up in the base's `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Account,
    /// The group.
    pub group: Account,
    /// Where it was written; `None` for the default, root.
    pub place: Option<Place>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// By number.
    Id(u32),
    /// By name.
    Name(String),
}

/// The bases that an overlay is laid over: those that have all that is said here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct When {
    /// Whose packages the base is made of.
    pub distribution: Option<Distribution>,
    /// What starts its services.
    pub init: Option<Init>,
}

/// A setting of the kernel (sysctl).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name as it was written: `net.core.somaxconn`.
    pub key: Placed<String>,
    /// Where it is below /proc/sys; a `*` matches any name.
    pub path: String,
    /// Its value.
    pub value: String,
}

/// What an overlay does to units of systemd. Each name is valid, and no unit is in two lists of one base.
#[derive(Debug, Clone, Default)]
pub struct Units {
    /// Units that get the symbolic links which `systemctl enable` would make.
    pub enable: Vec<Placed<String>>,
    /// Units that lose those links.
    pub disable: Vec<Placed<String>>,
    /// Units that nothing can start.
    pub mask: Vec<Placed<String>>,
}

/// Packages that an overlay needs, by source set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// Names of Debian packages, each with its place.
    pub debian: BTreeMap<String, Place>,
    /// Gentoo packages: `category/name` or any other atom.
    pub gentoo: BTreeMap<String, Place>,
}

impl Overlay {
    /// Reads and checks the overlay called `name`; all findings at once.
    pub fn load(files: &Files, name: &str) -> Result<Self, Findings> {
        check::load(files, name)
    }

    /// Whether it is laid over a base of `platform`; else it is skipped.
    pub fn applies_to(&self, platform: Platform) -> bool {
        let When { distribution, init } = self.when;
        distribution.is_none_or(|asked| asked == platform.distribution)
            && init.is_none_or(|asked| asked == platform.init)
    }

    /// What it does to units of systemd on a base of `distribution`.
    pub fn units_on(&self, distribution: Distribution) -> impl Iterator<Item = &Units> + Clone {
        [&self.units].into_iter().chain(self.own_units.get(&distribution))
    }
}

/// All packages that `overlays` need on a base of `distribution`.
pub fn packages<'o>(
    overlays: impl IntoIterator<Item = &'o Overlay>,
    distribution: Distribution,
) -> BTreeSet<String> {
    let of_each = |overlay: &'o Overlay| {
        let of_users = users::packages(&overlay.users, distribution);
        let own = overlay.packages.of(distribution).keys().cloned();
        own.chain(of_users.map(str::to_owned))
    };
    overlays.into_iter().flat_map(of_each).collect()
}

/// All users that `overlays` bring, in the order of their names.
pub fn users<'o>(overlays: impl IntoIterator<Item = &'o Overlay>) -> Vec<&'o User> {
    users::by_name(overlays.into_iter().flat_map(|overlay| &overlay.users))
}

impl When {
    /// Whether there is a base that this and `other` are both for.
    pub(crate) fn meets(self, other: Self) -> bool {
        fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        agree(self.distribution, other.distribution) && agree(self.init, other.init)
    }
}

impl Packages {
    /// Those of one distribution.
    pub fn of(&self, distribution: Distribution) -> &BTreeMap<String, Place> {
        match distribution {
            Distribution::Debian => &self.debian,
            Distribution::Gentoo => &self.gentoo,
        }
    }
}

impl Owner {
    /// root:root
    pub const ROOT: Self = Self {
        user: Account::Id(0),
        group: Account::Id(0),
        place: None,
    };
}

impl fmt::Display for EntryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared(place) => write!(f, "{place}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
