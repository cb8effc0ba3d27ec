//! What a source of packages offers: its index, `Packages` or `Packages.gz`. Nobody signs it: it only says what to fetch, and
//! whatever it says of a package is checked against the package.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::{failure, is_verification_failure};
use formats::unpack::Codec;
use gentoo::Package;
use gentoo::index::Packages;
use model::sources::{PackagePlace, PackageSource, normal_mirror};

use super::Errand;
use crate::http::{Http, Trouble};
use crate::mirror::{Mirrors, Route, shown};
use crate::moment::Moment;
use crate::past::{Origin, Past};

/// Larger than any compressed index by far: 20,000 packages take 5 MB.
const COMPRESSED_LIMIT: u64 = 64 << 20;

/// Larger than any index by far: 20,000 packages take 30 MB.
const LIMIT: u64 = 256 << 20;

/// A source of packages and what it offers now.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    /// The source.
    pub(super) source: &'a PackageSource,
    /// Where the index was found, for people.
    pub(super) found: String,
    /// Where its packages are.
    pub(super) place: Place,
    /// The folder of its packages, where the index names another one than its own.
    pub(super) uri: Option<String>,
    /// Its packages in the order of the index.
    pub(super) packages: Vec<Package>,
}

/// Where the packages of a source are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On servers.
    Servers(Mirrors),
    /// In this folder.
    Folder(PathBuf),
}

impl Place {
    /// The place of a source's packages; `uri` is the folder that its index names, if it names one.
    pub(super) fn of(errand: &Errand, source: &PackageSource, uri: Option<&str>) -> Result<Self> {
        Ok(match (&source.place, uri) {
            (PackagePlace::Compile(_), _) => bail!("the packages of `{}` are compiled here", source.name),
            (PackagePlace::Folder(folder), _) => Self::Folder(errand.root.join(folder)),
            (PackagePlace::Mirrors(_), Some(uri)) => Self::Servers(errand.upstream(&[uri.to_owned()])?),
            (PackagePlace::Mirrors(folders), None) => Self::Servers(errand.upstream(folders)?),
        })
    }
}

/// Reads the index of `source`.
pub(super) fn read<'a>(errand: &Errand, source: &'a PackageSource, past: &Past) -> Result<Offer<'a>> {
    let place = Place::of(errand, source, None)?;
    let accept = |index: &Packages, origin| match made(index) {
        Some(made) => past.accept(&format!("{}/Packages", source.name), made, origin),
        None => Ok(()),
    };
    let (found, first, index) = match &place {
        Place::Servers(mirrors) => {
            let route = mirrors.route()?;
            let accept = |index: &Packages| accept(index, Origin::Servers);
            let (mirror, index) = from_servers(errand, source, &route, accept)?;
            (shown(&mirror), Some(mirror), index)
        }
        Place::Folder(folder) => {
            let found = folder.display().to_string();
            let index = from_folder(folder, &source.name)?;
            accept(&index, Origin::Folder).with_context(|| format!("cannot use the index of {found}"))?;
            (found, None, index)
        }
    };
    let uri = match (first.is_some(), index.header.get("URI").map(String::as_str)) {
        // emerge looks for the packages of a folder in the folder, whatever its index says.
        (false, _) | (_, None | Some("")) => None,
        (true, Some(uri)) => {
            let Some(uri) = normal_mirror(uri) else {
                bail!(
                    "the index of `{}` at {found} has its packages at {}, which is no http:// or https:// URL of a folder",
                    source.name,
                    formats::layer::shown(uri.as_bytes())
                );
            };
            let own = matches!(&source.place, PackagePlace::Mirrors(folders) if folders.contains(&uri));
            (!own).then_some(uri)
        }
    };
    let place = match (uri.as_deref(), place, first) {
        (Some(uri), ..) => Place::of(errand, source, Some(uri))?,
        // First from where the index is: another mirror may be older.
        (None, Place::Servers(mirrors), Some(first)) => {
            Place::Servers(Mirrors::Known(mirrors.route()?.starting_with(&first)))
        }
        (None, place, _) => place,
    };
    Ok(Offer {
        source,
        found,
        place,
        uri,
        packages: index.packages,
    })
}

/// The index of what was compiled for `source` into `folder`.
pub(super) fn of_compiled(source: &PackageSource, folder: PathBuf) -> Result<Offer<'_>> {
    Ok(Offer {
        source,
        found: folder.display().to_string(),
        packages: from_folder(&folder, &source.name)?.packages,
        place: Place::Folder(folder),
        uri: None,
    })
}

