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
//! | [`repository`] | what an ebuild repository says of the files that its ebuilds are compiled from |
//! | [`emerge`] | what emerge prints |
//! | [`binary`] | a package file, verified: metadata in memory, image as a stream |
//! | [`contents`] | `CONTENTS`: what an installed package has put where |
//! | `filters` | what of stage3 and packages a node need not carry |
//! | [`install`] | packages merged over a stage3, as one layer over it |

mod atom;
pub mod binary;
pub mod contents;
pub mod depend;
pub mod emerge;
mod filters;
pub mod index;
pub mod install;
pub mod installed;
mod name;
pub mod package;
pub mod repository;
pub mod resolve;
mod syntax;
mod use_dependency;
mod version;

pub use atom::{Atom, Blocker, Operator, SlotDependency, SlotOperator};
pub use filters::{Filters, PackageManager, PatternError};
pub use name::{Cpv, PackageName};
pub use package::Package;
pub use syntax::SyntaxError;
pub use use_dependency::{UseDemand, UseDependency, UseState};
pub use version::Version;
