//! Failures that programs tell from others: something is not what its hash or signature says.

use anyhow::anyhow;

/// Something is not what its hash or signature says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VerificationFailed(pub String);

/// Whether `error` says that something is not what its hash or signature says: programs tell it from other failures.
pub fn is_verification_failure(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<VerificationFailed>())
}

/// The error that `text` tells of, as one of verification if it is one.
pub fn failure(text: String, unverified: bool) -> anyhow::Error {
    if unverified {
        VerificationFailed(text).into()
    } else {
        anyhow!(text)
    }
}
