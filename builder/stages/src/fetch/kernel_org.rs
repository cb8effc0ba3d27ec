//! kernel.org: `v6.x/sha256sums.asc`, clearsigned, lists every release of a major version.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use formats::units::Bytes;
use model::sources::{Series, Signer, version_numbers};

use super::Network;
use super::digest::Sha256Sum;
use super::http::{Http, Trouble};
use super::index::Index;
use super::lock::LockedFile;
use super::mirror::{Mirrors, shown};
use super::openpgp::Keyring;

/// Larger than the list of any major version (300 KB in 2026) by far.
const SUMS_LIMIT: u64 = 8 << 20;

/// The newest release of `series`.
pub(super) fn resolve(
    root: &Path,
    series: &Series,
    signer: &Signer,
    mirrors: &Mirrors,
    network: &Network,
    now: SystemTime,
) -> Result<LockedFile> {
    let keyring = Keyring::load(root, signer)?;
    let major = series.as_str().split('.').next().unwrap_or_default();
    let index = format!("v{major}.x/sha256sums.asc");
    let asked = Index {
        path: &index,
        limit: SUMS_LIMIT,
        keyring: &keyring,
    };
    let (version, sha256, signed) = asked.first_valid(mirrors, network, now, |_, signed, _| {
        let text = std::str::from_utf8(&signed.text).context("it is no UTF-8 text")?;
        let (version, sha256) = newest(text, series)?;
        Ok((version, sha256, signed))
    })?;
    let file = format!("linux-{version}.tar.xz");
    let path = format!("v{major}.x/{file}");
    Ok(LockedFile {
        size: size(&path, mirrors, network)?,
        version,
        file,
        path,
        sha256,
        signer: signed.signer,
        index,
        date: signed.date,
    })
}

/// The newest version of `series` in a list of sums, and its sum.
fn newest(text: &str, series: &Series) -> Result<(String, Sha256Sum)> {
    let releases = text.lines().filter_map(|line| {
        let (sum, file) = line.split_once("  ")?;
        let version = file.strip_prefix("linux-")?.strip_suffix(".tar.xz")?;
        version_numbers(version)?;
        Some((version, Sha256Sum::parse(sum)?))
    });
    let newest = releases
        .filter(|(version, _)| series.holds(version))
        .max_by_key(|(version, _)| version_numbers(version));
    match newest {
        Some((version, sum)) => Ok((version.to_owned(), sum)),
        None => bail!("it lists no release of the series {series}"),
    }
}

/// The size that a mirror gives. The list of sums has none; a wrong one can only make the download fail.
fn size(path: &str, mirrors: &Mirrors, network: &Network) -> Result<Bytes> {
    let route = mirrors.route()?;
    let http = Http::new(&route, &network.limits)?;
    let mut failures = Vec::new();
    for mirror in &route.mirrors {
        let url = format!("{mirror}{path}");
        let length = http.patiently(|| {
            http.head(&url)?
                .ok_or_else(|| Trouble::Lasting("the server does not say how long it is".into()))
        });
        match length {
            Ok(length) => return Ok(Bytes(length)),
            Err(trouble) => failures.push(format!("{}: {}", shown(&url), trouble.into_text())),
        }
    }
    bail!("no mirror has {path}:\n  {}", failures.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_found_by_number() {
        let line = |name: &str| format!("{}  {name}\n", "ab".repeat(32));
        let text: String = [
            "linux-6.18.9.tar.xz",
            "linux-6.18.53.tar.xz",
            "linux-6.18.53.tar.gz",
            "linux-6.18.tar.xz",
            "linux-6.180.1.tar.xz",
            "linux-6.18-rc7.tar.xz",
            "patch-6.18.99.xz",
        ]
        .map(line)
        .concat();
        let series = |text| Series::parse(text).unwrap();
        assert_eq!(newest(&text, &series("6.18")).unwrap().0, "6.18.53");
        assert_eq!(newest(&text, &series("6.18.9")).unwrap().0, "6.18.9");
        assert!(newest(&text, &series("6.17")).is_err());
    }
}
