//! Packages without their signatures. They were verified where they were fetched; portage would ask gpg once more, which fails
//! under qemu-user and knows no key there.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::VerificationFailed;
use gentoo::binary::{BinaryPackage, Expected};

use super::super::signer::{Locked, signed_text};

/// Longest Manifest of a package.
const MANIFEST: u64 = 1 << 20;

/// What a signed Manifest begins with.
const SIGNED: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";

/// The package `from` without signatures, as a file without a name. One that has none, or is of the older format, is copied.
pub(super) fn unsigned(from: &Path) -> Result<File> {
    let read = || -> Result<File> {
        let file = BufReader::new(File::open(from)?);
        let mut copy = BufWriter::new(tempfile::tempfile()?);
        if from.to_string_lossy().ends_with(".gpkg.tar") {
            strip(file, &mut copy)?;
        } else {
            std::io::copy(&mut { file }, &mut copy)?;
        }
        let mut copy = copy.into_inner()?;
        copy.rewind()?;
        Ok(copy)
    };
    read().with_context(|| format!("cannot copy {}", from.display()))
}

fn strip(package: impl Read, copy: impl Write) -> Result<()> {
    let mut archive = tar::Archive::new(package);
    let mut builder = tar::Builder::new(copy);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut header = entry.header().clone();
        if name.ends_with(".sig") {
            continue;
        }
        if name != "Manifest" {
            builder.append_data(&mut header, &path, entry)?;
            continue;
        }
        ensure!(
            entry.size() <= MANIFEST,
            "its Manifest has {} bytes",
            entry.size()
        );
        let mut manifest = Vec::new();
        entry.take(MANIFEST).read_to_end(&mut manifest)?;
        let manifest = without_signatures(&manifest)?;
        header.set_size(manifest.len() as u64);
        builder.append_data(&mut header, &path, manifest.as_slice())?;
    }
    builder.finish()?;
    Ok(())
}

/// What a Manifest says of members that are no signatures.
fn without_signatures(manifest: &[u8]) -> Result<Vec<u8>> {
    let text = match manifest.starts_with(SIGNED) {
        true => signed_text(manifest).map_err(anyhow::Error::msg)?,
        false => manifest.to_vec(),
    };
    let is_signature = |line: &[u8]| {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|name| name.ends_with(b".sig"))
    };
    let mut kept = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if !is_signature(line) {
            kept.extend_from_slice(line);
        }
    }
    Ok(kept)
}

/// Opens a package that nobody has vouched for; its own sums are compared.
pub(super) fn open(path: &Path) -> Result<BinaryPackage> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    BinaryPackage::open(file, &Expected::default(), &Locked)
        .map_err(|error| VerificationFailed(format!("{:#}", anyhow::Error::new(error))))
        .with_context(|| format!("the package {} is refused", path.display()))
}

/// Whether a file is a sound package.
pub(super) fn is_sound(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar") && open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_loses_its_signatures_and_nothing_else() {
        let mut builder = tar::Builder::new(Vec::new());
        let manifest = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nDATA image.tar 3 SHA512 a\nDATA image.tar.sig 1 SHA512 b\n\
                        -----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n";
        for (name, text) in [
            ("p-1/image.tar", "abc"),
            ("p-1/image.tar.sig", "s"),
            ("p-1/Manifest", manifest),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let package = builder.into_inner().unwrap();
        let mut copy = Vec::new();
        strip(package.as_slice(), &mut copy).unwrap();
        let mut archive = tar::Archive::new(copy.as_slice());
        let members: Vec<(String, String)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), text)
            })
            .collect();
        assert_eq!(
            members,
            [
                ("p-1/image.tar".to_owned(), "abc".to_owned()),
                (
                    "p-1/Manifest".to_owned(),
                    "DATA image.tar 3 SHA512 a\n".to_owned()
                ),
            ]
        );
    }
}
