//! The lowest layers of every role: a root file system that the overlays are laid over.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anyhow::Result;
use engine::tarball::{CachedLayer, Tarball, layer_of};
use engine::{Engine, Entry, Key};
use formats::layer::Layer;
use formats::manifest::Installed;
use model::sources::Platform;

/// Packages that somebody asks for, as the base's distribution names them.
pub type PackageSet = BTreeSet<String>;

/// A base root file system.
pub trait Base: Debug + Sync {
    /// Its layers with the packages of each of `sets`, in their order, files stored at zstd level `zstd`; made now if the cache does
    /// not have them. What two of them have in common is one layer.
    fn layers(&self, engine: &Engine, zstd: u8, sets: &[&PackageSet]) -> Result<Vec<BaseLayers>>;

    /// What overlays have to know of it.
    fn platform(&self) -> Platform;
}

/// The layers of a base.
#[derive(Debug, Clone)]
pub struct BaseLayers {
    /// First to last, to be stacked in this order. At least one.
    pub layers: Vec<Layer>,
    /// The outputs of the cache that have their blobs, which are verified before anything of them is written.
    pub entries: Vec<Entry>,
    /// Identifies all of them.
    pub key: Key,
    /// What became of packages that were installed over the lowest, where any were.
    pub installed: Option<Installed>,
    /// Category, name and version of each of these packages.
    pub packages: BTreeSet<String>,
}

/// A tarball made of Debian packages, which has what anybody asks for.
impl Base for Tarball {
    fn layers(&self, engine: &Engine, zstd: u8, sets: &[&PackageSet]) -> Result<Vec<BaseLayers>> {
        let CachedLayer { layer, key, entry } = layer_of(engine, self, zstd)?;
        let layers = BaseLayers {
            layers: vec![layer],
            entries: vec![entry],
            key,
            installed: None,
            packages: BTreeSet::new(),
        };
        Ok(vec![layers; sets.len()])
    }

    fn platform(&self) -> Platform {
        Platform::DEBIAN
    }
}
