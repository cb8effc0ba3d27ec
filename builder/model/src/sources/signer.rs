//! Who signs: whose keys count, and where they are found.

use std::path::PathBuf;

use super::check::Check;
use super::written::SignerToml;

/// Keys whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Its name in `sources.toml`.
    pub name: String,
    /// File of OpenPGP certificates; relative to the project's root, or absolute.
    pub keyring: PathBuf,
    /// Primary fingerprints, upper case without spaces. Empty: every key of the keyring counts, and none is fetched.
    pub fingerprints: Vec<String>,
    /// The address by which a web key directory has them.
    pub wkd: Option<WkdAddress>,
    /// A key server that has them: host, and port if it is not that of https.
    pub keyserver: Option<String>,
    /// How people get the keyring; `None` where `portadc keys` does.
    pub obtain: Option<String>,
}

/// An address that a web key directory is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WkdAddress {
    /// What is before the `@`, as written.
    pub local: String,
    /// What follows it, lower case.
    pub domain: String,
}

impl Signer {
    /// What to do where a key is missing or too old.
    pub fn remedy(&self) -> String {
        match (&self.obtain, self.fingerprints.is_empty()) {
            (Some(obtain), true) => obtain.clone(),
            (Some(obtain), false) => format!("`portadc keys --refresh` looks for it; or: {obtain}"),
            (None, _) => format!(
                "`portadc keys --refresh` looks for it; or put it into {} yourself (gpg --armor --export)",
                self.keyring.display()
            ),
        }
    }
}

impl WkdAddress {
    /// `local@domain`; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&byte);
        (!local.is_empty() && local.bytes().all(plain) && is_host(domain) && domain.contains('.')).then(
            || Self {
                local: local.to_owned(),
                domain: domain.to_ascii_lowercase(),
            },
        )
    }
}

impl std::fmt::Display for WkdAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// A name of a host (RFC 1123).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Host, and port if one is written, of `hkps://host:port`.
fn parse_keyserver(text: &str) -> Option<String> {
    let place = text.strip_prefix("hkps://")?.trim_end_matches('/');
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (place, None),
    };
    let host = Some(host.to_ascii_lowercase()).filter(|host| is_host(host))?;
    Some(match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

impl Check<'_> {
    pub(super) fn signer(&mut self, name: &str, written: SignerToml) -> Signer {
        if written.keyring.get_ref().is_empty() {
            self.found(
                written.keyring.span(),
                "the keyring has no path".into(),
                "give a file, relative to the folder of sources.toml or absolute",
            );
        }
        let mut fingerprints = Vec::new();
        for fingerprint in written.fingerprints {
            let digits: String = fingerprint
                .get_ref()
                .chars()
                .filter(|c| !c.is_whitespace())
                .map(|c| c.to_ascii_uppercase())
                .collect();
            if !matches!(digits.len(), 40 | 64) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                self.found(
                    fingerprint.span(),
                    format!("`{}` is no OpenPGP fingerprint", fingerprint.get_ref()),
                    "write all 40 (or 64) hexadecimal digits; a short key id can be forged",
                );
            }
            fingerprints.push(digits);
        }
        let place = [&written.wkd, &written.keyserver].into_iter().flatten().next();
        if let (true, Some(place)) = (fingerprints.is_empty(), place) {
            self.found(
                place.span(),
                format!("keys of the signer `{name}` are fetched, but none is pinned"),
                "add `fingerprints`: of what servers send, only keys with these are taken",
            );
        }
        if fingerprints.is_empty() && written.obtain.is_none() {
            self.found(
                written.keyring.span(),
                format!("nothing says where the keyring of the signer `{name}` comes from"),
                "pin `fingerprints`, which `portadc keys` looks for, or tell people what to do in `obtain`",
            );
        }
        let wkd = written.wkd.and_then(|address| {
            let parsed = WkdAddress::parse(address.get_ref());
            if parsed.is_none() {
                self.found(
                    address.span(),
                    format!("`{}` is no mail address", address.get_ref()),
                    "the address that the key's owner has, such as releng@gentoo.org",
                );
            }
            parsed
        });
        let keyserver = written.keyserver.and_then(|server| {
            let parsed = parse_keyserver(server.get_ref());
            if parsed.is_none() {
                self.found(
                    server.span(),
                    format!("`{}` is no key server", server.get_ref()),
                    "write hkps://HOST, such as hkps://keys.gentoo.org: keys are asked for over https only",
                );
            }
            parsed
        });
        Signer {
            name: name.to_owned(),
            keyring: written.keyring.into_inner().into(),
            fingerprints,
            wkd,
            keyserver,
            obtain: written.obtain,
        }
    }
}
