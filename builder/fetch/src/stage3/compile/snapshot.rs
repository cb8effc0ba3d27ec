//! The ebuild repository: `gentoo-YYYYMMDD.tar.xz`, a snapshot of a day, and its detached signature beside it. No index lists
//! them: the newest is looked for day by day, as emerge-webrsync does.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use engine::failure;
use files::emit::{Readers, write_file};
use files::private;
use formats::calendar::{date_of, day_of};
use formats::units::Bytes;
use model::sources::Repository;

use super::super::Errand;
use crate::digest::Sha256Sum;
use crate::download::keep_as;
use crate::http::{Http, Trouble};
use crate::keyring::Keyring;
use crate::lock::LockedFile;
use crate::mirror::shown;
use crate::moment::Moment;
use crate::obtain;
use crate::openpgp::Signed;
use crate::past::{Origin, Past};

/// Days that are looked back for the newest snapshot: an older one says that a mirror stands still.
const DAYS: i64 = 60;

/// Days after its own in which a snapshot is signed. A signature says nothing of a name, so that an old snapshot under a new
/// name is told by this alone.
const SIGNED_WITHIN: i64 = 3;

/// What stands for all snapshots where it is kept when the last one was made.
const INDEX: &str = "snapshots of the ebuild repository";

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Larger than any snapshot (50 MB in 2026) by far; one is in memory until it is verified.
const LIMIT: u64 = 512 << 20;

/// Larger than any detached signature.
const SIGNATURE_LIMIT: u64 = 64 << 10;

