//! Which of several builds of one version is preferred: the one that the node itself would make.
//!
//! A binhost has builds of several profiles side by side, and the time at which they were made says nothing of whose they
//! are. The profile of a stage3 lies in the repository, which a stage3 lacks; but all its packages were built by it. emerge
//! sets a flag as the profile says, and else as the default in `IUSE` has it. So packages whose ebuilds give a flag the same
//! default have it set alike, except those that `package.use` of the profile names. Hence how a flag would be set:
//!
//! 1. as whoever asks wants it ([`PackageUse`]);
//! 2. as the installed package of the same name has it, if its default is the same;
//! 3. as what starts the node wants it;
//! 4. as most installed packages with the same default have it;
//! 5. as its default says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use super::Init;
use crate::atom::Atom;
use crate::package::{Package, words};
use crate::syntax::{SyntaxError, is_flag};

/// Flags that a message names.
const LISTED: usize = 4;

/// How flags of some packages have to be set, as a line of `package.use`: `app-containers/lxc -man ssl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUse {
    /// Which packages.
    pub atom: Atom,
    /// Flags and whether they are set, in the order of the line.
    pub flags: Vec<(String, bool)>,
}

impl FromStr for PackageUse {
    type Err = SyntaxError;

    fn from_str(line: &str) -> Result<Self, SyntaxError> {
        let mut words = words(line);
        let atom = words.next().unwrap_or_default().parse()?;
        let flags = words.map(|word| match word.strip_prefix('-') {
            Some(flag) => (flag.to_owned(), false),
            None => (word.to_owned(), true),
        });
        let flags: Vec<_> = flags.collect();
        if flags.is_empty() || !flags.iter().all(|(flag, _)| is_flag(flag)) {
            return Err(SyntaxError::new(
                line,
                "line of package.use",
                "an atom is followed by flags, each with `-` in front if it is not to be set",
            ));
        }
        Ok(Self { atom, flags })
    }
}

/// A build of the same version in the same slot that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver<'a> {
    /// Its source, by position.
    pub source: usize,
    /// The package.
    pub package: &'a Package,
    /// The first thing that decided against it.
    pub why: Why,
}

/// Why one build is taken rather than another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It would be preferred, but does not go with what else is chosen: with a USE dependency, say.
    Unfit,
    /// Flags as it was built, `-systemd` or `elogind`, against what starts the node.
    Init(Vec<String>),
    /// It is from a later source.
    Source,
    /// More of its flags are not as the node would set them.
    Flags {
        /// Those, as it was built.
        theirs: Vec<String>,
        /// Likewise of the one that is taken.
        taken: Vec<String>,
    },
    /// More packages would have to be installed for it.
    Packages {
        /// How many.
        theirs: usize,
        /// How many for the one that is taken.
        taken: usize,
    },
    /// It was built before, or is counted lower.
    Older,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit => f.write_str("does not go with what else is chosen"),
            Self::Init(flags) => write!(f, "built with {} against the node's init", list(flags)),
            Self::Source => f.write_str("of a later source"),
            Self::Flags { theirs, taken } => write!(
                f,
                "{} USE flags other than the node's ({}), not {}",
                theirs.len(),
                list(theirs),
                taken.len()
            ),
            Self::Packages { theirs, taken } => write!(f, "brings {theirs} packages, not {taken}"),
            Self::Older => f.write_str("older"),
        }
    }
}

fn list(flags: &[String]) -> String {
    let more = flags.len().saturating_sub(LISTED);
    let mut text = flags[..flags.len() - more].join(" ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// How a build's flags are not as the node would set them, each as it was built: `ssl` or `-ssl`.
#[derive(Debug, Default)]
pub(super) struct Deviation<'a> {
    /// Those that have to do with what starts the node.
    pub init: Vec<Flag<'a>>,
    /// All others.
    pub others: Vec<Flag<'a>>,
}

/// A flag, and whether it is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag<'a>(&'a str, bool);

impl fmt::Display for Flag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.1 { "" } else { "-" }, self.0)
    }
}

pub(super) fn texts(flags: &[Flag<'_>]) -> Vec<String> {
    flags.iter().map(Flag::to_string).collect()
}

/// How flags of packages would be set on a node with the stage3's packages `installed`, for those that come to it.
pub struct NodeUse<'a> {
    installed: &'a [Package],
    flags: Flags<'a, 'a>,
}

impl<'a> NodeUse<'a> {
    /// By the packages of the stage3, what starts the node, and lines of `package.use`.
    pub fn new(installed: &'a [Package], init: Option<Init>, package_use: &'a [PackageUse]) -> Self {
        Self {
            installed,
            flags: Flags::new(installed, init, package_use),
        }
    }

