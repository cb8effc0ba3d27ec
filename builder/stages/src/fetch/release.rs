//! A release of U-Boot: `u-boot-<version>.tar.bz2` with a detached signature beside it. Nothing lists its hash: it is
//! fetched to be verified, and its hash goes into the lock.

use anyhow::Result;
use formats::units::Bytes;
use model::sources::Signer;

use super::digest::Sha256Sum;
use super::errand::Errand;
use super::failure;
use super::http::{Http, Trouble};
use super::lock::LockedFile;
use super::mirror::{Mirrors, shown};

/// Larger than any release (20 MB in 2025) by far.
const TARBALL_LIMIT: u64 = 256 << 20;
/// Larger than any detached signature.
const SIGNATURE_LIMIT: u64 = 64 << 10;

/// The release `version`, verified.
pub(super) fn resolve(
    errand: &Errand,
    version: &str,
    signer: &Signer,
    mirrors: &Mirrors,
) -> Result<LockedFile> {
    let Errand { network, now, .. } = *errand;
    let keyring = errand.keyring(signer)?;
    let file = format!("u-boot-{version}.tar.bz2");
    let index = format!("{file}.sig");
    let route = mirrors.route()?;
    let http = Http::new(&route, &network.limits)?;
    let (mut failures, mut unverified) = (Vec::new(), false);
    for mirror in &route.mirrors {
        let url = format!("{mirror}{file}");
        // The small file first: where it is missing the large one is not asked for.
        let both = http
            .document(&format!("{mirror}{index}"), SIGNATURE_LIMIT)
            .and_then(|signature| Ok((signature, http.document(&url, TARBALL_LIMIT)?)));
        let failure = match both.map_err(Trouble::into_text) {
            Err(failure) => failure,
            Ok((signature, tarball)) => match keyring.detached(&tarball, &signature, now) {
                Ok(signed) => {
                    return Ok(LockedFile {
                        version: version.to_owned(),
                        path: file.clone(),
                        file,
                        size: Bytes(tarball.len() as u64),
                        sha256: Sha256Sum::of(&tarball),
                        signer: signed.signer,
                        index,
                        date: signed.date,
                    });
                }
                Err(error) => {
                    unverified = true;
                    error.to_string()
                }
            },
        };
        failures.push(format!("{}: {failure}", shown(&url)));
    }
    let text = format!(
        "no mirror has a validly signed {file}:\n  {}",
        failures.join("\n  ")
    );
    Err(failure(text, unverified))
}
