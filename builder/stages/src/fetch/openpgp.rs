//! OpenPGP signatures, verified in this process against keys that the user's machine already has.
//!
//! A signature counts if a key of the signer's keyring made it, that key belongs to a pinned certificate (where any is
//! pinned), and signature and key are neither expired nor revoked *now*: an index is always fresh, and a key that leaked
//! after it expired must not vouch for one. This is the one place that looks at the clock; it decides only yes or no.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use model::sources::Signer;
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::parse::stream::{
    DetachedVerifier, DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure,
    VerificationError, VerificationHelper, VerificationResult, VerifierBuilder,
};
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::RevocationStatus;
use sequoia_openpgp::{Cert, Error, KeyHandle};

use super::moment::Moment;

/// Why a signature does not count. In order: what says most about several signatures comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum SignatureError {
    /// The digest that was signed is another one.
    #[error("it was changed after key {key} signed it")]
    Changed {
        /// Primary fingerprint.
        key: String,
    },
    /// The digest is the signed one, but the key did not sign it.
    #[error("its signature is wrong: key {key}, which it names, did not make it")]
    Wrong {
        /// Primary fingerprint.
        key: String,
    },
    /// The key was revoked.
    #[error("it is signed by key {key}, which was revoked{reason}")]
    KeyRevoked {
        /// Primary fingerprint.
        key: String,
        /// In brackets, where its owner gave one.
        reason: String,
    },
    /// The key expired.
    #[error("it is signed by key {key}, which expired on {when}: renew the keyring {keyring}")]
    KeyExpired {
        /// Primary fingerprint.
        key: String,
        /// When.
        when: Moment,
        /// The keyring it is in.
        keyring: String,
    },
    /// The signature expired.
    #[error("its signature by key {key} expired on {when}")]
    Expired {
        /// Primary fingerprint.
        key: String,
        /// When.
        when: Moment,
    },
    /// The signature is from the future.
    #[error("its signature by key {key} will only be made on {when}: is this machine's clock right?")]
    Future {
        /// Primary fingerprint.
        key: String,
        /// When.
        when: Moment,
    },
    /// A good signature by a key of the keyring that is not pinned.
    #[error("it is signed by key {key}, but only {pinned} may sign it")]
    NotPinned {
        /// Primary fingerprint.
        key: String,
        /// The pinned ones.
        pinned: String,
    },
    /// The key may not sign, or is too weak.
    #[error("it is signed by key {key}, which does not count: {reason}")]
    Unusable {
        /// Primary fingerprint.
        key: String,
        /// Why.
        reason: String,
    },
    /// The key is not in the keyring.
    #[error("it is signed by key {key}, which is not in the keyring {keyring}")]
    UnknownKey {
        /// Key id or fingerprint, as the signature names it.
        key: String,
        /// The keyring.
        keyring: String,
    },
    /// It cannot be read.
    #[error("its signature cannot be read: {reason}")]
    Malformed {
        /// Why.
        reason: String,
    },
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
}

/// What a signature vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The signed text: exactly the bytes that the signature covers.
    pub text: Vec<u8>,
    /// Primary fingerprint of the signer.
    pub signer: String,
    /// When the signature was made, as it says.
    pub date: Moment,
}

/// The keys of a signer.
#[derive(Debug, Clone)]
pub struct Keyring {
    certs: Vec<Cert>,
    path: PathBuf,
    fingerprints: Vec<String>,
}

impl Keyring {
    /// Reads the signer's keyring; `root` is the project's folder.
    pub fn load(root: &Path, signer: &Signer) -> Result<Self> {
        let path = root.join(&signer.keyring);
        let missing = || {
            format!(
                "the keyring {} of the signer `{}` is missing: {}",
                path.display(),
                signer.name,
                signer.obtain
            )
        };
        if !path.exists() {
            bail!(missing());
        }
        let unreadable = || format!("{} is no file of OpenPGP certificates", path.display());
        let certs = CertParser::from_file(&path)
            .with_context(unreadable)?
            .collect::<Result<Vec<_>>>()
            .with_context(unreadable)?;
        if certs.is_empty() {
            bail!("{} holds no OpenPGP certificate", path.display());
        }
        for pinned in &signer.fingerprints {
            if !certs.iter().any(|cert| cert.fingerprint().to_hex() == *pinned) {
                bail!(
                    "the keyring {} does not hold the pinned key {pinned} of the signer `{}`: {}",
                    path.display(),
                    signer.name,
                    signer.obtain
                );
            }
        }
        Ok(Self {
            certs,
            path,
            fingerprints: signer.fingerprints.clone(),
        })
    }

