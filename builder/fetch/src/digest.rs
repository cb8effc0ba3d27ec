//! Digests as values.

use std::fmt;
use std::io::{self, Read};

use blake2::Blake2b512;
use formats::digest::hex;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// A SHA-256, 32 bytes; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Sum([u8; 32]);

impl Sha256Sum {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of everything that `reader` gives.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        Ok(Self(hash::<Sha256>(reader)?.into()))
    }

    /// 64 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A SHA-1, 20 bytes; 40 lower-case hexadecimal digits as text. It tells whether bytes arrived as an index lists them; it
/// vouches for nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha1Sum([u8; 20]);

impl Sha1Sum {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha1::digest(bytes).into())
    }

    /// 40 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

/// A digest by which a file is known before it is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sum {
    /// What indexes of Gentoo's packages list.
    Sha1(Sha1Sum),
    /// What locks keep.
    Sha256(Sha256Sum),
    /// What Gentoo signs.
    Sha512(Box<[u8; 64]>),
    /// What Gentoo signs beside it: BLAKE2b of 512 bits.
    Blake2b(Box<[u8; 64]>),
}

impl Sum {
    /// A SHA-512: 128 hexadecimal digits.
    pub(super) fn parse_sha512(text: &str) -> Option<Self> {
        parse_hex(text).map(|bytes| Self::Sha512(Box::new(bytes)))
    }

    /// A BLAKE2b: 128 hexadecimal digits.
    pub(super) fn parse_blake2b(text: &str) -> Option<Self> {
        parse_hex(text).map(|bytes| Self::Blake2b(Box::new(bytes)))
    }

    /// The digest of the same kind of everything that `reader` gives.
    pub(super) fn same_of(&self, reader: impl Read) -> io::Result<Self> {
        Ok(match self {
            Self::Sha1(_) => Self::Sha1(Sha1Sum(hash::<Sha1>(reader)?.into())),
            Self::Sha256(_) => Self::Sha256(Sha256Sum::of_reader(reader)?),
            Self::Sha512(_) => Self::Sha512(Box::new(hash::<Sha512>(reader)?.into())),
            Self::Blake2b(_) => Self::Blake2b(Box::new(hash::<Blake2b512>(reader)?.into())),
        })
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha1(sum) => fmt::Display::fmt(sum, f),
            Self::Sha256(sum) => fmt::Display::fmt(sum, f),
            Self::Sha512(bytes) | Self::Blake2b(bytes) => f.write_str(&hex(bytes.as_slice())),
        }
    }
}

/// Hashes everything that `reader` gives.
fn hash<H: Digest>(mut reader: impl Read) -> io::Result<sha2::digest::Output<H>> {
    let mut hash = H::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hash.finalize()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Exactly `N` bytes in hexadecimal digits of either case.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

impl TryFrom<String> for Sha256Sum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no SHA-256: 64 hexadecimal digits are one"))
    }
}

impl From<[u8; 32]> for Sha256Sum {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl From<Sha256Sum> for String {
    fn from(sum: Sha256Sum) -> Self {
        sum.to_string()
    }
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Sha1Sum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no SHA-1: 40 hexadecimal digits are one"))
    }
}

impl From<Sha1Sum> for String {
    fn from(sum: Sha1Sum) -> Self {
        sum.to_string()
    }
}

impl fmt::Display for Sha1Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha1Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Sum::of(b"").to_string(), known);
        assert_eq!(Sha256Sum::parse(&known.to_uppercase()), Some(Sha256Sum::of(b"")));
        // From b2sum(1) and sha1sum(1).
        let blake2b = "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce";
        let sum = Sum::parse_blake2b(blake2b).unwrap();
        assert_eq!(sum.same_of(&b""[..]).unwrap(), sum);
        assert_eq!(
            Sha1Sum::of(b"").to_string(),
            "da39a3ee5e6b4b0d3255bfef95601890afd80709"
        );
        for bad in [
            "",
            &known[1..],
            &format!("g{}", &known[1..]),
            &format!("é{}", &known[2..]),
        ] {
            assert!(Sha256Sum::parse(bad).is_none(), "{bad}");
        }
    }
}
