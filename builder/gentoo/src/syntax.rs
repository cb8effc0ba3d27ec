//! What all texts of Gentoo's packages have in common: which characters a name has, and the error of one that breaks its
//! rules.

use formats::layer::shown;
use thiserror::Error;

/// Why a text is not what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is no {what}: {fault}", shown(text.as_bytes()))]
pub struct SyntaxError {
    /// The text, or the part of it that is wrong.
    pub text: String,
    /// What it should be, without an article.
    pub what: &'static str,
    /// The rule it breaks.
    pub fault: &'static str,
}

impl SyntaxError {
    pub(crate) fn new(text: &str, what: &'static str, fault: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            what,
            fault,
        }
    }
}

/// Whether `text` has letters, digits, `_` and of `others` only, and starts with none of `others`. PMS 3.1 makes all its
/// names so.
pub(crate) fn is_name(text: &str, others: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.as_bytes().first().is_some_and(plain)
        && text.bytes().all(|byte| plain(&byte) || others.contains(&byte))
}

/// Whether `text` is the name of a slot or sub-slot (PMS 3.1.3).
pub(crate) fn is_slot(text: &str) -> bool {
    is_name(text, b"+.-")
}

/// Whether `text` is the name of a USE flag (PMS 3.1.4), which must start with a letter or a digit.
pub(crate) fn is_flag(text: &str) -> bool {
    is_name(text, b"+@-") && !text.starts_with('_')
}

/// Whether `text` is the name of a repository (PMS 3.1.5).
pub(crate) fn is_repository(text: &str) -> bool {
    is_name(text, b"-")
}