    /// The flags that a package was built with otherwise, in order, each as it was built: `ssl` or `-ssl`.
    pub fn deviations(&self, package: &Package) -> Vec<String> {
        let of_name = |other: &&Package| other.cpv.name == package.cpv.name;
        let named = || self.installed.iter().filter(of_name);
        let installed = named().find(|other| other.slot == package.slot);
        let installed = installed.or_else(|| named().max_by_key(|other| &other.cpv.version));
        let Deviation { init, others } = self.flags.deviation(package, installed);
        let mut flags: Vec<Flag<'_>> = init.into_iter().chain(others).collect();
        flags.sort_by_key(|flag| flag.0);
        texts(&flags)
    }
}

impl fmt::Debug for NodeUse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeUse").finish_non_exhaustive()
    }
}

/// How the node sets flags.
pub(super) struct Flags<'a, 'r> {
    init: Option<Init>,
    wishes: &'r [PackageUse],
    /// Installed packages with a flag set and with it not set, by the flag and whether its default is to be set.
    votes: HashMap<(&'a str, bool), (usize, usize)>,
}

impl<'a, 'r> Flags<'a, 'r> {
    pub fn new(installed: &'a [Package], init: Option<Init>, wishes: &'r [PackageUse]) -> Self {
        let mut votes: HashMap<_, (usize, usize)> = HashMap::new();
        for package in installed {
            let enabled = enabled(package);
            for (flag, default) in known(package) {
                let (set, not) = votes.entry((flag, default)).or_default();
                *if enabled.contains(flag) { set } else { not } += 1;
            }
        }
        Self { init, wishes, votes }
    }

    /// How a build is not what the node would make; `installed` is the package of its name that is there.
    pub fn deviation<'p>(&self, package: &'p Package, installed: Option<&Package>) -> Deviation<'p> {
        let wishes: Vec<&PackageUse> =
            (self.wishes.iter().filter(|wish| wish.atom.matches(package))).collect();
        let wished = |flag: &str| {
            let flags = wishes.iter().flat_map(|wish| &wish.flags).rev();
            flags.clone().find(|(name, _)| name == flag).map(|(_, set)| *set)
        };
        let there = installed.map(|installed| (known(installed), enabled(installed)));
        let of_installed = |flag: &str, default: bool| {
            let (known, enabled) = there.as_ref()?;
            (known.get(flag) == Some(&default)).then(|| enabled.contains(flag))
        };
        let enabled = enabled(package);
        let mut deviation = Deviation::default();
        for (flag, default) in known(package) {
            let of_init = self.init.and_then(|init| init.flag(flag));
            let wanted = wished(flag)
                .or_else(|| of_installed(flag, default))
                .or(of_init)
                .unwrap_or_else(|| self.vote(flag, default));
            let set = enabled.contains(flag);
            if set != wanted {
                let list = if of_init.is_some() {
                    &mut deviation.init
                } else {
                    &mut deviation.others
                };
                list.push(Flag(flag, set));
            }
        }
        deviation
    }

    fn vote(&self, flag: &str, default: bool) -> bool {
        match self.votes.get(&(flag, default)) {
            Some((set, not)) if set != not => set > not,
            _ => default,
        }
    }
}

impl Init {
    /// How a flag has to be set that has to do with what starts the node; `None` for any other flag.
    fn flag(self, flag: &str) -> Option<bool> {
        match (self, flag) {
            (Self::Systemd, "systemd") => Some(true),
            (Self::Systemd, "elogind" | "openrc" | "sysvinit") | (Self::OpenRc, "systemd") => Some(false),
            _ => None,
        }
    }
}

/// The flags that a package knows, by name, and whether each is set by default.
fn known(package: &Package) -> BTreeMap<&str, bool> {
    let flags = words(&package.iuse).map(|word| match word.strip_prefix('+') {
        Some(flag) => (flag, true),
        None => (word.strip_prefix('-').unwrap_or(word), false),
    });
    flags.collect()
}

