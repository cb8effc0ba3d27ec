//! Debian's security tracker: source package -> advisory -> release -> status, as one JSON document.
//!
//! It is too large to be kept as values, so what is not about our packages is skipped while it is read.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use debian::version::compare;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Item, Open, Severity, plain};

/// What it says of an advisory of a package.
#[derive(Debug, Deserialize)]
struct Advisory {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    releases: BTreeMap<String, State>,
}

/// What it says of one release.
#[derive(Debug, Deserialize)]
struct State {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: Option<String>,
}

/// What of `items` is open in the release `suite`, and how many advisories more apply that are unclear.
pub(super) fn open(document: &[u8], suite: &str, items: &[Item]) -> Result<(Vec<Open>, usize)> {
    let mut by_name: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in items {
        by_name.entry(&item.name).or_default().push(item);
    }
    let mut found = Found {
        suite,
        items: &by_name,
        knows_suite: false,
        open: Vec::new(),
        unclear: 0,
    };
    let mut reader = serde_json::Deserializer::from_slice(document);
    found
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .context(
            "it is not what Debian's security tracker tells (security-tracker.debian.org/tracker/data/json)",
        )?;
    if !found.knows_suite {
        bail!(
            "it says nothing of the release `{suite}` for any package of the set: the tracker knows releases by code name"
        );
    }
    Ok((found.open, found.unclear))
}

/// What was found so far.
struct Found<'a> {
    suite: &'a str,
    items: &'a BTreeMap<&'a str, Vec<&'a Item>>,
    knows_suite: bool,
    open: Vec<Open>,
    unclear: usize,
}

impl Found<'_> {
    fn add(&mut self, package: &[&Item], name: &str, advisory: &Advisory) {
        let Some(state) = advisory.releases.get(self.suite) else {
            return;
        };
        self.knows_suite = true;
        let fixed = state.fixed_version.as_deref();
        let (applies, mended): (fn(&str, &str) -> bool, _) = match (state.status.as_str(), fixed) {
            // Version 0 says that the release never had it.
            ("resolved", Some("0") | None) => return,
            ("resolved", Some(fixed)) => (|own, fixed| compare(own, fixed).is_lt(), Some(fixed)),
            _ => (|_, _| true, None),
        };
        let urgency = state.urgency.as_deref().unwrap_or_default().trim_end_matches('*');
        for item in package
            .iter()
            .filter(|item| applies(&item.version, mended.unwrap_or_default()))
        {
            // Neither is what an update could mend: it is no matter of security, or nobody knows whether there is one.
            if urgency == "unimportant" || !matches!(state.status.as_str(), "open" | "resolved") {
                self.unclear += 1;
                continue;
            }
            self.open.push(Open {
                package: plain(&item.name),
                installed: plain(&item.version),
                advisory: plain(name),
                severity: match urgency {
                    "high" => Severity::High,
                    "medium" => Severity::Medium,
                    "low" => Severity::Low,
                    _ => Severity::Unknown,
                },
                mended: mended.map(plain),
                about: plain(advisory.description.as_deref().unwrap_or_default()),
            });
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Found<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Packages by name.
impl<'de> Visitor<'de> for &mut Found<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("source packages by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut packages: A) -> Result<(), A::Error> {
        while let Some(name) = packages.next_key::<String>()? {
            match self.items.get(name.as_str()) {
                None => drop(packages.next_value::<IgnoredAny>()?),
                Some(items) => packages.next_value_seed(OfPackage { found: self, items })?,
            }
        }
        Ok(())
    }
}

/// The advisories of a package, one at a time.
struct OfPackage<'a, 'b> {
    found: &'a mut Found<'b>,
    items: &'a [&'a Item],
}

