//! On whose behalf something is resolved or fetched.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use engine::Engine;
use model::sources::Signer;

use super::keyring::Keyring;
use super::keys::{KeySearch, Search};
use super::mirror::Mirrors;
use super::{Mode, Network};

/// On whose behalf something is resolved or fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) engine: &'a Engine,
    /// The project's folder.
    pub(super) root: &'a Path,
    /// The mirror that the user named.
    pub(super) own: Option<&'a str>,
    pub(super) network: &'a Network,
    pub(super) now: SystemTime,
}

impl Errand<'_> {
    /// Folders of upstream's, those of the user's own mirror first.
    pub(super) fn upstream(&self, folders: &[String]) -> Result<Mirrors> {
        Mirrors::upstream(self.own, folders)
    }

    /// The keyring of `signer`. Pinned keys that it lacks, or that have expired in it, are looked for first.
    pub(super) fn keyring(&self, signer: &Signer) -> Result<Keyring> {
        if self.network.mode == Mode::Online {
            let search = KeySearch::new(self.root, self.own, self.network, self.now);
            let (mut alive, mut failures) = (0, Vec::new());
            for key in search.keys(signer, Search::Needed) {
                match key {
                    Ok(key) => {
                        alive += 1;
                        if key.from.is_some() {
                            self.engine.progress.say(format!("fetched a key: {key}"));
                        }
                    }
                    Err(error) => failures.push(error),
                }
            }
            // Of several, one is enough to sign.
            if let (0, Some(error)) = (alive, failures.into_iter().next()) {
                return Err(error);
            }
        }
        Keyring::load(self.root, signer)
    }
}
