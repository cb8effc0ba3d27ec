//! What a package would run while it is merged, and what of it is done here without running anything.
//!
//! | package | what its phases do | here |
//! |---|---|---|
//! | `acct-group/*`, `acct-user/*` | `groupadd`, `useradd`, owner and mode of the home | [`super::accounts`], [`Home`] |
//! | of the eclass `fcaps` | `setcap`, `chmod` | [`super::capabilities`] |
//! | `net-firewall/iptables` | `eselect iptables set` | [`links`] |
//! | `net-firewall/nftables` | an empty `rules-save` | [`links`] |
//! | `app-misc/ca-certificates` | links to all certificates | [`super::pending`] |
//! | `sys-libs/glibc` | the locales of `locale.gen` | [`super::pending`] |
//!
//! Phases whose body only prints messages ([`prints`]) are done by not being run, and what follows from the files of
//! some packages is left for the node's first start ([`super::pending`]). Every other `pkg_preinst` and `pkg_postinst` is
//! reported.

mod prints;

use std::collections::BTreeMap;
use std::io::Read as _;

use super::error::Fault;
use prints::only_prints;

/// Most bytes of an unpacked `environment.bz2`.
const MAX_ENVIRONMENT: u64 = 64 << 20;

/// The shell's variables and functions as the package's build left them (`environment.bz2`).
#[derive(Debug, Default)]
pub(super) struct Environment {
    text: String,
}

impl Environment {
    /// Unpacks it; a package without one has an empty one.
    pub fn read(metadata: &BTreeMap<String, Vec<u8>>) -> Result<Self, Fault> {
        let Some(packed) = metadata.get("environment.bz2") else {
            return Ok(Self::default());
        };
        let fault = |what: String| Fault::Metadata {
            file: "environment.bz2".to_owned(),
            what,
        };
        let mut bytes = Vec::new();
        bzip2::read::MultiBzDecoder::new(&packed[..])
            .take(MAX_ENVIRONMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fault(format!("cannot be unpacked: {error}")))?;
        if bytes.len() as u64 > MAX_ENVIRONMENT {
            return Err(fault(format!(
                "unpacks to more than the limit of {MAX_ENVIRONMENT} bytes"
            )));
        }
        Ok(Self {
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// One with the given text.
    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }

    /// The value of a variable: `declare -x NAME="VALUE"`.
    fn variable(&self, name: &str) -> Option<String> {
        Some(unquoted(self.declared(name)?.strip_prefix('"')?).0)
    }

    /// The items of an array: `declare -a NAME=([0]="a" [1]="b")`.
    pub fn array(&self, name: &str) -> Vec<String> {
        let mut items = Vec::new();
        let Some(mut rest) = self.declared(name).and_then(|text| text.strip_prefix('(')) else {
            return items;
        };
        while let Some((_, quoted)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("]=\"")) {
            let (item, behind) = unquoted(quoted);
            items.push(item);
            rest = behind.trim_start();
        }
        items
    }

    /// What follows the `=` of a declaration.
    fn declared(&self, name: &str) -> Option<&str> {
        let mut rest = &self.text[..];
        let assignment = format!(" {name}=");
        loop {
            let at = rest.find(&assignment)?;
            let line = rest[..at].rsplit('\n').next().unwrap_or_default();
            rest = &rest[at + assignment.len()..];
            if line
                .strip_prefix("declare -")
                .is_some_and(|flags| !flags.contains(' '))
            {
                return Some(rest);
            }
        }
    }

    /// The bodies of a function, as bash prints it. A value of a variable may look like one: then there are several.
    pub fn bodies(&self, function: &str) -> Vec<&str> {
        let head = format!("{function} ()");
        let mut bodies = Vec::new();
        let mut rest = &self.text[..];
        while let Some(at) = rest.find(&head) {
            let is_line = rest[..at].is_empty() || rest[..at].ends_with('\n');
            let line_end = rest[at..].find('\n').map_or(rest.len(), |end| at + end + 1);
            let is_head = is_line && rest[at + head.len()..line_end].trim().is_empty();
            rest = &rest[if is_head { line_end } else { at + head.len() }..];
            if is_head {
                // The brace that opens it has a line of its own, and so has the one that closes it.
                let body = rest.split_once('\n').map_or("", |(_, body)| body);
                let end = if body.starts_with("}\n") {
                    0
                } else {
                    body.find("\n}\n").unwrap_or(body.len())
                };
                bodies.push(&body[..end]);
            }
        }
        bodies
    }
}

/// A value up to its closing quote, and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// The phases among `preinst` and `postinst` that a package has and nothing here does for it.
pub(super) fn unhandled(
    key: &str,
    metadata: &BTreeMap<String, Vec<u8>>,
    environment: &Environment,
) -> Vec<&'static str> {
    let is_left = matches!(key, "app-misc/ca-certificates" | "sys-libs/glibc");
    if key.starts_with("acct-user/") || key.starts_with("acct-group/") || links(key).is_some() || is_left {
        return Vec::new();
    }
    let phases = text(metadata, "DEFINED_PHASES");
    let has = |phase: &str| phases.split_whitespace().any(|defined| defined == phase);
    let is_open = |phase: &&'static str| !only_prints(environment, &format!("pkg_{phase}"));
    ["preinst", "postinst"]
        .into_iter()
        .filter(|phase| has(phase))
        .filter(is_open)
        .collect()
}

/// Owner and mode of a user's home, which `acct-user` packages give it before they are merged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// The user.
    pub user: String,
    /// Components joined by `/`.
    pub path: Vec<u8>,
    /// `user:group`, if the package says.
    pub owner: Option<(String, String)>,
    pub mode: u32,
}

