//! Certificates: what of one counts, how it stands now, and what of one that a server sent is kept.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::policy::{HashAlgoSecurity, StandardPolicy};
use sequoia_openpgp::types::{HashAlgorithm, RevocationStatus};
use sequoia_openpgp::{Cert, Error, Packet};

use super::moment::Moment;

/// How long before its end people are told that a certificate has to be renewed.
const SOON: Duration = Duration::from_secs(8 * 7 * 24 * 3600);

/// Certificates that are read of one answer; nobody means that many.
const MOST: usize = 1_000;

/// What of a certificate counts. `pinned`: its primary fingerprint is, so that it cannot be another one: to add something to it,
/// somebody would have to find a second text with the hash of one that its owner signed, which nobody can for SHA-1 either.
/// kernel.org's certificate has no better signature of its own.
pub(super) fn policy(pinned: bool) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    if pinned {
        policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    }
    policy
}

/// How a pinned certificate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It can vouch for something, until this moment, if there is an end to it.
    Alive(Option<Moment>),
    /// It could until then.
    Expired(Moment),
    /// Its owner took it back; the reason in brackets, where there is one.
    Revoked(String),
    /// Something is missing: what.
    Incomplete(String),
}

impl Standing {
    /// That of a pinned certificate at `now`.
    pub(super) fn of(cert: &Cert, now: SystemTime) -> Self {
        let policy = policy(true);
        let valid = match cert.with_policy(&policy, now) {
            Ok(valid) => valid,
            Err(error) => {
                return Self::Incomplete(format!("it does not vouch for itself ({})", innermost(&error)));
            }
        };
        if let RevocationStatus::Revoked(revocations) = valid.revocation_status() {
            return Self::Revoked(revocation_reason(&revocations));
        }
        if let Some(ended) = ended(&valid.alive()) {
            return Self::Expired(ended);
        }
        let whole = valid.primary_key().key_expiration_time();
        // Of several keys that sign, the one that lasts longest decides. `None` means no end.
        let (mut best, mut last_end, mut revoked): (Option<Option<SystemTime>>, _, _) = (None, None, None);
        for key in valid.keys().for_signing() {
            if let RevocationStatus::Revoked(revocations) = key.revocation_status() {
                revoked = Some(revocation_reason(&revocations));
                continue;
            }
            match key.alive() {
                Ok(()) => {
                    let end = earlier(whole, key.key_expiration_time());
                    best = Some(match best {
                        None => end,
                        Some(other) => other.zip(end).map(|(a, b)| a.max(b)),
                    });
                }
                Err(error) => last_end = last_end.max(ended(&Err(error))),
            }
        }
        match (best, last_end, revoked) {
            (Some(end), ..) => Self::Alive(end.map(Moment::of)),
            (None, Some(end), _) => Self::Expired(end),
            (None, None, Some(reason)) => Self::Revoked(reason),
            (None, None, None) => Self::Incomplete("it has no key that may sign".into()),
        }
    }

    /// When it ends, if that is within eight weeks of `now`.
    pub(super) fn ends_soon(&self, now: SystemTime) -> Option<Moment> {
        match self {
            Self::Alive(Some(end)) if *end < Moment::of(now + SOON) => Some(*end),
            _ => None,
        }
    }
}

/// When what is not alive ended, if that is why.
fn ended(alive: &Result<()>) -> Option<Moment> {
    match alive.as_ref().err()?.downcast_ref() {
        Some(Error::Expired(when)) => Some(Moment::of(*when)),
        _ => None,
    }
}

/// The earlier of two ends, of which there may be none.
fn earlier(a: Option<SystemTime>, b: Option<SystemTime>) -> Option<SystemTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The reason of a revocation in brackets, where its owner gave one.
pub(super) fn revocation_reason(revocations: &[&Signature]) -> String {
    let reason = revocations
        .first()
        .and_then(|revocation| revocation.reason_for_revocation());
    reason
        .map(|(code, _)| format!(" ({code})").to_lowercase())
        .unwrap_or_default()
}

/// The certificate with the primary fingerprint `fingerprint` among `bytes`, which anybody may have sent: public, and with nothing
/// but what its own primary key signed.
pub(super) fn find(bytes: &[u8], fingerprint: &str) -> Result<Cert, String> {
    let (mut others, mut failure) = (0, None);
    let mut found: Option<Cert> = None;
    let parser = CertParser::from_bytes(bytes).map_err(|error| no_certificate(bytes, &error))?;
    for cert in parser.take(MOST) {
        match cert {
            Ok(cert) if cert.fingerprint().to_hex() == fingerprint => {
                let cert = own_parts(&cert).map_err(|error| no_certificate(bytes, &error))?;
                found = Some(match found {
                    None => cert,
                    Some(same) => same
                        .merge_public(cert)
                        .map_err(|error| no_certificate(bytes, &error))?,
                });
            }
            Ok(_) => others += 1,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match (found, others, failure) {
        (Some(cert), ..) => Ok(cert),
        (None, 0, Some(error)) => Err(no_certificate(bytes, &error)),
        (None, 0, None) => Err("it has no certificate".into()),
        (None, 1, _) => Err("it has another key than the pinned one".into()),
        (None, others, _) => Err(format!("it has {others} keys, none of them the pinned one")),
    }
}

fn no_certificate(bytes: &[u8], error: &anyhow::Error) -> String {
    match bytes.trim_ascii_start().first() {
        Some(b'<') => "it is a web page, no OpenPGP certificate".into(),
        _ => format!("it is no whole OpenPGP certificate ({})", innermost(error)),
    }
}

/// A certificate with what its primary key signed, and nothing that others could have added to it.
fn own_parts(cert: &Cert) -> Result<Cert> {
    fn signatures<'a>(
        own: impl Iterator<Item = &'a Signature>,
        revocations: impl Iterator<Item = &'a Signature>,
    ) -> Vec<Packet> {
        own.chain(revocations).cloned().map(Packet::from).collect()
    }
    let primary = cert.primary_key();
    let mut packets = vec![Packet::from(primary.key().clone())];
    packets.extend(signatures(primary.self_signatures(), primary.self_revocations()));
    for user in cert.userids() {
        let signatures = signatures(user.self_signatures(), user.self_revocations());
        if !signatures.is_empty() {
            packets.push(Packet::from(user.userid().clone()));
            packets.extend(signatures);
        }
    }
    for subkey in cert.keys().subkeys() {
        let signatures = signatures(subkey.self_signatures(), subkey.self_revocations());
        if !signatures.is_empty() {
            packets.push(Packet::from(subkey.key().clone()));
            packets.extend(signatures);
        }
    }
    Cert::from_packets(packets.into_iter()).context("its parts make no certificate")
}

/// The innermost cause, as the library words it.
pub(super) fn innermost(error: &anyhow::Error) -> String {
    error.root_cause().to_string()
}