/// The newest snapshot, or the one that is meant, verified. It is fetched: nothing but the signature vouches for it.
pub(super) fn resolve(errand: &Errand, repository: &Repository, past: &Past) -> Result<LockedFile> {
    let keyring = errand.keyring(&repository.signer)?;
    let route = errand.upstream(&repository.mirrors)?.route()?;
    let http = Http::new(&route, &errand.network.limits)?;
    let today = Moment::of(errand.now).0.div_euclid(DAY);
    let days: Vec<i64> = match &repository.snapshot {
        Some(day) => vec![parse_day(day).with_context(|| format!("`{day}` is no day"))?],
        None => (today - DAYS..=today).rev().collect(),
    };
    let mut looked = Looked::default();
    let found = newest(&days, &route.mirrors, &mut looked, |day, url| {
        let signature = match http.document(&format!("{url}.gpgsig"), SIGNATURE_LIMIT) {
            Ok(signature) => signature,
            Err(Trouble::Absent(_)) => return Err(Refused::Absent),
            Err(trouble) => return Err(Refused::Unheard(trouble.into_text())),
        };
        verified(errand, &keyring, &http, url, day, &signature)
    })?;
    if let Some((day, url, (size, sha256, signed))) = found {
        // One that is named is meant, however old it is.
        if repository.snapshot.is_none() {
            past.accept(INDEX, signed.date, Origin::Servers)
                .with_context(|| shown(&url))?;
        }
        let name = named(day);
        return Ok(LockedFile {
            version: name[7..15].to_owned(),
            path: name.clone(),
            index: format!("{name}.gpgsig"),
            file: name,
            size,
            sha256,
            signer: signed.signer,
            date: signed.date,
        });
    }
    let Looked { failures, unverified } = looked;
    let what = match (&repository.snapshot, days.first()) {
        (Some(_), Some(day)) => named(*day),
        _ => "snapshot of the ebuild repository".into(),
    };
    if failures.is_empty() {
        bail!(
            "no mirror has a {what}{}: looked in {}",
            match repository.snapshot {
                Some(_) => ", which `snapshot` of sources.toml names".to_owned(),
                None => format!(" of the last {DAYS} days"),
            },
            route
                .mirrors
                .iter()
                .map(|mirror| shown(mirror))
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let text = format!(
        "no mirror has a validly signed {what}:\n  {}",
        failures.join("\n  ")
    );
    Err(failure(text, unverified))
}

/// The file of a locked snapshot, fetched where it is not there.
pub(super) fn bring(errand: &Errand, repository: &Repository, locked: &LockedFile) -> Result<PathBuf> {
    let mirrors = errand.upstream(&repository.mirrors)?;
    obtain(errand.engine, locked, &mirrors, errand.network)
}

/// What went wrong while the newest snapshot was looked for.
#[derive(Default)]
struct Looked {
    /// What happened, and where.
    failures: Vec<String>,
    /// Whether something was not what was signed.
    unverified: bool,
}

/// The first of `days` that a mirror has, with its URL and what `take` makes of it. A day without one is skipped where a mirror
/// says so; one that does not answer is asked once. An older snapshot instead of one that is there and wrong would be what an
/// attacker wants: that ends the search, as it does when nobody is left who answers.
fn newest<T>(
    days: &[i64],
    mirrors: &[String],
    looked: &mut Looked,
    mut take: impl FnMut(i64, &str) -> Result<T, Refused>,
) -> Result<Option<(i64, String, T)>> {
    let mut answering: Vec<&String> = mirrors.iter().collect();
    for day in days {
        let mut wrong = false;
        let mut silent = Vec::new();
        for mirror in &answering {
            let url = format!("{mirror}{}", named(*day));
            match take(*day, &url) {
                Ok(taken) => return Ok(Some((*day, url, taken))),
                Err(Refused::Absent) => {}
                Err(Refused::Unheard(text)) => {
                    looked.failures.push(format!("{}.gpgsig: {text}", shown(&url)));
                    silent.push(*mirror);
                }
                Err(Refused::Unverified(text)) => {
                    (wrong, looked.unverified) = (true, true);
                    looked.failures.push(format!("{}: {text}", shown(&url)));
                }
                Err(Refused::Trouble(text)) => {
                    wrong = true;
                    looked.failures.push(format!("{}: {text}", shown(&url)));
                }
                Err(Refused::Here(error)) => return Err(error),
            }
        }
        answering.retain(|mirror| !silent.contains(mirror));
        if wrong || answering.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// Why a snapshot is not taken.
enum Refused {
    /// The mirror has none of this day.
    Absent,
    /// The mirror does not say whether it has one.
    Unheard(String),
    /// It is not what was signed.
    Unverified(String),
    /// It is there and cannot be had.
    Trouble(String),
    /// This machine's trouble.
    Here(anyhow::Error),
}

/// Fetches what `signature` vouches for, or finds it fetched.
fn verified(
    errand: &Errand,
    keyring: &Keyring,
    http: &Http,
    url: &str,
    day: i64,
    signature: &[u8],
) -> Result<(Bytes, Sha256Sum, Signed), Refused> {
    let check_day = |signed: &Signed| {
        let signed_on = signed.date.0.div_euclid(DAY);
        if (day..=day + SIGNED_WITHIN).contains(&signed_on) {
            return Ok(());
        }
        Err(Refused::Unverified(format!(
            "it was signed on {}, and a snapshot is signed within {SIGNED_WITHIN} days: this is another one under its name",
            signed.date
        )))
    };
    let name = named(day);
    // Kept by its signature: the same one vouches for the same bytes, whatever they are called.
    let kept = errand
        .engine
        .cache
        .root()
        .join("sources")
        .join(Sha256Sum::of(signature).to_string())
        .join(&name);
    if kept.is_file()
        && let Ok(signed) = keyring.detached_file(&kept, signature, errand.now)
    {
        check_day(&signed)?;
        let sum = || -> Result<_> {
            let file = File::open(&kept)?;
            let size = Bytes(file.metadata()?.len());
            let sha256 = Sha256Sum::of_reader(file)?;
            keep_as(&kept, errand.engine, sha256)?;
            Ok((size, sha256))
        };
        let (size, sha256) = sum()
            .with_context(|| format!("cannot read {}", kept.display()))
            .map_err(Refused::Here)?;
        return Ok((size, sha256, signed));
    }
    let task = errand.engine.progress.bytes("fetch", 0);
    task.message(name.clone());
    let bytes = http
        .document(url, LIMIT)
        .map_err(|trouble| Refused::Trouble(trouble.into_text()))?;
    let signed = keyring
        .detached(&bytes, signature, errand.now)
        .map_err(|error| Refused::Unverified(error.to_string()))?;
    check_day(&signed)?;
    let keep = || -> Result<_> {
        let folder = kept.parent().context("it has no folder")?;
        private::make_folders(folder, private::OPEN_FOLDER)?;
        write_file(&kept, &bytes, Readers::Anybody)?;
        let sha256 = Sha256Sum::of(&bytes);
        keep_as(&kept, errand.engine, sha256)?;
        Ok(sha256)
    };
    let sha256 = keep()
        .with_context(|| format!("cannot keep {name}"))
        .map_err(Refused::Here)?;
    let size = Bytes(bytes.len() as u64);
    task.done(format!("{name} ({size})"));
    Ok((size, sha256, signed))
}

/// The name of a day's snapshot.
fn named(day: i64) -> String {
    let (year, month, day) = date_of(day);
    format!("gentoo-{year:04}{month:02}{day:02}.tar.xz")
}

/// `20260131` as days since 1970.
fn parse_day(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse().ok();
    Some(day_of(number(0..4)?, number(4..6)?, number(6..8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_their_day() {
        let day = parse_day("20260131").unwrap();
        assert_eq!(named(day), "gentoo-20260131.tar.xz");
        assert_eq!(&named(day)[7..15], "20260131");
        assert_eq!(named(day + 1), "gentoo-20260201.tar.xz");
        assert_eq!(parse_day("2026"), None);
    }

    /// Looks through three days at two mirrors. What each has of a day is said as `mirror day`.
    fn look(answers: impl Fn(&str) -> Result<(), Refused>) -> (Option<String>, Looked, usize) {
        let (mut looked, mut asked) = (Looked::default(), 0);
        let days: Vec<i64> = (0..3).map(|back| parse_day("20260303").unwrap() - back).collect();
        let mirrors = ["http://one/".to_owned(), "http://two/".to_owned()];
        let found = newest(&days, &mirrors, &mut looked, |day, url| {
            asked += 1;
            assert!(url.ends_with(&named(day)), "{url}");
            answers(&format!("{} {}", &url[7..10], &named(day)[13..15]))
        });
        (found.unwrap().map(|(_, url, ())| url), looked, asked)
    }

    #[test]
    fn a_day_that_has_no_snapshot_yet_is_passed_over_though_another_mirror_is_silent() {
        let (found, ..) = look(|at| match at {
            "one 02" => Ok(()),
            at if at.starts_with("two") => Err(Refused::Unheard("no such name".into())),
            _ => Err(Refused::Absent),
        });
        assert_eq!(found.unwrap(), "http://one/gentoo-20260302.tar.xz");
    }

    #[test]
    fn mirrors_that_are_all_silent_are_asked_once() {
        let (found, looked, asked) = look(|_| Err(Refused::Unheard("no such name".into())));
        assert_eq!((found, asked, looked.failures.len()), (None, 2, 2));
        assert!(!looked.unverified);
    }

    #[test]
    fn nothing_older_is_taken_for_one_that_is_there_and_wrong() {
        for (refused, unverified) in [
            (Refused::Unverified("another".into()), true),
            (Refused::Trouble("cut off".into()), false),
        ] {
            let refused = std::cell::Cell::new(Some(refused));
            let (found, looked, asked) = look(|at| match at {
                "one 03" => Err(refused.take().unwrap()),
                "two 03" => Err(Refused::Absent),
                _ => Ok(()),
            });
            assert_eq!((found, asked, looked.unverified), (None, 2, unverified));
            assert_eq!(looked.failures.len(), 1, "{:?}", looked.failures);
        }
    }

    #[test]
    fn another_mirror_may_have_the_day_that_is_wrong_here() {
        let (found, ..) = look(|at| match at {
            "two 03" => Ok(()),
            _ => Err(Refused::Trouble("cut off".into())),
        });
        assert_eq!(found.unwrap(), "http://two/gentoo-20260303.tar.xz");
    }
}
