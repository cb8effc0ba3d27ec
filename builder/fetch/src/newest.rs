//! The newest version that can be had. What an index lists need not be there yet: while a mirror is brought up to date, its
//! index may be ahead of its files.

use std::cmp::Reverse;
use std::fs;

use anyhow::{Result, bail};
use engine::Engine;
use formats::units::Bytes;
use model::sources::{Series, version_numbers};

use super::digest::Sha256Sum;
use super::lock::LockedFile;
use super::mirror::Mirrors;
use super::moment::Moment;
use super::presence::{self, Presence};
use super::{Network, is_cached, wanted};

/// The versions of a series that a signed index lists.
#[derive(Debug)]
pub(super) struct Listing {
    /// At least one.
    pub(super) versions: Vec<Listed>,
    /// Primary fingerprint of who signed the index.
    pub(super) signer: String,
    /// Where the index is, relative to a mirror's folder.
    pub(super) index: String,
    /// When it was made.
    pub(super) date: Moment,
}

/// A version in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) version: String,
    /// The tarball's name, a plain one.
    pub(super) file: String,
    /// Where the tarball is, relative to a mirror's folder.
    pub(super) path: String,
    /// The tarball's size; `None` where the index does not say it.
    pub(super) size: Option<Bytes>,
    pub(super) sha256: Sha256Sum,
}

/// The newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) file: LockedFile,
    /// Newer ones that are listed but that no mirror has, newest first.
    pub(super) unserved: Vec<String>,
    /// Why one may doubt that a mirror has `file`.
    pub(super) doubt: Option<String>,
}

impl Listing {
    /// The newest version that the cache has or that not every mirror denies having.
    pub(super) fn newest(
        mut self,
        engine: &Engine,
        series: &Series,
        mirrors: &Mirrors,
        network: &Network,
    ) -> Result<Newest> {
        // Of several tarballs of a version the last one that is listed goes first; one may be listed for several packages.
        self.versions.reverse();
        self.versions
            .sort_by_cached_key(|listed| Reverse(version_numbers(&listed.version)));
        self.versions.dedup_by(|a, b| a.path == b.path);
        let (mut unserved, mut denials) = (Vec::new(), None);
        for listed in &self.versions {
            let file = |size| LockedFile {
                version: listed.version.clone(),
                file: listed.file.clone(),
                path: listed.path.clone(),
                size,
                sha256: listed.sha256,
                signer: self.signer.clone(),
                index: self.index.clone(),
                date: self.date,
            };
            let answer = match listed.cached_size(engine, file) {
                Some(size) => Presence::At(size),
                None => match listed.size {
                    Some(size) => presence::of_file(&listed.path, size, mirrors, network)?.map(|_| size),
                    None => presence::size_of(&listed.path, mirrors, network)?,
                },
            };
            let (size, doubt) = match (answer, listed.size) {
                (Presence::At(size), _) => (size, None),
                (Presence::Gone(answers), _) => {
                    unserved.push(listed.version.clone());
                    denials.get_or_insert(answers);
                    continue;
                }
                (Presence::Unclear(answers), Some(size)) => {
                    let doubt = format!(
                        "no mirror says whether it has {}, the newest that is listed, so that is locked:\n  {answers}",
                        listed.file
                    );
                    (size, Some(doubt))
                }
                (Presence::Unclear(answers), None) => {
                    bail!("no mirror says how long {} is:\n  {answers}", listed.path)
                }
            };
            unserved.retain(|version| *version != listed.version);
            unserved.dedup();
            return Ok(Newest {
                file: file(size),
                unserved,
                doubt,
            });
        }
        unserved.dedup();
        bail!(
            "no mirror has any version of the series {series} that {} lists ({}); asked for the newest:\n  {}\n\
             name another mirror with `--mirror URL`, or try again later: an index may be ahead of the files",
            self.index,
            unserved.join(", "),
            denials.unwrap_or_default()
        )
    }
}

impl Listed {
    /// Its size, if the cache has it; `file` makes it a file of some size.
    fn cached_size(&self, engine: &Engine, file: impl Fn(Bytes) -> LockedFile) -> Option<Bytes> {
        let path = wanted(&file(Bytes(0))).path(engine);
        let size = Bytes(fs::metadata(path).ok()?.len());
        is_cached(engine, &file(self.size.unwrap_or(size))).then_some(size)
    }
}

impl From<LockedFile> for Newest {
    /// A file that was fetched, so that nothing is left to be asked.
    fn from(file: LockedFile) -> Self {
        Self {
            file,
            unserved: Vec::new(),
            doubt: None,
        }
    }
}

/// What to say of newer versions that are listed but not served; `None` where there are none.
pub(super) fn note(unserved: &[String]) -> Option<String> {
    let (are, them) = match unserved {
        [] => return None,
        [_] => ("is", "it"),
        _ => ("are", "them"),
    };
    Some(format!(
        "{} {are} listed, but no mirror has {them} yet",
        unserved.join(", ")
    ))
}
