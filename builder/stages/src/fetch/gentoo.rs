//! A Gentoo stage3: `latest-stage3-<flavor>.txt` (clearsigned) names the newest tarball, `<tarball>.DIGESTS` (clearsigned)
//! gives its SHA-512.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use formats::units::Bytes;
use model::sources::Signer;

use super::Network;
use super::digest::{Sha256Sum, Sum};
use super::download::{Store, Wanted, fetch};
use super::index::Index;
use super::lock::{LockedFile, is_plain_name};
use super::mirror::Mirrors;
use super::openpgp::Keyring;
use crate::engine::Engine;

/// Larger than either index (1 KB) by far.
const INDEX_LIMIT: u64 = 256 << 10;

/// The newest stage3 of `flavor`. It is fetched: what is signed is its SHA-512, what locks keep is the SHA-256.
pub(super) fn resolve(
    engine: &Engine,
    root: &Path,
    flavor: &str,
    signer: &Signer,
    mirrors: &Mirrors,
    network: &Network,
    now: SystemTime,
) -> Result<LockedFile> {
    let keyring = Keyring::load(root, signer)?;
    let index = |path| Index {
        path,
        limit: INDEX_LIMIT,
        keyring: &keyring,
    };
    let latest = format!("latest-stage3-{flavor}.txt");
    let (path, size) = index(&latest).first_valid(mirrors, network, now, |_, signed, _| {
        let text = std::str::from_utf8(&signed.text).context("it is no UTF-8 text")?;
        parse_latest(text, flavor).context("it names no stage3 of this flavor")
    })?;
    let file = path.rsplit('/').next().unwrap_or(&path).to_owned();
    let digests = format!("{path}.DIGESTS");
    let (sum, signed) = index(&digests).first_valid(mirrors, network, now, |_, signed, _| {
        let text = std::str::from_utf8(&signed.text).context("it is no UTF-8 text")?;
        let sum = parse_digests(text, &file).with_context(|| format!("it has no SHA-512 of {file}"))?;
        Ok((sum, signed))
    })?;
    let wanted = Wanted {
        name: file.clone(),
        paths: vec![path.clone()],
        size,
        sum,
        store: Store::Sources,
    };
    let fetched = fetch(engine, &wanted, mirrors, network)?;
    let sha256 = File::open(&fetched)
        .and_then(Sha256Sum::of_reader)
        .with_context(|| format!("cannot read {}", fetched.display()))?;
    keep_as(&fetched, engine, sha256)?;
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

/// Gives a fetched file also the name by which builds look for it. Its own stays: the next update looks for that one.
fn keep_as(fetched: &Path, engine: &Engine, sha256: Sha256Sum) -> Result<()> {
    let to = engine.cache.root().join("sources").join(sha256.to_string());
    let done = to.join(fetched.file_name().unwrap_or_default());
    let link = || match fs::hard_link(fetched, &done) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // The file system may not know hard links.
        Err(_) => fs::rename(fetched, &done),
        Ok(()) => Ok(()),
    };
    fs::create_dir_all(&to)
        .and_then(|()| link())
        .with_context(|| format!("cannot keep {} as {}", fetched.display(), done.display()))
}

/// `20250928T170227Z/stage3-arm64-systemd-20250928T170227Z.tar.xz 311603336` among comments.
fn parse_latest(text: &str, flavor: &str) -> Option<(String, Bytes)> {
    let prefix = format!("stage3-{flavor}-");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let (path, size) = line.trim().split_once(' ')?;
            let (folder, file) = path.split_once('/')?;
            let plain = is_plain_name(folder) && is_plain_name(file) && file.starts_with(&prefix);
            (plain && file.contains(".tar.")).then_some(())?;
            Some((path.to_owned(), Bytes(size.trim().parse().ok()?)))
        })
}

/// The line of `file` below `# SHA512 HASH`.
fn parse_digests(text: &str, file: &str) -> Option<Sum> {
    let mut in_sha512 = false;
    text.lines().find_map(|line| {
        if line.starts_with('#') {
            in_sha512 = line.contains("SHA512");
            return None;
        }
        let (sum, name) = line.split_once("  ")?;
        (in_sha512 && name.trim() == file).then(|| Sum::parse_sha512(sum))?
    })
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
        assert!(parse_latest("../../stage3-a-1.tar.xz 5\n", "a").is_none());

        let (long, wrong) = ("ab".repeat(64), "cd".repeat(64));
        let digests = format!(
            "# BLAKE2B HASH\n{wrong}  s.tar.xz\n# SHA512 HASH\n{wrong}  s.tar.xz.CONTENTS.gz\n{long}  s.tar.xz\n"
        );
        assert_eq!(parse_digests(&digests, "s.tar.xz").unwrap().to_string(), long);
        assert!(parse_digests(&digests, "t.tar.xz").is_none());
    }
}
