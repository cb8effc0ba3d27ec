//! Everyday settings of nodes as written: names, time and language, users, and values for templates.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::written::At;

/// Names, time and language of all nodes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SystemToml {
    /// Domain of all nodes, "example.org": each is known as NAME.example.org too, and names are looked up in it first.
    pub domain: Option<At<String>>,
    /// Time zone by its name in the tz database: "Europe/Vienna". Default: what the base has, UTC.
    pub time_zone: Option<At<String>>,
    /// Language and formats of programs: "de_AT.UTF-8", "C.UTF-8" or "POSIX". Default: "C.UTF-8".
    pub locale: Option<At<String>>,
}

/// A user of all nodes.
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
    /// Shell, an absolute path that the base has. Default: "/bin/bash".
    pub shell: Option<At<String>>,
    /// The password as crypt(5) hashes it, of `mkpasswd`: for consoles and sudo; ssh takes keys alone. Default: no password.
    pub password_hash: Option<At<PasswordHash>>,
    /// Number of the user and of the group of its own, 1000 to 59999. Default: one that follows from the name.
    pub uid: Option<At<u32>>,
}

/// A password as crypt(5) hashes it. It is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PasswordHash(pub(in crate::fleet) String);

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

/// A value for templates: a text, a number, true or false, or a list of these.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct VarToml(pub toml::Value);

impl JsonSchema for VarToml {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VarToml".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean", "array"],
            "items": { "type": ["string", "number", "boolean"] },
        })
    }
}
