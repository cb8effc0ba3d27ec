//! When indexes were made. None is taken that is older than the one that the lock knows, and no version that goes down, unless
//! the user says so: an old index is as well signed as a new one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use engine::VerificationFailed;
use gentoo::{Atom, Cpv, Package, Version};
use model::sources::{BaseSource, SourceSet, version_numbers};

use super::inrelease::inrelease;
use super::lock::LockedStage3;
use super::lock::{LOCK, LockedBase, LockedSet};
use super::moment::Moment;
use super::newest;

/// How far ahead of this machine's clock an index may be.
const CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

/// Older than this an index of a server is doubtful: most are made daily, none less often than every other month.
const STALE: Duration = Duration::from_secs(60 * 24 * 3600);

/// Versions of an error that it tells one by one.
const TOLD: usize = 8;

/// Whether something may become older than it is locked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Downgrade {
    /// No.
    #[default]
    Refuse,
    /// Yes, the user wants it.
    Allow,
}

/// Where an index comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Servers, which go on.
    Servers,
    /// A folder of this machine, which may be as old as its owner likes.
    Folder,
}

/// What is known of the indexes of a set, and what becomes known.
#[derive(Debug)]
pub(super) struct Past {
    known: BTreeMap<String, Moment>,
    downgrade: Downgrade,
    now: SystemTime,
    seen: RefCell<BTreeMap<String, Moment>>,
    doubts: RefCell<Vec<String>>,
}

impl Past {
    /// What `locked`, the lock of a set, knows.
    pub(super) fn of(locked: Option<&LockedSet>, downgrade: Downgrade, now: SystemTime) -> Self {
        Self {
            known: locked.map(known).unwrap_or_default(),
            downgrade,
            now,
            seen: RefCell::default(),
            doubts: RefCell::default(),
        }
    }

    /// Takes an index that was made at `made`, or says why it must not be taken.
    pub(super) fn accept(&self, index: &str, made: Moment, origin: Origin) -> Result<()> {
        if made > Moment::of(self.now + CLOCK_SKEW) {
            let text = format!("it is from the future ({made}): is this machine's clock right?");
            return Err(VerificationFailed(text).into());
        }
        match self.known.get(index) {
            Some(known) if made < *known && self.downgrade == Downgrade::Refuse => {
                let text = format!(
                    "it is of {made}, but {LOCK} knows one of {known}: the mirror is stale, or somebody replays an old state; \
                     `portadc update --allow-downgrade` takes it all the same"
                );
                return Err(VerificationFailed(text).into());
            }
            _ => {}
        }
        let age = Moment::of(self.now).0.saturating_sub(made.0);
        if origin == Origin::Servers && age > STALE.as_secs() as i64 {
            self.doubts.borrow_mut().push(format!(
                "{index} is of {made}, {} days old: the mirror may be stale; name another one with `--mirror URL`",
                age / (24 * 3600)
            ));
        }
        self.seen.borrow_mut().insert(index.to_owned(), made);
        Ok(())
    }

    /// When the indexes that were taken were made, and what one may doubt of them.
    pub(super) fn into_seen(self) -> (BTreeMap<String, Moment>, Vec<String>) {
        (self.seen.into_inner(), self.doubts.into_inner())
    }
}

/// When the indexes were made that a set was resolved from. Locks of old say it of some, beside the file that each lists.
fn known(locked: &LockedSet) -> BTreeMap<String, Moment> {
    let mut known = locked.indexes.clone();
    let mut older = |index: &str, date: Moment| {
        if !locked.indexes.contains_key(index) {
            let known = known.entry(index.to_owned()).or_insert(date);
            *known = date.max(*known);
        }
    };
    for file in [&locked.kernel, &locked.u_boot] {
        older(&file.index, file.date);
    }
    if let LockedBase::Archive(archive) = &locked.base {
        older(&inrelease(&archive.suite), archive.date);
    }
    known
}

/// Says so if something in `new` is an older version than in `old`, and `set` still asks for what was locked. `unserved` are
/// newer versions of a part that are listed but that no mirror has.
pub(super) fn check_versions(
    set: &SourceSet,
    old: &LockedSet,
    new: &LockedSet,
    unserved: &BTreeMap<&'static str, Vec<String>>,
) -> Result<()> {
    let mut downs = Vec::new();
    for (part, old, new) in [
        ("kernel", &old.kernel, &new.kernel),
        ("u-boot", &old.u_boot, &new.u_boot),
    ] {
        let source = if part == "kernel" {
            &set.kernel
        } else {
            &set.u_boot
        };
        let asked = source.series().is_some_and(|series| series.holds(&old.version));
        if asked && version_numbers(&new.version) < version_numbers(&old.version) {
            let mut text = format!("{part} {} -> {}", old.version, new.version);
            if let Some(note) = unserved.get(part).and_then(|unserved| newest::note(unserved)) {
                text.push_str(&format!(" ({note})"));
            }
            downs.push(text);
        }
    }
    if let (Some(old), Some(new), BaseSource::Stage3(source)) = (old.stage3(), new.stage3(), &set.base) {
        let flavor = format!("stage3-{}-", source.flavor);
        let same = [old, new]
            .iter()
            .all(|base| base.tarball.file.starts_with(&flavor));
        if same && new.tarball.version < old.tarball.version {
            downs.push(format!("base {} -> {}", old.tarball.file, new.tarball.file));
        }
        if same {
            downs.extend(package_downs(old, new, &source.mask));
        }
    }
    if downs.is_empty() {
        return Ok(());
    }
    let (count, more) = (downs.len(), downs.len().saturating_sub(TOLD));
    downs.truncate(TOLD);
    let (is, it) = match count {
        1 => ("a version", "it"),
        _ => ("versions", "them"),
    };
    let mut text = format!("{is} would go down:\n- {}", downs.join("\n- "));
    if more > 0 {
        text.push_str(&format!("\n- and {more} more"));
    }
    text.push_str(&format!(
        "\na mirror has lost what is locked, or somebody serves an old state; `portadc update --sources {} --allow-downgrade` takes \
         {it} all the same",
        set.name
    ));
    Err(VerificationFailed(text).into())
}

/// The packages of which the newest version that is locked is older than it was. One that is masked now was to go.
fn package_downs(old: &LockedStage3, new: &LockedStage3, mask: &[String]) -> Vec<String> {
    let mask: Vec<Atom> = mask.iter().filter_map(|atom| atom.parse().ok()).collect();
    let masked = |cpv: &str| {
        let package = Package::from_values(cpv, |_| None);
        package.is_ok_and(|package| mask.iter().any(|atom| atom.matches(&package)))
    };
    let newest = |base: &LockedStage3| {
        let mut newest: BTreeMap<String, Version> = BTreeMap::new();
        for package in base.packages.iter().filter(|package| !masked(&package.cpv)) {
            let Ok(cpv) = package.cpv.parse::<Cpv>() else {
                continue;
            };
            let name = cpv.name.to_string();
            if newest.get(&name).is_none_or(|other| *other < cpv.version) {
                newest.insert(name, cpv.version);
            }
        }
        newest
    };
    let old = newest(old);
    let downs = newest(new).into_iter().filter_map(|(name, new)| {
        let old = old.get(&name).filter(|old| new < **old)?;
        Some(format!("{name} {old} -> {new}"))
    });
    downs.collect()
}
