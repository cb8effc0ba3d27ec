//! The source of a kernel: what version it is, and which of its files configuring needs.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use model::kernel::version::{Series, Version};

use crate::kbuild::source::{self, Makefile};

/// A tarball of a kernel's source (`linux-6.12.107.tar.xz`, `linux_6.12.107.orig.tar.xz`).
pub struct KernelSource<'a> {
    /// The file, compressed with xz: fetched and verified when it is asked for, which it is not for a kernel that the
    /// cache has.
    pub tarball: Box<dyn Fn() -> Result<PathBuf> + Send + Sync + 'a>,
    /// SHA-256 of the file, hexadecimal.
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

impl fmt::Debug for KernelSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KernelSource");
        shown
            .field("sha256", &self.sha256)
            .field("version", &self.version);
        shown.finish_non_exhaustive()
    }
}

impl KernelSource<'static> {
    /// The source in a tarball that the user names: its version is read and its hash computed.
    pub fn open(tarball: &Path) -> Result<Self> {
        let path = tarball.to_owned();
        Ok(Self {
            tarball: Box::new(move || Ok(path.clone())),
            sha256: source::sha256(tarball)?,
            version: identity(tarball)?.version,
        })
    }
}

impl KernelSource<'_> {
    /// What its Makefile says; another version than it is said to be is an error.
    pub(super) fn identity(&self) -> Result<Identity> {
        let tarball = (self.tarball)()?;
        let identity = identity(&tarball)?;
        if identity.version != self.version {
            let (tarball, said, found) = (tarball.display(), self.version, identity.version);
            bail!("{tarball} is said to be linux {said}, but its Makefile says {found}");
        }
        Ok(identity)
    }

    /// Puts the files that `wanted` accepts (by their path below the source's root) into `folder`.
    pub(super) fn unpack(&self, folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<()> {
        source::unpack(&(self.tarball)()?, folder, wanted)
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

/// What the Makefile of `tarball` says.
fn identity(tarball: &Path) -> Result<Identity> {
    let makefile = Makefile::find(tarball, "kernel source")?;
    let (version, extra_version) =
        version_of(&makefile).with_context(|| format!("{} is no kernel source", tarball.display()))?;
    Ok(Identity {
        version,
        extra_version,
        released: makefile.released,
    })
}

/// Version and extra version that the top Makefile of a kernel states.
fn version_of(makefile: &Makefile) -> Result<(Version, String)> {
    let number = |name: &str| -> Result<u32> {
        let text = makefile.variable(name)?;
        text.parse()
            .with_context(|| format!("its Makefile sets {name} to `{text}`"))
    };
    let series = Series {
        major: number("VERSION")?,
        minor: number("PATCHLEVEL")?,
    };
    let extra_version = makefile.variable("EXTRAVERSION")?;
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
    use std::fs::{self, File};

    use super::*;
    use liblzma::write::XzEncoder;
    use tar::Header;

    const MAKEFILE: &str = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 107\nEXTRAVERSION =\nNAME = X\n";

    /// A tarball of a kernel with this Makefile.
    fn tarball(folder: &Path, makefile: &str) -> PathBuf {
        let path = folder.join("linux.tar.xz");
        let mut builder = tar::Builder::new(XzEncoder::new(File::create(&path).unwrap(), 0));
        let mut header = Header::new_gnu();
        header.set_mtime(1_700_000_000);
        header.set_mode(0o644);
        header.set_size(makefile.len() as u64);
        builder
            .append_data(&mut header, "linux/Makefile", makefile.as_bytes())
            .unwrap();
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn a_source_says_its_version_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let source = KernelSource::open(&tarball(folder.path(), MAKEFILE)).unwrap();
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
        let folder = tempfile::tempdir().unwrap();
        let makefile = "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc7\n";
        let identity = identity(&tarball(folder.path(), makefile)).unwrap();
        assert_eq!(
            (
                identity.version.to_string().as_str(),
                identity.extra_version.as_str()
            ),
            ("7.3", "-rc7")
        );
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = |makefile: &str| {
            format!(
                "{:#}",
                KernelSource::open(&tarball(folder.path(), makefile)).unwrap_err()
            )
        };
        assert!(text("all:\n").contains("its Makefile sets no VERSION"));
        assert!(text(&MAKEFILE.replace("12", "twelve")).contains("sets PATCHLEVEL to `twelve`"));
        assert!(text(&MAKEFILE.replace("ION =\n", "ION = /..\n")).contains("sets EXTRAVERSION to `/..`"));
        fs::write(folder.path().join("linux.tar.xz"), "no xz").unwrap();
        let error = KernelSource::open(&folder.path().join("linux.tar.xz")).unwrap_err();
        assert!(
            format!("{error:#}").contains("is it a tar archive, plain or compressed"),
            "{error:#}"
        );
    }

    #[test]
    fn configuring_needs_no_source_code() {
        for (path, needed) in [
            ("Kconfig", true),
            ("drivers/Kconfig.net", true),
            ("scripts/kconfig/conf.c", true),
            ("arch/arm64/Makefile", true),
            ("arch/x86/Makefile", false),
            ("drivers/net.c", false),
        ] {
            assert_eq!(is_for_configuring(Path::new(path)), needed, "{path}");
        }
    }
}
