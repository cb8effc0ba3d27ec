//! Errors as a person gets to see them.

use std::error::Error;

/// An error with all its causes, in one line each after the other.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
