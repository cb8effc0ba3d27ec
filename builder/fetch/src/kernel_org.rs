//! kernel.org: `v6.x/sha256sums.asc`, clearsigned, lists every release of a major version.

use anyhow::{Context, Result, bail};
use model::sources::{Series, Signer, version_numbers};

use super::digest::Sha256Sum;
use super::errand::Errand;
use super::index::Index;
use super::mirror::Mirrors;
use super::newest::{Listed, Listing, Newest};
use super::past::{Origin, Past};

/// Larger than the list of any major version (300 KB in 2026) by far.
const SUMS_LIMIT: u64 = 8 << 20;

/// The newest release of `series` that mirrors have.
pub(super) fn resolve(
    errand: &Errand,
    series: &Series,
    signer: &Signer,
    mirrors: &Mirrors,
    past: &Past,
) -> Result<Newest> {
    let Errand {
        engine, network, now, ..
    } = *errand;
    let keyring = errand.keyring(signer)?;
    let major = series.as_str().split('.').next().unwrap_or_default();
    let folder = format!("v{major}.x");
    let index = format!("{folder}/sha256sums.asc");
    let asked = Index {
        path: &index,
        limit: SUMS_LIMIT,
        keyring: &keyring,
    };
    let (versions, signed) = asked.first_valid(mirrors, network, now, |_, signed, _| {
        let text = std::str::from_utf8(&signed.text).context("it is no UTF-8 text")?;
        let versions = read_sums(text, &folder, series)?;
        past.accept(&index, signed.date, Origin::Servers)?;
        Ok((versions, signed))
    })?;
    let listing = Listing {
        versions,
        signer: signed.signer,
        index,
        date: signed.date,
    };
    listing.newest(engine, series, mirrors, network)
}

/// The releases of `series` in the list of sums of `folder`. It has no sizes.
fn read_sums(text: &str, folder: &str, series: &Series) -> Result<Vec<Listed>> {
    let releases = text.lines().filter_map(|line| {
        let (sum, file) = line.split_once("  ")?;
        let version = file.strip_prefix("linux-")?.strip_suffix(".tar.xz")?;
        version_numbers(version)?;
        Some(Listed {
            version: version.to_owned(),
            file: file.to_owned(),
            path: format!("{folder}/{file}"),
            size: None,
            sha256: Sha256Sum::parse(sum)?,
        })
    });
    let releases: Vec<_> = releases.filter(|listed| series.holds(&listed.version)).collect();
    if releases.is_empty() {
        bail!("it lists no release of the series {series}");
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tarballs_of_releases_of_the_series_count() {
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
        let versions = |series| {
            let listed = read_sums(&text, "v6.x", &Series::parse(series).unwrap())?;
            anyhow::Ok(
                listed
                    .into_iter()
                    .map(|listed| listed.version)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(versions("6.18").unwrap(), ["6.18.9", "6.18.53", "6.18"]);
        assert_eq!(versions("6.18.9").unwrap(), ["6.18.9"]);
        assert!(versions("6.17").is_err());
    }
}
