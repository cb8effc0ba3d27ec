//! What of a locked set is gone: not in the cache, and every mirror says that it does not have it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use engine::Engine;
use model::sources::{BaseSource, SourceSet};

use super::errand::Errand;
use super::lock::{LockedBase, LockedFile, LockedSet};
use super::mirror::Mirrors;
use super::presence::{self, Presence};
use super::stage3;
use super::{Network, is_cached};

/// The parts of a locked set that stay as they are locked; `None` is one to be resolved.
#[derive(Debug, Default)]
pub(super) struct Kept<'a> {
    pub(super) kernel: Option<&'a LockedFile>,
    pub(super) u_boot: Option<&'a LockedFile>,
    pub(super) base: Option<&'a LockedBase>,
    /// Why one may doubt that a part which stays can still be had.
    pub(super) doubts: Vec<String>,
}

impl<'a> Kept<'a> {
    /// The parts of `locked` that are not gone.
    pub(super) fn of(
        engine: &Engine,
        root: &Path,
        set: &SourceSet,
        locked: &'a LockedSet,
        mirror: Option<&str>,
        network: &Network,
    ) -> Result<Self> {
        // Where no mirror answers the lock stays as it is, so there is nothing to be patient for.
        let mut hasty = network.clone();
        hasty.limits.connect = hasty.limits.connect.min(Duration::from_secs(5));
        hasty.limits.tries = 1;
        let mut inquiry = Inquiry {
            errand: Errand {
                engine,
                root,
                own: mirror,
                network: &hasty,
                now: SystemTime::now(),
            },
            doubts: Vec::new(),
        };
        let base = inquiry.stays_base(&set.base, &locked.base)?;
        let kernel = Mirrors::of(&set.kernel, mirror)?;
        let u_boot = Mirrors::of(&set.u_boot, mirror)?;
        Ok(Self {
            base: base.then_some(&locked.base),
            kernel: inquiry
                .stays_file("kernel", &locked.kernel, &kernel)
                .then_some(&locked.kernel),
            u_boot: inquiry
                .stays_file("U-Boot", &locked.u_boot, &u_boot)
                .then_some(&locked.u_boot),
            doubts: inquiry.doubts,
        })
    }
}

/// Asks for one part after the other.
struct Inquiry<'a> {
    errand: Errand<'a>,
    doubts: Vec<String>,
}

impl Inquiry<'_> {
    fn stays_base(&mut self, source: &BaseSource, locked: &LockedBase) -> Result<bool> {
        let mirrors = Mirrors::of_base(source, self.errand.own)?;
        Ok(match locked {
            LockedBase::Archive(archive) => {
                let answer = presence::of_archive(archive, &mirrors, self.errand.network);
                self.stays("base", answer)
            }
            // Its packages were chosen for the tarball, so both stay or neither does.
            LockedBase::Stage3(locked) => {
                let tarball = self.stays_file("base", &locked.tarball, &mirrors);
                match source {
                    BaseSource::Stage3(source) if tarball => {
                        let answer = stage3::presence_of_packages(&self.errand, source, locked);
                        self.stays("packages", answer)
                    }
                    _ => tarball,
                }
            }
        })
    }

    /// A file of the cache is not asked for.
    fn stays_file(&mut self, part: &str, file: &LockedFile, mirrors: &Mirrors) -> bool {
        is_cached(self.errand.engine, file) || {
            let answer = presence::of_file(&file.path, file.size, mirrors, self.errand.network);
            self.stays(part, answer)
        }
    }

    fn stays(&mut self, part: &str, answer: Result<Presence>) -> bool {
        let trouble = match answer {
            Ok(Presence::At(_)) => return true,
            Ok(Presence::Gone(_)) => return false,
            Ok(Presence::Unclear(answers)) => answers,
            // A machine without any mirror can still have everything in its cache.
            Err(error) => format!("{error:#}"),
        };
        self.doubts.push(format!(
            "no mirror says whether it still has the locked {part}, so that stays locked:\n  {trouble}"
        ));
        true
    }
}
