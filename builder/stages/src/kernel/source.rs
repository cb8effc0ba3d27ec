//! The source tarball of a kernel: what version it is, and its files, never outside the folder they are put in.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use formats::digest::hex;
use liblzma::read::XzDecoder;
use model::kernel::version::{Series, Version};
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

/// A tarball of a kernel's source (`linux-6.12.107.tar.xz`, `linux_6.12.107.orig.tar.xz`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSource {
    /// The file, compressed with xz.
    pub tarball: PathBuf,
    /// SHA-256 of the file, hexadecimal. It was verified when the file was downloaded.
    pub sha256: String,
    /// The version it is said to be. Its Makefile must agree.
    pub version: Version,
}

/// What the Makefile of a source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its version.
    pub version: Version,
    /// What follows the version: empty, or `-rc7`.
    pub extra_version: String,
    /// When it was released: the time of the Makefile, in seconds since 1970. Builds bear this time.
    pub released: u64,
}

/// The largest Makefile that is read, in bytes. The real one has 70 KiB.
const MAX_MAKEFILE: u64 = 1 << 20;

impl KernelSource {
    /// The source in a tarball that the user names: its version is read and its hash computed.
    pub fn open(tarball: &Path) -> Result<Self> {
        let mut hash = Sha256::new();
        File::open(tarball)
            .and_then(|mut file| io::copy(&mut file, &mut hash))
            .with_context(|| format!("cannot read {}", tarball.display()))?;
        let sha256 = hex(&hash.finalize());
        let version = identity(tarball)?.version;
        Ok(Self {
            tarball: tarball.to_owned(),
            sha256,
            version,
        })
    }

    /// What its Makefile says; another version than it is said to be is an error.
    pub(super) fn identity(&self) -> Result<Identity> {
        let identity = identity(&self.tarball)?;
        if identity.version != self.version {
            let (tarball, said, found) = (self.tarball.display(), self.version, identity.version);
            bail!("{tarball} is said to be linux {said}, but its Makefile says {found}");
        }
        Ok(identity)
    }

    /// Puts the files that `wanted` accepts (by their path below the source's root) into `folder`. Entries that would
    /// land outside of it, or are no file, folder or link, are refused by name.
    pub(super) fn unpack(&self, folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<()> {
        let mut links = BTreeSet::new();
        for entry in archive(&self.tarball)?
            .entries()
            .with_context(|| unreadable(&self.tarball))?
        {
            let mut entry = entry.with_context(|| unreadable(&self.tarball))?;
            let Some(path) = inner_path(&entry)? else { continue };
            if !wanted(&path) {
                continue;
            }
            let name = || format!("{} in {}", path.display(), self.tarball.display());
            if path.ancestors().skip(1).any(|parent| links.contains(parent)) {
                bail!("{} lies behind a symbolic link: refused", name());
            }
            let target = folder.join(&path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            }
            match entry.header().entry_type() {
                EntryType::Directory => fs::create_dir_all(&target).with_context(name)?,
                EntryType::Regular => {
                    let executable = entry.header().mode().with_context(name)? & 0o100 != 0;
                    let mode = if executable { 0o755 } else { 0o644 };
                    let file = File::options()
                        .write(true)
                        .create_new(true)
                        .mode(mode)
                        .open(&target);
                    io::copy(&mut entry, &mut file.with_context(name)?).with_context(name)?;
                }
                EntryType::Symlink => {
                    let link = entry.link_name().with_context(name)?.with_context(name)?;
                    if !stays_inside(&path, &link) {
                        bail!(
                            "{} links to {} outside of the source: refused",
                            name(),
                            link.display()
                        );
                    }
                    symlink(&link, &target).with_context(name)?;
                    links.insert(path.clone());
                }
                other => bail!(
                    "{} is neither file, folder nor link but {other:?}: refused",
                    name()
                ),
            }
        }
        Ok(())
    }
}

/// Files that configuring needs: Kconfig, the build rules, and the scripts that both run.
pub(super) fn is_for_configuring(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with("Kconfig")
        || path.starts_with("scripts")
        || path == Path::new("Makefile")
        || path == Path::new("arch/arm64/Makefile")
}

/// The tarball as a stream of entries.
fn archive(tarball: &Path) -> Result<Archive<XzDecoder<BufReader<File>>>> {
    let file = File::open(tarball).with_context(|| format!("cannot open {}", tarball.display()))?;
    Ok(Archive::new(XzDecoder::new_multi_decoder(
        BufReader::with_capacity(1 << 20, file),
    )))
}

fn unreadable(tarball: &Path) -> String {
    format!(
        "cannot read {}: is it a tar archive compressed with xz?",
        tarball.display()
    )
}

/// The path of an entry below the archive's one top folder; `None` for that folder and for archive-wide headers.
fn inner_path<R: Read>(entry: &Entry<'_, R>) -> Result<Option<PathBuf>> {
    if matches!(
        entry.header().entry_type(),
        EntryType::XGlobalHeader | EntryType::XHeader
    ) {
        return Ok(None);
    }
    let path = entry.path().context("an entry of the source has no path")?;
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => bail!("the entry {} leads out of the source: refused", path.display()),
        }
    }
    Ok((parts.len() > 1).then(|| parts[1..].iter().collect()))
}

