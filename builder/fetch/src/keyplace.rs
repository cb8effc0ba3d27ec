//! Where a key may be: in the web key directory of an address, on a key server, in what packages of this machine installed.
//!
//! A mirror of the user's own is asked before all of them, below its URL by the same paths: `.well-known/openpgpkey/DOMAIN/hu/HASH`
//! as the advanced form of a web key directory has it, and `pks/lookup` as key servers do. Elsewhere keys are asked for over https
//! only, and a mirror in plain http leads nowhere but to https: no way is trusted, as the fingerprint decides, but whoever can
//! change an answer could keep a revocation from being heard of.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base32ct::{Base32Unpadded, Encoding};
use model::sources::{Signer, WkdAddress};
use sequoia_openpgp::Cert;
use sha1::{Digest, Sha1};

use super::certificate;
use super::http::{Http, Limits, Trouble};
use super::mirror::{Route, shown};

/// Larger than any certificate that a key server has with all that others signed on it (Tom Rini's: 100 KB) by far.
const LIMIT: u64 = 4 << 20;

/// For a whole answer.
const TIME: Duration = Duration::from_secs(60);

/// Folders in which packages of distributions keep certificates.
pub const HOST_FOLDERS: [&str; 2] = ["/usr/share/openpgp-keys", "/usr/share/keyrings"];

/// A place that may have a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A URL to ask.
    Url(String),
    /// Files of certificates in this folder.
    Folder(PathBuf),
}

impl Place {
    /// The places of a key of `signer`, in the order in which they are asked. `own` is the mirror that the user named, ending in
    /// `/`, `folders` are those of this machine.
    pub(super) fn of(
        signer: &Signer,
        fingerprint: &str,
        own: Option<&str>,
        folders: &[PathBuf],
    ) -> Vec<Self> {
        let lookup = format!("pks/lookup?op=get&options=mr&search=0x{fingerprint}");
        let mut urls = Vec::new();
        if let Some(own) = own {
            if let Some(address) = &signer.wkd {
                let (domain, entry) = (&address.domain, entry(address));
                urls.push(format!("{own}.well-known/openpgpkey/{domain}/{entry}"));
            }
            urls.push(format!("{own}{lookup}"));
        }
        if let Some(address) = &signer.wkd {
            let (domain, entry) = (&address.domain, entry(address));
            urls.push(format!(
                "https://openpgpkey.{domain}/.well-known/openpgpkey/{domain}/{entry}"
            ));
            urls.push(format!("https://{domain}/.well-known/openpgpkey/{entry}"));
        }
        if let Some(server) = &signer.keyserver {
            urls.push(format!("https://{server}/{lookup}"));
        }
        let folders = folders.iter().cloned().map(Self::Folder);
        urls.into_iter().map(Self::Url).chain(folders).collect()
    }

    /// Whether it is somewhere in the network.
    pub(super) fn is_far(&self) -> bool {
        matches!(self, Self::Url(_))
    }

    /// The certificate with this primary fingerprint and where exactly it was, or in words why there is none. `None`: this place
    /// of the machine just has none.
    pub(super) fn ask(&self, fingerprint: &str, limits: &Limits) -> Option<Result<(Cert, String), String>> {
        match self {
            Self::Url(url) => Some(match from_url(url, fingerprint, limits) {
                Ok(cert) => Ok((cert, shown(url))),
                Err(trouble) => Err(format!("{}: {trouble}", shown(url))),
            }),
            Self::Folder(folder) => from_folder(folder, fingerprint).map(Ok),
        }
    }
}

/// What follows the directory in the URL of an address: 32 characters of z-base-32 that stand for the SHA-1 of its local part in
/// lower case, and the local part as it is (draft-koch-openpgp-webkey-service, 3.1).
fn entry(address: &WkdAddress) -> String {
    const RFC_4648: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    const Z_BASE_32: &[u8] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
    let digest = Sha1::digest(address.local.to_ascii_lowercase());
    let hash: String = Base32Unpadded::encode_string(&digest)
        .bytes()
        .filter_map(|byte| Some(Z_BASE_32[RFC_4648.iter().position(|other| *other == byte)?] as char))
        .collect();
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let local: String = address
        .local
        .bytes()
        .map(|byte| match unreserved(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    format!("hu/{hash}?l={local}")
}

fn from_url(url: &str, fingerprint: &str, limits: &Limits) -> Result<Cert, String> {
    // One that cannot be asked for want of certificates of https keeps no other from being asked.
    let route = Route {
        mirrors: vec![url.to_owned()],
        ..Route::default()
    };
    let http = Http::encrypted(&route, limits).map_err(|error| format!("{error:#}"))?;
    let bytes = http
        .document_within(url, LIMIT, TIME)
        .map_err(Trouble::into_text)?;
    certificate::find(&bytes, fingerprint)
}

/// What of the files of a folder is the certificate. Files that are none of certificates are somebody else's business.
fn from_folder(folder: &Path, fingerprint: &str) -> Option<(Cert, String)> {
    let entries = fs::read_dir(folder).ok()?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.into_iter().find_map(|path| {
        let named = ["asc", "gpg", "pgp"].map(|ending| path.extension().is_some_and(|own| own == ending));
        let mut bytes = Vec::new();
        if !named.contains(&true) || !path.is_file() {
            return None;
        }
        File::open(&path).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
        let cert = certificate::find(&bytes, fingerprint).ok()?;
        Some((cert, path.display().to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(wkd: &str) -> Signer {
        Signer {
            name: "s".into(),
            keyring: "keys/s.asc".into(),
            fingerprints: vec!["AB".repeat(20)],
            wkd: WkdAddress::parse(wkd),
            keyserver: Some("keys.example".into()),
            obtain: None,
        }
    }

    #[test]
    fn places_are_asked_in_order_and_by_the_hash_of_the_address() {
        let signer = signer("Joe.Doe@Example.ORG");
        let folders = [PathBuf::from("/usr/share/keyrings")];
        let lookup = format!("pks/lookup?op=get&options=mr&search=0x{}", "AB".repeat(20));
        // The hash is the one of the standard's own example.
        let entry = "hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe";
        let url = |text: String| Place::Url(text);
        let far = [
            url(format!(
                "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/{entry}"
            )),
            url(format!("https://example.org/.well-known/openpgpkey/{entry}")),
            url(format!("https://keys.example/{lookup}")),
            Place::Folder(folders[0].clone()),
        ];
        let fingerprint = &signer.fingerprints[0];
        assert_eq!(Place::of(&signer, fingerprint, None, &folders), far);
        let own = "http://near.example/gentoo/";
        let near = [
            url(format!("{own}.well-known/openpgpkey/example.org/{entry}")),
            url(format!("{own}{lookup}")),
        ];
        let all = Place::of(&signer, fingerprint, Some(own), &folders);
        assert_eq!(all, [&near[..], &far[..]].concat());
    }

    #[test]
    fn what_an_address_has_is_no_part_of_a_url() {
        let address = WkdAddress::parse("a&b=c#d?@example.org").unwrap();
        assert!(
            entry(&address).ends_with("?l=a%26b%3Dc%23d%3F"),
            "{}",
            entry(&address)
        );
    }
}
