//! A Debian archive: `InRelease` (signed) vouches for `Sources.xz`, which vouches for source tarballs.

use std::cmp::Reverse;
use std::fs::File;
use std::io::BufRead;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use engine::{Engine, VerificationFailed};
use formats::units::Bytes;
use formats::unpack::unpack;
use model::sources::{Archive, Series, version_numbers};

use super::Network;
use super::digest::{Sha256Sum, Sum};
use super::download::{OLD_VERSION, Store, Wanted, fetch};
use super::errand::Errand;
use super::index::Index;
use super::inrelease::{INRELEASE_LIMIT, inrelease, read_fields};
use super::lock::{LockedArchive, LockedSuite, is_plain_name};
use super::mirror::Mirrors;
use super::moment::Moment;
use super::newest::{Listed, Listing, Newest};
use super::openpgp::Signed;
use super::past::{Origin, Past};
use super::presence::{self, Presence};

/// The state of an archive: of each of its suites a verified `InRelease`, the main one's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    suites: Vec<Suite>,
}

/// A verified `InRelease` and the mirror it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suite {
    mirror: String,
    suite: String,
    version: Option<String>,
    signer: String,
    sha256: Sha256Sum,
    date: Moment,
    valid_until: Option<Moment>,
    by_hash: bool,
    /// Size and SHA-256 of the index of sources of each component.
    sources: Vec<(String, Bytes, Sha256Sum)>,
}

impl Release {
    /// The state of `archive`: of each suite the one on the first mirror that has it, correctly signed.
    pub(super) fn resolve(
        errand: &Errand,
        archive: &Archive,
        mirrors: &Mirrors,
        past: &Past,
    ) -> Result<Self> {
        let Errand { network, now, .. } = *errand;
        let keyring = errand.keyring(&archive.signer)?;
        let resolve = |suite: &str| {
            let path = inrelease(suite);
            let asked = Index {
                path: &path,
                limit: INRELEASE_LIMIT,
                keyring: &keyring,
            };
            asked.first_valid(mirrors, network, now, |document, signed, mirror| {
                let state = Suite::parse(document, signed, suite, &archive.components, mirror, now)?;
                past.accept(&path, state.date, Origin::Servers)?;
                Ok(state)
            })
        };
        Ok(Self {
            suites: archive.suites().map(resolve).collect::<Result<_>>()?,
        })
    }

    /// The archive as the lock keeps it.
    pub(super) fn lock(&self, archive: &Archive, architecture: &str) -> Result<LockedArchive> {
        let mut suites = self.suites.iter();
        let main = suites.next().context("the archive has no suite")?;
        Ok(LockedArchive {
            version: main.version.clone(),
            suite: main.suite.clone(),
            architecture: architecture.to_owned(),
            components: archive.components.clone(),
            sha256: main.sha256,
            signer: main.signer.clone(),
            date: main.date,
            valid_until: main.valid_until,
            security: suites.next().map(|security| LockedSuite {
                suite: security.suite.clone(),
                sha256: security.sha256,
                signer: security.signer.clone(),
                date: security.date,
                valid_until: security.valid_until,
            }),
        })
    }

    /// The newest upstream tarball of `series` of the source package `package` that mirrors have, of whichever suite; of two
    /// that are equally new the main suite's.
    pub(super) fn tarball(
        &self,
        engine: &Engine,
        package: &str,
        series: &Series,
        mirrors: &Mirrors,
        network: &Network,
    ) -> Result<Newest> {
        let (mut newest, mut others, mut failures) = (None::<Newest>, Vec::new(), Vec::new());
        let (mut is_known, mut unserved) = (false, Vec::new());
        for suite in &self.suites {
            // First from where InRelease came: another mirror may be older.
            let same_first = Mirrors::Known(mirrors.route()?.starting_with(&suite.mirror));
            let found = suite.tarballs(engine, package, &same_first, network)?;
            is_known |= !found.is_empty();
            let (versions, other): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|tarball| series.holds(&tarball.version));
            others.extend(other.into_iter().map(|tarball| tarball.version));
            if versions.is_empty() {
                continue;
            }
            let listing = Listing {
                versions,
                signer: suite.signer.clone(),
                index: inrelease(&suite.suite),
                date: suite.date,
            };
            match listing.newest(engine, series, &same_first, network) {
                Err(error) => failures.push(error),
                Ok(mut found) => {
                    unserved.append(&mut found.unserved);
                    let version = |newest: &Newest| version_numbers(&newest.file.version);
                    if newest
                        .as_ref()
                        .is_none_or(|newest| version(newest) < version(&found))
                    {
                        newest = Some(found);
                    }
                }
            }
        }
        let names: Vec<_> = self.suites.iter().map(|suite| suite.suite.as_str()).collect();
        let names = names.join("`, `");
        match (newest, failures.into_iter().next()) {
            (Some(mut newest), failure) => {
                newest.doubt = newest.doubt.or(failure.map(|error| format!("{error:#}")));
                let chosen = version_numbers(&newest.file.version);
                unserved.retain(|version| version_numbers(version) > chosen);
                unserved.sort_by_key(|version| Reverse(version_numbers(version)));
                unserved.dedup();
                newest.unserved = unserved;
                Ok(newest)
            }
            (None, Some(error)) => Err(error),
            (None, None) if is_known => {
                others.sort_by_key(|version| version_numbers(version));
                others.dedup();
                bail!(
                    "`{names}` has no {package} of the series {series}, only {}",
                    others.join(", ")
                )
            }
            (None, None) => bail!("`{names}` has no source package `{package}` with an upstream tarball"),
        }
    }
}

