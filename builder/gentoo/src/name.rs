//! Names of packages, alone and with a version (PMS 3.1).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::syntax::{SyntaxError, is_name};
use crate::version::Version;

/// A package without a version: `CATEGORY/PACKAGE`. Both are legal names of folders, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(Arc<str>);

impl PackageName {
    /// The part before the slash.
    pub fn category(&self) -> &str {
        self.0.split_once('/').map_or("", |(category, _)| category)
    }

    /// The part behind the slash.
    pub fn package(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, package)| package)
    }

    /// Both, as `CATEGORY/PACKAGE`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageName {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |fault| SyntaxError::new(text, "name of a package", fault);
        let (category, package) = text
            .split_once('/')
            .ok_or_else(|| error("it is written CATEGORY/PACKAGE"))?;
        if !is_name(category, b"+.-") {
            return Err(error(
                "a category has letters, digits and `_`, then also `+`, `.` and `-`",
            ));
        }
        if !is_name(package, b"+-") {
            return Err(error(
                "a package's name has letters, digits and `_`, then also `+` and `-`",
            ));
        }
        if package
            .match_indices('-')
            .any(|(at, _)| package[at + 1..].parse::<Version>().is_ok())
        {
            return Err(error("its end reads as a version"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A package of a version: `CATEGORY/PACKAGE-VERSION`. Ordered by name, then version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpv {
    /// Which package.
    pub name: PackageName,
    /// Which version of it.
    pub version: Version,
}

impl Cpv {
    /// `PACKAGE-VERSION`, which PMS calls PF and the folder in the database of installed packages has as its name.
    pub fn pf(&self) -> String {
        format!("{}-{}", self.name.package(), self.version)
    }
}

impl FromStr for Cpv {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        // The version is all behind the first `-` that a version follows: `-r1` alone is none.
        let package = text.find('/').map_or(0, |slash| slash + 1);
        for (at, _) in text[package..].match_indices('-') {
            if let Ok(version) = text[package + at + 1..].parse() {
                let name = text[..package + at].parse()?;
                return Ok(Self { name, version });
            }
        }
        Err(SyntaxError::new(
            text,
            "package of a version",
            "it is written CATEGORY/PACKAGE-VERSION",
        ))
    }
}

impl fmt::Display for Cpv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_told_apart() {
        for (text, name, version) in [
            ("app/bar-2-r1", "app/bar", "2-r1"),
            ("dev-libs/libusb-compat-0.1.8", "dev-libs/libusb-compat", "0.1.8"),
            ("media-libs/x264-0.0.20240513", "media-libs/x264", "0.0.20240513"),
            ("virtual/libc-1-r1", "virtual/libc", "1-r1"),
            ("x/a-r1-2", "x/a-r1", "2"),
        ] {
            let cpv: Cpv = text.parse().unwrap();
            assert_eq!((cpv.name.as_str(), cpv.version.as_str()), (name, version));
            assert_eq!(cpv.to_string(), text);
            assert_eq!(format!("{}/{}", cpv.name.category(), cpv.pf()), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "", "/", "a/", "/a", "a", "../b", "a/..", ".a/b", "-a/b", "a/-b", "a/b/c", "a/b-1", "a/b-1-r1",
            "a/b c", "a/b\n", "a/é", "a/b.c",
        ] {
            assert!(text.parse::<PackageName>().is_err(), "{text}");
        }
        for text in [
            "",
            "a/b",
            "a/b-",
            "b-1",
            "a/-1",
            "a/b-1-2",
            "a/b-c",
            "a/b/c-1",
            "../b-1",
            "é/b-1",
            "a/b-1-ré",
            "a/db-1x-2",
        ] {
            assert!(text.parse::<Cpv>().is_err(), "{text}");
        }
    }
}
