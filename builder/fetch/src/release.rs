//! A release of U-Boot: `u-boot-<version>.tar.bz2` with a detached signature beside it. Nothing lists its hash: it is
//! fetched to be verified, and its hash goes into the lock. Which version it is says the folder that is in it.

use anyhow::Result;
use engine::failure;
use formats::units::Bytes;
use formats::unpack::unpack;
use model::sources::Signer;

use super::digest::Sha256Sum;
use super::errand::Errand;
use super::http::{Http, Trouble};
use super::lock::{LockedFile, is_plain_name};
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
                // A signature says nothing of the name that a file is served by.
                Ok(_) if holds(&tarball).as_deref() != Some(&*format!("u-boot-{version}")) => {
                    unverified = true;
                    match holds(&tarball) {
                        Some(other) => format!("it is signed, but holds `{other}`"),
                        None => "it is signed, but no tarball of U-Boot".into(),
                    }
                }
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

/// The folder that a tarball begins with, as `git archive` makes one of a release; `None` where it begins otherwise.
fn holds(tarball: &[u8]) -> Option<String> {
    let (_, tar) = unpack(tarball).ok()?;
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().ok()?.filter_map(Result::ok);
    // The first may have the commit, for all others.
    let first = entries
        .take(2)
        .find(|entry| !entry.header().entry_type().is_pax_global_extensions())?;
    let path = first.path_bytes();
    let path = std::str::from_utf8(&path).ok()?;
    let folder = path.split('/').next()?;
    is_plain_name(folder).then(|| folder.to_owned())
}