    /// The public keys of those with these primary fingerprints, armored, one after the other.
    pub fn public_keys(&self, fingerprints: &BTreeSet<String>) -> Result<String> {
        let named = (self.certs.iter()).filter(|cert| fingerprints.contains(&cert.fingerprint().to_hex()));
        let mut keys = String::new();
        for cert in named {
            let armored = cert.clone().strip_secret_key_material().armored().to_vec();
            let text = armored.and_then(|bytes| Ok(String::from_utf8(bytes)?));
            keys.push_str(&text.with_context(|| format!("cannot write the key {}", cert.fingerprint()))?);
        }
        Ok(keys)
    }

    /// The text of a clearsigned document, if a signature on it counts at `now`. Text outside of the signed part is
    /// not in the result.
    pub fn clearsigned(&self, document: &[u8], now: SystemTime) -> Result<Signed, SignatureError> {
        const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
        if !document.starts_with(BEGIN) {
            return Err(SignatureError::Unsigned);
        }
        let policy = StandardPolicy::new();
        let mut verdict = None;
        let checker = Checker::new(self, &policy, now, &mut verdict);
        let mut text = Vec::new();
        let read = VerifierBuilder::from_bytes(document)
            .and_then(|builder| builder.with_policy(&policy, now, checker))
            .and_then(|mut verifier| Ok(verifier.read_to_end(&mut text)?));
        Self::conclude(verdict, read.map(|_| text))
    }

    /// Whether a signature in `signature` (armored or binary) vouches for `data` and counts at `now`.
    pub fn detached(&self, data: &[u8], signature: &[u8], now: SystemTime) -> Result<Signed, SignatureError> {
        self.detached_from(signature, now, |verifier| verifier.verify_bytes(data))
    }

    /// The same for the content of a file, which may be larger than memory.
    pub fn detached_file(
        &self,
        path: &Path,
        signature: &[u8],
        now: SystemTime,
    ) -> Result<Signed, SignatureError> {
        self.detached_from(signature, now, |verifier| verifier.verify_file(path))
    }

    fn detached_from(
        &self,
        signature: &[u8],
        now: SystemTime,
        verify: impl FnOnce(&mut DetachedVerifier<'_, Checker<'_>>) -> Result<()>,
    ) -> Result<Signed, SignatureError> {
        let policy = StandardPolicy::new();
        let mut verdict = None;
        let checker = Checker::new(self, &policy, now, &mut verdict);
        let read = DetachedVerifierBuilder::from_bytes(signature)
            .and_then(|builder| builder.with_policy(&policy, now, checker))
            .and_then(|mut verifier| verify(&mut verifier));
        Self::conclude(verdict, read.map(|()| Vec::new()))
    }

    /// The verdict on the signatures, or why there are none to judge.
    fn conclude(
        verdict: Option<Result<(String, Moment), SignatureError>>,
        read: Result<Vec<u8>>,
    ) -> Result<Signed, SignatureError> {
        match (verdict, read) {
            (Some(Ok((signer, date))), Ok(text)) => Ok(Signed { text, signer, date }),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(SignatureError::Malformed {
                reason: error.to_string(),
            }),
            (None, Ok(_)) => Err(SignatureError::Unsigned),
        }
    }
}

/// Judges the signatures of one document.
struct Checker<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'a>,
    now: SystemTime,
    verdict: &'a mut Option<Result<(String, Moment), SignatureError>>,
}

impl<'a> Checker<'a> {
    fn new(
        keyring: &'a Keyring,
        policy: &'a StandardPolicy<'a>,
        now: SystemTime,
        verdict: &'a mut Option<Result<(String, Moment), SignatureError>>,
    ) -> Self {
        Self {
            keyring,
            policy,
            now,
            verdict,
        }
    }

    fn judge(&self, result: VerificationResult) -> Result<(String, Moment), SignatureError> {
        match result {
            Ok(good) => self.judge_good(&good),
            Err(VerificationError::MissingKey { sig }) => Err(SignatureError::UnknownKey {
                key: sig.get_issuers().first().map_or("?".into(), ToString::to_string),
                keyring: self.keyring.path.display().to_string(),
            }),
            Err(VerificationError::UnboundKey { cert, error, .. }) => Err(SignatureError::Unusable {
                key: cert.fingerprint().to_hex(),
                reason: innermost(&error),
            }),
            Err(VerificationError::BadKey { ka, error, .. }) => {
                Err(self.key_trouble(&ka).unwrap_or_else(|| SignatureError::Unusable {
                    key: ka.cert().fingerprint().to_hex(),
                    reason: innermost(&error),
                }))
            }
            Err(VerificationError::BadSignature { sig, ka, error }) => {
                Err(self.bad_signature(sig, &ka, &error))
            }
            Err(VerificationError::MalformedSignature { error, .. }) => Err(SignatureError::Malformed {
                reason: innermost(&error),
            }),
            Err(other) => Err(SignatureError::Malformed {
                reason: other.to_string(),
            }),
        }
    }

