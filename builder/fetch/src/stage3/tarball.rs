//! A Gentoo stage3: `latest-stage3-<flavor>.txt` (clearsigned) names the newest tarball, `<tarball>.DIGESTS` (clearsigned)
//! gives its SHA-512 and BLAKE2b, `<tarball>.asc` is a signature of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::tarball::{CachedLayer, lazy_layer};
use engine::{Engine, Key, VerificationFailed, failure};
use formats::units::Bytes;
use model::sources::Stage3;

use super::Errand;
use crate::digest::{Sha256Sum, Sum};
use crate::download::{Store, Wanted, fetch, keep_as};
use crate::http::{Http, Trouble};
use crate::index::Index;
use crate::keyring::Keyring;
use crate::lock::{LockedFile, is_plain_name};
use crate::mirror::{Mirrors, shown};
use crate::moment::Moment;
use crate::past::{Origin, Past};

/// Larger than either index (1 KB) by far.
const INDEX_LIMIT: u64 = 256 << 10;

/// Larger than any detached signature.
const SIGNATURE_LIMIT: u64 = 64 << 10;

/// What to do where no mirror has a stage3 any more.
pub(super) const OLD_STAGE3: &str = "mirrors keep the last few builds of a stage3 only: `portadc update` takes the newest; \
     to stay with this one, name a mirror that still has it with `--mirror`, or bring the cache that it was fetched into";

/// The newest stage3. It is fetched: what is signed are other digests than the SHA-256 that locks keep.
pub(super) fn resolve(errand: &Errand, source: &Stage3, past: &Past) -> Result<LockedFile> {
    let Errand { network, now, .. } = *errand;
    let mirrors = errand.upstream(&source.mirrors)?;
    let flavor = &source.flavor;
    let keyring = errand.keyring(&source.signer)?;
    let index = |path| Index {
        path,
        limit: INDEX_LIMIT,
        keyring: &keyring,
    };
    let latest = format!("latest-stage3-{flavor}.txt");
    let (path, size) = index(&latest).first_valid(&mirrors, network, now, |_, signed, _| {
        let text = std::str::from_utf8(&signed.text).context("it is no UTF-8 text")?;
        let stage3 = parse_latest(text, flavor).context("it names no stage3 of this flavor")?;
        past.accept(&latest, made(text).unwrap_or(signed.date), Origin::Servers)?;
        Ok(stage3)
    })?;
    let file = path.rsplit('/').next().unwrap_or(&path).to_owned();
    let digests = format!("{path}.DIGESTS");
    let (sums, signed) = index(&digests).first_valid(&mirrors, network, now, |_, signed, _| {
        let text = std::str::from_utf8(&signed.text).context("it is no UTF-8 text")?;
        Ok((parse_digests(text, &file)?, signed))
    })?;
    let wanted = Wanted {
        name: file.clone(),
        paths: vec![path.clone()],
        size,
        sums,
        store: Store::Sources,
        if_gone: OLD_STAGE3,
    };
    let fetched = fetch(errand.engine, &wanted, &mirrors, network)?;
    check_signature(errand, &keyring, &fetched, &path, &mirrors)?;
    let sha256 = File::open(&fetched)
        .and_then(Sha256Sum::of_reader)
        .with_context(|| format!("cannot read {}", fetched.display()))?;
    keep_as(&fetched, errand.engine, sha256)?;
    Ok(LockedFile {
        version: path.split('/').next().unwrap_or_default().to_owned(),
        file,
        path,
        size,
        sha256,
        signer: signed.signer,
        index: latest,
        date: signed.date,
    })
}

/// Holds the tarball against the signature that lies beside it, where a mirror has one: the signed digests have vouched
/// for it already.
fn check_signature(
    errand: &Errand,
    keyring: &Keyring,
    tarball: &Path,
    path: &str,
    mirrors: &Mirrors,
) -> Result<()> {
    let route = mirrors.route()?;
    let http = Http::new(&route, &errand.network.limits)?;
    let (mut failures, mut unverified, mut absent) = (Vec::new(), false, true);
    for mirror in &route.mirrors {
        let url = format!("{mirror}{path}.asc");
        let failure = match http.document(&url, SIGNATURE_LIMIT) {
            Ok(signature) => match keyring.detached_file(tarball, &signature, errand.now) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    unverified = true;
                    error.to_string()
                }
            },
            Err(Trouble::Absent(_)) => continue,
            Err(trouble) => trouble.into_text(),
        };
        absent = false;
        failures.push(format!("{}: {failure}", shown(&url)));
    }
    if absent {
        return Ok(());
    }
    let text = format!(
        "no mirror has a signature that vouches for {path}:\n  {}",
        failures.join("\n  ")
    );
    Err(failure(text, unverified))
}

/// `20250928T170227Z/stage3-arm64-systemd-20250928T170227Z.tar.xz 311603336` among comments.
fn parse_latest(text: &str, flavor: &str) -> Option<(String, Bytes)> {
    let prefix = format!("stage3-{flavor}-");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let (path, size) = line.trim().split_once(' ')?;
            let (folder, file) = path.split_once('/')?;
            // `stage3-arm64-` also begins the names of other flavors; a date does not.
            let dated = file
                .strip_prefix(&prefix)?
                .starts_with(|c: char| c.is_ascii_digit());
            let plain = is_plain_name(folder) && is_plain_name(file);
            (plain && dated && file.contains(".tar.")).then_some(())?;
            Some((path.to_owned(), Bytes(size.trim().parse().ok()?)))
        })
}

