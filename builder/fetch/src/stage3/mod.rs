//! A Gentoo base: a stage3, and the binary packages over it that the overlays need.
//!
//! | module | owns |
//! |---|---|
//! | `tarball` | the newest tarball, verified |
//! | `files` | what of a locked base a build asks for |
//! | `index` | what each source of packages offers |
//! | `packages` | which packages over the stage3, fetched and verified |
//! | `package` | one package: its file, where it is kept, whether it is what its index says |
//! | `compile` | what no source has, compiled |
//! | `signer` | who has to have signed the packages of a source |
//! | `installed` | what the stage3 has installed |

mod compile;
mod files;
mod index;
mod installed;
mod package;
mod packages;
mod signer;
mod tarball;

use anyhow::{Context, Result};
use model::sources::Stage3;

pub use files::Stage3Files;
use packages::Resolved;
pub(super) use packages::presence_of_packages;
pub use tarball::Stage3Tarball;

use super::errand::Errand;
use super::lock::{LockedCompile, LockedDistfile, LockedPackage, LockedPackageSource, LockedStage3};
use super::needs::BaseNeeds;
use super::past::Past;

/// Whether this machine can do what resolving `source` takes, which is told before anything is fetched: where a source is
/// compiled, some of its packages are, unless `old`, what was locked, needed none.
pub(super) fn check_host(source: &Stage3, needs: &BaseNeeds, old: Option<&LockedStage3>) -> Result<()> {
    let needed_none = old.is_some_and(|old| old.compiled.is_none());
    if source.compiled().is_none() || needs.packages.is_empty() || needed_none {
        return Ok(());
    }
    compile::check_host()
}

/// The newest stage3, and the packages that `needs` asks for over it.
pub(super) fn resolve(
    errand: &Errand,
    source: &Stage3,
    needs: &BaseNeeds,
    past: &Past,
) -> Result<LockedStage3> {
    let tarball = tarball::resolve(errand, source, past)?;
    let stage3 = Stage3Tarball {
        errand,
        source,
        locked: &tarball,
    };
    let Resolved {
        sources,
        packages,
        compiled,
    } = packages::resolve(needs, &stage3, past).context("cannot resolve the packages")?;
    Ok(LockedStage3 {
        world: needs.packages.clone(),
        tarball,
        sources,
        packages,
        compiled,
    })
}
