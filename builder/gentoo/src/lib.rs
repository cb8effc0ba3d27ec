//! Gentoo's binary packages without Gentoo: what indexes and package files say, which packages a node needs, and what
//! they put into a root file system. Values in, values out: no network, no processes, no clock.
//!
//! | module | owns |
//! |---|---|
//! | `syntax` | characters that names are made of, and the error of what breaks the rules |
//! | `version`, `name`, `use_dependency`, `atom` | versions and their order, names, and what takes a package by them |
//! | [`depend`] | dependency strings |
//! | [`package`] | a package that is built, from keys and values |
//! | [`index`] | `Packages`, the index of a source |
//! | [`installed`] | `/var/db/pkg`, the packages that a tree has |
//! | [`resolve`] | which packages of which source a node needs |

mod atom;
pub mod depend;
pub mod index;
pub mod installed;
mod name;
pub mod package;
pub mod resolve;
mod syntax;
mod use_dependency;
mod version;

pub use atom::{Atom, Blocker, Operator, SlotDependency, SlotOperator};
pub use name::{Cpv, PackageName};
pub use package::Package;
pub use syntax::SyntaxError;
pub use use_dependency::{UseDemand, UseDependency, UseState};
pub use version::Version;
