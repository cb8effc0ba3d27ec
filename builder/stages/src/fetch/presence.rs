//! Whether mirrors still have what is locked. That one cannot be reached does not mean that what it has is gone.

use anyhow::Result;
use formats::units::Bytes;

use super::Network;
use super::debian::{INRELEASE_LIMIT, inrelease};
use super::digest::Sha256Sum;
use super::http::{Http, Trouble};
use super::lock::LockedArchive;
use super::mirror::{Mirrors, shown};

/// What the mirrors of something locked say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    /// This one has it.
    At(String),
    /// None has it any more: each one's answer, a line each.
    Gone(String),
    /// None has it, as far as they could be asked: each one's answer or trouble, a line each.
    Unclear(String),
}

/// Asks for a file of the locked size; `path` is relative to a mirror's folder.
pub(super) fn of_file(path: &str, size: Bytes, mirrors: &Mirrors, network: &Network) -> Result<Presence> {
    ask(mirrors, network, path, |http, url| {
        match http.patiently(|| http.head(url))? {
            Some(length) if length != size.0 => Err(Trouble::Lasting(format!(
                "it has {length} bytes instead of {}",
                size.0
            ))),
            _ => Ok(()),
        }
    })
}

/// Asks for the locked state of an archive.
pub(super) fn of_archive(locked: &LockedArchive, mirrors: &Mirrors, network: &Network) -> Result<Presence> {
    ask(mirrors, network, &inrelease(&locked.suite), |http, url| {
        let document = http.document(url, INRELEASE_LIMIT)?;
        if Sha256Sum::of(&document) == locked.sha256 {
            return Ok(());
        }
        Err(Trouble::Absent("another state of the archive".into()))
    })
}

/// Asks one mirror after the other for `path`, until one has it.
fn ask(
    mirrors: &Mirrors,
    network: &Network,
    path: &str,
    has: impl Fn(&Http, &str) -> Result<(), Trouble>,
) -> Result<Presence> {
    let route = mirrors.route()?;
    let http = Http::new(&route, &network.limits)?;
    let (mut answers, mut all_absent) = (Vec::new(), true);
    for mirror in &route.mirrors {
        let url = format!("{mirror}{path}");
        match has(&http, &url) {
            Ok(()) => return Ok(Presence::At(mirror.clone())),
            Err(trouble) => {
                all_absent &= matches!(trouble, Trouble::Absent(_));
                answers.push(format!("{}: {}", shown(&url), trouble.into_text()));
            }
        }
    }
    let answers = answers.join("\n  ");
    Ok(if all_absent {
        Presence::Gone(answers)
    } else {
        Presence::Unclear(answers)
    })
}
