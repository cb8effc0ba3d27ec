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
//! | `source` | the tarball: version, safe unpacking |
//! | `patch` | patches |
//! | `make` | the variables that every call of make gets |
//! | [`kconfig`] | a reader of Kconfig files, for explanations |
//! | `dotconfig` | a finished `.config` |
//! | `compare` | asked for and got, and why they differ |
//! | `configure` | the configuration |
//! | `build` | the compilation |
//! | `modules` | the tarball of the modules |

mod build;
mod compare;
mod configure;
mod dotconfig;
pub mod kconfig;
mod make;
mod modules;
mod patch;
mod source;

pub use build::{DeviceTreeSource, Output, build};
pub use configure::{Configured, configure};
pub use source::KernelSource;

use formats::units::Bytes;
use model::kernel::Kernel;

use crate::engine::Requirement;

/// Free space that a build needs in the cache's file system: source and objects.
pub const BUILD_SPACE: Bytes = Bytes::gib(4);

/// Programs that configuring needs. What every Debian system has (sed, awk, grep, sh) is not listed.
pub fn programs_to_configure(kernel: &Kernel) -> Vec<Requirement> {
    let purpose = "configures the kernel";
    let prefix = &kernel.cross_compile;
    let package = make::compiler_package();
    let mut programs = vec![
        Requirement::new("make", "make", "runs the kernel's build"),
        Requirement::new("gcc", "gcc", "compiles the kernel's own build programs"),
        Requirement::new("flex", "flex", purpose),
        Requirement::new("bison", "bison", purpose),
        Requirement::new(&format!("{prefix}gcc"), package, "compiles the kernel"),
        Requirement::new(
            &format!("{prefix}ld"),
            "binutils-aarch64-linux-gnu",
            "links the kernel",
        ),
    ];
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
