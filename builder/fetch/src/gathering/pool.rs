//! The indexes of a locked Debian archive, and the packages in its pool that a base was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufRead;

use anyhow::{Context, Result, bail};
use debian::deb822::each_stanza;
use debian::dpkg::InstalledDeb;
use files::emit::{Readers, write_file};
use files::private;
use formats::units::Bytes;
use formats::unpack::{UnpackError, unpack};
use model::names::nearest;

use super::Gathering;
use crate::digest::{Sha256Sum, Sum};
use crate::download::{OLD_VERSION, Store, Wanted, fetch, fetch_within};
use crate::http::Http;
use crate::inrelease::{INRELEASE_LIMIT, inrelease, read_fields};
use crate::lock::{LockedArchive, is_plain_name};
use crate::mirror::{Mirrors, shown};
use crate::pinned::Pinned;
use crate::side_by_side::{all, side_by_side};

/// Larger than any package by far.
const LARGEST: u64 = 4 << 30;

/// The indexes of all suites: each `InRelease`, and what it vouches for of packages and sources.
pub(super) struct Indexes {
    files: Vec<Pinned>,
    /// The lists of packages among them.
    packages: Vec<Pinned>,
}

/// A package as a list has it.
struct Listed {
    path: String,
    size: Bytes,
    sha256: Sha256Sum,
}

/// Which indexes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All, and each suite has to have them.
    All,
    /// Those of packages, where a suite has them.
    Packages,
}

/// The text of an index.
fn opened(index: &Pinned) -> Result<Box<dyn BufRead>> {
    let file = File::open(&index.file).map_err(UnpackError::from);
    let unpacked = file.and_then(unpack);
    let (_, text) = unpacked.with_context(|| format!("cannot read {}", index.path))?;
    Ok(text)
}

impl Indexes {
    /// Those of `archive`, from the cache or the mirrors.
    pub(super) fn obtain(
        gathering: &Gathering,
        archive: &LockedArchive,
        mirrors: &Mirrors,
        extent: Extent,
    ) -> Result<Self> {
        let LockedArchive {
            version: _,
            suite: _,
            architecture,
            components,
            sha256: _,
            signer: _,
            date: _,
            valid_until: _,
            security: _,
        } = archive;
        let (mut files, mut lists) = (Vec::new(), Vec::new());
        for (suite, sha256) in archive.suites() {
            let release = release(gathering, suite, sha256, mirrors)?;
            let text = fs::read(&release.file)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .with_context(|| format!("cannot read {}", release.file.display()))?;
            files.push(release);
            let (_, sums) = read_fields(&text);
            for component in components {
                let binary = (format!("{component}/binary-{architecture}"), "Packages.xz");
                let source = (format!("{component}/source"), "Sources.xz");
                let source = Some(source).filter(|_| extent == Extent::All);
                for (folder, name) in [Some(binary), source].into_iter().flatten() {
                    let path = format!("{folder}/{name}");
                    let listed = sums
                        .iter()
                        .find(|(_, _, listed)| *listed == path)
                        .and_then(|(sum, size, _)| Some((Bytes(size.parse().ok()?), Sha256Sum::parse(sum)?)));
                    if listed.is_none() && extent == Extent::Packages {
                        continue;
                    }
                    let (size, sha256) = listed
                        .with_context(|| format!("{} lists no {path} with a SHA-256", inrelease(suite)))?;
                    let plain = format!("dists/{suite}/{path}");
                    let by_hash = format!("dists/{suite}/{folder}/by-hash/SHA256/{sha256}");
                    let wanted = Wanted {
                        name: name.to_owned(),
                        // By its hash a mirror still has it where the other one is newer.
                        paths: vec![by_hash.clone(), plain.clone()],
                        size,
                        sums: vec![Sum::Sha256(sha256)],
                        store: Store::Sources,
                        if_gone: OLD_VERSION,
                    };
                    let file = fetch(gathering.engine, &wanted, mirrors, gathering.network)?;
                    let at = |path| Pinned {
                        path,
                        file: file.clone(),
                        size,
                        sha256,
                    };
                    if name == "Packages.xz" {
                        lists.push(at(plain.clone()));
                    }
                    files.extend([at(plain), at(by_hash)]);
                }
            }
        }
        Ok(Self {
            files,
            packages: lists,
        })
    }

    /// Their files.
    pub(super) fn files(&self) -> &[Pinned] {
        &self.files
    }

