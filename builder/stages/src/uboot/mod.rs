//! U-Boot: from a source tarball and a board's `[u-boot]` to the program that starts the kernel.
//!
//! ```text
//! tarball --> Kconfig part --> configuration --> compared with the board's fragment --.
//!    |                                                                               |
//!    '------> whole source <---------------------------------------------------------'
//!                   |
//!                   '--> u-boot.bin (the program and its device tree), config
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `source` | the tarball's version and time, and the files that configuring needs |
//! | `build` | configuration and compilation |
//!
//! What it shares with the kernel is in [`kbuild`](crate::kbuild).

mod build;
mod source;

pub use build::{Output, UBootBuild, build, configure};
pub use source::UBootSource;

use engine::Requirement;
use formats::units::Bytes;

use crate::kbuild::make::requirements;

/// Free space that a build needs in the cache's file system: source and objects.
pub const BUILD_SPACE: Bytes = Bytes::gib(1);

/// Programs that building with the cross compiler `prefix` needs: no more than configuring a kernel does, as fragments
/// switch off the tools that OpenSSL, GnuTLS or Python are for.
pub fn programs(prefix: &str) -> Vec<Requirement> {
    requirements(prefix)
}

#[cfg(test)]
mod tests;
