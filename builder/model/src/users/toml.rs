//! A user as written.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::At;

/// A user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserToml {
    /// OpenSSH public keys, one line each, that log in as this user.
    #[serde(default)]
    pub keys: Vec<At<String>>,
    /// Groups of the base that the user is in, beside one of its own name.
    #[serde(default)]
    pub groups: Vec<At<String>>,
    /// Whether the user may do everything by `sudo`: asked for the password where there is one, else without.
    #[serde(default)]
    pub sudo: bool,
    /// Shell, an absolute path that the base has. Default: "/bin/bash"; of a user that nobody logs in as, "/sbin/nologin".
    pub shell: Option<At<String>>,
    /// The password as crypt(5) hashes it, of `mkpasswd`: for consoles and sudo; ssh takes keys alone. Default: no password.
    pub password_hash: Option<At<PasswordHash>>,
    /// Number of the user and of the group of its own, 1000 to 59999. Default: one that follows from the name.
    pub uid: Option<At<u32>>,
}

/// A password as crypt(5) hashes it. It is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PasswordHash(pub(super) String);

impl PasswordHash {
    /// The second field of shadow(5).
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
