//! What every stage needs: keys, the cache, logs, progress, external programs, and the check before any work.
//!
//! A stage is a function. It computes a [`Key`] over everything that can change its output and asks the
//! [`Cache`] for that key; only where the cache has nothing does its work run, in a temporary folder that is renamed
//! when it is complete.
//!
//! | module | owns |
//! |---|---|
//! | `key` | everything that can change an output, as one value |
//! | `cache`, `entry` | outputs by their keys, and the sums that they are held against |
//! | [`tarball`] | tarballs as layers, kept in the cache |
//! | `tool` | external programs |
//! | `ending` | how they end when this one is told to, or is gone |
//! | [`sandbox`] | programs of a root file system that is entered |
//! | `preflight`, `binfmt` | what a build needs of this machine, asked before any work |
//! | `log`, `progress` | what a stage says |
//! | `failure` | what is not what its hash or signature says |

mod binfmt;
mod cache;
mod ending;
mod entry;
mod failure;
mod key;
mod log;
mod preflight;
mod progress;
pub mod sandbox;
pub mod tarball;
mod tool;

pub use binfmt::check_arm64;
pub use cache::Cache;
pub use ending::{beside, end_programs_first, ended_by};
pub use entry::Entry;
pub use failure::{VerificationFailed, failure, is_verification_failure};
pub use key::{Key, KeyBuilder};
pub use log::Log;
pub use preflight::{Preflight, Requirement, cache_folder};
pub use progress::{Progress, Task, Verbosity};
pub use tool::{Tool, end_with_us, find_program};

use std::path::PathBuf;

use anyhow::Result;

/// Where stages work and report. Shared by all threads.
#[derive(Debug)]
pub struct Engine {
    /// Finished outputs by key.
    pub cache: Cache,
    /// Folder of the logs, one a stage.
    pub logs: PathBuf,
    /// Bars on a terminal, lines elsewhere.
    pub progress: Progress,
    /// Threads or processes that a stage may use at once; at least one.
    pub jobs: usize,
}

impl Engine {
    /// A fresh log for `stage`; the one of an earlier run is replaced.
    pub fn log(&self, stage: &str) -> Result<Log> {
        Log::create(&self.logs.join(format!("{stage}.log")))
    }
}
