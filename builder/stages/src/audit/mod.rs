//! `portadc audit`: the packages of a locked set against what is known of their security.
//!
//! | module | owns |
//! |---|---|
//! | `tracker` | what Debian's security tracker says of source packages |
//! | `glsa` | Gentoo's security advisories |

mod glsa;
mod tracker;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use engine::Engine;
use fetch::{BaseNeeds, Lock, LockedBase, LockedFile, Network, Stage3Files, document};
use model::project::Project;
use model::sources::{BaseSource, Source, SourceSet};
use serde::Serialize;

use crate::build::debian_packages;

/// Where Debian's security tracker tells of everything.
const TRACKER: &str = "https://security-tracker.debian.org/tracker/data/json";

/// Larger than all that the tracker tells by far (70 MB in 2026).
const TRACKER_LIMIT: u64 = 512 << 20;

/// Characters of a text of an advisory that are shown.
const SHOWN: usize = 200;

/// What is audited, and against what.
#[derive(Debug, Clone, Copy)]
pub struct AuditRequest<'a> {
    /// The project.
    pub project: &'a Project,
    /// The set.
    pub set: &'a SourceSet,
    /// The mirror that the user named.
    pub mirror: Option<&'a str>,
    /// How the network is used.
    pub network: &'a Network,
    /// Advisories of this machine in place of the usual ones: for Debian the tracker's JSON, for Gentoo a snapshot of the ebuild
    /// repository or its folder `metadata/glsa`.
    pub advisories: Option<&'a Path>,
}

/// How bad it is, as who published it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The worst.
    High,
    /// Between.
    Medium,
    /// The least.
    Low,
    /// Nobody has said so yet.
    Unknown,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Unknown => "unknown",
        })
    }
}

/// A package of the set that an advisory is about, and that is not mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Open {
    /// The package: of Debian the source package.
    pub package: String,
    /// The version that is locked.
    pub installed: String,
    /// The advisory's name.
    pub advisory: String,
    /// How bad it is.
    pub severity: Severity,
    /// The version that mends it; `None` while there is none.
    pub mended: Option<String>,
    /// What it is about, in one line of its author.
    pub about: String,
}

/// What came of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audit {
    /// The set.
    pub set: String,
    /// How many packages were looked at.
    pub packages: usize,
    /// The advisories that they were checked against: a URL, a path, or the name of the locked snapshot, which has its day.
    pub advisories: String,
    /// What is open: the worst first, then by package and advisory.
    pub open: Vec<Open>,
    /// How many more apply that are not listed: those whose publisher holds them for no matter of security, or does not know.
    pub unclear: usize,
}

/// A package with its version, as advisories name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    name: String,
    version: String,
    /// Its slot; none of Debian's has one.
    slot: String,
}

/// Holds the packages of the lock against advisories.
pub fn audit(engine: &Engine, request: &AuditRequest) -> Result<Audit> {
    let AuditRequest {
        project,
        set,
        mirror,
        network,
        advisories,
    } = *request;
    let needs = BaseNeeds::of(project, set);
    let lock = Lock::load(&project.root)?;
    let locked = lock.find_with_base(set, &needs)?;
    let (mut items, against, (mut open, unclear)) = match (&locked.base, &set.base) {
        (LockedBase::Archive(archive), BaseSource::Archive { .. }) => {
            let installed = debian_packages(engine, project, set, locked, archive, mirror, network)?;
            let mut items: Vec<Item> = installed
                .into_iter()
                .map(|deb| Item {
                    name: deb.source,
                    version: deb.source_version,
                    slot: String::new(),
                })
                .collect();
            for (source, file) in [(&set.kernel, &locked.kernel), (&set.u_boot, &locked.u_boot)] {
                items.extend(of_archive(source, file));
            }
            items.sort();
            items.dedup();
            let (bytes, against) = match advisories {
                Some(file) => {
                    let shown = file.display().to_string();
                    (read(file).with_context(|| format!("cannot read {shown}"))?, shown)
                }
                None => {
                    let told = document(TRACKER, TRACKER_LIMIT, network).context(
                        "Debian's security tracker cannot be asked: name a file that has what it tells with --advisories",
                    )?;
                    (told, TRACKER.to_owned())
                }
            };
            let found = tracker::open(&bytes, &archive.suite, &items).context("cannot use the advisories")?;
            (items, against, found)
        }
        (LockedBase::Stage3(base), BaseSource::Stage3(source)) => {
            let files = Stage3Files::new(engine, &project.root, source, base.clone(), mirror, network);
            // Before packages are fetched: without advisories there is nothing to hold them against.
            let (path, against) = match advisories {
                Some(path) => (path.to_owned(), path.display().to_string()),
                None => locked_snapshot(&files, &set.name)?,
            };
            let packages = files.installed(needs.zstd)?;
            let items: Vec<Item> = packages
                .into_iter()
                .map(|package| Item {
                    name: package.cpv.name.to_string(),
                    version: package.cpv.version.to_string(),
                    slot: package.slot,
                })
                .collect();
            let found = glsa::open(&path, &items).context("cannot use the advisories")?;
            (items, against, found)
        }
        _ => bail!("the lock has another kind of base than sources.toml: run `portadc update`"),
    };
    items.dedup();
    open.sort_by(|a, b| {
        let key = |open: &Open| (open.severity, open.package.clone(), open.advisory.clone());
        key(a).cmp(&key(b))
    });
    Ok(Audit {
        set: set.name.clone(),
        packages: items.len(),
        advisories: against,
        open,
        unclear,
    })
}

/// The snapshot of the ebuild repository that the lock pins, as the lock pins it, and its name.
fn locked_snapshot(files: &Stage3Files, set: &str) -> Result<(PathBuf, String)> {
    let snapshot = files
        .snapshot()
        .context("the locked snapshot of the ebuild repository, which has the advisories, cannot be had")?;
    let path = snapshot.with_context(|| {
        format!(
            "sources.lock pins no snapshot of Gentoo's ebuild repository for the source set `{set}`, as nothing of it was \
             compiled: name one that you verified (gentoo-YYYYMMDD.tar.xz), or its folder metadata/glsa, with --advisories"
        )
    })?;
    let name = path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    Ok((path, name))
}

/// A file of advisories, which is not a device or pipe and no larger than all that the tracker tells.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files::open(path)?
        .take(TRACKER_LIMIT + 1)
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= TRACKER_LIMIT,
        "it has more than {TRACKER_LIMIT} bytes"
    );
    Ok(bytes)
}

/// A part that is built of the upstream tarball of a source package: without what Debian changes in it, which is its first
/// revision at best.
fn of_archive(source: &Source, file: &LockedFile) -> Option<Item> {
    match source {
        Source::Archive { package, .. } => Some(Item {
            name: package.clone(),
            version: format!("{}-1", file.version),
            slot: String::new(),
        }),
        Source::KernelOrg { .. } | Source::Release { .. } => None,
    }
}

/// A text of an advisory as it may be shown: one line, without what a terminal would obey, not too long.
fn plain(text: &str) -> String {
    let visible = |c: char| match c {
        c if c.is_whitespace() => ' ',
        // Characters that turn the direction of a line, or that nobody sees.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let words: String = text.chars().take(SHOWN * 8).map(visible).collect();
    let words = words.split(' ').filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(plain("a\n  b\t\u{1b}[2Jc\u{202e}d"), "a b \u{fffd}[2Jc\u{fffd}d");
        let long = plain(&"x".repeat(10_000));
        assert!(long.chars().count() <= SHOWN + 3 && long.ends_with("..."));
    }
}
