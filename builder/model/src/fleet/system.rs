//! Names, time and language of all nodes.

use super::Placed;
use super::toml::SystemToml;
use crate::check::Check;
use crate::names::{MAX_NAME, domain_fault, quoted};
use crate::sources::Distribution;
use crate::written::At;

/// Locales that every base has.
const BUILT_IN: [&str; 3] = ["C.UTF-8", "C", "POSIX"];

/// Longest domain: with a node's name and a dot before it, it is a host name yet.
const MAX_DOMAIN: usize = 253 - MAX_NAME - 1;

/// What all nodes are told of names, time and language; what is `None` is as the base has it.
#[derive(Debug, Clone, Default)]
pub struct System {
    /// The domain that their names are of.
    pub domain: Option<String>,
    /// A name of the tz database.
    pub time_zone: Option<Placed<String>>,
    /// The locale of programs: `de_AT.UTF-8`.
    pub locale: Option<Placed<String>>,
}

impl System {
    /// The locale, where it has to be generated: no base has it by itself.
    pub fn generated_locale(&self) -> Option<&Placed<String>> {
        let locale = self.locale.as_ref();
        locale.filter(|locale| !BUILT_IN.contains(&locale.value.as_str()))
    }

    /// Packages that bring what it needs. What locales are made of, and with, a stage3 has.
    pub(super) fn packages(&self, distribution: Distribution) -> impl Iterator<Item = &'static str> {
        let zones = match distribution {
            Distribution::Debian => "tzdata",
            Distribution::Gentoo => "sys-libs/timezone-data",
        };
        let locales = self.generated_locale();
        let locales = locales.filter(|_| distribution == Distribution::Debian);
        let zones = self.time_zone.as_ref().map(|_| zones);
        zones.into_iter().chain(locales.map(|_| "locales"))
    }
}

/// What of it holds.
pub(super) fn check_system(check: &mut Check<'_>, written: &SystemToml) -> System {
    let mut keep = |written: &Option<At<String>>, what: &str, fault: fn(&str) -> Option<String>, hint| {
        let written = written.as_ref()?;
        if let Some(fault) = fault(written) {
            check
                .found(&written.span, format!("{what} {} {fault}", quoted(written)))
                .hint(hint);
            return None;
        }
        Some(Placed {
            value: written.value.clone(),
            place: check.place(&written.span),
        })
    };
    let domain = keep(
        &written.domain,
        "domain",
        |domain| match domain.len() > MAX_DOMAIN {
            true => Some(format!(
                "is {} bytes long, the limit is {MAX_DOMAIN}",
                domain.len()
            )),
            false => domain_fault(domain),
        },
        "labels of letters, digits and inner hyphens with dots between: \"example.org\"",
    );
    let time_zone = keep(
        &written.time_zone,
        "time zone",
        zone_fault,
        "a name of the tz database: \"Europe/Vienna\", \"Etc/UTC\"",
    );
    let locale = keep(
        &written.locale,
        "locale",
        locale_fault,
        "language, country and UTF-8: \"de_AT.UTF-8\"; or one that needs nothing: \"C.UTF-8\", \"POSIX\"",
    );
    System {
        domain: domain.map(|domain| domain.value),
        time_zone,
        locale,
    }
}

/// Says why this is no name of the tz database: one to three parts of letters, digits, `_`, `+` and `-`.
fn zone_fault(name: &str) -> Option<String> {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    let parts: Vec<_> = name.split('/').collect();
    let named = parts.len() <= 3 && parts.iter().all(|part| is_part(part)) && name.len() <= MAX_NAME;
    (!named).then(|| "is no name of a time zone".to_owned())
}

/// Says why this is no locale that a node can have.
fn locale_fault(name: &str) -> Option<String> {
    if BUILT_IN.contains(&name) {
        return None;
    }
    let Some((language, charset)) = name.split_once('.') else {
        return Some("does not say its character set".to_owned());
    };
    if charset != "UTF-8" {
        return Some("is not of UTF-8".to_owned());
    }
    let lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    let upper = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase());
    match language.split_once('_') {
        Some((language, country))
            if matches!(language.len(), 2 | 3) && country.len() == 2 && lower(language) && upper(country) =>
        {
            None
        }
        _ => Some("is no language with a country".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_told_from_paths() {
        for good in [
            "UTC",
            "Europe/Vienna",
            "America/Argentina/Buenos_Aires",
            "Etc/GMT+12",
            "America/Port-au-Prince",
        ] {
            assert_eq!(zone_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "/Europe/Vienna",
            "Europe/",
            "../passwd",
            "zone.tab",
            "a/b/c/d",
            "Europe/ Vienna",
        ] {
            assert!(zone_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn locales_are_of_utf_8() {
        for good in ["C", "POSIX", "C.UTF-8", "de_AT.UTF-8", "nds_DE.UTF-8"] {
            assert_eq!(locale_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "de",
            "de_AT",
            "de.UTF-8",
            "de_AT.utf8",
            "de_AT.ISO-8859-1",
            "de_AT.UTF-8@euro",
        ] {
            assert!(locale_fault(bad).is_some(), "{bad}");
        }
    }
}
