//! Keys that are pinned: looked for where they are missing, too old or soon will be, and put into the keyrings.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};
use model::sources::{Signer, normal_mirror};
use sequoia_openpgp::Cert;

use super::certificate::Standing;
use super::keyplace::{HOST_FOLDERS, Place};
use super::keyring::{read, store};
use super::moment::Moment;
use super::{Mode, Network};

/// Which keys are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Search {
    /// Those without which nothing can be verified: they are missing or expired.
    Needed,
    /// Also those that end within eight weeks.
    Ending,
    /// All: a renewal or a revocation is heard of.
    All,
}

/// A pinned key of a signer, as it stands after it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The signer's name.
    pub signer: String,
    /// Primary fingerprint.
    pub fingerprint: String,
    /// The file that has it.
    pub keyring: PathBuf,
    /// Where it was found; `None` where nothing was taken from anywhere.
    pub from: Option<String>,
    /// When it ends; `None` where it does not.
    pub until: Option<Moment>,
    /// What the user should know.
    pub warning: Option<String>,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: ", self.signer, self.fingerprint)?;
        match &self.from {
            Some(from) => write!(f, "from {from} into {}", self.keyring.display())?,
            None => write!(f, "in {}", self.keyring.display())?,
        }
        match self.until {
            Some(until) => write!(f, ", until {until}"),
            None => Ok(()),
        }
    }
}

/// Looks for pinned keys.
#[derive(Debug, Clone)]
pub struct KeySearch<'a> {
    /// The project's folder.
    pub root: &'a Path,
    /// The mirror that the user named.
    pub mirror: Option<&'a str>,
    /// How the network is used.
    pub network: &'a Network,
    /// When keys have to count.
    pub now: SystemTime,
    /// Folders of this machine that packages put certificates into.
    pub folders: Vec<PathBuf>,
}

impl<'a> KeySearch<'a> {
    /// A search in the usual places.
    pub fn new(root: &'a Path, mirror: Option<&'a str>, network: &'a Network, now: SystemTime) -> Self {
        Self {
            root,
            mirror,
            network,
            now,
            folders: HOST_FOLDERS.map(PathBuf::from).into(),
        }
    }

    /// The pinned keys of `signer`, those that `search` means looked for. What is found is in the keyring afterwards; a keyring
    /// to which nothing was found is as it was.
    pub fn keys(&self, signer: &Signer, search: Search) -> Vec<Result<Key>> {
        let pinned = signer.fingerprints.iter();
        pinned
            .map(|fingerprint| self.key(signer, fingerprint, search))
            .collect()
    }

    fn key(&self, signer: &Signer, fingerprint: &str, search: Search) -> Result<Key> {
        let path = self.root.join(&signer.keyring);
        let is_it = |cert: &Cert| cert.fingerprint().to_hex() == fingerprint;
        let held = read(&path)?.unwrap_or_default().into_iter().find(is_it);
        let standing = held.as_ref().map(|cert| Standing::of(cert, self.now));
        let quest = Quest {
            name: format!("the key {fingerprint} of the signer `{}`", signer.name),
            held,
            standing,
        };
        let found = match quest.is_for(search, self.now) {
            true => self.look_for(signer, fingerprint, &quest, search)?,
            false => Found::default(),
        };
        let standing = match &found.cert {
            Some((cert, _)) => {
                store(self.root, &path, cert.clone())?;
                Standing::of(&quest.merged(cert)?, self.now)
            }
            None => quest
                .standing
                .clone()
                .unwrap_or(Standing::Incomplete("it is missing".into())),
        };
        let name = &quest.name;
        let until = match &standing {
            Standing::Alive(until) => *until,
            Standing::Revoked(reason) => bail!(
                "{name} was revoked{reason}: what it signed does not count any more. See who signs now, and pin that \
                 fingerprint in sources.toml"
            ),
            Standing::Expired(_) | Standing::Incomplete(_) => bail!(self.failure(signer, &quest, &found)),
        };
        let warning = standing.ends_soon(self.now).map(|end| {
            let asked = match search {
                Search::Needed => "`portadc keys` looks for a renewed one".to_owned(),
                _ if found.failures.is_empty() => "no place has a renewed one yet".to_owned(),
                _ => format!("no place has a renewed one:\n  {}", found.failures.join("\n  ")),
            };
            format!("{name} expires on {end}: {asked}")
        });
        let unheard = (search == Search::All && found.cert.is_none()).then(|| {
            let asked = found.failures.join("\n  ");
            format!("nobody says whether {name} was renewed or revoked:\n  {asked}")
        });
        Ok(Key {
            signer: signer.name.clone(),
            fingerprint: fingerprint.to_owned(),
            keyring: signer.keyring.clone(),
            from: found.cert.map(|(_, from)| from),
            until,
            warning: warning.or(unheard),
        })
    }

