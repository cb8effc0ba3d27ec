//! What goes wrong between here and a mirror.

/// Why a mirror did not give something.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may do so when asked again.
    Passing(String),
    /// It will not go on at the byte that was asked for, but may start from the beginning.
    NoRange(String),
    /// It does not have it.
    Absent(String),
    /// It will not.
    Lasting(String),
}

impl Trouble {
    /// What happened.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Passing(text) | Self::NoRange(text) | Self::Absent(text) | Self::Lasting(text) => text,
        }
    }
}