impl Suite {
    /// Reads the signed text and holds it against what is asked for.
    fn parse(
        document: &[u8],
        signed: Signed,
        suite: &str,
        components: &[String],
        mirror: &str,
        now: SystemTime,
    ) -> Result<Self> {
        let text = String::from_utf8(signed.text).context("it is no UTF-8 text")?;
        let (fields, sums) = read_fields(&text);
        let field = |name: &str| {
            fields
                .iter()
                .find(|(field, _)| *field == name)
                .map(|(_, value)| *value)
        };
        let date = |name: &str| match field(name) {
            None => Ok(None),
            Some(text) => match Moment::parse_release(text) {
                Some(moment) => Ok(Some(moment)),
                None => bail!("its {name} `{text}` is no date"),
            },
        };
        let suites = [field("Suite"), field("Codename")];
        if !suites.contains(&Some(suite)) {
            let names: Vec<_> = suites.into_iter().flatten().collect();
            let text = format!(
                "it is signed, but for `{}`, not for `{suite}`",
                names.join("`, `")
            );
            return Err(VerificationFailed(text).into());
        }
        let made = date("Date")?.context("it has no Date")?;
        let valid_until = date("Valid-Until")?;
        if let Some(end) = valid_until.filter(|end| *end < Moment::of(now)) {
            let text =
                format!("it was valid until {end}: the mirror is stale, or somebody replays an old state");
            return Err(VerificationFailed(text).into());
        }
        let mut sources = Vec::new();
        for component in components {
            let path = format!("{component}/source/Sources.xz");
            let (size, sha256) = sums
                .iter()
                .find(|(_, _, name)| *name == path)
                .and_then(|(sum, size, _)| Some((Bytes(size.parse().ok()?), Sha256Sum::parse(sum)?)))
                .with_context(|| format!("it lists no {path} with a SHA-256"))?;
            sources.push((path, size, sha256));
        }
        Ok(Self {
            mirror: mirror.to_owned(),
            suite: suite.to_owned(),
            version: field("Version").map(str::to_owned),
            signer: signed.signer,
            sha256: Sha256Sum::of(document),
            date: made,
            valid_until,
            by_hash: field("Acquire-By-Hash") == Some("yes"),
            sources,
        })
    }

    /// The upstream tarballs of the source package `package` that its indexes list.
    fn tarballs(
        &self,
        engine: &Engine,
        package: &str,
        mirrors: &Mirrors,
        network: &Network,
    ) -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        for (path, size, sha256) in &self.sources {
            let folder = path.trim_end_matches("Sources.xz");
            let dists = format!("dists/{}", self.suite);
            let mut paths = vec![format!("{dists}/{path}")];
            if self.by_hash {
                // By its hash a mirror still has it while it is being updated.
                paths.insert(0, format!("{dists}/{folder}by-hash/SHA256/{sha256}"));
            }
            let wanted = Wanted {
                name: "Sources.xz".into(),
                paths,
                size: *size,
                sums: vec![Sum::Sha256(*sha256)],
                store: Store::Sources,
                if_gone: OLD_VERSION,
            };
            let index = fetch(engine, &wanted, mirrors, network)?;
            let file = File::open(&index).with_context(|| format!("cannot read {}", index.display()))?;
            let cannot = || format!("cannot read {path} of `{}`", self.suite);
            let (_, text) = unpack(file).with_context(cannot)?;
            read_sources(text, package, &mut found).with_context(cannot)?;
        }
        Ok(found)
    }
}

