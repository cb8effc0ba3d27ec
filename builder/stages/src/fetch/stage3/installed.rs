//! What a stage3 has installed already.

use anyhow::{Context, Result};
use gentoo::Package;
use gentoo::installed::{DATABASE, in_layer};

use crate::engine::Engine;
use crate::rootfs::{Tarball, layer_of};

/// The packages that a stage3 has installed, by name and version. Its layer is made for it if the cache does not have it yet;
/// cards that store the base at zstd level `zstd` are made of the same one.
pub fn installed(engine: &Engine, stage3: &Tarball, zstd: u8) -> Result<Vec<Package>> {
    let (layer, _) = layer_of(engine, stage3, zstd)?;
    let name = stage3.path.file_name().unwrap_or_default().to_string_lossy();
    let packages = in_layer(&layer).with_context(|| format!("cannot read what {name} has installed"))?;
    if packages.is_empty() {
        anyhow::bail!("{name} is no stage3: there is no installed package in its /{DATABASE}");
    }
    Ok(packages)
}
