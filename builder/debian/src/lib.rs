//! Debian's packages as values: control files, what dpkg has installed, the order of versions.
//!
//! | module | owns |
//! |---|---|
//! | [`deb822`] | control files |
//! | [`dpkg`] | what dpkg says is installed in a base |
//! | [`version`] | the order of versions |

pub mod deb822;
pub mod dpkg;
pub mod version;
