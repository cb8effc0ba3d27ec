//! What a node's portage is told, so that `emerge` there goes on from what the image was made of: which packages are
//! accepted that are not stable, how flags were set, where binary packages are, and whose signatures count.
//!
//! ```text
//! /etc/portage/package.accept_keywords/portadc   what is not stable here and was taken all the same
//! /etc/portage/package.use/portadc               flags that were set otherwise than the stage3's profile would
//! /etc/portage/binrepos.conf/portadc.conf        package sources that the stage3 does not know
//! /usr/share/openpgp-keys/portadc.asc            who signs them; the overlay `first-start` has portage trust them
//! ```
//!
//! Each file is there where it has something to say.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, Result};
use fetch::{LockedStage3, shown_url};
use gentoo::install::Installer;
use gentoo::resolve::{Init, NodeUse, PackageUse};
use gentoo::{Atom, Package};
use model::sources::{PackagePlace, PackageSource, Stage3};

/// What all nodes are.
const ARCHITECTURE: &str = "arm64";

/// Where portage's settings are.
const BINREPOS: &str = "etc/portage/binrepos.conf";
const MAKE_CONF: &str = "etc/portage/make.conf";

/// What portage asks to set up keys, and its answer here.
const TRUST_HELPER: &str = "PORTAGE_TRUST_HELPER";
const TRUST_KEYS: &str = "/usr/lib/portadc/trust-keys";

const NOTICE: &str = "# What this image was made of. Files beside this one are yours.\n";

/// What was asked for beyond what is stable and default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes<'a> {
    /// Lines of `package.accept_keywords`: `app-containers/lxc ~arm64`.
    pub keywords: &'a [String],
    /// Lines of `package.use`: `app-containers/lxc -man`.
    pub use_flags: &'a [String],
}

/// Tells the portage of the system in the making. `stage3` has what was installed before `packages` were.
pub(super) fn tell<W: Write>(
    installer: &mut Installer<W>,
    source: &Stage3,
    locked: &LockedStage3,
    wishes: Wishes<'_>,
    stage3: &[Package],
    packages: &[Package],
) -> Result<()> {
    let init = match source.init {
        model::sources::Init::Systemd => Init::Systemd,
        model::sources::Init::OpenRc => Init::OpenRc,
    };
    let binrepos = binrepos(&source.packages, &binhosts(installer)?);
    for (path, text) in [
        (
            "etc/portage/package.accept_keywords/portadc",
            accept_keywords(wishes.keywords, packages)?,
        ),
        (
            "etc/portage/package.use/portadc",
            package_use(wishes.use_flags, init, stage3, packages)?,
        ),
        ("etc/portage/binrepos.conf/portadc.conf", binrepos),
    ] {
        if let Some(text) = text {
            installer.write(path, 0o644, text.into_bytes())?;
        }
    }
    let keys: Vec<&str> = locked
        .sources
        .values()
        .filter_map(|source| source.keys.as_deref())
        .collect();
    if !keys.is_empty() {
        installer.write(
            "usr/share/openpgp-keys/portadc.asc",
            0o644,
            keys.concat().into_bytes(),
        )?;
        let settings = installer.read(MAKE_CONF)?.unwrap_or_default();
        let settings = String::from_utf8(settings).with_context(|| format!("/{MAKE_CONF} is not UTF-8"))?;
        if !settings.contains(TRUST_HELPER) {
            let text = format!(
                "{settings}\n# Gentoo's keys, then those of the package sources in binrepos.conf/portadc.conf.\n\
                 {TRUST_HELPER}=\"{TRUST_KEYS}\"\n"
            );
            installer.write(MAKE_CONF, 0o644, text.into_bytes())?;
        }
    }
    Ok(())
}

/// The wishes, then each package that they do not cover and that is not stable: of this version, so that a later one is
/// accepted when it is stable.
fn accept_keywords(wishes: &[String], packages: &[Package]) -> Result<Option<String>> {
    let mut covered: Vec<Atom> = Vec::new();
    for line in wishes {
        let atom = line.split_ascii_whitespace().next().unwrap_or_default();
        covered.push(
            atom.parse()
                .with_context(|| format!("`{line}` accepts no keyword of a package"))?,
        );
    }
    let unstable = packages
        .iter()
        .filter(|package| !covered.iter().any(|atom| atom.matches(package)));
    let lines = unstable.filter_map(|package| {
        let has = |keyword: &str| {
            package
                .keywords
                .split_ascii_whitespace()
                .any(|word| word == keyword)
        };
        let accepted = match () {
            () if has(ARCHITECTURE) => return None,
            () if has(&format!("~{ARCHITECTURE}")) => format!("~{ARCHITECTURE}"),
            () => "**".to_owned(),
        };
        Some(format!("={} {accepted}", package.cpv))
    });
    Ok(file(wishes, lines.collect()))
}

