//! What an ebuild repository says of the files that its ebuilds are compiled from: the `DIST` lines of a package's Manifest
//! (GLEP 74), and where mirrors have such a file.
//!
//! ```text
//! DIST lxc-6.0.6.tar.gz 1012345 BLAKE2B 0764... SHA512 ab71...
//! EBUILD lxc-6.0.6.ebuild 4120 BLAKE2B ... SHA512 ...       other kinds are none of this module's
//! ```

use std::collections::BTreeMap;

use blake2::{Blake2b512, Digest};
use formats::digest::hex;
use thiserror::Error;

/// Most bytes of a Manifest. The longest of Gentoo's own has some 2 MB.
pub const MAX_MANIFEST: usize = 16 << 20;

/// A file that something is compiled from, by its size and both sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distfile {
    /// Its bytes.
    pub size: u64,
    /// Its BLAKE2b of 512 bits, 128 lower-case hexadecimal digits.
    pub blake2b: String,
    /// Its SHA-512, 128 lower-case hexadecimal digits.
    pub sha512: String,
}

/// What is wrong with a Manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestFault {
    /// It is too long.
    #[error("it has {0} bytes, above the limit of {MAX_MANIFEST}")]
    Long(usize),
    /// It is not text.
    #[error("it is no text")]
    Text,
    /// A line is not like those of a Manifest.
    #[error("line {0} is not `DIST NAME SIZE HASH DIGEST ...`")]
    Line(usize),
    /// A name leads elsewhere.
    #[error("line {0} names {name}, which is no plain name of a file", name = formats::layer::shown(.1.as_bytes()))]
    Name(usize, String),
    /// A hash is missing or wrong.
    #[error("line {0} has no {1} of 128 hexadecimal digits")]
    Hash(usize, &'static str),
    /// Two lines are about one file.
    #[error("line {0} is about `{1}`, which an earlier line has")]
    Twice(usize, String),
}

/// The files that a Manifest lists, by name. One without both sums, or with a name that leads elsewhere, is an error.
pub fn distfiles(manifest: &[u8]) -> Result<BTreeMap<String, Distfile>, ManifestFault> {
    if manifest.len() > MAX_MANIFEST {
        return Err(ManifestFault::Long(manifest.len()));
    }
    let text = str::from_utf8(manifest).map_err(|_| ManifestFault::Text)?;
    let mut files = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some("DIST") {
            continue;
        }
        let (Some(name), Some(size)) = (words.next(), words.next().and_then(|size| size.parse().ok())) else {
            return Err(ManifestFault::Line(line));
        };
        if !is_distfile_name(name) {
            return Err(ManifestFault::Name(line, name.to_owned()));
        }
        let mut sums = BTreeMap::new();
        while let Some(hash) = words.next() {
            let sum = words.next().ok_or(ManifestFault::Line(line))?;
            if sums.insert(hash, sum.to_ascii_lowercase()).is_some() {
                return Err(ManifestFault::Line(line));
            }
        }
        let mut sum = |hash: &'static str| {
            let is_sum = |sum: &String| sum.len() == 128 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
            sums.remove(hash)
                .filter(is_sum)
                .ok_or(ManifestFault::Hash(line, hash))
        };
        let file = Distfile {
            size,
            blake2b: sum("BLAKE2B")?,
            sha512: sum("SHA512")?,
        };
        if files.insert(name.to_owned(), file).is_some() {
            return Err(ManifestFault::Twice(line, name.to_owned()));
        }
    }
    Ok(files)
}

/// Whether a name of a file leads nowhere else and means nothing else in a URL.
pub fn is_distfile_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.~:@=,".contains(&byte);
    !name.is_empty() && name.len() <= 255 && !name.starts_with(['.', '-']) && name.bytes().all(plain)
}

/// Where mirrors have a file, first to last: by the first byte of its name's BLAKE2b (`filename-hash BLAKE2B 8`, as Gentoo's
/// `layout.conf` has it), and as they had it before, all in one folder.
pub fn mirror_paths(name: &str) -> [String; 2] {
    let sum = hex(&Blake2b512::digest(name.as_bytes()));
    [format!("{}/{name}", &sum[..2]), name.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_both_sums_and_plain_names_are_taken() {
        let (a, b) = ("a".repeat(128), "B".repeat(128));
        let text = format!(
            "AUX x.patch 1 BLAKE2B z SHA512 z\nDIST f-1.tar.xz 12 BLAKE2B {a} SHA512 {b}\nMISC metadata.xml 3\n\n"
        );
        let files = distfiles(text.as_bytes()).unwrap();
        assert_eq!(files.len(), 1);
        let file = &files["f-1.tar.xz"];
        assert_eq!(
            (file.size, &file.blake2b, &file.sha512),
            (12, &a, &b.to_lowercase())
        );
        for (line, fault) in [
            (
                "DIST f 12".to_owned(),
                "line 1 has no BLAKE2B of 128 hexadecimal digits",
            ),
            (
                format!("DIST f 12 SHA512 {a}"),
                "line 1 has no BLAKE2B of 128 hexadecimal digits",
            ),
            (
                format!("DIST f 12 BLAKE2B {a}"),
                "line 1 has no SHA512 of 128 hexadecimal digits",
            ),
            (
                format!("DIST f 12 BLAKE2B {a} SHA512 {}", &a[1..]),
                "line 1 has no SHA512 of 128 hexadecimal digits",
            ),
            (
                format!("DIST f 12 BLAKE2B {a} SHA512"),
                "line 1 is not `DIST NAME SIZE HASH DIGEST ...`",
            ),
            (
                format!("DIST f -1 BLAKE2B {a} SHA512 {a}"),
                "line 1 is not `DIST NAME SIZE HASH DIGEST ...`",
            ),
            (
                format!("DIST f 1 SHA512 {a} SHA512 {b}"),
                "line 1 is not `DIST NAME SIZE HASH DIGEST ...`",
            ),
            (
                format!("DIST /etc/passwd 1 BLAKE2B {a} SHA512 {b}"),
                "line 1 names `/etc/passwd`, which is no plain name of a file",
            ),
            (
                format!("DIST .. 1 BLAKE2B {a} SHA512 {b}"),
                "line 1 names `..`, which is no plain name of a file",
            ),
            (
                format!("DIST a/../b 1 BLAKE2B {a} SHA512 {b}"),
                "line 1 names `a/../b`, which is no plain name of a file",
            ),
            (
                format!("DIST f 1 BLAKE2B {a} SHA512 {b}\nDIST f 1 BLAKE2B {a} SHA512 {b}"),
                "line 2 is about `f`, which an earlier line has",
            ),
        ] {
            assert_eq!(
                distfiles(line.as_bytes()).unwrap_err().to_string(),
                fault,
                "{line}"
            );
        }
        assert_eq!(distfiles(b"\xff").unwrap_err(), ManifestFault::Text);
        assert!(distfiles(&vec![b'\n'; MAX_MANIFEST + 1]).is_err());
    }

    #[test]
    fn a_mirror_has_files_by_the_hash_of_their_names() {
        // BLAKE2b of `abc`: RFC 7693, appendix A.
        let [hashed, flat] = mirror_paths("abc");
        assert_eq!((hashed.as_str(), flat.as_str()), ("ba/abc", "abc"));
    }
}
