//! The source of U-Boot: what version it is, and which of its files configuring needs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::Engine;
use fetch::{LockedFile, Mirrors, Network, obtain};

use crate::kbuild::source::{self, Makefile};

/// A tarball of U-Boot's source (`u-boot-2025.01.tar.bz2`, `u-boot_2025.01.orig.tar.bz2`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UBootSource {
    /// The file, compressed with bzip2 or xz.
    pub tarball: PathBuf,
    /// SHA-256 of the file, hexadecimal. It was verified when the file was downloaded.
    pub sha256: String,
    /// The version it is said to be, such as `2025.01`. Its Makefile must agree.
    pub version: String,
}

impl UBootSource {
    /// The source in a tarball that the user names: its version is read and its hash computed.
    pub fn open(tarball: &Path) -> Result<Self> {
        Ok(Self {
            tarball: tarball.to_owned(),
            sha256: source::sha256(tarball)?,
            version: identity(tarball)?.0,
        })
    }

    /// A locked source, from the cache or a mirror.
    pub fn fetch(engine: &Engine, locked: &LockedFile, mirrors: &Mirrors, network: &Network) -> Result<Self> {
        Ok(Self {
            tarball: obtain(engine, locked, mirrors, network)?,
            sha256: locked.sha256.to_string(),
            version: locked.version.clone(),
        })
    }

    /// When it was released, in seconds since 1970; its banner bears that time. Another version than it is said to be is
    /// an error.
    pub(super) fn released(&self) -> Result<u64> {
        let (version, released) = identity(&self.tarball)?;
        if version != self.version {
            let (tarball, said) = (self.tarball.display(), &self.version);
            bail!("{tarball} is said to be U-Boot {said}, but its Makefile says {version}");
        }
        Ok(released)
    }
}

/// Files that configuring needs: Kconfig, the boards' configurations, the build rules with what they name the machine by,
/// and the scripts that all of these run.
pub(super) fn is_for_configuring(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with("Kconfig")
        || path.starts_with("scripts")
        || path.starts_with("configs")
        || path == Path::new("Makefile")
        || path == Path::new("include/host_arch.h")
}

/// Version and time of release that the Makefile of `tarball` states.
fn identity(tarball: &Path) -> Result<(String, u64)> {
    let what = "U-Boot source";
    let makefile = Makefile::find(tarball, what)?;
    let version = version_of(&makefile).with_context(|| format!("{} is no {what}", tarball.display()))?;
    Ok((version, makefile.released))
}

/// The version as the Makefile puts it together: `2025.01`, `2025.04-rc1`.
fn version_of(makefile: &Makefile) -> Result<String> {
    let major = makefile.variable("VERSION")?;
    let minor = makefile.variable("PATCHLEVEL")?;
    let patch = makefile.variable("SUBLEVEL")?;
    let extra = makefile.variable("EXTRAVERSION")?;
    let dot = if patch.is_empty() { "" } else { "." };
    let version = format!("{major}.{minor}{dot}{patch}{extra}");
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if major.is_empty() || minor.is_empty() || !version.chars().all(plain) {
        bail!("its Makefile makes `{version}` of its version");
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use bzip2::write::BzEncoder;
    use tar::Header;

    /// A tarball of a U-Boot with this Makefile.
    fn tarball(folder: &Path, makefile: &str) -> PathBuf {
        let path = folder.join("u-boot.tar.bz2");
        let encoder = BzEncoder::new(File::create(&path).unwrap(), Default::default());
        let mut builder = tar::Builder::new(encoder);
        let mut header = Header::new_gnu();
        header.set_mtime(1_736_211_284);
        header.set_mode(0o644);
        header.set_size(makefile.len() as u64);
        builder
            .append_data(&mut header, "u-boot/Makefile", makefile.as_bytes())
            .unwrap();
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    fn makefile(version: &str, level: &str, sublevel: &str, extra: &str) -> String {
        format!(
            "VERSION = {version}\nPATCHLEVEL = {level}\nSUBLEVEL ={sublevel}\nEXTRAVERSION ={extra}\nNAME =\n"
        )
    }

    #[test]
    fn a_source_says_its_version_and_time() {
        let folder = tempfile::tempdir().unwrap();
        for (text, version) in [
            (makefile("2025", "01", "", ""), "2025.01"),
            (makefile("2025", "04", "", " -rc1"), "2025.04-rc1"),
            (makefile("2025", "01", " 1", ""), "2025.01.1"),
        ] {
            let source = UBootSource::open(&tarball(folder.path(), &text)).unwrap();
            assert_eq!(source.version, version);
            assert_eq!(source.released().unwrap(), 1_736_211_284);
            let other = UBootSource {
                version: "2024.10".into(),
                ..source
            };
            let error = other.released().unwrap_err().to_string();
            assert!(
                error.ends_with(&format!(
                    "said to be U-Boot 2024.10, but its Makefile says {version}"
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_u_boot_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("all:\n".to_owned(), "its Makefile sets no VERSION"),
            (
                makefile("2025", "", "", ""),
                "its Makefile makes `2025.` of its version",
            ),
            (
                makefile("2025", "01", "", " $(shell id)"),
                "its Makefile makes `2025.01$(shell id)` of its version",
            ),
        ] {
            let error = UBootSource::open(&tarball(folder.path(), &text)).unwrap_err();
            let error = format!("{error:#}");
            assert!(
                error.contains("is no U-Boot source: ") && error.ends_with(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn configuring_needs_no_source_code() {
        for (path, needed) in [
            ("Kconfig", true),
            ("board/amlogic/Kconfig", true),
            ("configs/odroid-c2_defconfig", true),
            ("scripts/kconfig/conf.c", true),
            ("arch/arm/dts/x.dts", false),
            ("common/autoboot.c", false),
        ] {
            assert_eq!(is_for_configuring(Path::new(path)), needed, "{path}");
        }
    }
}