/// For each suite of `locked` the mirror of `mirrors` whose `InRelease` still is the locked one: what a userland may be made
/// from. A mirror that has moved on would give other packages than the lock decided.
pub fn check_base(locked: &LockedArchive, mirrors: &Mirrors, network: &Network) -> Result<Vec<String>> {
    let date = |suite: &str| match &locked.security {
        Some(security) if security.suite == suite => security.date,
        _ => locked.date,
    };
    let at = |(suite, sha256): (&str, Sha256Sum)| match presence::of_suite(suite, sha256, mirrors, network)? {
        Presence::At(mirror) => Ok(mirror),
        Presence::Gone(answers) => bail!(
            "the mirror has moved on: none has the locked state of `{suite}` of {} any more; run `portadc update`\n  \
             {answers}",
            date(suite)
        ),
        Presence::Unclear(answers) => {
            bail!(
                "no mirror gives the locked state of `{suite}` of {}:\n  {answers}",
                date(suite)
            )
        }
    };
    locked.suites().map(at).collect()
}

/// Adds the upstream tarballs of `package` that an index of sources lists. Versions that are not plain numbers (release
/// candidates) are left out.
fn read_sources(mut index: impl BufRead, package: &str, found: &mut Vec<Listed>) -> Result<()> {
    let (mut ours, mut in_sums, mut folder) = (false, false, String::new());
    let mut sums: Vec<String> = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        let count = index.read_line(&mut line)?;
        let text = line.trim_end_matches('\n');
        if text.is_empty() {
            if ours {
                found.extend(
                    sums.iter()
                        .filter_map(|entry| parse_tarball(entry, package, &folder)),
                );
            }
            (ours, in_sums) = (false, false);
            folder.clear();
            sums.clear();
            if count == 0 {
                return Ok(());
            }
        } else if let Some(entry) = text.strip_prefix(' ') {
            if in_sums {
                sums.push(entry.to_owned());
            }
        } else if let Some((name, value)) = text.split_once(':') {
            in_sums = name == "Checksums-Sha256";
            match name {
                "Package" => ours = value.trim() == package,
                "Directory" => value.trim().clone_into(&mut folder),
                _ => {}
            }
        }
    }
}

/// A line of `Checksums-Sha256`, if it is an upstream tarball: `<package>_<version>.orig.tar.<compression>`.
fn parse_tarball(entry: &str, package: &str, folder: &str) -> Option<Listed> {
    let mut words = entry.split_whitespace();
    let (sum, size, file) = (words.next()?, words.next()?, words.next()?);
    let (stem, compression) = file.rsplit_once(".orig.tar.")?;
    let version = stem.strip_prefix(package)?.strip_prefix('_')?;
    // A `+dfsg` or `+ds` says that Debian left files out; the version is upstream's.
    let version = version.split('+').next()?;
    version_numbers(version)?;
    let plain = is_plain_name(file) && folder.split('/').all(is_plain_name);
    (plain && matches!(compression, "xz" | "gz" | "bz2" | "zst")).then_some(())?;
    Some(Listed {
        version: version.to_owned(),
        file: file.to_owned(),
        path: format!("{folder}/{file}"),
        size: Some(Bytes(size.parse().ok()?)),
        sha256: Sha256Sum::parse(sum)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_upstream_tarballs_of_the_package_count() {
        let sum = "0".repeat(64);
        let index = format!(
            "Package: linux\nVersion: 6.12.8-1\nDirectory: pool/main/l/linux\nFiles:\n abc 5 linux_6.12.9.orig.tar.xz\nChecksums-Sha256:\n \
             {sum} 7 linux_6.12.8.orig.tar.xz\n {sum} 7 linux_6.12.8-1.dsc\n {sum} 7 linux_6.12.8.orig.tar.xz.asc\nHomepage: x\n\n\
             Package: linux-base\nDirectory: pool/main/l/linux-base\nChecksums-Sha256:\n {sum} 7 linux_9.9.orig.tar.xz\n\n\
             Package: linux\nDirectory: pool/main/l/linux\nChecksums-Sha256:\n {sum} 9 linux_6.13~rc2.orig.tar.xz\n {sum} 8 linux_6.12.38+ds.orig.tar.gz\n\n\
             Package: linux\nDirectory: ../../etc\nChecksums-Sha256:\n {sum} 9 linux_6.12.99.orig.tar.xz\n"
        );
        let mut found = Vec::new();
        read_sources(index.as_bytes(), "linux", &mut found).unwrap();
        let versions: Vec<_> = found
            .iter()
            .map(|tarball| (tarball.version.as_str(), tarball.size))
            .collect();
        assert_eq!(
            versions,
            [("6.12.8", Some(Bytes(7))), ("6.12.38", Some(Bytes(8)))]
        );
    }
}
