//! Binary packages of Gentoo for tests: right ones that portage made, wrong ones put together by hand.

use std::path::PathBuf;

use blake2::{Blake2b512, Digest};
use sha2::Sha512;

use crate::tars::RawTar;

/// The folder that `ci/portage-fixtures` fills: `FORMAT-COMPRESSION/CATEGORY/NAME/FILE`, beside each what portage reads from
/// it as `FILE.metadata/` and `FILE.image/`, an index in each, and the public key `key.asc` of `gpkg-signed`.
///
/// # Panics
/// When it is not there, saying what to run.
pub fn made_by_portage() -> PathBuf {
    let script = include_bytes!("../../../ci/portage-fixtures");
    let text = format!("{:x}", sha2::Sha256::digest(script));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let fixtures = cache.unwrap_or_else(home).join("portadc-ci/portage-fixtures");
    let folder = fixtures.join(&text[..16]);
    assert!(
        folder.join("complete").exists(),
        "this test needs packages made by portage in {}: run `ci/portage-fixtures`",
        folder.display()
    );
    folder
}

/// A line of a Manifest.
pub fn manifest_line(name: &str, content: &[u8]) -> String {
    format!(
        "DATA {name} {} SHA512 {:x} BLAKE2B {:x}\n",
        content.len(),
        Sha512::digest(content),
        Blake2b512::digest(content)
    )
}

/// The Manifest of members.
pub fn manifest(members: &[(&str, &[u8])]) -> Vec<u8> {
    let lines = members.iter().map(|(name, content)| manifest_line(name, content));
    lines.collect::<String>().into_bytes()
}

/// The tar of a gpkg with these members, which are all there is: no Manifest is added.
pub fn gpkg_of(folder: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let add = |tar: RawTar, (name, content): &(&str, &[u8])| tar.file(format!("{folder}/{name}"), content);
    members.iter().fold(RawTar::default(), add).end()
}

/// A gpkg with a right Manifest behind these members, `gpkg-1` before them.
pub fn gpkg(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut members = [&[("gpkg-1", &b""[..])], members].concat();
    let manifest = manifest(&members);
    members.push(("Manifest", &manifest));
    gpkg_of("bar-1-1", &members)
}

/// The tar of metadata.
pub fn metadata(files: &[(&str, &str)]) -> Vec<u8> {
    let add = |tar: RawTar, (name, content): &(&str, &str)| tar.file(format!("metadata/{name}"), content);
    files.iter().fold(RawTar::default(), add).end()
}

/// The trailer of an xpak with these files.
pub fn xpak_trailer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (name, content) in files {
        index.extend_from_slice(&integer(name.len()));
        index.extend_from_slice(name.as_bytes());
        index.extend_from_slice(&integer(data.len()));
        index.extend_from_slice(&integer(content.len()));
        data.extend_from_slice(content);
    }
    xpak_trailer_of(&index, &data)
}

/// The trailer of an xpak with this index and data.
pub fn xpak_trailer_of(index: &[u8], data: &[u8]) -> Vec<u8> {
    let lengths = [integer(index.len()), integer(data.len())].concat();
    [b"XPAKPACK", &lengths[..], index, data, b"XPAKSTOP"].concat()
}

/// A package of the old format: a tar, compressed or not, and a trailer.
pub fn xpak(tar: &[u8], trailer: &[u8]) -> Vec<u8> {
    [tar, trailer, &integer(trailer.len()), b"STOP"].concat()
}

/// An integer of an xpak.
pub fn integer(value: usize) -> [u8; 4] {
    u32::try_from(value)
        .expect("tests make small packages")
        .to_be_bytes()
}