    /// A signature that is right: does the key count?
    fn judge_good(&self, good: &GoodChecksum) -> Result<(String, Moment), SignatureError> {
        let key = good.ka.cert().fingerprint().to_hex();
        let pinned = &self.keyring.fingerprints;
        if !pinned.is_empty() && !pinned.contains(&key) {
            return Err(SignatureError::NotPinned {
                key,
                pinned: pinned.join(", "),
            });
        }
        // So far the key was judged as of the time that the signature claims.
        let today = good
            .ka
            .clone()
            .with_policy(self.policy, self.now)
            .map_err(|error| SignatureError::Unusable {
                key: key.clone(),
                reason: innermost(&error),
            })?;
        if let Some(trouble) = self.key_trouble(&today) {
            return Err(trouble);
        }
        match good.sig.signature_creation_time() {
            Some(time) => Ok((key, Moment::of(time))),
            None => Err(SignatureError::Malformed {
                reason: "it has no creation time".into(),
            }),
        }
    }

    /// Whether a key is revoked or expired.
    fn key_trouble(&self, ka: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> Option<SignatureError> {
        let key = ka.cert().fingerprint().to_hex();
        for status in [ka.valid_cert().revocation_status(), ka.revocation_status()] {
            if let RevocationStatus::Revoked(revocations) = status {
                let reason = revocations
                    .first()
                    .and_then(|revocation| revocation.reason_for_revocation())
                    .map(|(code, _)| format!(" ({code})").to_lowercase());
                return Some(SignatureError::KeyRevoked {
                    key,
                    reason: reason.unwrap_or_default(),
                });
            }
        }
        for alive in [ka.valid_cert().alive(), ka.alive()] {
            if let Err(Some(Error::Expired(when))) = alive.as_ref().map_err(|error| error.downcast_ref()) {
                return Some(SignatureError::KeyExpired {
                    key,
                    when: Moment::of(*when),
                    keyring: self.keyring.path.display().to_string(),
                });
            }
        }
        None
    }

    /// Why a signature of a good key is bad.
    fn bad_signature(
        &self,
        sig: &Signature,
        ka: &ValidErasedKeyAmalgamation<'_, PublicParts>,
        error: &anyhow::Error,
    ) -> SignatureError {
        let key = ka.cert().fingerprint().to_hex();
        match error.downcast_ref() {
            Some(Error::Expired(when)) => SignatureError::Expired {
                key,
                when: Moment::of(*when),
            },
            Some(Error::NotYetLive(when)) => SignatureError::Future {
                key,
                when: Moment::of(*when),
            },
            Some(Error::PolicyViolation(..)) => SignatureError::Unusable {
                key,
                reason: innermost(error),
            },
            // A signature carries the first two bytes of the digest that was signed.
            _ => match sig.computed_digest() {
                Some(digest) if digest.starts_with(sig.digest_prefix()) => SignatureError::Wrong { key },
                _ => SignatureError::Changed { key },
            },
        }
    }
}

impl VerificationHelper for Checker<'_> {
    fn get_certs(&mut self, ids: &[KeyHandle]) -> Result<Vec<Cert>> {
        let named = |cert: &&Cert| {
            cert.keys()
                .any(|key| ids.iter().any(|id| id.aliases(key.key().key_handle())))
        };
        Ok(self.keyring.certs.iter().filter(named).cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure) -> Result<()> {
        let mut best: Option<Result<(String, Moment), SignatureError>> = None;
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else {
                bail!("it is not only signed, but also encrypted or compressed");
            };
            for result in results {
                let judged = self.judge(result);
                let better = match (&best, &judged) {
                    (None, _) | (Some(Err(_)), Ok(_)) => true,
                    (Some(Err(old)), Err(new)) => new < old,
                    (Some(Ok(_)), _) => false,
                };
                if better {
                    best = Some(judged);
                }
            }
        }
        *self.verdict = best;
        // An error here would only hide the verdict behind the library's own words.
        Ok(())
    }
}

/// The innermost cause, as the library words it.
fn innermost(error: &anyhow::Error) -> String {
    error.root_cause().to_string()
}
