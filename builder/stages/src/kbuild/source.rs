//! A source tarball: its top Makefile, and its files, never outside the folder they are put in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use formats::digest::hex;
use formats::unpack;
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

/// The largest Makefile that is read, in bytes. Linux's has 70 KiB, U-Boot's 90.
const MAX_MAKEFILE: u64 = 1 << 20;

/// The Makefile at the root of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Makefile {
    /// Its text.
    text: String,
    /// Its time in the tarball, in seconds since 1970: when the source was released. Builds bear this time.
    pub released: u64,
}

impl Makefile {
    /// Finds and reads the Makefile of `tarball`, which is said to be `what` (`kernel source`).
    pub fn find(tarball: &Path, what: &str) -> Result<Self> {
        for entry in archive(tarball)?.entries().with_context(|| unreadable(tarball))? {
            let entry = entry.with_context(|| unreadable(tarball))?;
            if inner_path(&entry)?.as_deref() == Some(Path::new("Makefile")) {
                let released = entry.header().mtime().with_context(|| unreadable(tarball))?;
                let mut text = String::new();
                entry
                    .take(MAX_MAKEFILE)
                    .read_to_string(&mut text)
                    .with_context(|| unreadable(tarball))?;
                return Ok(Self { text, released });
            }
        }
        bail!("{} is no {what}: it has no Makefile", tarball.display())
    }

    /// The value that `name` is set to at the start of a line.
    pub fn variable(&self, name: &str) -> Result<&str> {
        let value = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
        value
            .map(str::trim)
            .with_context(|| format!("its Makefile sets no {name}"))
    }
}

/// SHA-256 of a tarball that the user names, hexadecimal.
pub fn sha256(tarball: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    files::open(tarball)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .with_context(|| format!("cannot read {}", tarball.display()))?;
    Ok(hex(&hash.finalize()))
}

/// Puts the files of `tarball` that `wanted` accepts (by their path below the source's root) into `folder`. Entries that would
/// land outside of it, or are no file, folder or link, are refused by name.
pub fn unpack(tarball: &Path, folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<()> {
    let mut links = BTreeSet::new();
    for entry in archive(tarball)?.entries().with_context(|| unreadable(tarball))? {
        let mut entry = entry.with_context(|| unreadable(tarball))?;
        let Some(path) = inner_path(&entry)? else { continue };
        if !wanted(&path) {
            continue;
        }
        let name = || format!("{} in {}", path.display(), tarball.display());
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

/// The tarball as a stream of entries, unpacked by what its first bytes say it is packed with.
fn archive(tarball: &Path) -> Result<Archive<Box<dyn BufRead>>> {
    let file = files::open(tarball).with_context(|| format!("cannot open {}", tarball.display()))?;
    let (_, tar) = unpack::unpack(file).with_context(|| unreadable(tarball))?;
    Ok(Archive::new(tar))
}

fn unreadable(tarball: &Path) -> String {
    format!(
        "cannot read {}: is it a tar archive, plain or compressed with gzip, bzip2, xz or zstd?",
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

#[cfg(test)]
mod tests {
    use super::*;
    use bzip2::write::BzEncoder;
    use liblzma::write::XzEncoder;
    use tar::Header;

    const MAKEFILE: &str = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nEXTRAVERSION =\n";

    /// A tar of `entries`: path, type, content or link target.
    fn tar(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
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
        builder.into_inner().unwrap()
    }

    /// A tarball of `entries`, packed with xz.
    fn tarball(folder: &Path, entries: &[(&str, EntryType, &str)]) -> PathBuf {
        let path = folder.join("source.tar.xz");
        let mut encoder = XzEncoder::new(File::create(&path).unwrap(), 0);
        io::copy(&mut &tar(entries)[..], &mut encoder).unwrap();
        encoder.finish().unwrap();
        path
    }

    #[test]
    fn a_makefile_is_found_whatever_the_tarball_is_packed_with() {
        let folder = tempfile::tempdir().unwrap();
        let entries = [
            ("linux/", EntryType::Directory, ""),
            ("linux/COPYING", EntryType::Regular, "all rights"),
            ("linux/Makefile", EntryType::Regular, MAKEFILE),
        ];
        let bzip2 = folder.path().join("source.tar.bz2");
        let mut encoder = BzEncoder::new(File::create(&bzip2).unwrap(), Default::default());
        io::copy(&mut &tar(&entries)[..], &mut encoder).unwrap();
        encoder.finish().unwrap();
        let zstd = folder.path().join("source.tar.zst");
        fs::write(&zstd, zstd::encode_all(&tar(&entries)[..], 1).unwrap()).unwrap();
        let plain = folder.path().join("source.tar");
        fs::write(&plain, tar(&entries)).unwrap();
        for path in [tarball(folder.path(), &entries), bzip2, zstd, plain] {
            let makefile = Makefile::find(&path, "source").unwrap();
            assert_eq!(makefile.released, 1_700_000_000);
            assert_eq!(makefile.variable("PATCHLEVEL").unwrap(), "12");
            assert_eq!(makefile.variable("EXTRAVERSION").unwrap(), "");
            let error = makefile.variable("NAME").unwrap_err().to_string();
            assert_eq!(error, "its Makefile sets no NAME");
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = tarball(folder.path(), &[("x/README", EntryType::Regular, "")]);
        let error = |path: &Path| format!("{:#}", Makefile::find(path, "kernel source").unwrap_err());
        assert!(error(&path).ends_with("is no kernel source: it has no Makefile"));
        for bytes in ["", "neither", "BZh9 nor this"] {
            fs::write(&path, bytes).unwrap();
            let error = error(&path);
            assert!(
                error.contains("is it a tar archive, plain or compressed"),
                "{error}"
            );
        }
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
            let tarball = tarball(folder.path(), &all);
            let error = unpack(&tarball, &folder.path().join("tree"), |_| true).unwrap_err();
            let error = format!("{error:#}");
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
        let tree = folder.path().join("tree");
        unpack(&path, &tree, |path| !path.ends_with("net.c")).unwrap();
        assert!(tree.join("drivers/Kconfig.net").is_file() && !tree.join("drivers/net.c").exists());
        assert_eq!(
            fs::read_link(tree.join("scripts/dtc/arm64")).unwrap(),
            Path::new("../../arch/arm64")
        );
    }
}