/// The home that an `acct-user` package brings.
pub(super) fn home(environment: &Environment) -> Result<Option<Home>, Fault> {
    let (Some(user), Some(path)) = (
        environment.variable("ACCT_USER_NAME"),
        environment
            .variable("_ACCT_USER_HOME")
            .or_else(|| environment.variable("ACCT_USER_HOME")),
    ) else {
        return Ok(None);
    };
    if path == "/dev/null" {
        return Ok(None);
    }
    let given = |name: &str| {
        let value = environment
            .variable(&format!("_{name}"))
            .or_else(|| environment.variable(name));
        value.filter(|value| !value.is_empty())
    };
    let mode = given("ACCT_USER_HOME_PERMS").unwrap_or_else(|| "0755".to_owned());
    let mode = u32::from_str_radix(&mode, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| Fault::Metadata {
            file: "environment.bz2".to_owned(),
            what: format!("has ACCT_USER_HOME_PERMS={mode:?}, which is no mode"),
        })?;
    let owner = given("ACCT_USER_HOME_OWNER");
    let owner = owner.as_deref().and_then(|owner| owner.split_once(':'));
    Ok(Some(Home {
        user,
        path: path.trim_matches('/').as_bytes().to_vec(),
        owner: owner.map(|(user, group)| (user.to_owned(), group.to_owned())),
        mode,
    }))
}

/// What replaces a phase of a package: files that are made unless they are there.
#[derive(Debug)]
pub(super) struct Links {
    /// A file of the package, beside which links are made.
    pub beside: &'static [u8],
    /// The links to it.
    pub names: &'static [&'static str],
    /// An empty file that only root may read.
    pub empty: Option<&'static [u8]>,
}

/// What the phases of some packages make.
pub(super) fn links(key: &str) -> Option<&'static [Links]> {
    const IPTABLES: [Links; 2] = [
        Links {
            beside: b"xtables-legacy-multi",
            names: &[
                "iptables",
                "iptables-restore",
                "iptables-save",
                "ip6tables",
                "ip6tables-restore",
                "ip6tables-save",
            ],
            empty: None,
        },
        Links {
            beside: b"xtables-nft-multi",
            names: &[
                "arptables",
                "arptables-restore",
                "arptables-save",
                "ebtables",
                "ebtables-restore",
                "ebtables-save",
            ],
            empty: None,
        },
    ];
    const NFTABLES: [Links; 1] = [Links {
        beside: b"",
        names: &[],
        empty: Some(b"var/lib/nftables/rules-save"),
    }];
    match key {
        "net-firewall/iptables" => Some(&IPTABLES),
        "net-firewall/nftables" => Some(&NFTABLES),
        _ => None,
    }
}

/// A metadata file as text; empty where there is none.
pub(super) fn text<'a>(metadata: &'a BTreeMap<String, Vec<u8>>, file: &str) -> &'a str {
    let bytes = metadata.get(file).map_or(&[][..], |bytes| bytes);
    str::from_utf8(bytes).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_bash_prints_them() {
        let environment = Environment::of(
            "declare -x A=\"b \\\"c\\\" \\$d\"\ndeclare -a FILECAPS=([0]=\"cap_net_raw\" [1]=\"bin/a b\")\n\
             f () \n{ \n    echo \" A=no\"\n}\ndeclare -- E=\"\"\n",
        );
        assert_eq!(environment.variable("A").unwrap(), "b \"c\" $d");
        assert_eq!(environment.variable("E").unwrap(), "");
        assert_eq!(environment.variable("F"), None);
        assert_eq!(environment.array("FILECAPS"), ["cap_net_raw", "bin/a b"]);
    }

    #[test]
    fn phases_that_only_print_are_done() {
        let metadata =
            |phases: &str| BTreeMap::from([("DEFINED_PHASES".to_owned(), phases.as_bytes().to_vec())]);
        let prints = Environment::of("pkg_postinst () \n{ \n    elog \"hello\";\n    einfo \"x\"\n}\n");
        let acts =
            Environment::of("pkg_postinst () \n{ \n    elog \"hello\";\n    touch \"${EROOT}/x\"\n}\n");
        let hides = Environment::of("pkg_postinst () \n{ \n    elog \"$(touch /x)\"\n}\n");
        assert!(unhandled("app/a", &metadata("compile postinst"), &prints).is_empty());
        assert!(unhandled("app/a", &metadata("compile"), &acts).is_empty());
        assert_eq!(
            unhandled("app/a", &metadata("postinst preinst"), &acts),
            ["preinst", "postinst"]
        );
        assert_eq!(unhandled("app/a", &metadata("postinst"), &hides), ["postinst"]);
        assert!(unhandled("acct-user/a", &metadata("preinst"), &acts).is_empty());
    }
}
