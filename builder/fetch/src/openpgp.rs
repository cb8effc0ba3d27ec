//! OpenPGP signatures. One counts if its key belongs to a pinned certificate (where any is pinned), if it was made after its key
//! and not in the future, with a hash that resists collisions, and if it, its key and the key's certificate are neither expired
//! nor revoked *now*. Nothing asks what certificate and key were when it was made: a renewal replaces the certificate's own
//! signatures, so one that was renewed since has none of that time; and a key that leaked after it expired must not vouch for
//! anything. Apart from what `past` and `certificate` are given, this is the one place that looks at the clock; it decides only
//! yes or no.

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Result, bail};
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::parse::stream::{
    DetachedVerifier, DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure,
    VerificationError, VerificationHelper, VerificationResult, VerifierBuilder,
};
use sequoia_openpgp::policy::{HashAlgoSecurity, Policy, StandardPolicy};
use sequoia_openpgp::types::RevocationStatus;
use sequoia_openpgp::{Cert, Error, KeyHandle};

use super::certificate::{innermost, policy, revocation_reason};
use super::keyring::Keyring;
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
    #[error("it is signed by key {key}, which expired on {when}: {remedy}")]
    KeyExpired {
        /// Primary fingerprint.
        key: String,
        /// When.
        when: Moment,
        /// What to do.
        remedy: String,
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
    /// The signature says that it is older than its key.
    #[error("its signature of {when} is older than key {key}, which it names")]
    BeforeKey {
        /// Primary fingerprint.
        key: String,
        /// When the signature was made, as it says.
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
    #[error("it is signed by key {key}, which is not in the keyring {keyring}: {remedy}")]
    UnknownKey {
        /// Key id or fingerprint, as the signature names it.
        key: String,
        /// The keyring.
        keyring: String,
        /// What to do.
        remedy: String,
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

impl Keyring {
    /// The text of a clearsigned document, if a signature on it counts at `now`. Text outside of the signed part is
    /// not in the result.
    pub fn clearsigned(&self, document: &[u8], now: SystemTime) -> Result<Signed, SignatureError> {
        const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
        if !document.starts_with(BEGIN) {
            return Err(SignatureError::Unsigned);
        }
        let policy = StandardPolicy::new();
        let mut verdict = None;
        let checker = Checker::new(self, now, &mut verdict);
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
        let checker = Checker::new(self, now, &mut verdict);
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
    now: SystemTime,
    verdict: &'a mut Option<Result<(String, Moment), SignatureError>>,
}

impl<'a> Checker<'a> {
    fn new(
        keyring: &'a Keyring,
        now: SystemTime,
        verdict: &'a mut Option<Result<(String, Moment), SignatureError>>,
    ) -> Self {
        Self {
            keyring,
            now,
            verdict,
        }
    }

    /// The library's own verdict is on the key as it was when the signature was made. What is taken from it is the signature
    /// with the digest of the document.
    fn judge(&self, result: VerificationResult) -> Result<(String, Moment), SignatureError> {
        match result {
            Ok(GoodChecksum { sig, .. })
            | Err(
                VerificationError::MissingKey { sig }
                | VerificationError::UnboundKey { sig, .. }
                | VerificationError::BadKey { sig, .. }
                | VerificationError::BadSignature { sig, .. },
            ) => self.judge_signature(sig),
            Err(VerificationError::MalformedSignature { error, .. }) => Err(SignatureError::Malformed {
                reason: innermost(&error),
            }),
            Err(other) => Err(SignatureError::Malformed {
                reason: other.to_string(),
            }),
        }
    }

    /// The best of what the keys make of a signature that it names; more than one has the same key id only where somebody wants
    /// that.
    fn judge_signature(&self, sig: &Signature) -> Result<(String, Moment), SignatureError> {
        let issuers = sig.get_issuers();
        let keys = self.keyring.certs.iter().flat_map(|cert| cert.keys());
        let named = keys.filter(|key| issuers.iter().any(|id| id.aliases(key.key().key_handle())));
        let verdicts = named.map(|key| self.judge_by(sig, &key));
        let best = verdicts.min_by(|a, b| match (a, b) {
            (Err(a), Err(b)) => a.cmp(b),
            (a, b) => b.is_ok().cmp(&a.is_ok()),
        });
        best.unwrap_or_else(|| {
            Err(SignatureError::UnknownKey {
                key: issuers.first().map_or("?".into(), ToString::to_string),
                keyring: self.keyring.path.display().to_string(),
                remedy: self.keyring.remedy.clone(),
            })
        })
    }

    /// Whether a signature is one by `ka` that counts.
    fn judge_by(
        &self,
        sig: &Signature,
        ka: &ErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Result<(String, Moment), SignatureError> {
        let key = ka.cert().fingerprint().to_hex();
        let unusable = |error: &anyhow::Error| SignatureError::Unusable {
            key: key.clone(),
            reason: innermost(error),
        };
        // Whoever hands out documents can prepare them: their hash has to resist collisions, whatever the key is.
        StandardPolicy::new()
            .signature(sig, HashAlgoSecurity::CollisionResistance)
            .map_err(|error| unusable(&error))?;
        let Some(made) = sig.signature_creation_time() else {
            return Err(SignatureError::Malformed {
                reason: "it has no creation time".into(),
            });
        };
        let when = Moment::of(made);
        if made < ka.key().creation_time() {
            return Err(SignatureError::BeforeKey { key, when });
        }
        if sig.verify_document(ka.key()).is_err() {
            // A signature carries the first two bytes of the digest that was signed.
            return Err(match sig.computed_digest() {
                Some(digest) if digest.starts_with(sig.digest_prefix()) => SignatureError::Wrong { key },
                _ => SignatureError::Changed { key },
            });
        }
        let pinned = &self.keyring.fingerprints;
        let is_pinned = pinned.contains(&key);
        if !pinned.is_empty() && !is_pinned {
            let pinned = pinned.join(", ");
            return Err(SignatureError::NotPinned { key, pinned });
        }
        if let Err(error) = sig.signature_alive(self.now, None) {
            return Err(match error.downcast_ref() {
                Some(Error::Expired(when)) => SignatureError::Expired {
                    key,
                    when: Moment::of(*when),
                },
                Some(Error::NotYetLive(when)) => SignatureError::Future {
                    key,
                    when: Moment::of(*when),
                },
                _ => unusable(&error),
            });
        }
        let policy = policy(is_pinned);
        let today = ka
            .clone()
            .with_policy(&policy, self.now)
            .map_err(|error| unusable(&error))?;
        match self.key_trouble(&today) {
            Some(trouble) => Err(trouble),
            None if !today.for_signing() => Err(SignatureError::Unusable {
                key,
                reason: "it may not sign".into(),
            }),
            None => Ok((key, when)),
        }
    }

    /// Whether a key is revoked or expired.
    fn key_trouble(&self, ka: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> Option<SignatureError> {
        let key = ka.cert().fingerprint().to_hex();
        for status in [ka.valid_cert().revocation_status(), ka.revocation_status()] {
            if let RevocationStatus::Revoked(revocations) = status {
                let reason = revocation_reason(&revocations);
                return Some(SignatureError::KeyRevoked { key, reason });
            }
        }
        for alive in [ka.valid_cert().alive(), ka.alive()] {
            let Err(error) = alive else { continue };
            return Some(match error.downcast_ref() {
                Some(Error::Expired(when)) => SignatureError::KeyExpired {
                    key,
                    when: Moment::of(*when),
                    remedy: self.keyring.remedy.clone(),
                },
                _ => SignatureError::Unusable {
                    key,
                    reason: innermost(&error),
                },
            });
        }
        None
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
