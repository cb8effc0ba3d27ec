//! The rules of files that are not ours to pass on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use formats::digest::parse_hex;
use formats::units::Bytes;
use toml::Spanned;

use super::check::{Check, unknown};
use super::written::{BlobSetToml, BlobToml, LicenseToml};
use super::{Blob, BlobSet, License};

/// Bytes of the largest blob; no boot loader comes near.
const MOST: u64 = 64 << 20;

/// Licences by name.
pub(super) type Licenses = BTreeMap<String, Arc<License>>;

/// The licences as written.
pub(super) fn licenses(written: BTreeMap<Spanned<String>, LicenseToml>) -> Licenses {
    let license = |(name, written): (Spanned<String>, LicenseToml)| {
        let name = name.into_inner();
        let license = License {
            name: name.clone(),
            title: written.title,
            text: written.text,
        };
        (name, Arc::new(license))
    };
    written.into_iter().map(license).collect()
}

impl Check<'_> {
    /// The names of accepted licences.
    pub(super) fn accepted(
        &mut self,
        licenses: &Licenses,
        written: Vec<Spanned<String>>,
    ) -> BTreeSet<String> {
        for name in &written {
            self.license(licenses, name);
        }
        written.into_iter().map(Spanned::into_inner).collect()
    }

    /// The blobs of each board.
    pub(super) fn blobs(
        &mut self,
        licenses: &Licenses,
        written: BTreeMap<Spanned<String>, BlobSetToml>,
    ) -> BTreeMap<String, BlobSet> {
        let mut sets = BTreeMap::new();
        for (board, set) in written {
            let license = self.license(licenses, &set.license);
            let mirrors = self.mirrors(set.mirrors);
            let mut files = BTreeMap::new();
            for (name, blob) in set.files {
                let name = self.word(&name, "blob");
                let blob = self.blob(&blob);
                files.extend(name.zip(blob));
            }
            if let Some((license, mirrors)) = license.zip(mirrors) {
                let set = BlobSet {
                    license,
                    mirrors,
                    files,
                };
                sets.insert(board.into_inner(), set);
            }
        }
        sets
    }

    fn blob(&mut self, written: &BlobToml) -> Option<Blob> {
        let size = *written.size.get_ref();
        if !(1..=MOST).contains(&size) {
            self.found(
                written.size.span(),
                format!("a blob has no {size} bytes"),
                "write the size of the file in bytes",
            );
        }
        let sha256 = parse_hex(written.sha256.get_ref());
        if sha256.is_none() {
            self.found(
                written.sha256.span(),
                format!("`{}` is no SHA-256", written.sha256.get_ref()),
                "64 hexadecimal digits in lower case, as `sha256sum` prints them for a file that you trust",
            );
        }
        Some(Blob {
            size: Bytes(size),
            sha256: sha256?,
        })
    }

    fn license(&mut self, licenses: &Licenses, name: &Spanned<String>) -> Option<Arc<License>> {
        let known = licenses.get(name.get_ref()).cloned();
        if known.is_none() {
            let names: Vec<&str> = licenses.keys().map(String::as_str).collect();
            let finding = unknown("license", name.get_ref(), &names).at(self.file.place(name.span()));
            self.findings.push(finding);
        }
        known
    }
}
