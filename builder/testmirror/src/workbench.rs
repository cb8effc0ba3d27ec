//! What the tests stand on: an engine with an empty cache, short patience, and errors as text.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Cache, Engine, Progress, Verbosity};
use fetch::{Limits, LockedFile, Mode, Moment, Network, Sha256Sum};
use formats::units::Bytes;
use tempfile::TempDir;

/// An engine with its own cache.
pub struct Workbench {
    /// The folder of a project; the cache is in it.
    pub folder: TempDir,
    /// The engine.
    pub engine: Engine,
    /// How the network is used: see [`impatient`].
    pub network: Network,
}

impl Workbench {
    /// One with an empty cache.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder.path().join("cache"));
        Self {
            folder,
            engine,
            network: impatient(),
        }
    }

    /// The folder in which the cache keeps a locked file.
    pub fn folder_of(&self, file: &LockedFile) -> PathBuf {
        let sources = self.engine.cache.root().join("sources");
        sources.join(file.sha256.to_string())
    }

    /// Every file below the cache's `sources`, relative to it.
    pub fn cached(&self) -> Vec<PathBuf> {
        files(&self.engine.cache.root().join("sources"))
    }
}

/// An engine with its cache in `cache`.
pub fn engine(cache: &Path) -> Engine {
    Engine {
        cache: Cache::open(cache).unwrap(),
        logs: cache.join("logs"),
        progress: Progress::new(Verbosity::Quiet),
        jobs: 1,
    }
}

/// The network with patience for a test.
pub fn impatient() -> Network {
    Network {
        mode: Mode::Online,
        limits: Limits {
            connect: Duration::from_millis(500),
            stall: Duration::from_millis(300),
            trickle: 64,
            redirects: 3,
            tries: 3,
            pause: Duration::from_millis(1),
        },
    }
}

/// No network.
pub fn offline() -> Network {
    Network::new(Mode::Offline)
}

/// All files below a folder, relative to it, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Bytes that differ everywhere, so that a wrong offset shows.
pub fn content(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// A locked file with this content.
pub fn locked(bytes: &[u8]) -> LockedFile {
    LockedFile {
        version: "1.2".into(),
        file: "thing_1.2.orig.tar.xz".into(),
        path: "pool/thing_1.2.orig.tar.xz".into(),
        size: Bytes(bytes.len() as u64),
        sha256: Sha256Sum::of(bytes),
        signer: "0".repeat(40),
        index: "dists/trixie/InRelease".into(),
        date: Moment(0),
    }
}

/// An error as a user sees it.
pub fn text<T: std::fmt::Debug>(result: anyhow::Result<T>) -> String {
    format!("{:#}", result.unwrap_err())
}
