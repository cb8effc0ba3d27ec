//! Whether mirrors have something. That one cannot be reached does not mean that what it has is gone.

use anyhow::Result;
use formats::units::Bytes;

use super::Network;
use super::digest::Sha256Sum;
use super::http::{Http, Trouble};
use super::inrelease::{INRELEASE_LIMIT, inrelease};
use super::lock::LockedArchive;
use super::mirror::{Mirrors, shown};

/// What the mirrors of something say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence<T = String> {
    /// One has it: which one, or what it says of it.
    At(T),
    /// None has it: each one's answer, a line each.
    Gone(String),
    /// None has it, as far as they could be asked: each one's answer or trouble, a line each.
    Unclear(String),
}

impl<T> Presence<T> {
    /// The same with what `change` makes of the answer of the one that has it.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Presence<U> {
        match self {
            Self::At(answer) => Presence::At(change(answer)),
            Self::Gone(answers) => Presence::Gone(answers),
            Self::Unclear(answers) => Presence::Unclear(answers),
        }
    }
}

/// Asks for a file of this size; `path` is relative to a mirror's folder.
pub(super) fn of_file(path: &str, size: Bytes, mirrors: &Mirrors, network: &Network) -> Result<Presence> {
    ask(mirrors, network, path, |http, mirror, url| {
        match http.patiently(|| http.head(url))? {
            Some(length) if length != size.0 => Err(Trouble::Lasting(format!(
                "it has {length} bytes instead of {}",
                size.0
            ))),
            _ => Ok(mirror.to_owned()),
        }
    })
}

/// Asks for the size of a file; `path` is relative to a mirror's folder. A wrong answer can only make the download fail.
pub(super) fn size_of(path: &str, mirrors: &Mirrors, network: &Network) -> Result<Presence<Bytes>> {
    ask(mirrors, network, path, |http, _, url| {
        match http.patiently(|| http.head(url))? {
            Some(length) => Ok(Bytes(length)),
            None => Err(Trouble::Lasting("the server does not say how long it is".into())),
        }
    })
}

/// Asks for the locked states of all suites of an archive.
pub(super) fn of_archive(locked: &LockedArchive, mirrors: &Mirrors, network: &Network) -> Result<Presence> {
    let mut last = Presence::At(String::new());
    for (suite, sha256) in locked.suites() {
        last = of_suite(suite, sha256, mirrors, network)?;
        if !matches!(last, Presence::At(_)) {
            break;
        }
    }
    Ok(last)
}

/// Asks for the `InRelease` of a suite that has this SHA-256.
pub(super) fn of_suite(
    suite: &str,
    sha256: Sha256Sum,
    mirrors: &Mirrors,
    network: &Network,
) -> Result<Presence> {
    ask(mirrors, network, &inrelease(suite), |http, mirror, url| {
        let document = http.document(url, INRELEASE_LIMIT)?;
        if Sha256Sum::of(&document) == sha256 {
            return Ok(mirror.to_owned());
        }
        Err(Trouble::Absent("another state of the archive".into()))
    })
}

/// Asks one mirror after the other for `path`, until one has it. `has` is given the mirror and the URL on it.
fn ask<T>(
    mirrors: &Mirrors,
    network: &Network,
    path: &str,
    has: impl Fn(&Http, &str, &str) -> Result<T, Trouble>,
) -> Result<Presence<T>> {
    let route = mirrors.route_in(network.mode)?;
    let http = Http::new(&route, &network.limits)?;
    let (mut answers, mut all_absent) = (Vec::new(), true);
    for mirror in &route.mirrors {
        let url = format!("{mirror}{path}");
        match has(&http, mirror, &url) {
            Ok(answer) => return Ok(Presence::At(answer)),
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
