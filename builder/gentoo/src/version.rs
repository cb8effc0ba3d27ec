//! Versions and their order, as the Package Manager Specification (PMS) 3.2 and 3.3 have them.
//!
//! ```text
//! 1.02.3      b        _rc2_p1     -r4
//! numbers     letter   suffixes    revision
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::syntax::SyntaxError;

/// A version with its revision. Two are equal where neither is newer, however they are written: `1.0` is `1.0-r0`.
#[derive(Debug, Clone)]
pub struct Version {
    text: Box<str>,
    /// Bytes of the numbers, dots included.
    numbers: usize,
    /// Bytes of all but the revision.
    base: usize,
}

/// What a suffix says about the version before it, in order. Nothing lies between [`Suffix::Rc`] and [`Suffix::P`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Alpha,
    Beta,
    Pre,
    Rc,
    /// No suffix at all, where the other version has one.
    None,
    P,
}

impl Version {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version without its revision, as it was written.
    pub fn without_revision(&self) -> &str {
        &self.text[..self.base]
    }

    /// The digits of the revision; none for no revision, which is revision 0.
    pub fn revision(&self) -> &str {
        self.text[self.base..].trim_start_matches("-r")
    }

    /// Whether `=CATEGORY/PACKAGE-PREFIX*` takes this version: it starts with the text of `prefix`, which ends where a
    /// part of this version ends. Zeros in front do not count.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        let (own, prefix) = (self.without_zeros(), prefix.without_zeros());
        let Some(rest) = own.strip_prefix(prefix) else {
            return false;
        };
        let ends_in_digit = prefix.ends_with(|last: char| last.is_ascii_digit());
        match rest.bytes().next() {
            None | Some(b'.' | b'_' | b'-') => true,
            Some(next) => next.is_ascii_digit() != ends_in_digit,
        }
    }

    /// The text without the zeros that its first number starts with, the last digit excepted.
    fn without_zeros(&self) -> &str {
        let stripped = self.text.trim_start_matches('0');
        if stripped.starts_with(|first: char| first.is_ascii_digit()) {
            stripped
        } else {
            &self.text[self.text.len() - stripped.len() - 1..]
        }
    }

    fn letter(&self) -> Option<u8> {
        self.text[self.numbers..self.base]
            .bytes()
            .next()
            .filter(u8::is_ascii_lowercase)
    }

    fn suffixes(&self) -> impl Iterator<Item = (Suffix, &str)> {
        self.text[self.numbers..self.base]
            .split('_')
            .skip(1)
            .filter_map(suffix)
    }
}

/// The kind of a suffix and its digits.
fn suffix(text: &str) -> Option<(Suffix, &str)> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let kind = match &text[..text.len() - digits.len()] {
        "alpha" => Suffix::Alpha,
        "beta" => Suffix::Beta,
        "pre" => Suffix::Pre,
        "rc" => Suffix::Rc,
        "p" => Suffix::P,
        _ => return None,
    };
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some((kind, digits))
}

/// Digits as numbers of any length; none are 0.
fn compare_integers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Numbers behind the first: where one starts with 0, they are digits behind a decimal point.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    if a.starts_with('0') || b.starts_with('0') {
        a.trim_end_matches('0').cmp(b.trim_end_matches('0'))
    } else {
        compare_integers(a, b)
    }
}