/// When an index was made, as it says; nobody signs that.
fn made(index: &Packages) -> Option<Moment> {
    index.header.get("TIMESTAMP")?.trim().parse().ok().map(Moment)
}

/// The index from the first mirror that has a readable one which `accept` takes, and the mirror.
fn from_servers(
    errand: &Errand,
    source: &PackageSource,
    route: &Route,
    accept: impl Fn(&Packages) -> Result<()>,
) -> Result<(String, Packages)> {
    let http = Http::new(route, &errand.network.limits)?;
    let (mut failures, mut unverified) = (Vec::new(), false);
    for mirror in &route.mirrors {
        for name in ["Packages.gz", "Packages"] {
            let url = format!("{mirror}{name}");
            let limit = if name == "Packages" {
                LIMIT
            } else {
                COMPRESSED_LIMIT
            };
            let read = http.document(&url, limit).map(|bytes| {
                let index = parse(name, bytes)?;
                accept(&index).map(|()| index)
            });
            let (failure, other_name) = match read {
                Ok(Ok(index)) => return Ok((mirror.clone(), index)),
                Ok(Err(error)) => {
                    unverified |= is_verification_failure(&error);
                    (format!("{error:#}"), false)
                }
                Err(Trouble::Absent(text)) => (text, true),
                Err(trouble) => (trouble.into_text(), false),
            };
            failures.push(format!("{}: {failure}", shown(&url)));
            if !other_name {
                break;
            }
        }
    }
    let text = format!(
        "no mirror of the package source `{}` has a readable index:\n  {}",
        source.name,
        failures.join("\n  ")
    );
    Err(failure(text, unverified))
}

fn from_folder(folder: &Path, name: &str) -> Result<Packages> {
    if !folder.is_dir() {
        bail!(
            "the package source `{name}` is the folder {}, which does not exist",
            folder.display()
        );
    }
    for file in ["Packages", "Packages.gz"] {
        let path = folder.join(file);
        let opened = match fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
        };
        let bytes = limited(opened, LIMIT).with_context(|| format!("cannot read {}", path.display()))?;
        return parse(file, bytes).with_context(|| format!("cannot use {}", path.display()));
    }
    bail!(
        "the folder {} of the package source `{name}` has no index `Packages`: `PKGDIR={} emaint binhost --fix` makes one",
        folder.display(),
        folder.display()
    )
}

/// The index that the bytes of a file are.
fn parse(name: &str, bytes: Vec<u8>) -> Result<Packages> {
    let text = if name.ends_with(".gz") {
        let text = Codec::Gzip.decoder(&bytes[..])?;
        limited(text, LIMIT).context("it cannot be unpacked")?
    } else {
        bytes
    };
    Ok(Packages::parse(&text)?)
}

/// All that a reader gives, if that is at most `limit` bytes.
fn limited(reader: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        bail!("it has more than {limit} bytes");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gz(bytes: impl Read) -> Vec<u8> {
        let mut packed = Vec::new();
        flate2::read::GzEncoder::new(bytes, flate2::Compression::fast())
            .read_to_end(&mut packed)
            .unwrap();
        packed
    }

    #[test]
    fn an_index_is_unpacked_within_its_limit() {
        let text = "PACKAGES: 1\nVERSION: 0\n\nCPV: app/bar-1\nPATH: app/bar/bar-1-1.gpkg.tar\n\n";
        let index = parse("Packages.gz", gz(text.as_bytes())).unwrap();
        assert_eq!(index, parse("Packages", text.into()).unwrap());
        assert_eq!(index.packages.len(), 1);

        let bomb = gz(std::io::repeat(b'\n').take(LIMIT + 1));
        assert!(bomb.len() < 2 << 20);
        let error = format!("{:#}", parse("Packages.gz", bomb).unwrap_err());
        assert_eq!(error, "it cannot be unpacked: it has more than 268435456 bytes");
        let cut = gz(text.as_bytes());
        let error = format!(
            "{:#}",
            parse("Packages.gz", cut[..cut.len() - 9].to_vec()).unwrap_err()
        );
        assert!(error.starts_with("it cannot be unpacked: "), "{error}");
        let error = format!("{:#}", parse("Packages.gz", text.into()).unwrap_err());
        assert!(error.starts_with("it cannot be unpacked: "), "{error}");
    }
}
