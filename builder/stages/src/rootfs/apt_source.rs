//! What apt is to make a base from.

use anyhow::{Result, ensure};
use fetch::LockedArchive;

/// Suites, with the releases that are meant. Any mirrors that have them will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// The suite that the base is one of, then those that update it.
    pub suites: Vec<AptSuite>,
    /// `main` and the like, at least one.
    pub components: Vec<String>,
}

/// One suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSuite {
    /// `trixie`.
    pub name: String,
    /// SHA-256 of its `InRelease` in hexadecimal, from the lock: another one is an error.
    pub in_release_sha256: String,
}

impl AptSource {
    /// What is locked.
    pub fn of(locked: &LockedArchive) -> Self {
        let suites = locked.suites().map(|(name, sha256)| AptSuite {
            name: name.to_owned(),
            in_release_sha256: sha256.to_string(),
        });
        Self {
            suites: suites.collect(),
            components: locked.components.clone(),
        }
    }
}

/// Refuses what would be something else than a word of sources.list.
pub(super) fn check_word(word: &str) -> Result<()> {
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !"[]#".contains(c));
    ensure!(
        is_word,
        "`{}` cannot be part of a package source",
        word.escape_debug()
    );
    Ok(())
}
