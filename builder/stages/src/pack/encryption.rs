//! Deltas encrypted to recipients, as age(1) does: <https://c2sp.org/age>. What is encrypted twice gives other bytes each
//! time, so a delta is encrypted only where it has changed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use engine::failure;

/// How files that age makes start.
pub(super) const MAGIC: &[u8] = b"age-encryption.org/";

/// How the private keys of age start.
const PRIVATE: &str = "AGE-SECRET-KEY-";

/// Largest file of private keys that is read, in bytes; a key has less than a hundred.
const MAX_FILE: usize = 64 * 1024;

/// Who can decrypt the deltas of a pack.
#[derive(Clone, Default)]
pub struct Recipients(BTreeMap<String, Recipient>);

impl Recipients {
    /// The recipients of these public keys, `age1...`; of none, where deltas are not encrypted.
    pub fn parse<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let parse = |key: &str| {
            // Not repeated: what is printed may end in a log.
            ensure!(
                !key.to_ascii_uppercase().starts_with(PRIVATE),
                "this is a private key of age, which whoever can list processes has now read: make a new pair with `age-keygen`, \
                 and name its public key, age1..."
            );
            let recipient = key.parse::<Recipient>().map_err(|fault| {
                anyhow!(
                    "`{}` is no recipient ({fault}): expected a public key of age, age1..., as `age-keygen -y FILE` prints it",
                    key.escape_debug()
                )
            })?;
            Ok((recipient.to_string(), recipient))
        };
        keys.into_iter().map(parse).collect::<Result<_>>().map(Self)
    }

    /// Their public keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Whether there are none: nothing is encrypted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `bytes`, for them to decrypt.
    pub(super) fn encrypt(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let recipients = self.0.values().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(Error::new)?;
        let mut encrypted = Vec::with_capacity(bytes.len() + bytes.len() / 1024 + 1024);
        let mut writer = encryptor.wrap_output(&mut encrypted)?;
        writer.write_all(bytes)?;
        writer.finish()?;
        Ok(encrypted)
    }
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Private keys by which deltas are decrypted.
#[derive(Clone)]
pub struct Identities {
    path: PathBuf,
    keys: Vec<Identity>,
}

impl Identities {
    /// Those in a file as `age-keygen` writes it.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let bytes = files::read(path).with_context(|| format!("cannot read the identity file {shown}"))?;
        ensure!(
            bytes.len() <= MAX_FILE,
            "the identity file {shown} has {} bytes, those of age have at most {MAX_FILE}",
            bytes.len()
        );
        if bytes.starts_with(MAGIC) || bytes.starts_with(b"-----BEGIN AGE") {
            bail!(
                "the identity file {shown} is encrypted itself: decrypt it with `age -d` to where only you can read it"
            );
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|_| anyhow!("the identity file {shown} is no text"))?;
        let lines = (1..).zip(text.lines().map(str::trim));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys = keys.map(|(number, line)| {
            // Nothing of the line is repeated.
            line.parse::<Identity>().map_err(|_| {
                anyhow!("line {number} of the identity file {shown} is no private key of age ({PRIVATE}...)")
            })
        });
        let keys: Vec<Identity> = keys.collect::<Result<_>>()?;
        ensure!(
            !keys.is_empty(),
            "the identity file {shown} has no private key of age ({PRIVATE}...)"
        );
        Ok(Self {
            path: path.to_owned(),
            keys,
        })
    }

    /// What was encrypted to one of them, or what is wrong with it; `recipients` are those that it should be of.
    pub(super) fn decrypt(&self, bytes: &[u8], recipients: &[String]) -> Result<Vec<u8>> {
        let read = || -> Result<Vec<u8>, DecryptError> {
            let keys = self.keys.iter().map(|key| key as &dyn age::Identity);
            let mut plain = Vec::new();
            Decryptor::new_buffered(bytes)?
                .decrypt(keys)?
                .read_to_end(&mut plain)?;
            Ok(plain)
        };
        read().map_err(|error| match error {
            DecryptError::NoMatchingKeys => anyhow!(
                "it is encrypted to none of the keys in {}, but, as the pack's index says, to {}",
                self.path.display(),
                recipients.join(", ")
            ),
            // Where it ends early, and where a byte is not as it was encrypted.
            _ => failure(
                "it is damaged: no whole file of age, or changed since it was encrypted".to_owned(),
                true,
            ),
        })
    }
}

impl std::fmt::Debug for Identities {
    /// Without the keys: what is printed may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identities").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use age::secrecy::ExposeSecret;

    use super::*;

    fn load(text: &str) -> Result<Identities> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        fs::write(&path, text)?;
        Identities::load(&path)
    }

    fn refusal<T>(result: Result<T>) -> String {
        match result {
            Ok(_) => panic!("it is taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn who_is_no_recipient_is_told_and_a_private_key_is_not_repeated() {
        let key = Identity::generate();
        let public = key.to_public().to_string();
        let secret = key.to_string();
        let twice = Recipients::parse([&public[..], &public]).unwrap();
        assert_eq!(twice.keys(), [public]);
        assert!(Recipients::parse([]).unwrap().is_empty());
        for other in ["", "age1", "ssh-ed25519 AAAA", "age1\u{1b}[31m"] {
            let said = refusal(Recipients::parse([other]));
            assert!(
                said.contains("expected a public key of age") && !said.contains('\u{1b}'),
                "{said}"
            );
        }
        for secret in [
            secret.expose_secret().to_owned(),
            secret.expose_secret().to_lowercase(),
        ] {
            let said = refusal(Recipients::parse([&secret[..]]));
            assert!(
                said.contains("private key of age, which") && !said.contains(&secret),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_no_identity_file_is_told_without_repeating_it() {
        let secret = Identity::generate().to_string();
        let secret = secret.expose_secret();
        load(&format!("# created: today\r\n{secret}\r\n\n{secret}")).unwrap();
        for (text, said) in [
            (String::new(), "has no private key of age"),
            ("# only words\n".to_owned(), "has no private key of age"),
            (format!("# a\n{}", &secret[..60]), "line 2 of the identity file"),
            ("age-encryption.org/v1\n".to_owned(), "is encrypted itself"),
            ("x".repeat(MAX_FILE + 1), "have at most"),
        ] {
            let found = refusal(load(&text));
            assert!(found.contains(said) && !found.contains(&secret[..60]), "{found}");
        }
    }
}
