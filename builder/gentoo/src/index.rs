//! `Packages`: the index of a binary package source, as emerge writes and reads it.
//!
//! ```text
//! ARCH: arm64                       header: what holds for all
//! CHOST: aarch64-unknown-linux-gnu
//! VERSION: 0
//!                                   an empty line between two
//! CPV: app/bar-2-r1                 a package; what is left out is empty, the default or the header's
//! PATH: app/bar/bar-2-r1-1.gpkg.tar
//! ...
//! ```

use std::collections::BTreeMap;

use thiserror::Error;

use crate::package::{Package, PackageError};

/// Most bytes of a line. The longest of Gentoo's own (the dependencies of a few large packages) have some 20 KiB.
pub const MAX_LINE: usize = 1 << 20;

/// Most keys of a header or a package. Gentoo knows fewer than 60.
const MAX_KEYS: usize = 256;

/// The version of the format that this program reads.
const VERSION: &str = "0";

/// What a source of binary packages offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// What holds for all of it, as written: `URI`, `TIMESTAMP`, `PROFILE` and others.
    pub header: BTreeMap<String, String>,
    /// The packages in the order of the index.
    pub packages: Vec<Package>,
}

/// Why bytes are no index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of the index: {fault}")]
pub struct IndexError {
    /// Counted from 1; of a whole package the line it starts with.
    pub line: usize,
    /// What is wrong there.
    pub fault: IndexFault,
}

/// What is wrong with a line of an index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexFault {
    /// It is not text.
    #[error("it is not UTF-8")]
    Encoding,
    /// It is longer than any reasonable one.
    #[error("it has {length} bytes, above the limit of {MAX_LINE}")]
    Long {
        /// Its bytes.
        length: usize,
    },
    /// It is not `KEY: VALUE`.
    #[error("{} is not `KEY: VALUE`", formats::layer::shown(text.as_bytes()))]
    NoKey {
        /// The line.
        text: String,
    },
    /// The package, or the header, has the key already.
    #[error("{} is given twice", formats::layer::shown(key.as_bytes()))]
    Twice {
        /// The key.
        key: String,
    },
    /// More keys than any reasonable package has.
    #[error("there are more than {MAX_KEYS} keys without an empty line")]
    ManyKeys,
    /// Another format.
    #[error("the index has version {}; this program reads version {VERSION}", formats::layer::shown(found.as_bytes()))]
    Version {
        /// Its version.
        found: String,
    },
    /// A package has no name.
    #[error("the package that starts here has no CPV")]
    NoCpv,
    /// A package is described wrongly.
    #[error("the package that starts here: {0}")]
    Package(PackageError),
    /// The index has not as many packages as its header says.
    #[error("the index ends after {found} packages; its header says {expected}")]
    Count {
        /// Packages that there are.
        found: usize,
        /// Packages that there should be.
        expected: String,
    },
}

/// Keys and values of a header or a package.
#[derive(Default)]
struct Stanza<'t> {
    /// Line of the first key.
    line: usize,
    pairs: Vec<(&'t str, &'t str)>,
}

impl<'t> Stanza<'t> {
    fn get(&self, key: &str) -> Option<&'t str> {
        self.pairs
            .iter()
            .find(|(other, _)| *other == key)
            .map(|(_, value)| *value)
    }

    fn error(&self, fault: IndexFault) -> IndexError {
        IndexError {
            line: self.line,
            fault,
        }
    }

    fn add(&mut self, line: &'t str) -> Result<(), IndexFault> {
        let (key, value) = line.split_once(':').ok_or_else(|| IndexFault::NoKey {
            text: line.to_owned(),
        })?;
        // emerge writes two keys under other names than it keeps in its database.
        let key = match key {
            "REPO" => "repository",
            "DESC" => "DESCRIPTION",
            key => key,
        };
        if self.get(key).is_some() {
            return Err(IndexFault::Twice { key: key.to_owned() });
        }
        if self.pairs.len() == MAX_KEYS {
            return Err(IndexFault::ManyKeys);
        }
        self.pairs.push((key, value.trim_ascii()));
        Ok(())
    }
}

impl Packages {
    /// The index that `bytes` are. Dependencies are not looked into: what one package needs is nothing to those who do
    /// not need it ([`Package::needs`]).
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut stanzas = Stanzas { lines: lines(bytes) };
        let Some(header) = stanzas.next().transpose()? else {
            return Ok(Self::default());
        };
        let version = header.get("VERSION").unwrap_or(VERSION);
        if version != VERSION {
            return Err(header.error(IndexFault::Version {
                found: version.to_owned(),
            }));
        }
        let mut packages = Vec::new();
        let mut last = header.line;
        for stanza in stanzas {
            let stanza = stanza?;
            last = stanza.line;
            packages.push(package(&stanza, &header)?);
        }
        if let Some(expected) = header.get("PACKAGES")
            && expected != packages.len().to_string()
        {
            return Err(IndexError {
                line: last,
                fault: IndexFault::Count {
                    found: packages.len(),
                    expected: expected.to_owned(),
                },
            });
        }
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Ok(Self {
            header: header.pairs.into_iter().map(owned).collect(),
            packages,
        })
    }
}

/// The package that a stanza describes.
fn package(stanza: &Stanza<'_>, header: &Stanza<'_>) -> Result<Package, IndexError> {
    let error = |error| stanza.error(IndexFault::Package(error));
    let cpv = stanza.get("CPV").filter(|cpv| !cpv.is_empty());
    let cpv = cpv.ok_or_else(|| stanza.error(IndexFault::NoCpv))?;
    let value = |key: &str| match stanza.get(key) {
        None | Some("") if matches!(key, "CHOST" | "repository") => header.get(key),
        value => value,
    };
    let mut package = Package::from_values(cpv, value).map_err(error)?;
    // Where emerge looks for a package whose place is not given.
    let path = match stanza.get("PATH") {
        None | Some("") => format!("{cpv}.tbz2"),
        Some(path) => path.to_owned(),
    };
    let legal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    if !path.split('/').all(legal) {
        return Err(error(PackageError::Value {
            key: "PATH",
            value: path,
            expected: "a path below the source, relative and without `.` and `..`",
        }));
    }
    package.path = Some(path);
    Ok(package)
}

/// The lines with their numbers.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (1..).zip(bytes.split(|byte| *byte == b'\n'))
}

/// Runs of lines between empty ones.
struct Stanzas<L> {
    lines: L,
}

impl<'t, L: Iterator<Item = (usize, &'t [u8])>> Iterator for Stanzas<L> {
    type Item = Result<Stanza<'t>, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut stanza = Stanza::default();
        for (line, bytes) in self.lines.by_ref() {
            if bytes.is_empty() {
                if stanza.pairs.is_empty() {
                    continue;
                }
                break;
            }
            if stanza.pairs.is_empty() {
                stanza.line = line;
            }
            let added = if bytes.len() > MAX_LINE {
                Err(IndexFault::Long { length: bytes.len() })
            } else {
                let text = std::str::from_utf8(bytes).map_err(|_| IndexFault::Encoding);
                text.and_then(|text| stanza.add(text))
            };
            if let Err(fault) = added {
                return Some(Err(IndexError { line, fault }));
            }
        }
        (!stanza.pairs.is_empty()).then_some(Ok(stanza))
    }
}
