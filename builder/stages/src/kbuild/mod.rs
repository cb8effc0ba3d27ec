//! What the kernel and U-Boot have in common: a source tarball, a configuration by Kconfig, a build by Kbuild.
//!
//! | module | owns |
//! |---|---|
//! | [`source`] | the tarball: its Makefile, safe unpacking |
//! | [`make`] | the toolchain, and what keeps a build the same elsewhere |
//! | [`kconfig`] | a reader of Kconfig files, for explanations |
//! | `dotconfig` | a finished `.config` |
//! | `compare` | asked for and got, and why they differ |
//! | [`configure`](mod@configure) | the configuration |
//! | [`steps`] | progress, told from what make prints |

mod compare;
pub mod configure;
mod dotconfig;
pub mod kconfig;
pub mod make;
pub mod source;
pub mod steps;

/// What is configured, as errors call it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// With its version: `linux 6.12.107`.
    pub name: String,
    /// What the requests are lines of: `the kernel's fragments`.
    pub asked_in: String,
    /// What helps when lines do not survive, as the end of an error.
    pub advice: &'static str,
}