impl FromStr for Version {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |fault| SyntaxError::new(text, "version", fault);
        let (base, revision) = match text.rsplit_once("-r") {
            Some((base, revision)) => (base, Some(revision)),
            None => (text, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if revision.is_some_and(|revision| !digits(revision)) {
            return Err(error("a revision is `-r` and a number"));
        }
        let numbers = base
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        if !base[..numbers].split('.').all(digits) {
            return Err(error("it starts with numbers and a single `.` between two"));
        }
        let rest = &base[numbers..];
        let rest = rest
            .strip_prefix(|c: char| c.is_ascii_lowercase())
            .unwrap_or(rest);
        let mut suffixes = rest.split('_');
        if suffixes.next() != Some("") || !suffixes.all(|text| suffix(text).is_some()) {
            return Err(error(
                "its numbers are followed by a lower-case letter, then by `_alpha`, `_beta`, `_pre`, `_rc` or `_p`, each \
                 with a number or without, and by nothing else",
            ));
        }
        Ok(Self {
            text: text.into(),
            numbers,
            base: base.len(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.text == other.text {
            return Ordering::Equal;
        }
        let mut own = self.text[..self.numbers].split('.');
        let mut others = other.text[..other.numbers].split('.');
        let mut compare: fn(&str, &str) -> Ordering = compare_integers;
        loop {
            let order = match (own.next(), others.next()) {
                (None, None) => break,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(a), Some(b)) => compare(a, b),
            };
            if order.is_ne() {
                return order;
            }
            compare = compare_numbers;
        }
        self.letter()
            .cmp(&other.letter())
            .then_with(|| {
                let (mut own, mut others) = (self.suffixes(), other.suffixes());
                loop {
                    let (a, b) = match (own.next(), others.next()) {
                        (None, None) => return Ordering::Equal,
                        (a, b) => (a.unwrap_or((Suffix::None, "")), b.unwrap_or((Suffix::None, ""))),
                    };
                    let order = a.0.cmp(&b.0).then_with(|| compare_integers(a.1, b.1));
                    if order.is_ne() {
                        return order;
                    }
                }
            })
            .then_with(|| compare_integers(self.revision(), other.revision()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_ordered_as_the_specification_says() {
        // Each newer than the one before it.
        let ascending = [
            "0",
            "0.1",
            "1_alpha",
            "1_alpha1_beta",
            "1_alpha1",
            "1_alpha2",
            "1_beta",
            "1_pre",
            "1_rc",
            "1_rc_p",
            "1",
            "1-r1",
            "1-r02",
            "1-r10",
            "1_p_alpha",
            "1_p",
            "1_p-r1",
            "1_p_p",
            "1_p1",
            "1_p20240101",
            "1a",
            "1b",
            "1.0",
            "1.0.0",
            "1.0.1",
            "1.001",
            "1.01",
            "1.010.1",
            "1.02",
            "1.1",
            "1.2",
            "1.2b",
            "1.2.0",
            "1.10",
            "2",
            "10",
            "99999999999999999999999",
            "100000000000000000000000",
        ];
        let ascending = ascending.map(version);
        for (at, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), at.cmp(&other), "{a} and {b}");
            }
        }
    }

    #[test]
    fn versions_can_be_equal_without_being_written_alike() {
        for (a, b) in [
            ("1", "01"),
            ("1.0", "1.00"),
            ("1.01", "1.010"),
            ("1", "1-r0"),
            ("1-r1", "1-r01"),
            ("1_p", "1_p0"),
            ("1_rc01", "1_rc1"),
        ] {
            assert_eq!(version(a), version(b));
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "", ".", "1.", ".1", "1..2", "a", "1ab", "1A", "1_", "1_foo", "1_alpha_", "1-r", "1-rx",
            "1-r1-r2", "1-1", "1_p1a", "1 ", "1_P", "é", "1é", "1_é", "1-ré", "-r1",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        for (prefix, text, expected) in [
            ("1", "1.2", true),
            ("1", "10", false),
            ("1", "1a", true),
            ("1.1", "1.10", false),
            ("1.1", "1.1-r1", true),
            ("1.1-r1", "1.1-r1", true),
            ("1.1-r1", "1.1-r10", false),
            ("01", "1.2", true),
            ("1", "001.2", true),
            ("0", "0.5", true),
            ("0", "00.5", true),
            ("1_alpha", "1_alpha1", true),
            ("1_alpha1", "1_alpha12", false),
            ("2", "1", false),
            ("1a", "1a_p1", true),
        ] {
            assert_eq!(
                version(text).starts_with(&version(prefix)),
                expected,
                "={prefix}* and {text}"
            );
        }
    }

    fn any_version() -> impl Strategy<Value = Version> {
        "(0|1|01|10|2)(\\.(0|00|01|010|1|10|2)){0,3}[ab]?(_(alpha|beta|pre|rc|p)(0|1|02|10)?){0,2}(-r(0|1|01|10))?"
            .prop_map(|text| version(&text))
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a == b, a.cmp(&b).is_eq());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            if a == b {
                prop_assert_eq!(a.cmp(&c), b.cmp(&c));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            if let Ok(version) = text.parse::<Version>() {
                prop_assert_eq!(version.as_str(), &text);
                prop_assert!(version.starts_with(&version));
            }
        }
    }
}
