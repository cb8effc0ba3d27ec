//! What dpkg says is installed in a base.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::deb822::each_stanza;

/// Where it is in a tarball of a root file system.
const STATUS: &str = "var/lib/dpkg/status";

/// Larger than any status by far; a desktop's has 5 MB.
const STATUS_LIMIT: u64 = 64 << 20;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstalledDeb {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `arm64`, or `all`.
    pub architecture: String,
    /// The source package that it was built from.
    pub source: String,
    /// The version of that.
    pub source_version: String,
}

/// The packages that are installed in a tarball of a root file system, as dpkg's status has them, sorted.
pub fn installed(tarball: &Path) -> Result<Vec<InstalledDeb>> {
    let cannot = || format!("cannot read {}", tarball.display());
    let file = File::open(tarball).with_context(cannot)?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    for entry in archive.entries().with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let path = entry.path().with_context(cannot)?.into_owned();
        if path.strip_prefix(".").unwrap_or(&path) == Path::new(STATUS) {
            return read(BufReader::new(entry.take(STATUS_LIMIT))).with_context(cannot);
        }
    }
    bail!("{} has no {STATUS}: it was made by no dpkg", tarball.display())
}

fn read(status: impl std::io::BufRead) -> Result<Vec<InstalledDeb>> {
    let mut found = Vec::new();
    each_stanza(status, |stanza| {
        let status = stanza.need("Status")?;
        // `want flag state`: what was removed can still have its settings there.
        if status.split_whitespace().next_back() != Some("installed") {
            return Ok(());
        }
        let (name, version) = (stanza.need("Package")?, stanza.need("Version")?);
        // `Source: glibc (2.41-12)` where the versions differ; none where both are the package's own.
        let source = stanza.get("Source").unwrap_or(name);
        let (source, source_version) = match source.split_once(' ') {
            None => (source, version),
            Some((source, rest)) => (source, rest.trim().trim_start_matches('(').trim_end_matches(')')),
        };
        found.push(InstalledDeb {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: stanza.need("Architecture")?.to_owned(),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
        });
        Ok(())
    })
    .context("cannot read dpkg's status")?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_packages() {
        let status = "Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nSource: glibc\nVersion: 2.41-12\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\
                      Package: gcc-base\nStatus: install ok installed\nArchitecture: arm64\nSource: gcc (14.2.0-19)\nVersion: 4:14.2\n\n\
                      Package: bash\nStatus: hold ok installed\nArchitecture: arm64\nVersion: 5.2.37-2+b5\n";
        let found = read(status.as_bytes()).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|deb| [&deb.name, &deb.version, &deb.source, &deb.source_version].map(String::as_str))
            .collect();
        assert_eq!(
            told,
            [
                ["bash", "5.2.37-2+b5", "bash", "5.2.37-2+b5"],
                ["gcc-base", "4:14.2", "gcc", "14.2.0-19"],
                ["libc6", "2.41-12", "glibc", "2.41-12"],
            ]
        );
        assert!(read("Package: a\nVersion: 1\n".as_bytes()).is_err());
    }

    #[test]
    fn a_tarball_without_dpkg_is_told_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.reopen().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_cksum();
        builder
            .append_data(&mut header, "etc/hostname", &b""[..])
            .unwrap();
        builder.finish().unwrap();
        let error = installed(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("it was made by no dpkg"), "{error}");
    }
}
