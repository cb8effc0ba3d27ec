//! The `Manifest` of a gpkg: what members it has, how long they are, and their sums. GLEP 74's `DATA` lines.
//!
//! ```text
//! DATA image.tar.zst 76942 SHA512 ab71... BLAKE2B 0764...
//! ```

use std::collections::BTreeMap;

use blake2::{Blake2b512, Digest};
use sha2::Sha512;
use thiserror::Error;

/// The two sums that are known, 64 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Sha512,
    Blake2b,
}

impl Algorithm {
    /// Its name in a Manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha512 => "SHA512",
            Self::Blake2b => "BLAKE2B",
        }
    }
}

/// A sum.
type Sum = [u8; 64];

/// What a Manifest says of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub size: u64,
    sums: BTreeMap<Algorithm, Sum>,
}

/// Both sums of a member, made as it is read.
#[derive(Default)]
pub(super) struct Sums {
    sha512: Sha512,
    blake2b: Blake2b512,
}

impl Sums {
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha512.update(bytes);
        self.blake2b.update(bytes);
    }

    pub fn finish(self) -> BTreeMap<Algorithm, Sum> {
        BTreeMap::from([
            (Algorithm::Sha512, self.sha512.finalize().into()),
            (Algorithm::Blake2b, self.blake2b.finalize().into()),
        ])
    }
}

impl Line {
    /// The first sum of the line that is not the member's.
    pub fn differs(&self, member: &BTreeMap<Algorithm, Sum>) -> Option<Algorithm> {
        let differs = |(algorithm, sum)| (member.get(algorithm) != Some(sum)).then_some(*algorithm);
        self.sums.iter().find_map(differs)
    }
}

/// What is wrong with a Manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It is not text.
    #[error("it is no text")]
    Text,
    /// A line is not like those of a Manifest.
    #[error("line {line} is not `DATA NAME SIZE HASH DIGEST ...`")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A digest is not one.
    #[error("the {hash} in line {line} is not 128 hexadecimal digits")]
    Digest {
        /// Its number, from 1.
        line: usize,
        /// Name of the hash.
        hash: &'static str,
    },
    /// A hash comes twice in a line.
    #[error("line {line} has two {hash}")]
    Twice {
        /// Its number, from 1.
        line: usize,
        /// Name of the hash.
        hash: &'static str,
    },
    /// No hash of a line is known.
    #[error("line {line} has neither SHA512 nor BLAKE2B, so the member cannot be checked")]
    NoHash {
        /// Its number, from 1.
        line: usize,
    },
    /// A member comes twice.
    #[error("line {line} is about a member that an earlier line is about")]
    Duplicate {
        /// Its number, from 1.
        line: usize,
    },
}

/// What `text` says of each member.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<String, Line>, ManifestError> {
    let text = str::from_utf8(text).map_err(|_| ManifestError::Text)?;
    let mut members = BTreeMap::new();
    for (index, words) in text.lines().enumerate() {
        let line = index + 1;
        let words: Vec<&str> = words.split_ascii_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let ["DATA", name, size, ref hashes @ ..] = words[..] else {
            return Err(ManifestError::Line { line });
        };
        let (pairs, odd) = hashes.as_chunks::<2>();
        let is_size = !size.is_empty() && size.bytes().all(|digit| digit.is_ascii_digit());
        let Some(size) = size.parse().ok().filter(|_| is_size && odd.is_empty()) else {
            return Err(ManifestError::Line { line });
        };
        let mut sums = BTreeMap::new();
        for [hash, digest] in pairs {
            let algorithm = match *hash {
                "SHA512" => Algorithm::Sha512,
                "BLAKE2B" => Algorithm::Blake2b,
                // Other hashes say nothing that these two do not.
                _ => continue,
            };
            let hash = algorithm.name();
            let digest = sum(digest).ok_or(ManifestError::Digest { line, hash })?;
            if sums.insert(algorithm, digest).is_some() {
                return Err(ManifestError::Twice { line, hash });
            }
        }
        if sums.is_empty() {
            return Err(ManifestError::NoHash { line });
        }
        if members.insert(name.to_owned(), Line { size, sums }).is_some() {
            return Err(ManifestError::Duplicate { line });
        }
    }
    Ok(members)
}

/// A sum in hexadecimal of either case.
fn sum(text: &str) -> Option<Sum> {
    let digits: &[u8; 128] = text.as_bytes().try_into().ok()?;
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut sum = [0; 64];
    for (byte, [high, low]) in sum.iter_mut().zip(digits.as_chunks().0) {
        *byte = (value(*high)? << 4 | value(*low)?) as u8;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> ManifestError {
        parse(text.as_bytes()).expect_err("this Manifest is wrong")
    }

    #[test]
    fn lines_are_read_whatever_the_order_of_their_hashes() {
        let (a, b) = ("0aF1".repeat(32), "ff".repeat(64));
        let text = format!(
            "DATA gpkg-1 0 SHA512 {a} BLAKE2B {b}\n\n  DATA image.tar 7  BLAKE2B {b} SHA3_512 x SHA512 {a} \n"
        );
        let members = parse(text.as_bytes()).expect("it is a Manifest");
        assert_eq!(members["gpkg-1"].sums, members["image.tar"].sums);
        assert_eq!((members["gpkg-1"].size, members["image.tar"].size), (0, 7));
        assert_eq!(members["image.tar"].sums[&Algorithm::Sha512][..2], [0x0a, 0xf1]);
        let one = parse(format!("DATA a 1 BLAKE2B {b}").as_bytes()).expect("it is a Manifest");
        assert_eq!(one["a"].differs(&one["a"].sums), None);
        assert_eq!(
            one["a"].differs(&Sums::default().finish()),
            Some(Algorithm::Blake2b)
        );
    }

    #[test]
    fn sums_of_nothing_are_the_known_ones() {
        let sums = Sums::default().finish();
        assert_eq!(sums[&Algorithm::Sha512][..4], [0xcf, 0x83, 0xe1, 0x35]);
        assert_eq!(sums[&Algorithm::Blake2b][..4], [0x78, 0x6a, 0x02, 0xf7]);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let sum = "00".repeat(64);
        assert_eq!(parse(b"\xff"), Err(ManifestError::Text));
        for wrong in [
            "MISC a 1 SHA512".to_owned(),
            "DATA a".to_owned(),
            format!("DATA a -1 SHA512 {sum}"),
            format!("DATA a +1 SHA512 {sum}"),
            format!("DATA a 99999999999999999999 SHA512 {sum}"),
            format!("DATA a 1 SHA512 {sum} BLAKE2B"),
            "-----BEGIN PGP SIGNED MESSAGE-----".to_owned(),
        ] {
            assert_eq!(error(&wrong), ManifestError::Line { line: 1 }, "{wrong}");
        }
        let hash = "SHA512";
        assert_eq!(
            error(&format!("\nDATA a 1 SHA512 {sum}0")),
            ManifestError::Digest { line: 2, hash }
        );
        assert_eq!(
            error(&format!("DATA a 1 SHA512 {}", "0g".repeat(64))),
            ManifestError::Digest { line: 1, hash }
        );
        assert_eq!(
            error(&format!("DATA a 1 SHA512 {sum} SHA512 {sum}")),
            ManifestError::Twice { line: 1, hash }
        );
        assert_eq!(error("DATA a 1 MD5 00"), ManifestError::NoHash { line: 1 });
        assert_eq!(
            error(&format!("DATA a 1 SHA512 {sum}\nDATA a 1 SHA512 {sum}")),
            ManifestError::Duplicate { line: 2 }
        );
    }
}