fn enabled(package: &Package) -> HashSet<&str> {
    words(&package.use_flags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(cpv: &str, iuse: &str, enabled: &str) -> Package {
        let values = |key: &str| match key {
            "IUSE" => Some(iuse.to_owned()),
            "USE" => Some(enabled.to_owned()),
            _ => None,
        };
        let (iuse, enabled) = (values("IUSE"), values("USE"));
        Package::from_values(cpv, |key| match key {
            "IUSE" => iuse.as_deref(),
            "USE" => enabled.as_deref(),
            _ => None,
        })
        .unwrap()
    }

    /// How a build deviates from a node with these installed packages.
    fn deviation(node: &[Package], init: Init, wishes: &[&str], build: &Package) -> (String, String) {
        let wishes: Vec<PackageUse> = wishes.iter().map(|line| line.parse().unwrap()).collect();
        let flags = Flags::new(node, Some(init), &wishes);
        let there = node.iter().find(|package| package.cpv.name == build.cpv.name);
        let Deviation { init, others } = flags.deviation(build, there);
        (texts(&init).join(" "), texts(&others).join(" "))
    }

    #[test]
    fn flags_are_set_as_most_packages_of_the_same_default_have_them() {
        let node = [
            package("lib/a-1", "ssl +nls gtk", "ssl nls"),
            package("lib/b-1", "ssl -gtk", "ssl"),
            package("lib/c-1", "+nls ssl", "nls"),
        ];
        let others =
            |iuse, enabled| deviation(&node, Init::Systemd, &[], &package("app/x-1", iuse, enabled)).1;
        // The profile sets ssl; nls is a default, which nothing contradicts; gtk is set nowhere.
        assert_eq!(others("ssl +nls gtk", "ssl nls"), "");
        assert_eq!(others("ssl +nls gtk", "gtk"), "gtk -nls -ssl");
        // Without a vote the default counts. A flag that is not set without being a default says nothing of one that is.
        assert_eq!(others("+new old +gtk", "gtk"), "-new");
        assert_eq!(others("+new old nls", "new old nls"), "nls old");
    }

    #[test]
    fn a_package_that_is_there_says_more_than_all_others() {
        let node = [
            package("lib/a-1", "man", "man"),
            package("lib/b-1", "man", "man"),
            package("app/x-1", "man ssl", "ssl"),
        ];
        let build =
            |iuse, enabled| deviation(&node, Init::Systemd, &[], &package("app/x-2", iuse, enabled)).1;
        assert_eq!(build("man ssl", "ssl"), "");
        assert_eq!(build("man ssl", "man ssl"), "man");
        // Its ebuild has another default now: then the profile sets it, as for all others.
        assert_eq!(build("+man ssl", "man ssl"), "");
        let wish = ["app/x man -ssl", "<app/x-2 -man"];
        let wished = deviation(&node, Init::Systemd, &wish, &package("app/x-2", "man ssl", "man"));
        assert_eq!(wished.1, "");
    }

    #[test]
    fn what_starts_the_node_is_apart() {
        let node = [package("app/odd-1", "systemd", "")];
        let build = |init, enabled| {
            let build = package("app/x-1", "systemd elogind ssl", enabled);
            deviation(&node, init, &[], &build)
        };
        let pair = |init: &str, others: &str| (init.to_owned(), others.to_owned());
        assert_eq!(build(Init::Systemd, "systemd"), pair("", ""));
        assert_eq!(
            build(Init::Systemd, "elogind ssl"),
            pair("elogind -systemd", "ssl")
        );
        assert_eq!(build(Init::OpenRc, "systemd"), pair("systemd", ""));
        assert_eq!(build(Init::OpenRc, "elogind"), pair("", "elogind"));
        // The profile may keep a package from it.
        let odd = deviation(&node, Init::Systemd, &[], &package("app/odd-2", "systemd", ""));
        assert_eq!(odd, pair("", ""));
    }

    #[test]
    fn what_a_package_was_built_with_otherwise_is_told() {
        let node = [
            package("lib/a-1", "ssl systemd gtk", "ssl systemd"),
            package("app/x-1", "man", "man"),
        ];
        let wishes = ["app/x doc".parse().unwrap()];
        let node = NodeUse::new(&node, Some(Init::Systemd), &wishes);
        let built = package("app/x-2", "ssl systemd gtk man doc", "gtk doc");
        assert_eq!(node.deviations(&built), ["gtk", "-man", "-ssl", "-systemd"]);
        assert!(node.deviations(&package("lib/b-1", "ssl gtk", "ssl")).is_empty());
    }

    #[test]
    fn lines_of_package_use_have_an_atom_and_flags() {
        let line: PackageUse = ">=app/x-1 -man ssl".parse().unwrap();
        assert_eq!(line.flags, [("man".to_owned(), false), ("ssl".to_owned(), true)]);
        for wrong in ["", "app/x", "app/x --man", "app/x *", "x man", "app/x man\0"] {
            assert!(wrong.parse::<PackageUse>().is_err(), "{wrong:?}");
        }
    }
}
