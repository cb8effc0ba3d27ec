//! Gentoo's security advisories (GLSA): XML files of `metadata/glsa` in the ebuild repository, as a folder or within a snapshot.
//! `files` finds them there.
//!
//! ```text
//! <glsa id="202606-01"> <title>..</title> <product type="ebuild">..</product>
//!   <affected> <package name="net-misc/curl" auto="yes" arch="*">
//!     <unaffected range="ge">8.14.0</unaffected> <vulnerable range="lt" slot="0">8.14.0</vulnerable> </package> </affected>
//!   <impact type="high">..</impact> </glsa>
//! ```

mod files;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gentoo::Version;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Item, Open, Severity, plain};

/// More than all advisories since 2003 by far.
const MOST: usize = 100_000;

/// What elements of an advisory lie within each other at most.
const DEPTH: usize = 32;

/// An advisory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Advisory {
    id: String,
    title: String,
    is_ebuild: bool,
    impact: String,
    packages: Vec<Affected>,
}

/// A package that it is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Affected {
    name: String,
    arch: String,
    vulnerable: Vec<Range>,
    unaffected: Vec<Range>,
}

/// Versions of a package.
#[derive(Debug, Default, PartialEq, Eq)]
struct Range {
    operator: String,
    slot: String,
    version: String,
}

/// What of `items` is open. `path` is a folder of advisories, a repository that has one, or a snapshot (`.tar.xz`). What is
/// written in a way that nobody can read for certain is an error: it could be about a package of ours.
pub(super) fn open(path: &Path, items: &[Item]) -> Result<(Vec<Open>, usize)> {
    let mut by_name: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in items {
        by_name.entry(&item.name).or_default().push(item);
    }
    let (mut found, mut count) = (Vec::new(), 0);
    files::each(path, |name, bytes| {
        count += 1;
        ensure!(count <= MOST, "there are more than {MOST} advisories");
        let mut add = || -> Result<()> {
            let advisory = read(bytes)?;
            if !advisory.is_ebuild {
                return Ok(());
            }
            for affected in &advisory.packages {
                for item in by_name.get(affected.name.as_str()).into_iter().flatten() {
                    found.extend(affected.open(&advisory, item)?);
                }
            }
            Ok(())
        };
        add().with_context(|| format!("cannot read the advisory {}", plain(name)))
    })?;
    ensure!(
        count > 0,
        "{} has no advisories (metadata/glsa/glsa-*.xml)",
        path.display()
    );
    Ok((found, 0))
}

/// Reads an advisory.
fn read(bytes: &[u8]) -> Result<Advisory> {
    let text = std::str::from_utf8(bytes).context("it is no UTF-8 text")?;
    let mut reader = Reader::from_str(text);
    let mut advisory = Advisory::default();
    let mut within: Vec<String> = Vec::new();
    loop {
        match reader.read_event().context("it is no XML")? {
            Event::Start(element) => {
                ensure!(
                    within.len() < DEPTH,
                    "its elements lie too deep within each other"
                );
                advisory.start(&within, &element)?;
                within.push(element.name().as_ref().to_owned());
            }
            Event::Empty(element) => advisory.start(&within, &element)?,
            Event::End(_) => {
                within.pop();
            }
            Event::Text(text) => advisory.text(&within, &text),
            Event::CData(text) => advisory.text(&within, &text),
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref()? {
                    Some(character) => character,
                    // The five of XML, and no other: nothing that is declared is expanded.
                    None => match reference.as_ref() {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => bail!("it refers to an entity that XML itself does not have"),
                    },
                };
                advisory.text(&within, character.encode_utf8(&mut [0; 4]));
            }
            // That of Gentoo only names where the DTD is.
            Event::DocType(declared) => {
                ensure!(!declared.contains('['), "it declares entities of its own");
            }
            Event::Eof => break,
            _ => {}
        }
    }
    ensure!(within.is_empty(), "it ends in the middle");
    ensure!(
        !advisory.id.is_empty(),
        "it is no advisory: there is no <glsa id=...>"
    );
    for package in &mut advisory.packages {
        package.name = package.name.trim().to_owned();
        for range in package.vulnerable.iter_mut().chain(&mut package.unaffected) {
            range.version = range.version.trim().to_owned();
        }
    }
    Ok(advisory)
}

/// An attribute of an element; empty where it has none.
fn attribute(element: &BytesStart, name: &str) -> Result<String> {
    match element.try_get_attribute(name).context("an attribute is none")? {
        None => Ok(String::new()),
        Some(attribute) => Ok(attribute.value.into_owned()),
    }
}

