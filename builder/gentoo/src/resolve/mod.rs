//! Which packages a node needs besides those that are installed, and from where.
//!
//! ```text
//! requested atoms --> goals --> choices --> upkeep: what is installed keeps working --> order of installation
//!                       ^          |           |
//!                       '----------'<----------'      a choice has needs of its own; one that cannot be met is undone
//! ```
//!
//! What decides, in this order: an installed package that meets the need; the highest version of all sources; of equal
//! versions one that is not built against what starts the node; then the one of the earlier source; of one source's builds
//! the one whose USE flags are nearest to the node's (`builds`), then the one that brings the fewest packages, then the
//! newest, then the one with the highest `BUILD_ID`.
//! Of `|| ( )` a branch that is met already, then one whose packages are installed in another version, then the first
//! whose packages there are.
//!
//! `RDEPEND`, `PDEPEND` and `IDEPEND` are followed. emerge looks for the last of them on the machine that it runs on; that
//! is the node itself as soon as it has started, and `emerge --depclean` there would miss what is not installed.
//! Keywords are not looked at: whoever names a source wants what it has.
//!
//! A dead end undoes the last choice that has to do with it, not merely the last one. There is no clock and no
//! randomness: the same input gives the same result, or the same error after [`MAX_STEPS`].
//!
//! | module | owns |
//! |---|---|
//! | `pool` | all packages, by name and slot |
//! | `pool::preference` | which of a name is tried first |
//! | `builds` | how the node sets USE flags, and how a build does |
//! | `state` | what is chosen so far, and what it takes to undo it |
//! | `choices` | how a goal can be reached, and what stands against the rest |
//! | `search` | one choice after the other, and back |
//! | `upkeep` | what the choices break: installed packages, blockers, libraries |
//! | `explain` | why there is no solution |
//! | `order` | what is installed before what |

mod builds;
mod choices;
mod explain;
mod order;
mod pool;
mod search;
mod state;
mod upkeep;

use thiserror::Error;

pub use builds::{NodeUse, PackageUse, PassedOver, Why};
pub use explain::Failure;

use crate::atom::Atom;
use crate::name::Cpv;
use crate::package::{NeedsError, Package};

/// Most choices that are tried. 300 packages take some 500.
pub const MAX_STEPS: usize = 50_000;

/// Packages to choose from. Of several sources the earlier one is preferred.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// What it has.
    pub packages: &'a [Package],
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The packages, in order of preference where two do not go together.
    pub atoms: &'a [Atom],
    /// What must not be installed. Packages that are installed already stay.
    pub masks: &'a [Mask],
    /// What packages have to be built for; none for anything.
    pub chost: Option<&'a str>,
    /// What starts the node, and so how some USE flags have to be set; none for anything.
    pub init: Option<Init>,
    /// How USE flags have to be set whatever the stage3 says. Of several lines for a flag the last one counts.
    pub package_use: &'a [PackageUse],
}

/// Packages that must not be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Which.
    pub atom: Atom,
    /// Why, for messages: "you mask them", say.
    pub reason: String,
}

/// What starts a node, and so which packages belong to another way to start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC with sysvinit.
    OpenRc,
}

impl Init {
    /// The packages that would bring the other one.
    pub fn masks(self) -> Result<Vec<Mask>, crate::SyntaxError> {
        let (names, reason): (&[&str], _) = match self {
            Self::Systemd => (
                &["sys-apps/openrc", "sys-apps/sysvinit", "net-misc/netifrc"],
                "nodes start with systemd",
            ),
            Self::OpenRc => (&["sys-apps/systemd"], "nodes start with OpenRC"),
        };
        let mask = |name: &&str| {
            Ok(Mask {
                atom: name.parse()?,
                reason: reason.to_owned(),
            })
        };
        names.iter().map(mask).collect()
    }
}

/// What has to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// In an order in which each comes after what it needs, except within a cycle.
    pub chosen: Vec<Chosen<'a>>,
    /// Requested packages that are installed already and stay, in the order of the request.
    pub kept: Vec<&'a Package>,
}

/// A package to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// Its source, by position.
    pub source: usize,
    /// The package with its place, size and sums.
    pub package: &'a Package,
    /// Whether an atom of the request asked for it.
    pub requested: bool,
    /// The installed package that goes away for it: the one in its slot.
    pub replaces: Option<&'a Package>,
    /// Other builds of this version that there are, and why this one is taken.
    pub passed_over: Vec<PassedOver<'a>>,
}

/// Why there is no solution.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// A need that cannot be met.
    #[error("{0}")]
    Unsatisfied(Box<Failure>),
    /// What is requested depends on a package that is not there.
    #[error(
        "`{atom}` is requested with a condition on the USE flags of a package around it, and there is none"
    )]
    Conditional {
        /// As it was requested.
        atom: Box<Atom>,
    },
    /// What is requested is that something is not there.
    #[error("`{atom}` is a blocker: it asks for no package; mask what you do not want")]
    Blocker {
        /// As it was requested.
        atom: Box<Atom>,
    },
    /// An installed package cannot be understood.
    #[error("the installed {cpv} cannot be kept working: {fault}")]
    Installed {
        /// The package.
        cpv: Box<Cpv>,
        /// Why not.
        fault: NeedsError,
    },
    /// Too many choices, none of them a solution.
    #[error("no solution after {MAX_STEPS} choices; the first obstacle: {0}")]
    Steps(Box<Failure>),
}

/// The packages of `sources` that have to be installed over those that are, so that all atoms of the request are met and
/// all that was installed goes on working.
pub fn resolve<'a>(
    installed: &'a [Package],
    sources: &[Source<'a>],
    request: &Request<'_>,
) -> Result<Resolution<'a>, ResolveError> {
    for atom in request.atoms {
        let atom = || Box::new(atom.clone());
        if atom().blocker.is_some() {
            return Err(ResolveError::Blocker { atom: atom() });
        }
        let mut conditions = atom().use_dependencies.into_iter();
        if !conditions.all(|dependency| dependency.is_unconditional()) {
            return Err(ResolveError::Conditional { atom: atom() });
        }
    }
    let pool = pool::Pool::new(installed, sources, request);
    for id in pool.all_installed() {
        if let Err(fault) = pool.needs(id) {
            return Err(ResolveError::Installed {
                cpv: Box::new(pool.package(id).cpv.clone()),
                fault: fault.clone(),
            });
        }
    }
    let wanted: Vec<_> = request
        .atoms
        .iter()
        .cloned()
        .map(crate::depend::Need::Atom)
        .collect();
    let state = search::Search::new(&pool, &wanted).run()?;
    Ok(order::resolution(&state, request.atoms))
}
