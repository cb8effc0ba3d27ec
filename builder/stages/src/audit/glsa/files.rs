//! Where advisories are: in a folder, or in a snapshot of the ebuild repository, of which nothing else is kept.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use formats::layer::archive::{Archive, Kind};
use formats::units::Bytes;

use super::super::plain;

/// Larger than any advisory by far; the largest has 60 KB.
pub(super) const LIMIT: u64 = 1 << 20;

/// Larger than any snapshot by far when it is unpacked (some 600 MB in 2026).
const UNPACKED: Bytes = Bytes::gib(8);

/// Hands the name and the bytes of each advisory to `each`. `path` is a folder of advisories, a repository that has one, or a
/// snapshot, compressed or not.
pub(super) fn each(path: &Path, each: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    if path.is_dir() {
        let within = path.join("metadata/glsa");
        return in_folder(if within.is_dir() { &within } else { path }, each).with_context(cannot);
    }
    let file = ::files::open(path).with_context(cannot)?;
    in_snapshot(file, UNPACKED, each).with_context(cannot)
}

fn in_folder(folder: &Path, mut each: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let name = name.to_string_lossy();
        if is_advisory(&name) {
            let file = ::files::open(&folder.join(&*name)).with_context(|| refused(&name))?;
            each(&name, &bytes(file).with_context(|| refused(&name))?)?;
        }
    }
    Ok(())
}

/// Advisories in the order of the snapshot, each read by itself. The archive is read to its end: one that is cut, or that has
/// more than `limit` bytes, passes for none.
fn in_snapshot(file: File, limit: Bytes, mut each: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let mut archive = Archive::open(file, limit.0)?;
    let mut seen = BTreeSet::new();
    while let Some(member) = archive.next_member()? {
        let Some(name) = advisory_at(&member.name) else {
            continue;
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let is_whole = member
            .regions
            .iter()
            .all(|region| (region.offset, region.length) == (0, member.size));
        let fault = match member.kind {
            Kind::File if !is_whole => "it is a sparse file, and can only be a plain one".to_owned(),
            Kind::File if member.size > LIMIT => {
                format!("it has {} bytes, above the limit of {LIMIT}", member.size)
            }
            Kind::File if !seen.insert(name.clone()) => "it is there twice".to_owned(),
            Kind::File => String::new(),
            kind => format!("it is {}, and can only be a file", kind.what()),
        };
        ensure!(fault.is_empty(), "{}: {fault}", refused(&name));
        // It is not larger than the limit, so it fits.
        let mut bytes = vec![0; member.size as usize];
        archive.read_data(&mut bytes)?;
        each(&name, &bytes)?;
    }
    Ok(())
}

/// The name of the advisory that a member of a snapshot is: `gentoo-20260131/metadata/glsa/glsa-202601-01.xml`.
fn advisory_at(path: &[u8]) -> Option<&[u8]> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let top = path.iter().position(|byte| *byte == b'/')?;
    let name = path[top + 1..].strip_prefix(b"metadata/glsa/")?;
    (!name.contains(&b'/') && is_advisory(&String::from_utf8_lossy(name))).then_some(name)
}

fn is_advisory(name: &str) -> bool {
    name.starts_with("glsa-") && name.ends_with(".xml")
}

fn refused(name: &str) -> String {
    format!("the advisory {} is refused", plain(name))
}

fn bytes(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LIMIT, "it has more than {LIMIT} bytes");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use testkit::tars::{RawMember, RawTar};

    use super::*;

    const AT: &str = "gentoo-20260601/metadata/glsa/glsa-202606-01.xml";

    /// Names and bytes of the advisories of a snapshot, compressed as Gentoo's are.
    fn found(tar: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut packed = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = liblzma::write::XzEncoder::new(packed.as_file_mut(), 1);
        encoder.write_all(tar).unwrap();
        encoder.finish().unwrap();
        found_in(packed.path())
    }

    fn found_in(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        each(path, |name, bytes| {
            found.push((name.to_owned(), bytes.to_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn a_snapshot_is_read_as_its_folder_is() {
        let tar = RawTar::default()
            .directory("gentoo-20260601/")
            .file(AT, "one")
            .file("gentoo-20260601/metadata/glsa/timestamp.chk", "none")
            .file("gentoo-20260601/metadata/glsa/glsa-2/glsa-2.xml", "none")
            .file("gentoo-20260601/net-misc/metadata/glsa/glsa-1.xml", "none")
            .file("metadata/glsa/glsa-1.xml", "none")
            .file("./gentoo-20260601/metadata/glsa/glsa-202606-02.xml", "two")
            .symlink("gentoo-20260601/metadata/glsa/latest", "/etc/passwd")
            .end();
        let expected = [("glsa-202606-01.xml", "one"), ("glsa-202606-02.xml", "two")]
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        assert_eq!(found(&tar).unwrap(), expected);
        let folder = tempfile::tempdir().unwrap();
        let glsa = folder.path().join("metadata/glsa");
        fs::create_dir_all(&glsa).unwrap();
        for (name, bytes) in &expected {
            fs::write(glsa.join(name), bytes).unwrap();
        }
        for path in [folder.path(), &glsa] {
            assert_eq!(found_in(path).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_in_the_place_of_an_advisory_is_refused() {
        let sized = |size: u64, data: Vec<u8>| RawMember {
            size: Some(size),
            data,
            ..RawMember::new(b'0', AT)
        };
        let cases = [
            (
                RawTar::default().symlink(AT, "/etc/shadow").end(),
                "it is a symbolic link, and",
            ),
            (
                RawTar::default().file("a", "x").hardlink(AT, "a").end(),
                "it is a hard link, and",
            ),
            (
                RawTar::default().member(&RawMember::new(b'6', AT)).end(),
                "it is a named pipe, and",
            ),
            (RawTar::default().directory(AT).end(), "it is a directory, and"),
            (
                RawTar::default().file(AT, vec![b' '; LIMIT as usize + 1]).end(),
                "it has 1048577 bytes, above the limit of 1048576",
            ),
            (
                RawTar::default().file(AT, "x").file(AT, "x").end(),
                "it is there twice",
            ),
            // Refused by what its header says: nothing of it is read.
            (
                RawTar::default().member(&sized(1 << 35, Vec::new())).end(),
                "it has 34359738368 bytes, above the limit of 1048576",
            ),
            (
                RawTar::default().member(&sized(1 << 10, vec![b' '; 512])).bytes,
                "cannot read",
            ),
            (RawTar::default().file("a", "x").bytes, "cannot read"),
        ];
        for (tar, expected) in cases {
            let error = format!("{:#}", found(&tar).unwrap_err());
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_snapshot_has_a_largest_size() {
        let tar = RawTar::default()
            .file(AT, "one")
            .file("gentoo-20260601/large", vec![0; 100_000])
            .end();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&tar).unwrap();
        let read = |limit| {
            let mut file = file.try_clone().unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            in_snapshot(file, Bytes(limit), |_, _| Ok(()))
        };
        read(tar.len() as u64).unwrap();
        let error = format!("{:#}", read(50_000).unwrap_err());
        assert!(error.contains("50000"), "{error}");
    }
}
