//! Key pairs of ssh, as texts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use super::files::{exists, read_private, write_new};
use super::what_to_do_about;

/// A key pair of ssh without a passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key: OpenSSH's private format, several lines.
    pub private: String,
    /// The public key: one line as in a `.pub` file.
    pub public: String,
}

impl std::fmt::Debug for KeyPair {
    /// Without the private key: what is printed may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// Makes a key pair at `key`, whose public half has `comment`.
pub(super) fn make_pair(key: &Path, comment: &str) -> Result<()> {
    let pair = generate_key(comment)?;
    write_new(key, private_text(&pair)?.as_bytes())?;
    write_new(&public_path(key), public_text(&pair)?.as_bytes())
}

/// What there is of the private half of a pair that a person has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Private {
    /// It can be used.
    Plain,
    /// It has a passphrase.
    Closed,
    /// It is not here.
    Elsewhere,
}

/// The public half of the pair of a person at `key`, and what there is of the private one.
pub(super) fn read_loose_pair(key: &Path) -> Result<(String, Private)> {
    if !exists(key)? {
        return Ok((read_public(key)?.1, Private::Elsewhere));
    }
    let pair = parse(key, &read_private(key)?)?;
    let public = checked_public(key, &pair)?;
    let private = match pair.is_encrypted() {
        true => Private::Closed,
        false => Private::Plain,
    };
    Ok((public, private))
}

/// The key pair at `key`, each half checked against the other.
pub(super) fn read_pair(key: &Path) -> Result<KeyPair> {
    let private = read_private(key)?;
    let pair = parse_private(key, &private)?;
    let public = checked_public(key, &pair)?;
    Ok(KeyPair { private, public })
}

/// The public half beside `key`, as it is written.
fn read_public(key: &Path) -> Result<(PublicKey, String)> {
    let public_path = public_path(key);
    let public = read_private(&public_path)?.trim_end().to_owned();
    let written = PublicKey::from_openssh(&public).map_err(|error| {
        anyhow!(
            "{} is damaged ({error}): make it again with `ssh-keygen -y -f {}`",
            public_path.display(),
            key.display()
        )
    })?;
    Ok((written, public))
}

/// The public half beside `key`, which has to be that of `pair`.
fn checked_public(key: &Path, pair: &PrivateKey) -> Result<String> {
    let (written, public) = read_public(key)?;
    ensure!(
        written.key_data() == pair.public_key().key_data(),
        "{} does not belong to {}: make it again with `ssh-keygen -y -f {}`",
        public_path(key).display(),
        key.display(),
        key.display()
    );
    Ok(public)
}

/// A private key, which may have a passphrase: its public half is readable all the same.
pub(super) fn parse(path: &Path, text: &str) -> Result<PrivateKey> {
    PrivateKey::from_openssh(text).map_err(|error| {
        anyhow!(
            "{} is damaged ({error}){}",
            path.display(),
            what_to_do_about(path)
        )
    })
}

fn parse_private(path: &Path, text: &str) -> Result<PrivateKey> {
    let key = parse(path, text)?;
    ensure!(
        !key.is_encrypted(),
        "{} has a passphrase, a key of a node cannot: remove it with `ssh-keygen -p -f {}`",
        path.display(),
        path.display()
    );
    ensure!(
        key.algorithm() == Algorithm::Ed25519,
        "{} is a key of type {}, not ssh-ed25519{}",
        path.display(),
        key.algorithm(),
        what_to_do_about(path)
    );
    Ok(key)
}

pub(super) fn generate_key(comment: &str) -> Result<PrivateKey> {
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).context("cannot make an ssh key")?;
    key.set_comment(comment);
    Ok(key)
}

pub(super) fn private_text(key: &PrivateKey) -> Result<String> {
    Ok(key
        .to_openssh(LineEnding::LF)
        .context("cannot encode an ssh key")?
        .to_string())
}

pub(super) fn public_text(key: &PrivateKey) -> Result<String> {
    let line = key
        .public_key()
        .to_openssh()
        .context("cannot encode an ssh key")?;
    Ok(format!("{line}\n"))
}

pub(super) fn public_path(key: &Path) -> PathBuf {
    key.with_extension("pub")
}