    /// Asks one place after the other until what they have is enough; all of them where news are looked for.
    fn look_for(&self, signer: &Signer, fingerprint: &str, quest: &Quest, search: Search) -> Result<Found> {
        let own = match self.mirror {
            // What Debian's mirrors and upstream's are checked for as well.
            Some(url) => match normal_mirror(url) {
                Some(url) => Some(url),
                None => bail!("`{url}` is no mirror: give the http:// or https:// URL of a folder"),
            },
            None => None,
        };
        let mut found = Found::default();
        let mut all: Option<Cert> = None;
        for place in Place::of(signer, fingerprint, own.as_deref(), &self.folders) {
            if place.is_far() && self.network.mode == Mode::Offline {
                continue;
            }
            let (cert, from) = match place.ask(fingerprint, &self.network.limits) {
                None => continue,
                Some(Err(failure)) => {
                    found.failures.push(failure);
                    continue;
                }
                Some(Ok(answer)) => answer,
            };
            let cert = match all {
                None => cert,
                Some(others) => others.merge_public(cert)?,
            };
            let whole = quest.merged(&cert)?;
            all = Some(cert.clone());
            let now = Standing::of(&whole, self.now);
            let lacks = match &now {
                Standing::Alive(_) => None,
                Standing::Revoked(_) => None,
                Standing::Expired(when) => Some(format!("it expired on {when} there, too")),
                Standing::Incomplete(what) => Some(what.clone()),
            };
            match lacks {
                Some(lacks) => found.failures.push(format!("{from}: {lacks}")),
                None => {
                    let is_new = quest.held.as_ref() != Some(&whole);
                    let enough = search != Search::All && now.ends_soon(self.now).is_none();
                    if found
                        .cert
                        .as_ref()
                        .is_none_or(|(known, _)| is_new && *known != cert)
                    {
                        found.cert = Some((cert, from));
                    }
                    if enough {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    /// Why a key cannot be had.
    fn failure(&self, signer: &Signer, quest: &Quest, found: &Found) -> String {
        let name = &quest.name;
        let mut text = match &quest.standing {
            Some(Standing::Expired(when)) => {
                format!("{name} expired on {when}, and no renewed one was found")
            }
            Some(Standing::Incomplete(what)) => format!("{name} cannot be used: {what}"),
            _ => format!("{name} is missing, and was not found"),
        };
        let keyring = signer.keyring.display();
        if self.network.mode == Mode::Offline {
            let folders: Vec<_> = self
                .folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect();
            text.push_str(&format!(
                " in {}, and nothing may be fetched: run `portadc keys` without `--offline`, or put it into {keyring} yourself",
                folders.join(" or ")
            ));
        } else if found.failures.is_empty() {
            text.push_str(&format!(
                ": sources.toml names no `wkd` or `keyserver` of this signer, and no package of this machine has it; put it into \
                 {keyring} yourself"
            ));
        } else {
            text.push_str(&format!(
                ":\n  {}\ntry again later, name a mirror that has it with `--mirror URL`, or put it into {keyring} yourself",
                found.failures.join("\n  ")
            ));
        }
        if let Some(obtain) = &signer.obtain {
            text.push_str(&format!(" ({obtain})"));
        }
        text
    }
}

/// A key that is looked for.
struct Quest {
    /// Whose it is, for people.
    name: String,
    /// What the keyring has of it.
    held: Option<Cert>,
    /// How that stands.
    standing: Option<Standing>,
}

impl Quest {
    fn is_for(&self, search: Search, now: SystemTime) -> bool {
        match &self.standing {
            None | Some(Standing::Expired(_) | Standing::Incomplete(_)) => true,
            // Nobody takes a revocation back.
            Some(Standing::Revoked(_)) => false,
            Some(alive) => {
                search == Search::All || search == Search::Ending && alive.ends_soon(now).is_some()
            }
        }
    }

    /// What the keyring has with what was found.
    fn merged(&self, cert: &Cert) -> Result<Cert> {
        match &self.held {
            Some(held) => held.clone().merge_public(cert.clone()),
            None => Ok(cert.clone()),
        }
    }
}

/// What was found.
#[derive(Default)]
struct Found {
    /// The certificate, and where it was.
    cert: Option<(Cert, String)>,
    /// Of each place that did not have it what it had.
    failures: Vec<String>,
}

/// What the user should know of the keys of `signers`: which end soon.
pub(super) fn warnings(root: &Path, signers: &[&Signer], now: SystemTime) -> Vec<String> {
    let mut warnings = Vec::new();
    for signer in signers {
        // Whoever uses a keyring that cannot be read tells so.
        let Ok(Some(certs)) = read(&root.join(&signer.keyring)) else {
            continue;
        };
        let pinned = certs
            .iter()
            .filter(|cert| signer.fingerprints.contains(&cert.fingerprint().to_hex()));
        warnings.extend(pinned.filter_map(|cert| {
            let end = Standing::of(cert, now).ends_soon(now)?;
            Some(format!(
                "the key {} of the signer `{}` expires on {end}: `portadc keys` looks for a renewed one",
                cert.fingerprint().to_hex(),
                signer.name
            ))
        }));
    }
    warnings
}