/// Whether a link at `path` to `target` leads to a place below the root that `path` is relative to.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    target.components().all(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    })
}

/// Finds and reads the Makefile of `tarball`.
fn identity(tarball: &Path) -> Result<Identity> {
    for entry in archive(tarball)?.entries().with_context(|| unreadable(tarball))? {
        let entry = entry.with_context(|| unreadable(tarball))?;
        if inner_path(&entry)?.as_deref() == Some(Path::new("Makefile")) {
            let released = entry.header().mtime().with_context(|| unreadable(tarball))?;
            let mut makefile = String::new();
            entry
                .take(MAX_MAKEFILE)
                .read_to_string(&mut makefile)
                .with_context(|| unreadable(tarball))?;
            let (version, extra_version) = version_of(&makefile)
                .with_context(|| format!("{} is no kernel source", tarball.display()))?;
            return Ok(Identity {
                version,
                extra_version,
                released,
            });
        }
    }
    bail!("{} is no kernel source: it has no Makefile", tarball.display())
}

/// Version and extra version that the top Makefile of a kernel states.
fn version_of(makefile: &str) -> Result<(Version, String)> {
    let variable = |name: &str| {
        let value = makefile
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
        value
            .map(str::trim)
            .with_context(|| format!("its Makefile sets no {name}"))
    };
    let number = |name: &str| -> Result<u32> {
        let text = variable(name)?;
        text.parse()
            .with_context(|| format!("its Makefile sets {name} to `{text}`"))
    };
    let series = Series {
        major: number("VERSION")?,
        minor: number("PATCHLEVEL")?,
    };
    let extra_version = variable("EXTRAVERSION")?;
    // It becomes part of a folder's name.
    if !extra_version
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        bail!("its Makefile sets EXTRAVERSION to `{extra_version}`");
    }
    Ok((
        Version {
            series,
            patch: number("SUBLEVEL")?,
        },
        extra_version.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use liblzma::write::XzEncoder;
    use tar::Header;

    const MAKEFILE: &str = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 107\nEXTRAVERSION =\nNAME = X\n";

    /// A tarball of `entries`: path, type, content or link target.
    fn tarball(folder: &Path, entries: &[(&str, EntryType, &str)]) -> PathBuf {
        let path = folder.join("linux.tar.xz");
        let mut builder = tar::Builder::new(XzEncoder::new(File::create(&path).unwrap(), 0));
        for (name, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mtime(1_700_000_000);
            header.set_mode(0o644);
            // `set_path` refuses what these tests are about.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            if *kind == EntryType::Symlink {
                header.set_link_name_literal(content).unwrap();
                header.set_size(0);
                header.set_cksum();
                builder.append(&header, &[][..]).unwrap();
            } else {
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, content.as_bytes()).unwrap();
            }
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    /// The source at `path`, said to be 6.12.107.
    fn source(path: &Path) -> KernelSource {
        KernelSource {
            tarball: path.into(),
            sha256: String::new(),
            version: "6.12.107".parse().unwrap(),
        }
    }

    #[test]
    fn a_source_says_its_version_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = tarball(
            folder.path(),
            &[
                ("linux-6.12.107/", EntryType::Directory, ""),
                ("linux-6.12.107/Makefile", EntryType::Regular, MAKEFILE),
            ],
        );
        let source = KernelSource::open(&path).unwrap();
        assert_eq!(source.version.to_string(), "6.12.107");
        assert_eq!(source.identity().unwrap().released, 1_700_000_000);
        assert_eq!(source.sha256.len(), 64);
        let other = KernelSource {
            version: "6.12.106".parse().unwrap(),
            ..source
        };
        assert!(
            other
                .identity()
                .unwrap_err()
                .to_string()
                .ends_with("said to be linux 6.12.106, but its Makefile says 6.12.107")
        );
    }

    #[test]
    fn the_first_of_a_series_and_a_candidate_have_three_numbers() {
        let (version, extra) =
            version_of("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc7\n").unwrap();
        assert_eq!((version.to_string().as_str(), extra.as_str()), ("7.3", "-rc7"));
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = |entries: &[(&str, EntryType, &str)]| {
            format!(
                "{:#}",
                KernelSource::open(&tarball(folder.path(), entries)).unwrap_err()
            )
        };
        assert!(text(&[("x/README", EntryType::Regular, "")]).contains("it has no Makefile"));
        assert!(
            text(&[("x/Makefile", EntryType::Regular, "all:\n")]).contains("its Makefile sets no VERSION")
        );
        fs::write(folder.path().join("linux.tar.xz"), "no xz").unwrap();
        let error = KernelSource::open(&folder.path().join("linux.tar.xz")).unwrap_err();
        assert!(
            format!("{error:#}").contains("is it a tar archive compressed with xz?"),
            "{error:#}"
        );
    }

    #[test]
    fn nothing_is_put_outside_of_the_folder() {
        for (entries, expected) in [
            (
                &[("linux/../../etc/passwd", EntryType::Regular, "x")][..],
                "leads out of the source",
            ),
            (
                &[("/etc/passwd", EntryType::Regular, "x")],
                "leads out of the source",
            ),
            (
                &[("linux/a", EntryType::Symlink, "/etc")],
                "links to /etc outside of the source",
            ),
            (
                &[("linux/a/b", EntryType::Symlink, "../../x")],
                "links to ../../x outside of the source",
            ),
            (
                &[
                    ("linux/a", EntryType::Symlink, "b"),
                    ("linux/a/c", EntryType::Regular, "x"),
                ],
                "lies behind a symbolic link",
            ),
            (
                &[("linux/dev", EntryType::Char, "")],
                "neither file, folder nor link",
            ),
            (
                &[
                    ("linux/f", EntryType::Regular, "x"),
                    ("linux/f", EntryType::Regular, "y"),
                ],
                "File exists",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut all = vec![("linux/Makefile", EntryType::Regular, MAKEFILE)];
            all.extend(entries);
            let source = source(&tarball(folder.path(), &all));
            let tree = folder.path().join("tree");
            let error = format!("{:#}", source.unpack(&tree, |_| true).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn links_and_modes_survive_and_only_what_is_wanted_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = tarball(
            folder.path(),
            &[
                ("linux/Makefile", EntryType::Regular, MAKEFILE),
                ("linux/Kconfig", EntryType::Regular, "config X\n"),
                ("linux/drivers/Kconfig.net", EntryType::Regular, ""),
                ("linux/drivers/net.c", EntryType::Regular, ""),
                ("linux/scripts/dtc/arm64", EntryType::Symlink, "../../arch/arm64"),
            ],
        );
        let source = source(&path);
        let tree = folder.path().join("tree");
        source.unpack(&tree, is_for_configuring).unwrap();
        assert!(tree.join("drivers/Kconfig.net").is_file() && !tree.join("drivers/net.c").exists());
        assert_eq!(
            fs::read_link(tree.join("scripts/dtc/arm64")).unwrap(),
            Path::new("../../arch/arm64")
        );
    }
}