/// When the list was made: `# ts=1759082400`, seconds since 1970.
fn made(text: &str) -> Option<Moment> {
    let seconds = text.lines().find_map(|line| line.strip_prefix("# ts="))?;
    seconds.trim().parse().ok().map(Moment)
}

/// The digests of `file`: its lines below `# SHA512 HASH` and `# BLAKE2B HASH`, at least one.
fn parse_digests(text: &str, file: &str) -> Result<Vec<Sum>> {
    let (mut kind, mut sha512, mut blake2b) = ("", None, None);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            kind = heading.trim().trim_end_matches("HASH").trim_end();
            continue;
        }
        let Some((sum, name)) = line.split_once("  ") else {
            continue;
        };
        if name.trim() != file {
            continue;
        }
        let (parsed, found) = match kind {
            "SHA512" => (Sum::parse_sha512(sum), &mut sha512),
            "BLAKE2B" => (Sum::parse_blake2b(sum), &mut blake2b),
            _ => continue,
        };
        let Some(parsed) = parsed else {
            bail!("its {kind} of {file} is not 128 hexadecimal digits");
        };
        if found.as_ref().is_some_and(|found| *found != parsed) {
            let text = format!("it has two different {kind} of {file}");
            return Err(VerificationFailed(text).into());
        }
        *found = Some(parsed);
    }
    let sums: Vec<_> = sha512.into_iter().chain(blake2b).collect();
    if sums.is_empty() {
        bail!("it has neither a SHA-512 nor a BLAKE2b of {file}");
    }
    Ok(sums)
}

/// The tarball of a locked stage3.
#[derive(Debug, Clone, Copy)]
pub struct Stage3Tarball<'a> {
    pub(super) errand: &'a Errand<'a>,
    pub(super) source: &'a Stage3,
    pub(super) locked: &'a LockedFile,
}

impl Stage3Tarball<'_> {
    /// Stands for what is in it.
    pub fn key(&self) -> Key {
        Key::builder("stage3", 1)
            .text("sha256", &self.locked.sha256.to_string())
            .finish()
    }

    /// The name of its file.
    pub fn name(&self) -> &str {
        &self.locked.file
    }

    /// Fetches it if it is not there.
    pub fn bring(&self) -> Result<()> {
        let wanted = self.wanted();
        match wanted.is_at(&wanted.path(self.errand.engine)) {
            true => Ok(()),
            false => self.obtain().map(drop),
        }
    }

    /// The file, from the cache or fetched. Its size and SHA-256 were checked in this call.
    pub fn obtain(&self) -> Result<PathBuf> {
        let mirrors = self.errand.upstream(&self.source.mirrors)?;
        fetch(self.errand.engine, &self.wanted(), &mirrors, self.errand.network)
    }

    /// Its layer at zstd level `zstd`; made now, of the verified file, if the cache does not have it.
    pub fn layer(&self, engine: &Engine, zstd: u8) -> Result<CachedLayer> {
        lazy_layer(engine, &self.key(), zstd, || self.obtain())
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            name: self.locked.file.clone(),
            paths: vec![self.locked.path.clone()],
            size: self.locked.size,
            sums: vec![Sum::Sha256(self.locked.sha256)],
            store: Store::Sources,
            if_gone: OLD_STAGE3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_indexes_are_read() {
        let latest = "# Latest as of Sun, 28 Sep 2025 18:00:00 +0000\n# ts=1759082400\n\
                      20250928T170227Z/stage3-arm64-systemd-20250928T170227Z.tar.xz 311603336\n";
        let (path, size) = parse_latest(latest, "arm64-systemd").unwrap();
        assert_eq!(
            path,
            "20250928T170227Z/stage3-arm64-systemd-20250928T170227Z.tar.xz"
        );
        assert_eq!(size, Bytes(311_603_336));
        assert!(parse_latest(latest, "arm64-openrc").is_none());
        assert_eq!(made(latest), Some(Moment(1_759_082_400)));
        assert_eq!(made("# ts=soon\n"), None);
        assert!(parse_latest("../../stage3-a-1.tar.xz 5\n", "a").is_none());

        // A flavor is no beginning of another one.
        assert!(parse_latest(latest, "arm64").is_none());

        let (long, other, wrong) = ("ab".repeat(64), "ef".repeat(64), "cd".repeat(64));
        let digests = format!(
            "# BLAKE2B HASH\n{other}  s.tar.xz\n# SHA512 HASH\n{wrong}  s.tar.xz.CONTENTS.gz\n{long}  s.tar.xz\n"
        );
        let sums = |text: &str| parse_digests(text, "s.tar.xz");
        assert_eq!(
            sums(&digests).unwrap(),
            [
                Sum::parse_sha512(&long).unwrap(),
                Sum::parse_blake2b(&other).unwrap()
            ]
        );
        let alone = format!("# BLAKE2B HASH\n{other}  s.tar.xz\n# MD5 HASH\nabc  s.tar.xz\n");
        assert_eq!(sums(&alone).unwrap(), [Sum::parse_blake2b(&other).unwrap()]);
        for (text, expected) in [
            (
                digests.replace("  s.tar.xz\n", "  t.tar.xz\n"),
                "it has neither a SHA-512 nor a BLAKE2b of s.tar.xz",
            ),
            (
                digests.replace(&long, &long[1..]),
                "its SHA512 of s.tar.xz is not 128 hexadecimal digits",
            ),
            (
                format!("{digests}{wrong}  s.tar.xz\n"),
                "it has two different SHA512 of s.tar.xz",
            ),
        ] {
            assert_eq!(sums(&text).unwrap_err().to_string(), expected);
        }
    }
}