impl<'de> DeserializeSeed<'de> for OfPackage<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfPackage<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("advisories by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut advisories: A) -> Result<(), A::Error> {
        while let Some((name, advisory)) = advisories.next_entry::<String, Advisory>()? {
            self.found.add(self.items, &name, &advisory);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the tracker writes it.
    const TOLD: &str = r#"{
 "openssl": {
  "CVE-2026-0001": {"description": "a \u001b[31moverflow", "debianbug": 1, "scope": "remote", "releases": {
    "bookworm": {"status": "open", "repositories": {"bookworm": "3.0.1-1"}, "urgency": "high"},
    "trixie": {"status": "resolved", "repositories": {"trixie": "3.5.1-1", "trixie-security": "3.5.1-1+deb13u2"},
               "fixed_version": "3.5.1-1+deb13u2", "urgency": "high**"}}},
  "CVE-2026-0002": {"scope": "local", "releases": {
    "trixie": {"status": "open", "repositories": {"trixie": "3.5.1-1"}, "urgency": "not yet assigned", "nodsa": "Minor issue"}}},
  "CVE-2020-0003": {"releases": {
    "trixie": {"status": "resolved", "repositories": {}, "fixed_version": "0", "urgency": "low"}}},
  "CVE-2019-0004": {"releases": {
    "trixie": {"status": "resolved", "repositories": {}, "fixed_version": "1.1.1-1", "urgency": "medium"}}},
  "CVE-2012-0005": {"releases": {
    "trixie": {"status": "open", "repositories": {}, "urgency": "unimportant"}}},
  "TEMP-0000000-ABCDEF": {"releases": {
    "trixie": {"status": "undetermined", "repositories": {}, "urgency": "not yet assigned"}}}
 },
 "unrelated": {"CVE-2026-0009": {"what": [[["ever"]]], "releases": {"trixie": {"status": "open"}}}},
 "linux": {"CVE-2026-0010": {"releases": {
    "trixie": {"status": "resolved", "fixed_version": "6.12.118-1", "urgency": "low"}}}}
}"#;

    fn item(name: &str, version: &str) -> Item {
        Item {
            name: name.into(),
            version: version.into(),
            slot: String::new(),
        }
    }

    #[test]
    fn what_is_not_mended_is_open() {
        let items = [
            item("openssl", "3.5.1-1+deb13u1"),
            item("linux", "6.12.107-1"),
            item("bash", "5"),
        ];
        let (found, unclear) = open(TOLD.as_bytes(), "trixie", &items).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|open| (open.advisory.as_str(), open.severity, open.mended.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("CVE-2026-0001", Severity::High, Some("3.5.1-1+deb13u2")),
                ("CVE-2026-0002", Severity::Unknown, None),
                ("CVE-2026-0010", Severity::Low, Some("6.12.118-1")),
            ]
        );
        assert_eq!(unclear, 2);
        assert_eq!(found[0].about, "a \u{fffd}[31moverflow");
        // The version that mends it, and one that is newer.
        for version in ["3.5.1-1+deb13u2", "3.5.2-1", "1:1"] {
            let (found, _) = open(TOLD.as_bytes(), "trixie", &[item("openssl", version)]).unwrap();
            assert_eq!(found.len(), 1, "{version}");
            assert_eq!(found[0].advisory, "CVE-2026-0002");
        }
    }

    #[test]
    fn what_the_tracker_does_not_say_is_refused() {
        let items = [item("openssl", "3")];
        let fails =
            |text: &str, suite: &str| format!("{:#}", open(text.as_bytes(), suite, &items).unwrap_err());
        assert!(fails(TOLD, "stable").contains("knows releases by code name"));
        assert!(fails("{}", "trixie").contains("says nothing of the release"));
        for text in [
            "",
            "[]",
            "{",
            "<html>",
            "{\"openssl\": []}",
            "{} {}",
            "{\"openssl\": {\"CVE-1\": {\"releases\": 7}}}",
        ] {
            assert!(
                fails(text, "trixie").contains("security-tracker.debian.org"),
                "{text}"
            );
        }
        let deep = format!("{{\"openssl\": {}", "{\"a\": ".repeat(100_000));
        assert!(fails(&deep, "trixie").contains("security-tracker.debian.org"));
        let deep = format!("{{\"other\": {}", "[".repeat(100_000));
        assert!(fails(&deep, "trixie").contains("security-tracker.debian.org"));
    }
}
