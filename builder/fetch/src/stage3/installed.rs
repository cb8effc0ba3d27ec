//! What a stage3 has installed already.

use anyhow::{Context, Result};
use engine::tarball::{CachedLayer, verify_blob};
use gentoo::Package;
use gentoo::installed::{DATABASE, in_layer};

use super::Stage3Tarball;

/// The packages that a stage3 has installed, by name and version. Its layer is made for it if the cache does not have it yet;
/// cards that store the base at zstd level `zstd` are made of the same one.
pub(super) fn installed(stage3: &Stage3Tarball, zstd: u8) -> Result<Vec<Package>> {
    let CachedLayer { layer, entry, .. } = stage3.layer(stage3.errand.engine, zstd)?;
    verify_blob(&entry)?;
    let name = stage3.name();
    let packages = in_layer(&layer).with_context(|| format!("cannot read what {name} has installed"))?;
    if packages.is_empty() {
        anyhow::bail!("{name} is no stage3: there is no installed package in its /{DATABASE}");
    }
    Ok(packages)
}
