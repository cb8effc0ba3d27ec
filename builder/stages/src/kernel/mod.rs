//! The kernel: from a source tarball and `kernel/` to what a card needs of it.
//!
//! ```text
//! tarball --> Kconfig part --> configuration --> compared, line by line --.
//!    |                                                                     |
//!    '------> whole source, patched <--------------------------------------'
//!                   |
//!                   '--> Image, board dtb, modules.tar, config, release, System.map
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `source` | the tarball's version, and the files that configuring needs |
//! | `patch` | patches |
//! | `make` | the variables that every call of make gets |
//! | `configure` | the configuration |
//! | `device_tree` | boards' device trees: put into the source, and what comes of them checked |
//! | `build` | the compilation |
//! | `modules` | the tarball of the modules |
//!
//! What it shares with U-Boot is in [`kbuild`](crate::kbuild).

mod build;
mod configure;
mod device_tree;
mod make;
mod modules;
mod patch;
mod source;

pub use build::{MODULES, Output, build};
pub use configure::configure;
pub use device_tree::DeviceTreeSource;
pub use source::KernelSource;

use engine::Requirement;
use formats::units::Bytes;
use model::kernel::Kernel;

use crate::kbuild::make::requirements;

/// Free space that a build needs in the cache's file system: source and objects.
pub const BUILD_SPACE: Bytes = Bytes::gib(4);

/// Programs that configuring needs.
pub fn programs_to_configure(kernel: &Kernel) -> Vec<Requirement> {
    let mut programs = requirements(&kernel.cross_compile);
    if !kernel.patches.is_empty() {
        programs.push(Requirement::new("patch", "patch", "applies the kernel's patches"));
    }
    programs
}

/// Programs that [`build`] needs.
pub fn programs(kernel: &Kernel) -> Vec<Requirement> {
    let mut programs = programs_to_configure(kernel);
    programs.extend([
        Requirement::new("bc", "bc", "computes the kernel's time constants"),
        Requirement::new("perl", "perl", "writes the kernel's assembler for ciphers"),
        Requirement::new(
            build::DEPMOD,
            "kmod",
            "lists what each module of the kernel depends on",
        ),
    ]);
    programs
}

#[cfg(test)]
mod tests;
