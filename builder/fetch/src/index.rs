//! A signed index, from the first mirror that has a valid one.

use std::time::SystemTime;

use anyhow::Result;
use engine::{failure, is_verification_failure};

use super::Network;
use super::http::Http;
use super::keyring::Keyring;
use super::mirror::{Mirrors, shown};
use super::openpgp::Signed;

/// A clearsigned index.
#[derive(Debug)]
pub(super) struct Index<'a> {
    /// Where it is, relative to a mirror's folder.
    pub(super) path: &'a str,
    /// Bytes that it is certainly shorter than.
    pub(super) limit: u64,
    /// Who may sign it.
    pub(super) keyring: &'a Keyring,
}

impl Index<'_> {
    /// What `read` makes of the first one that is signed and that `read` accepts. It is given the whole document, what
    /// of it is signed, and the mirror.
    pub(super) fn first_valid<T>(
        &self,
        mirrors: &Mirrors,
        network: &Network,
        now: SystemTime,
        read: impl Fn(&[u8], Signed, &str) -> Result<T>,
    ) -> Result<T> {
        let route = mirrors.route()?;
        let http = Http::new(&route, &network.limits)?;
        let (mut failures, mut unverified) = (Vec::new(), false);
        for mirror in &route.mirrors {
            let url = format!("{mirror}{}", self.path);
            let failure = match http.document(&url, self.limit) {
                Err(trouble) => trouble.into_text(),
                Ok(document) => match self.keyring.clearsigned(&document, now) {
                    Err(error) => {
                        unverified = true;
                        error.to_string()
                    }
                    Ok(signed) => match read(&document, signed, mirror) {
                        Ok(value) => return Ok(value),
                        Err(error) => {
                            unverified |= is_verification_failure(&error);
                            format!("{error:#}")
                        }
                    },
                },
            };
            failures.push(format!("{}: {failure}", shown(&url)));
        }
        let text = format!(
            "no mirror has a valid {}:\n  {}",
            self.path,
            failures.join("\n  ")
        );
        Err(failure(text, unverified))
    }
}
