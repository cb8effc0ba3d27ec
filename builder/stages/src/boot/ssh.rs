//! `ssh` into the booted node: the real client, the fleet's `known_hosts`, the operator's key.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Result, anyhow};

/// How to reach a node.
#[derive(Debug)]
pub struct Ssh<'a> {
    /// Where it is reached.
    pub at: SocketAddrV4,
    /// The name under which the node stands in `known_hosts`.
    pub host_key_alias: String,
    /// The host keys of the fleet.
    pub known_hosts: &'a Path,
    /// The operator's private key.
    pub operator_key: &'a Path,
}

/// What came of a command.
#[derive(Debug)]
pub enum Answer {
    /// It ran; this is its standard output.
    Output(String),
    /// The node has another host key.
    WrongHostKey(String),
    /// The node refused the login or the command failed.
    Refused(String),
    /// Nobody answered (yet).
    Unreachable(String),
}

impl Ssh<'_> {
    /// Runs `script` with the node's shell.
    pub fn run(&self, script: &str) -> Result<Answer> {
        let output = self.call(&["-o", "PreferredAuthentications=publickey"], script)?;
        if output.status.success() {
            return Ok(Answer::Output(
                String::from_utf8_lossy(&output.stdout).into_owned(),
            ));
        }
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(if errors.contains("Host key verification failed") {
            Answer::WrongHostKey(errors)
        } else if output.status.code() == Some(255) && !errors.contains("Permission denied") {
            Answer::Unreachable(errors)
        } else {
            Answer::Refused(errors)
        })
    }

    /// The ways to log in that the node offers, as it names them to someone who has no key: `publickey,password`.
    pub fn offered_methods(&self) -> Result<String> {
        let output = self.call(&["-o", "PreferredAuthentications=none"], "true")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        errors
            .rsplit_once("Permission denied (")
            .and_then(|(_, rest)| Some(rest.split_once(')')?.0.to_owned()))
            .ok_or_else(|| anyhow!("the node did not refuse a login without a key: {}", errors.trim()))
    }

    /// The arguments by which anybody's `ssh` gets there.
    pub fn login(&self) -> Vec<String> {
        [
            ["-i".into(), self.operator_key.display().to_string()],
            [
                "-o".into(),
                format!("UserKnownHostsFile=\"{}\"", self.known_hosts.display()),
            ],
            ["-o".into(), format!("HostKeyAlias={}", self.host_key_alias)],
            ["-p".into(), self.at.port().to_string()],
        ]
        .into_iter()
        .flatten()
        .chain([format!("root@{}", self.at.ip())])
        .collect()
    }

    fn call(&self, options: &[&str], script: &str) -> Result<Output> {
        // Nothing of the caller's own configuration may let a check pass.
        let output = Command::new("ssh")
            .args([
                "-F",
                "none",
                "-T",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=yes",
            ])
            .args([
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
                "-o",
                "ConnectTimeout=10",
            ])
            // A node that hangs in the middle of a check is told from one that is slow.
            .args(["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o", "LogLevel=ERROR"])
            .args(options)
            .args(self.login())
            .arg(script)
            .stdin(Stdio::null())
            .output();
        output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow!("the program `ssh` is missing: install the Debian package `openssh-client`")
            }
            _ => anyhow!(error).context("cannot start ssh"),
        })
    }
}
