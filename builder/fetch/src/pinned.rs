//! A file that a lock pins, and its place on a mirror.

use std::path::PathBuf;

use anyhow::{Context, Result};
use formats::units::Bytes;

use super::digest::Sha256Sum;
use super::mirror::below_host;

/// A file that is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Where a mirror has it, relative to its folder.
    pub path: String,
    /// Where it is on this machine.
    pub file: PathBuf,
    /// Its size.
    pub size: Bytes,
    /// Its SHA-256, which was checked when this was made.
    pub sha256: Sha256Sum,
}

/// What is below the host in the URL of the first of these folders: there a mirror of the user's own has its files.
pub(super) fn below_first(folders: &[String]) -> Result<String> {
    let first = folders.first().context("a source has no folder on a server")?;
    Ok(below_host(first).to_owned())
}