/// The wishes, then each package that was built with other flags than the node would set: of this build's version.
fn package_use(
    wishes: &[String],
    init: Init,
    stage3: &[Package],
    packages: &[Package],
) -> Result<Option<String>> {
    let mut parsed: Vec<PackageUse> = Vec::new();
    for line in wishes {
        parsed.push(
            line.parse()
                .with_context(|| format!("`{line}` sets no USE flags of a package"))?,
        );
    }
    let node = NodeUse::new(stage3, Some(init), &parsed);
    let lines = packages.iter().filter_map(|package| {
        let flags = node.deviations(package);
        (!flags.is_empty()).then(|| format!("={} {}", package.cpv, flags.join(" ")))
    });
    Ok(file(wishes, lines.collect()))
}

/// A file of the lines that were given and, in order, those that were found; `None` without any.
fn file(given: &[String], found: BTreeSet<String>) -> Option<String> {
    let lines: Vec<String> = given.iter().cloned().chain(found).collect();
    (!lines.is_empty()).then(|| format!("{NOTICE}{}\n", lines.join("\n")))
}

/// A server of binary packages that the stage3 knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binhost {
    uri: String,
    priority: i64,
}

/// The servers in the stage3's `binrepos.conf`.
fn binhosts<W: Write>(installer: &Installer<W>) -> Result<Vec<Binhost>> {
    let mut binhosts = Vec::new();
    for name in installer.names(BINREPOS) {
        let bytes = installer.read(&format!("{BINREPOS}/{name}"))?.unwrap_or_default();
        binhosts.extend(binhosts_of(&String::from_utf8_lossy(&bytes)));
    }
    Ok(binhosts)
}