impl Advisory {
    fn start(&mut self, within: &[String], element: &BytesStart) -> Result<()> {
        let path: Vec<&str> = within.iter().map(String::as_str).collect();
        match (path.as_slice(), element.name().as_ref()) {
            ([], "glsa") => self.id = attribute(element, "id")?,
            (["glsa"], "product") => self.is_ebuild = attribute(element, "type")? == "ebuild",
            (["glsa"], "impact") => self.impact = attribute(element, "type")?,
            (["glsa", "affected"], "package") => self.packages.push(Affected {
                name: attribute(element, "name")?,
                arch: attribute(element, "arch")?,
                ..Affected::default()
            }),
            (["glsa", "affected", "package"], name @ ("vulnerable" | "unaffected")) => {
                let range = Range {
                    operator: attribute(element, "range")?,
                    slot: attribute(element, "slot")?,
                    version: String::new(),
                };
                let package = self
                    .packages
                    .last_mut()
                    .context("a range belongs to no package")?;
                match name {
                    "vulnerable" => package.vulnerable.push(range),
                    _ => package.unaffected.push(range),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, within: &[String], text: &str) {
        let path: Vec<&str> = within.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["glsa", "title"] => self.title.push_str(text),
            ["glsa", "affected", "package", kind] => {
                let ranges = self.packages.last_mut().and_then(|package| match *kind {
                    "vulnerable" => package.vulnerable.last_mut(),
                    "unaffected" => package.unaffected.last_mut(),
                    _ => None,
                });
                if let Some(range) = ranges {
                    range.version.push_str(text);
                }
            }
            _ => {}
        }
    }
}

impl Affected {
    /// What is open of an installed package, if anything is.
    fn open(&self, advisory: &Advisory, item: &Item) -> Result<Option<Open>> {
        let mut arches = self.arch.split([' ', ',']);
        if !arches.any(|arch| matches!(arch, "*" | "arm64")) {
            return Ok(None);
        }
        let own: Version = item.version.parse()?;
        let any = |ranges: &[Range]| -> Result<bool> {
            let mut matches = false;
            for range in ranges {
                matches |= range.holds(&own, &item.slot)?;
            }
            Ok(matches)
        };
        if any(&self.unaffected)? || !any(&self.vulnerable)? {
            return Ok(None);
        }
        // The oldest of those that mend it: a person updates no further than has to be.
        let mut mended: Option<Version> = None;
        for range in &self.unaffected {
            if !matches!(range.operator.as_str(), "ge" | "rge" | "eq" | "gt" | "rgt")
                || !range.is_of(&item.slot)
            {
                continue;
            }
            let version: Version = range.version.trim_end_matches('*').parse()?;
            if version > own && mended.as_ref().is_none_or(|mended| version < *mended) {
                mended = Some(version);
            }
        }
        Ok(Some(Open {
            package: plain(&item.name),
            installed: plain(&item.version),
            advisory: plain(&format!("GLSA-{}", advisory.id)),
            severity: match advisory.impact.as_str() {
                "high" => Severity::High,
                "normal" | "medium" => Severity::Medium,
                "low" | "minimal" => Severity::Low,
                _ => Severity::Unknown,
            },
            mended: mended.map(|version| plain(version.as_str())),
            about: plain(&advisory.title),
        }))
    }
}

impl Range {
    fn is_of(&self, slot: &str) -> bool {
        // `0/1.1` is slot 0 with its sub-slot.
        let own = slot.split('/').next().unwrap_or_default();
        matches!(self.slot.as_str(), "" | "*") || self.slot == own
    }

    /// Whether it holds a version of a slot.
    fn holds(&self, own: &Version, slot: &str) -> Result<bool> {
        if !self.is_of(slot) {
            return Ok(false);
        }
        if let ("eq", Some(prefix)) = (self.operator.as_str(), self.version.strip_suffix('*')) {
            return Ok(own.starts_with(&prefix.parse()?));
        }
        let version: Version = self.version.parse()?;
        // Those with an `r` are about revisions of this one version.
        let (operator, is_revision) = match self.operator.strip_prefix('r') {
            Some(operator) => (operator, true),
            None => (self.operator.as_str(), false),
        };
        if is_revision {
            let base = |version: &Version| version.without_revision().parse::<Version>();
            if base(own)? != base(&version)? {
                return Ok(false);
            }
        }
        let order = own.cmp(&version);
        Ok(match operator {
            "lt" => order.is_lt(),
            "le" => order.is_le(),
            "eq" => order.is_eq(),
            "ge" => order.is_ge(),
            "gt" => order.is_gt(),
            _ => bail!("a range is `{}`, which is none", plain(&self.operator)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn advisory(packages: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE glsa SYSTEM \"http://www.gentoo.org/dtd/glsa.dtd\">\n\
             <glsa id=\"202606-01\">\n<title>curl &amp; co: a &#x1b;[2J hole</title>\n<synopsis>..</synopsis>\n\
             <product type=\"ebuild\">curl</product>\n<announced>2026-06-01</announced>\n<revised count=\"1\">2026-06-01</revised>\n\
             <access>remote</access>\n<affected>{packages}</affected>\n<impact type=\"normal\"><p>See <uri link=\"x\">y</uri></p></impact>\n\
             <references/></glsa>\n"
        )
    }

    fn package(ranges: &str) -> String {
        format!("<package name=\"net-misc/curl\" auto=\"yes\" arch=\"*\">{ranges}</package>")
    }

    fn found(text: &str, version: &str, slot: &str) -> Result<Vec<Open>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("glsa-202606-01.xml"), text).unwrap();
        fs::write(folder.path().join("timestamp.chk"), "none").unwrap();
        let item = Item {
            name: "net-misc/curl".into(),
            version: version.into(),
            slot: slot.into(),
        };
        Ok(open(folder.path(), &[item])?.0)
    }

    #[test]
    fn ranges_slots_and_architectures_count() {
        let v = |range: &str, version: &str| format!("<vulnerable range=\"{range}\">{version}</vulnerable>");
        let u = |range: &str, version: &str| format!("<unaffected range=\"{range}\">{version}</unaffected>");
        let usual = v("lt", "8.14.0") + &u("ge", "8.14.0") + &u("rge", "8.12.1-r2") + &u("ge", "9");
        // Version, ranges, what mends it: `None` where nothing is open.
        let cases: [(&str, String, Option<Option<&str>>); 14] = [
            ("8.13.0-r1", usual.clone(), Some(Some("8.14.0"))),
            ("8.14.0", usual.clone(), None),
            ("8.12.1-r1", usual.clone(), Some(Some("8.12.1-r2"))),
            ("8.12.1-r2", usual.clone(), None),
            ("8.12.2", usual, Some(Some("8.14.0"))),
            ("2.0", v("le", "2.0"), Some(None)),
            ("2.0-r1", v("le", "2.0"), None),
            ("2.0-r1", v("rle", "2.0-r1"), Some(None)),
            ("1.9", v("rle", "2.0-r1"), None),
            ("2.1", v("eq", "2.1"), Some(None)),
            ("2.1.7", v("eq", "2.1*"), Some(None)),
            ("2.11", v("eq", "2.1*"), None),
            ("3", v("gt", "2") + &u("ge", "4"), Some(Some("4"))),
            ("3-r1", v("rgt", "3"), Some(None)),
        ];
        for (version, ranges, expected) in cases {
            let found = found(&advisory(&package(&ranges)), version, "0").unwrap();
            let mended = found.first().map(|open| open.mended.as_deref());
            assert_eq!(mended, expected, "{version}: {ranges}");
        }
        let of_slot = "<vulnerable range=\"lt\" slot=\"1\">9</vulnerable>";
        assert_eq!(
            found(&advisory(&package(of_slot)), "8", "1/1.1").unwrap().len(),
            1
        );
        assert!(found(&advisory(&package(of_slot)), "8", "0").unwrap().is_empty());
        for (arch, count) in [("amd64 x86", 0), ("amd64 arm64", 1)] {
            let text = advisory(&package(&v("lt", "9"))).replace("arch=\"*\"", &format!("arch=\"{arch}\""));
            assert_eq!(found(&text, "8", "0").unwrap().len(), count, "{arch}");
        }
        let open = &found(&advisory(&package(&v("lt", "9"))), "8", "0").unwrap()[0];
        assert_eq!(open.severity, Severity::Medium);
        assert_eq!(open.advisory, "GLSA-202606-01");
        assert_eq!(open.about, "curl & co: a \u{fffd}[2J hole");
        let infrastructure = advisory(&package(&v("lt", "9"))).replace("\"ebuild\"", "\"infrastructure\"");
        assert!(found(&infrastructure, "8", "0").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_advisory_is_refused() {
        let good = advisory(&package("<vulnerable range=\"lt\">9</vulnerable>"));
        let bomb = "<!DOCTYPE glsa [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>";
        let texts = [
            (
                good.replace("range=\"lt\"", "range=\"near\""),
                "a range is `near`",
            ),
            (good.replace(">9<", ">nine<"), "nine"),
            (good.replace("</glsa>", ""), "it ends in the middle"),
            (
                good.replace(
                    "<!DOCTYPE glsa SYSTEM \"http://www.gentoo.org/dtd/glsa.dtd\">",
                    bomb,
                ),
                "entities of its own",
            ),
            (
                good.replace("&amp;", "&lol;"),
                "an entity that XML itself does not have",
            ),
            (good.replace("<references/>", &"<a>".repeat(40)), "too deep"),
            ("<html></html>".to_owned(), "it is no advisory"),
            (
                good.replace("<references/>", &" ".repeat(files::LIMIT as usize)),
                "more than",
            ),
        ];
        for (text, expected) in texts {
            let error = format!("{:#}", found(&text, "8", "0").unwrap_err());
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(
            open(empty.path(), &[])
                .unwrap_err()
                .to_string()
                .contains("has no advisories")
        );
    }
}
