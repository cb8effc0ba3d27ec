//! Versions of the kernel, the series they belong to, and ranges of series.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A release: `6.12.107`, or `6.12` for the first of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The series it belongs to.
    pub series: Series,
    /// Its number in the series; 0 for the first.
    pub patch: u32,
}

/// A series: all releases that begin with the same two numbers (`6.12`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

/// A range of series: `>=6.10`, `<6.10`, `>=6.6 <6.18`. The default holds every series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The first series in it.
    pub from: Option<Series>,
    /// The first series behind it.
    pub below: Option<Series>,
}

/// A text that is not a version, series or range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VersionError {
    /// Not `6.12.107`.
    #[error("`{0}` is no kernel version: it is written like `6.12.107`")]
    Version(String),
    /// Not `6.12`.
    #[error("`{0}` is no kernel series: it is written like `6.12`")]
    Series(String),
    /// Not a range.
    #[error("`{0}` is no range of kernel series: it is written like `>=6.10`, `<6.18` or `>=6.10 <6.18`")]
    Range(String),
    /// A range that nothing is in.
    #[error("no kernel series is in the range `{0}`")]
    Empty(String),
}

/// A number as versions write it: digits, no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (text == "0" || !text.starts_with('0')) {
        text.parse().ok()
    } else {
        None
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers.as_deref() {
            Some(&[major, minor]) => Ok(Self {
                series: Series { major, minor },
                patch: 0,
            }),
            Some(&[major, minor, patch]) => Ok(Self {
                series: Series { major, minor },
                patch,
            }),
            _ => Err(VersionError::Version(text.to_owned())),
        }
    }
}

impl FromStr for Series {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers.as_deref() {
            Some(&[major, minor]) => Ok(Self { major, minor }),
            _ => Err(VersionError::Series(text.to_owned())),
        }
    }
}

impl FromStr for VersionRange {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let malformed = || VersionError::Range(text.to_owned());
        let mut range = Self::default();
        for bound in text.split_whitespace() {
            let (side, series) = if let Some(series) = bound.strip_prefix(">=") {
                (&mut range.from, series)
            } else if let Some(series) = bound.strip_prefix('<') {
                (&mut range.below, series)
            } else {
                return Err(malformed());
            };
            if side.replace(series.parse().map_err(|_| malformed())?).is_some() {
                return Err(malformed());
            }
        }
        match (range.from, range.below) {
            (None, None) => Err(malformed()),
            (Some(from), Some(below)) if from >= below => Err(VersionError::Empty(text.to_owned())),
            _ => Ok(range),
        }
    }
}

impl VersionRange {
    /// Whether `series` is in it.
    pub fn contains(self, series: Series) -> bool {
        self.from.is_none_or(|from| from <= series) && self.below.is_none_or(|below| series < below)
    }

    /// Whether some series is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let starts_before_end = |from: Option<Series>, below: Option<Series>| match (from, below) {
            (Some(from), Some(below)) => from < below,
            _ => true,
        };
        starts_before_end(self.from, other.below) && starts_before_end(other.from, self.below)
    }
}

impl fmt::Display for Version {
    /// As the release is called: the first of a series has no third number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            0 => self.series.fmt(f),
            patch => write!(f, "{}.{patch}", self.series),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.below) {
            (None, None) => f.write_str("every series"),
            (Some(from), None) => write!(f, ">={from}"),
            (None, Some(below)) => write!(f, "<{below}"),
            (Some(from), Some(below)) => write!(f, ">={from} <{below}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> Series {
        text.parse().unwrap()
    }

    fn range(text: &str) -> VersionRange {
        text.parse().unwrap()
    }

    #[test]
    fn versions_compare_by_number_and_print_as_written() {
        let versions: Vec<Version> = ["4.19.325", "6.1", "6.9.9", "6.12", "6.12.107", "7.1.8"]
            .map(|text| text.parse().unwrap())
            .into();
        assert!(versions.is_sorted());
        assert_eq!(versions[4].to_string(), "6.12.107");
        assert_eq!(versions[3].to_string(), "6.12");
        for bad in [
            "",
            "6",
            "6.",
            "6.12.1.2",
            "v6.12",
            "6.012",
            "6.-1",
            "6.12-rc1",
            "6.+1",
            "6.99999999999",
        ] {
            assert_eq!(bad.parse::<Version>(), Err(VersionError::Version(bad.into())));
        }
    }

    #[test]
    fn ranges_hold_their_first_series_and_not_their_last() {
        for (text, inside, outside) in [
            (">=6.10", &["6.10", "7.0"][..], &["6.9", "4.19"][..]),
            ("<6.10", &["6.9", "4.19"], &["6.10", "7.0"]),
            (">=6.6 <6.18", &["6.6", "6.12"], &["6.1", "6.18"]),
            ("<6.18 >=6.6", &["6.6"], &["6.18"]),
        ] {
            assert!(
                inside.iter().all(|inside| range(text).contains(series(inside))),
                "{text}"
            );
            assert!(
                !outside
                    .iter()
                    .any(|outside| range(text).contains(series(outside))),
                "{text}"
            );
        }
        assert!(VersionRange::default().contains(series("2.6")));
        assert_eq!(range("<6.18   >=6.6").to_string(), ">=6.6 <6.18");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            "6.10",
            ">6.10",
            "<=6.10",
            ">=6.10.3",
            ">= 6.10",
            ">=6.1 >=6.2",
            "since 6.10",
        ] {
            assert_eq!(
                bad.parse::<VersionRange>(),
                Err(VersionError::Range(bad.into())),
                "{bad}"
            );
        }
        assert_eq!(
            ">=6.12 <6.12".parse::<VersionRange>().unwrap_err().to_string(),
            "no kernel series is in the range `>=6.12 <6.12`"
        );
    }

    #[test]
    fn ranges_overlap_where_a_series_is_in_both() {
        assert!(range(">=6.10").overlaps(range("<6.11")));
        assert!(!range(">=6.10").overlaps(range("<6.10")));
        assert!(!range("<6.10").overlaps(range(">=6.10 <6.18")));
        assert!(range("<6.10").overlaps(VersionRange::default()));
    }
}
