//! Sources: resolved into `sources.lock` by [`update()`], fetched by [`obtain`], used only after their hash is verified.
//!
//! | module | owns |
//! |---|---|
//! | `lock` | `sources.lock` |
//! | `mirror` | which servers are asked |
//! | `apt` | the mirrors and proxies that this machine's apt is configured for |
//! | `folder` | a folder of this machine as a mirror |
//! | `http`, `trouble` | requests with limits, troubles in words |
//! | `download` | files of known hash, into the cache, resumed after a cut |
//! | `part` | the beginning of a file, held by one process |
//! | `openpgp` | which signatures count |
//! | `certificate` | what of a certificate counts, how it stands |
//! | `keyring` | files of certificates |
//! | `keys`, `keyplace` | keys that are looked for, and where |
//! | `index` | signed indexes, from the first mirror that has a valid one |
//! | `debian`, `kernel_org`, `release` | what each kind of origin signs and lists |
//! | `inrelease` | the signed index of a suite of Debian's |
//! | `past` | indexes and versions that are older than what is locked |
//! | `newest` | the newest version that is listed and can be had |
//! | `stage3` | a stage3 and the binary packages over it |
//! | `presence` | whether mirrors have something |
//! | `gathering` | all files of a locked set, with their places on a mirror |
//! | `pinned` | one of them |
//! | `gone` | what of a locked set is gone |
//! | `update` | all of a set, old against new |
//! | `errand`, `needs` | on whose behalf something is resolved, and what is asked of a base |
//! | `digest`, `moment` | digests and dates as values |
//! | `side_by_side` | many small files at the same time |

mod apt;
mod certificate;
mod debian;
mod digest;
mod download;
mod errand;
mod folder;
mod gathering;
mod gone;
mod http;
mod index;
mod inrelease;
mod kernel_org;
mod keyplace;
mod keyring;
mod keys;
mod lock;
mod mirror;
mod moment;
mod needs;
mod newest;
mod openpgp;
mod part;
mod past;
mod pinned;
mod presence;
mod release;
mod side_by_side;
mod stage3;
mod trouble;
mod update;

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use engine::Engine;

pub use debian::check_base;
pub use digest::{Sha1Sum, Sha256Sum};
pub use gathering::Gathering;
pub use http::Limits;
pub use keyring::Keyring;
pub use keys::{Key, KeySearch, Search};
pub use lock::{
    LOCK, Lock, LockedArchive, LockedBase, LockedCompile, LockedDistfile, LockedFile, LockedPackage,
    LockedPackageSource, LockedSet, LockedStage3, LockedSuite,
};
pub use mirror::shown as shown_url;
pub use mirror::{Mirrors, Route};
pub use moment::Moment;
pub use needs::BaseNeeds;
pub use openpgp::{SignatureError, Signed};
pub use past::Downgrade;
pub use pinned::Pinned;
pub use stage3::{Stage3Files, Stage3Tarball};
pub use update::{
    Change, Extent, PackageChange, Update, UpdateOptions, kernel_of_series, locked_set, update,
};

use model::sources::Blob;

/// Whether anything may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is not in the cache is fetched.
    Online,
    /// What is not in the cache is an error.
    Offline,
}

/// How the network is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Whether it is.
    pub mode: Mode,
    /// How patiently.
    pub limits: Limits,
}

impl Network {
    /// The network with the usual patience.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            limits: Limits::default(),
        }
    }
}

/// A locked file: its path in the cache, where it is found, or fetched from the first of `mirrors` that has it. Size and
/// SHA-256 were checked in this call, also of one that was in the cache.
pub fn obtain(engine: &Engine, file: &LockedFile, mirrors: &Mirrors, network: &Network) -> Result<PathBuf> {
    download::fetch(engine, &wanted(file), mirrors, network)
}

/// Whether the cache has a locked file, as it must be.
fn is_cached(engine: &Engine, file: &LockedFile) -> bool {
    download::is_cached(engine, &wanted(file))
}

fn wanted(file: &LockedFile) -> download::Wanted {
    download::Wanted {
        name: file.file.clone(),
        paths: vec![file.path.clone()],
        size: file.size,
        sums: vec![digest::Sum::Sha256(file.sha256)],
        store: download::Store::Sources,
        if_gone: download::OLD_VERSION,
    }
}

/// A document that nobody signs: who serves it is known by its certificate alone. At most `limit` bytes.
pub fn document(url: &str, limit: u64, network: &Network) -> Result<Vec<u8>> {
    if network.mode == Mode::Offline {
        bail!("{url} may not be fetched with `--offline`");
    }
    let http = http::Http::new(&Route::default(), &network.limits)?;
    http.document(url, limit)
        .map_err(|trouble| anyhow!("{url}: {}", trouble.into_text()))
}

/// A file that is not ours to pass on: fetched and checked like [`obtain`], but kept apart, so that no cache which is
/// published has it. Whether the user accepts its licence is for the caller to know.
pub fn obtain_blob(
    engine: &Engine,
    name: &str,
    blob: &Blob,
    mirrors: &Mirrors,
    network: &Network,
) -> Result<PathBuf> {
    let wanted = download::Wanted {
        name: name.to_owned(),
        paths: vec![name.to_owned()],
        size: blob.size,
        sums: vec![digest::Sum::Sha256(blob.sha256.into())],
        store: download::Store::Blobs,
        if_gone: "`portadc build --blob-dir DIR` takes it from a folder that has it",
    };
    download::fetch(engine, &wanted, mirrors, network)
}