fn binhosts_of(text: &str) -> Vec<Binhost> {
    let mut binhosts = Vec::new();
    let (mut uri, mut priority) = (None, 0);
    // A section ends where the next one starts.
    for line in text.lines().chain(["["]) {
        let line = line.trim();
        if line.starts_with('[') {
            binhosts.extend(uri.take().map(|uri| Binhost { uri, priority }));
            priority = 0;
        } else if let Some((key, value)) = line.split_once('=') {
            match key.trim() {
                "sync-uri" => uri = Some(value.trim().trim_end_matches('/').to_owned()),
                "priority" => priority = value.trim().parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    binhosts
}

/// The sources that a node can reach and the stage3 does not know, each where its place in the list puts it; those that are
/// folders of the machine that built the image are only named.
fn binrepos(sources: &[PackageSource], known: &[Binhost]) -> Option<String> {
    let found = sources.iter().enumerate().find_map(|(at, source)| {
        let priority = known.iter().find(|binhost| is_at(source, binhost))?.priority;
        Some((at, priority))
    });
    let (place, priority) = found.unwrap_or((sources.len(), 0));
    let mut text = String::new();
    for (at, source) in sources.iter().enumerate() {
        let mirrors = match &source.place {
            PackagePlace::Mirrors(mirrors) => mirrors,
            PackagePlace::Folder(_) => {
                text.push_str(&format!(
                    "\n# Packages of `{}` were in a folder where this image was made.\n",
                    source.name
                ));
                continue;
            }
            PackagePlace::Compile(_) => {
                text.push_str(&format!(
                    "\n# Packages of `{}` were compiled where this image was made.\n",
                    source.name
                ));
                continue;
            }
        };
        let (Some(mirror), false) = (
            mirrors.first(),
            known.iter().any(|binhost| is_at(source, binhost)),
        ) else {
            continue;
        };
        // Portage prefers the higher priority, the list the earlier source.
        let distance = i64::try_from(place).unwrap_or(i64::MAX) - i64::try_from(at).unwrap_or(i64::MAX);
        let uri = shown_url(mirror);
        if uri != *mirror {
            text.push_str("\n# Its user and password are not on the image.");
        }
        text.push_str(&format!(
            "\n[{name}]\npriority = {priority}\nsync-uri = {uri}\nlocation = /var/cache/binhost/{name}\nverify-signature = {verify}\n",
            name = source.name,
            priority = priority.saturating_add(distance),
            // The parser takes it for the start of a reference.
            uri = uri.trim_end_matches('/').replace('%', "%%"),
            verify = source.signer.is_some(),
        ));
    }
    (!text.is_empty()).then(|| format!("{NOTICE}{text}"))
}

fn is_at(source: &PackageSource, binhost: &Binhost) -> bool {
    match &source.place {
        PackagePlace::Mirrors(mirrors) => mirrors
            .iter()
            .any(|mirror| mirror.trim_end_matches('/') == binhost.uri),
        PackagePlace::Folder(_) | PackagePlace::Compile(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(cpv: &str, keywords: &str, iuse: &str, enabled: &str) -> Package {
        Package::from_values(cpv, |key| {
            match key {
                "KEYWORDS" => Some(keywords.to_owned()),
                "IUSE" => Some(iuse.to_owned()),
                "USE" => Some(enabled.to_owned()),
                _ => None,
            }
            .map(|text| -> &str { text.leak() })
        })
        .unwrap()
    }

    fn source(name: &str, place: PackagePlace) -> PackageSource {
        PackageSource {
            name: name.to_owned(),
            place,
            signer: None,
        }
    }

    fn mirrors(urls: &[&str]) -> PackagePlace {
        PackagePlace::Mirrors(urls.iter().map(|url| (*url).to_owned()).collect())
    }

    #[test]
    fn what_is_not_stable_is_accepted_as_it_is() {
        let packages = [
            package("app/stable-1", "amd64 arm64", "", ""),
            package("app/new-2-r1", "~arm64 ~riscv", "", ""),
            package("app/bare-1", "", "", ""),
            package("app/other-1", "amd64 -arm64", "", ""),
            package("app/wished-3", "~arm64", "", ""),
        ];
        let text = accept_keywords(&["app/wished ~arm64".to_owned()], &packages)
            .unwrap()
            .unwrap();
        let expected = "app/wished ~arm64\n=app/bare-1 **\n=app/new-2-r1 ~arm64\n=app/other-1 **\n";
        assert_eq!(text.strip_prefix(NOTICE), Some(expected));
        assert_eq!(accept_keywords(&[], &packages[..1]).unwrap(), None);
        let error = accept_keywords(&["app\nx **".to_owned()], &packages).unwrap_err();
        assert!(format!("{error:#}").contains("accepts no keyword"), "{error:#}");
    }

    #[test]
    fn flags_that_were_set_otherwise_stay_so() {
        let stage3 = [package("lib/a-1", "", "ssl gtk systemd", "ssl systemd")];
        let packages = [
            package("app/as-all-1", "", "ssl gtk systemd", "ssl systemd"),
            package("app/desktop-1", "", "ssl gtk systemd", "gtk systemd"),
            package("app/wished-1", "", "ssl man", "ssl"),
            package("app/not-as-wished-1", "", "man", "man"),
        ];
        let wishes = ["app/wished -man".to_owned(), "app/not-as-wished -man".to_owned()];
        let text = package_use(&wishes, Init::Systemd, &stage3, &packages)
            .unwrap()
            .unwrap();
        let expected =
            "app/wished -man\napp/not-as-wished -man\n=app/desktop-1 gtk -ssl\n=app/not-as-wished-1 man\n";
        assert_eq!(text.strip_prefix(NOTICE), Some(expected));
        assert_eq!(
            package_use(&[], Init::Systemd, &stage3, &packages[..1]).unwrap(),
            None
        );
        assert!(package_use(&["app/x $(id)".to_owned()], Init::Systemd, &stage3, &packages).is_err());
    }

    #[test]
    fn sources_stand_where_the_list_has_them() {
        let known = binhosts_of(
            "# of the stage3\n[gentoo]\npriority = 1\nsync-uri = https://one.example/arm64/\nlocation = /x\nverify-signature = true\n",
        );
        let official = || {
            source(
                "official",
                mirrors(&["https://two.example/arm64/", "https://one.example/arm64/"]),
            )
        };
        assert_eq!(binrepos(&[official()], &known), None);
        let sources = [
            source("first", mirrors(&["https://me:secret@own.example/a%20b/"])),
            official(),
            source("here", PackagePlace::Folder("packages".into())),
            source("last", mirrors(&["https://last.example/"])),
        ];
        let text = binrepos(&sources, &known).unwrap();
        let first = "\n[first]\npriority = 2\nsync-uri = https://own.example/a%%20b\nlocation = /var/cache/binhost/first\nverify-signature = false\n";
        assert!(text.contains(first), "{text}");
        assert!(
            text.contains("\n[last]\npriority = -1\n") && text.contains("# Packages of `here`"),
            "{text}"
        );
        assert!(!text.contains("secret") && !text.contains("[official]"), "{text}");
        // A stage3 that knows no server.
        let text = binrepos(&[official()], &[]).unwrap();
        assert!(
            text.contains("\n[official]\npriority = 1\nsync-uri = https://two.example/arm64\n"),
            "{text}"
        );
    }
}
