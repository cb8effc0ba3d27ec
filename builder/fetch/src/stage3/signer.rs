//! Who has to have signed the packages of a source.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::Result;
use gentoo::binary::Signatures;
use model::sources::Signer;

use crate::errand::Errand;
use crate::keyring::Keyring;

/// Who has to have signed the packages of a source: somebody of a keyring, or nobody.
#[derive(Debug)]
pub(super) struct PackageSigner {
    keyring: Option<Keyring>,
    now: SystemTime,
}

impl PackageSigner {
    /// Reads the keyring of `signer`.
    pub(super) fn load(errand: &Errand, signer: Option<&Signer>) -> Result<Self> {
        let keyring = signer.map(|signer| errand.keyring(signer)).transpose()?;
        Ok(Self {
            keyring,
            now: errand.now,
        })
    }

    /// The public keys of those with these primary fingerprints, armored; `None` where nobody has to sign.
    pub(super) fn public_keys(&self, fingerprints: &BTreeSet<String>) -> Result<Option<String>> {
        let keys = self
            .keyring
            .as_ref()
            .map(|keyring| keyring.public_keys(fingerprints));
        keys.transpose()
    }

    /// The judge of one package.
    pub(super) fn of_one(&self) -> OnePackage<'_> {
        OnePackage {
            signer: self,
            who: Mutex::new(None),
        }
    }
}

/// Judges the signature of one package and remembers whose it is.
#[derive(Debug)]
pub(super) struct OnePackage<'a> {
    signer: &'a PackageSigner,
    who: Mutex<Option<String>>,
}

impl OnePackage<'_> {
    /// Primary fingerprint of who signed it; `None` where nobody has to.
    pub(super) fn who(self) -> Option<String> {
        self.who.into_inner().unwrap_or_default()
    }
}

impl Signatures for OnePackage<'_> {
    fn text(&self, manifest: &[u8]) -> Result<Vec<u8>, String> {
        let Some(keyring) = &self.signer.keyring else {
            return signed_text(manifest);
        };
        let signed = keyring
            .clearsigned(manifest, self.signer.now)
            .map_err(|error| error.to_string())?;
        if let Ok(mut who) = self.who.lock() {
            *who = Some(signed.signer);
        }
        Ok(signed.text)
    }

    fn required(&self) -> bool {
        self.signer.keyring.is_some()
    }
}

/// Asks nobody: for packages whose every byte a lock decides.
#[derive(Debug)]
pub(super) struct Locked;

impl Signatures for Locked {
    fn text(&self, manifest: &[u8]) -> Result<Vec<u8>, String> {
        signed_text(manifest)
    }

    fn required(&self) -> bool {
        false
    }
}

/// The text of a clearsigned document, whoever signed it (RFC 9580, 7).
pub(super) fn signed_text(document: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(document).map_err(|_| "it is no UTF-8 text")?;
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("-----BEGIN PGP SIGNED MESSAGE-----") {
        return Err("it is not clearsigned".into());
    }
    // `Hash: SHA512` and its like end with an empty line.
    lines.by_ref().find(|line| line.trim_end().is_empty());
    let mut signed = Vec::new();
    for line in lines {
        if line.trim_end() == "-----BEGIN PGP SIGNATURE-----" {
            return Ok(signed);
        }
        signed.extend_from_slice(line.strip_prefix("- ").unwrap_or(line).as_bytes());
        signed.push(b'\n');
    }
    Err("it has no signature at its end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_signed_manifest_is_found_without_a_key() {
        let document = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nDATA a 1\n- -DATA b 2\n\
                         -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";
        assert_eq!(signed_text(document).unwrap(), b"DATA a 1\n-DATA b 2\n");
        assert!(signed_text(&document[..60]).is_err());
        assert!(signed_text(b"DATA a 1\n").is_err());
        assert!(signed_text(b"\xff").is_err());
    }
}