    /// Those of `names` that no list has, each with the name that was probably meant. Where a list is missing nobody knows.
    pub(super) fn unknown(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, Option<String>>> {
        let mut known = BTreeSet::new();
        for list in &self.packages {
            let shown = list.path.as_str();
            each_stanza(opened(list)?, |stanza| {
                let provided = stanza.get("Provides").unwrap_or_default();
                // `Provides: a (= 1), b`
                let provided = provided
                    .split(',')
                    .filter_map(|entry| entry.split_whitespace().next());
                known.extend(
                    stanza
                        .get("Package")
                        .into_iter()
                        .chain(provided)
                        .map(str::to_owned),
                );
                Ok(())
            })
            .with_context(|| format!("cannot read {shown}"))?;
        }
        let unknown = names
            .iter()
            .filter(|name| !known.is_empty() && !known.contains(*name));
        let meant = |name: &str| nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        Ok(unknown.map(|name| (name.clone(), meant(name))).collect())
    }

    /// The packages `installed`, fetched where they are missing.
    pub(super) fn packages(
        &self,
        gathering: &Gathering,
        installed: &[InstalledDeb],
        mirrors: &Mirrors,
    ) -> Result<Vec<Pinned>> {
        let listed = self.listed(installed)?;
        let total = listed
            .iter()
            .fold(0, |sum: u64, deb| sum.saturating_add(deb.size.0));
        let task = gathering.engine.progress.bytes("fetch", total);
        task.message(format!("{} packages", listed.len()));
        let fetched = side_by_side(&listed, |deb| {
            let wanted = Wanted {
                name: deb.path.rsplit('/').next().unwrap_or(&deb.path).to_owned(),
                paths: vec![deb.path.clone()],
                size: deb.size,
                sums: vec![Sum::Sha256(deb.sha256)],
                store: Store::Sources,
                if_gone: OLD_VERSION,
            };
            let file = fetch_within(gathering.engine, &wanted, mirrors, gathering.network, Some(&task))?;
            Ok(Pinned {
                path: deb.path.clone(),
                file,
                size: deb.size,
                sha256: deb.sha256,
            })
        });
        let pinned = all(fetched, |number| listed[number].path.clone())?;
        task.done(format!("{} packages ({})", pinned.len(), Bytes(total)));
        Ok(pinned)
    }

    /// Where the lists say that the packages `installed` are. One that none lists cannot be installed again.
    fn listed(&self, installed: &[InstalledDeb]) -> Result<Vec<Listed>> {
        let wanted = |deb: &InstalledDeb| (deb.name.clone(), deb.version.clone(), deb.architecture.clone());
        let mut found: BTreeMap<_, Option<Listed>> =
            installed.iter().map(|deb| (wanted(deb), None)).collect();
        for list in &self.packages {
            let shown = list.path.as_str();
            each_stanza(opened(list)?, |stanza| {
                let key =
                    ["Package", "Version", "Architecture"].map(|field| stanza.get(field).unwrap_or_default());
                let key = (key[0].to_owned(), key[1].to_owned(), key[2].to_owned());
                let Some(place) = found.get_mut(&key).filter(|place| place.is_none()) else {
                    return Ok(());
                };
                let path = stanza.need("Filename")?;
                let size: u64 = stanza.need("Size")?.parse().context("a size is no number")?;
                if !path.split('/').all(is_plain_name) || size > LARGEST {
                    bail!("it lists {} in a place or size that no package has", key.0);
                }
                *place = Some(Listed {
                    path: path.to_owned(),
                    size: Bytes(size),
                    sha256: Sha256Sum::parse(stanza.need("SHA256")?).context("a SHA-256 is none")?,
                });
                Ok(())
            })
            .with_context(|| format!("cannot read {shown}"))?;
        }
        found
            .into_iter()
            .map(|((name, version, architecture), listed)| {
                listed.with_context(|| {
                    format!(
                        "the base has {name} {version} ({architecture}), which no index of the locked archive lists: remove the \
                         base from the cache and build once"
                    )
                })
            })
            .collect()
    }
}

/// The `InRelease` of a suite, as it is locked. Its size is not, so it is kept by its hash alone.
fn release(gathering: &Gathering, suite: &str, sha256: Sha256Sum, mirrors: &Mirrors) -> Result<Pinned> {
    let folder = gathering
        .engine
        .cache
        .root()
        .join("sources")
        .join(sha256.to_string());
    let file = folder.join("InRelease");
    let path = inrelease(suite);
    let pinned = |bytes: &[u8]| Pinned {
        path: path.clone(),
        file: file.clone(),
        size: Bytes(bytes.len() as u64),
        sha256,
    };
    if let Ok(kept) = fs::read(&file)
        && Sha256Sum::of(&kept) == sha256
    {
        return Ok(pinned(&kept));
    }
    let route = mirrors.route_in(gathering.network.mode)?;
    let http = Http::new(&route, &gathering.network.limits)?;
    let mut answers = Vec::new();
    for mirror in &route.mirrors {
        let url = format!("{mirror}{path}");
        match http.document(&url, INRELEASE_LIMIT) {
            Ok(bytes) if Sha256Sum::of(&bytes) == sha256 => {
                private::make_folders(&folder, private::OPEN_FOLDER)?;
                write_file(&file, &bytes, Readers::Anybody)?;
                return Ok(pinned(&bytes));
            }
            Ok(_) => answers.push(format!("{}: another state of the archive", shown(&url))),
            Err(trouble) => answers.push(format!("{}: {}", shown(&url), trouble.into_text())),
        }
    }
    if answers.is_empty() {
        bail!(
            "the locked {path} is not in the cache, and nothing may be fetched: run the same command without `--offline`"
        );
    }
    bail!(
        "no mirror has the locked {path} any more: run `portadc update`, build, and vendor what that locks, or name a mirror that \
         keeps old states with `--mirror`\n  {}",
        answers.join("\n  ")
    )
}
