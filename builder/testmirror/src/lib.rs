//! Mirrors in miniature for tests, with keys that sign what is on them; never shipped.
//!
//! | module | owns |
//! |---|---|
//! | [`keys`] | keys made on the spot, and documents signed with them |
//! | [`workbench`] | an engine with an empty cache, short patience, and errors as text |
//! | [`miniature`] | a Debian mirror, and a project whose sources are on it |
//! | [`gentoo_mirror`] | a mirror of stage3s, packages, and upstream sources |
//! | [`gentoo_project`] | projects whose base is Gentoo's |

#![allow(
    clippy::unwrap_used,
    reason = "what cannot be made fails the test that wants it"
)]
#![allow(
    clippy::new_without_default,
    reason = "each new one has keys and folders of its own"
)]

pub mod gentoo_mirror;
pub mod gentoo_project;
pub mod keys;
pub mod miniature;
pub mod workbench;
