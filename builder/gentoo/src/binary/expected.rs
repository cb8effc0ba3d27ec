//! What an index or a lock says of a package file, and whether the file agrees. An index is not signed, a package is: what
//! was resolved by the one has to hold for the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use formats::digest::{hex, parse_hex};
use formats::layer::shown;
use formats::units::Bytes;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use thiserror::Error;

use crate::Package;
use crate::binary::section::Section;

/// What is known of a package before it is opened; `None` where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Bytes in the file (`SIZE`).
    pub size: Option<Bytes>,
    /// MD5 of the file (`MD5`).
    pub md5: Option<[u8; 16]>,
    /// SHA-1 of the file (`SHA1`).
    pub sha1: Option<[u8; 20]>,
    /// SHA-256 of the file, which a lock has.
    pub sha256: Option<[u8; 32]>,
    /// Category, name and version, `app/bar-2-r1` (`CPV`).
    pub cpv: Option<String>,
    /// Which build of that version it is (`BUILD_ID`).
    pub build_id: Option<u64>,
    /// Slot and subslot, `0/1` (`SLOT`); a subslot that is the slot may be left out.
    pub slot: Option<String>,
    /// USE flags that were set, in any order (`USE`).
    pub use_flags: Option<String>,
    /// Dependencies as they were when it was built (`RDEPEND`). White space does not matter.
    pub rdepend: Option<String>,
}

/// All that an index says and that the package says itself.
impl From<&Package> for Expected {
    fn from(package: &Package) -> Self {
        Self {
            size: package.size.map(Bytes),
            md5: package.md5.as_deref().and_then(parse_hex),
            sha1: package.sha1.as_deref().and_then(parse_hex),
            sha256: None,
            cpv: Some(package.cpv.to_string()),
            build_id: package.build_id.map(u64::from),
            slot: Some(format!("{}/{}", package.slot, package.subslot)),
            use_flags: Some(package.use_flags.clone()),
            rdepend: Some(package.rdepend.clone()),
        }
    }
}

/// How a package differs from what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Contradiction {
    /// It has another length.
    #[error("the package has {found} bytes and should have {expected}: fetch it again")]
    Size {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// It has another digest.
    #[error("the package has the {algorithm} {found} and should have {expected}: fetch it again")]
    Digest {
        /// Name of the digest.
        algorithm: &'static str,
        /// What it should be, in hexadecimal.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A part of its metadata that every package has is missing.
    #[error("the package's metadata has no {field}")]
    Missing {
        /// Name of the part.
        field: &'static str,
    },
    /// A part of its metadata is not text, or no number.
    #[error("the package's {field} is malformed: {}", shown(value))]
    Malformed {
        /// Name of the part.
        field: &'static str,
        /// What it is.
        value: Vec<u8>,
    },
    /// Its metadata says something else.
    #[error("the package's {field} is {}, but its index says {}", shown(found.as_bytes()), shown(expected.as_bytes()))]
    Field {
        /// Name of the part.
        field: &'static str,
        /// What the index says.
        expected: String,
        /// What the package says.
        found: String,
    },
}

/// Compares the first `size` bytes of `file`, which are all of it, with what is expected of the file itself. Returns its MD5.
pub(crate) fn check_file(
    file: &File,
    size: u64,
    expected: &Expected,
) -> io::Result<Result<[u8; 16], Contradiction>> {
    if let Some(expected) = expected.size.filter(|expected| expected.0 != size) {
        return Ok(Err(Contradiction::Size {
            expected: expected.0,
            found: size,
        }));
    }
    let mut md5 = Md5::new();
    let mut sha1 = expected.sha1.map(|_| Sha1::new());
    let mut sha256 = expected.sha256.map(|_| Sha256::new());
    let mut section = Section::new(file, 0, size);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match section.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        md5.update(&buffer[..count]);
        if let Some(sha1) = &mut sha1 {
            sha1.update(&buffer[..count]);
        }
        if let Some(sha256) = &mut sha256 {
            sha256.update(&buffer[..count]);
        }
    }
    let md5 = md5.finalize();
    let compare = |algorithm, expected: Option<&[u8]>, found: Option<&[u8]>| match (expected, found) {
        (Some(expected), Some(found)) if expected != found => Err(Contradiction::Digest {
            algorithm,
            expected: hex(expected),
            found: hex(found),
        }),
        _ => Ok(()),
    };
    let slice = |digest: &'_ [u8]| Some(digest.to_vec());
    let sha1 = sha1.and_then(|sha1| slice(&sha1.finalize()));
    let sha256 = sha256.and_then(|sha256| slice(&sha256.finalize()));
    Ok(compare(
        "SHA-256",
        expected.sha256.as_ref().map(|digest| &digest[..]),
        sha256.as_deref(),
    )
    .and_then(|()| {
        compare(
            "SHA-1",
            expected.sha1.as_ref().map(|digest| &digest[..]),
            sha1.as_deref(),
        )
    })
    .and_then(|()| compare("MD5", expected.md5.as_ref().map(|digest| &digest[..]), Some(&md5)))
    .map(|()| md5.into()))
}

/// Compares a package's metadata with what is expected. `CATEGORY` and `PF` have to be there in any case.
pub(crate) fn check_metadata(
    metadata: &BTreeMap<String, Vec<u8>>,
    expected: &Expected,
) -> Result<(), Contradiction> {
    let text = |field: &'static str| match metadata.get(field) {
        None => Ok(""),
        Some(value) => str::from_utf8(value)
            .map(str::trim)
            .map_err(|_| Contradiction::Malformed {
                field,
                value: value.clone(),
            }),
    };
    let given = |field| match text(field) {
        Ok("") => Err(Contradiction::Missing { field }),
        found => found,
    };
    let differs = |field, expected: &str, found: &str| {
        Err(Contradiction::Field {
            field,
            expected: expected.to_owned(),
            found: found.to_owned(),
        })
    };
    let cpv = format!("{}/{}", given("CATEGORY")?, given("PF")?);
    if let Some(expected) = &expected.cpv
        && *expected != cpv
    {
        return differs("CATEGORY/PF", expected, &cpv);
    }
    if let Some(expected) = expected.build_id {
        let found = text("BUILD_ID")?;
        if found.parse() != Ok(expected) {
            return differs("BUILD_ID", &expected.to_string(), found);
        }
    }
    if let Some(expected) = &expected.slot {
        let found = given("SLOT")?;
        if with_subslot(expected) != with_subslot(found) {
            return differs("SLOT", expected, found);
        }
    }
    if let Some(expected) = &expected.use_flags {
        let found = text("USE")?;
        let set = |flags| str::split_ascii_whitespace(flags).collect::<BTreeSet<_>>();
        if set(expected) != set(found) {
            return differs("USE", expected, found);
        }
    }
    if let Some(expected) = &expected.rdepend {
        let found = text("RDEPEND")?;
        if !expected
            .split_ascii_whitespace()
            .eq(found.split_ascii_whitespace())
        {
            return differs("RDEPEND", expected, found);
        }
    }
    Ok(())
}

/// Slot and subslot.
fn with_subslot(slot: &str) -> (&str, &str) {
    slot.split_once('/').unwrap_or((slot, slot))
}
