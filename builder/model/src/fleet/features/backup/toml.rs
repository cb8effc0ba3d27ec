//! Backups as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::{At, Table};

/// How often nodes that run containers export backups, and how long those are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BackupToml {
    /// Time between two backups of a node: "30min", "1h", "1d". Default: "1h".
    pub every: Option<At<String>>,
    /// What is kept at the buddy.
    #[serde(default)]
    pub keep: KeepToml,
    /// Hosts outside of the fleet that keep backups, by name: nodes choose them as their `buddy`.
    #[serde(default)]
    pub hosts: Table<BackupHostToml>,
}

/// A host outside of the fleet that keeps backups.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BackupHostToml {
    /// Its IPv4 address.
    pub address: At<String>,
    /// Its ssh host key: the one line of /etc/ssh/ssh_host_ed25519_key.pub there.
    pub host_key: At<String>,
}

/// Of how many hours, days and weeks the last backup is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeepToml {
    /// Hours. Default: 24.
    pub hourly: Option<At<u16>>,
    /// Days. Default: 7.
    pub daily: Option<At<u16>>,
    /// Weeks. Default: 4.
    pub weekly: Option<At<u16>>,
}
