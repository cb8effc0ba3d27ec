//! The rules of a file that is put into the boot area as it is.

use formats::units::{Bytes, Lba, SECTOR};

use super::RawFile;
use super::toml::{BootRegionToml, RawFileToml};
use crate::check::Check;
use crate::names::quoted;
use crate::size::parse_size;
use crate::written::At;

/// The file of a region, held against every rule.
pub(super) fn raw_file(check: &mut Check<'_>, region: &BootRegionToml, written: &RawFileToml) -> RawFile {
    if let Some(file) = region.files.first() {
        check
            .found(
                &file.loader.span,
                format!("region {} has `raw` and `files`", quoted(&region.name)),
            )
            .related(&written.file.span, "this file fills it as it is")
            .hint("a region holds one file as it is, or boot loaders that are put together here: remove one of the two");
    }
    if let Some(signer) = &region.signer {
        check
            .found(&signer.span, "a raw file is not signed here")
            .hint("it is put on the card as its vendor's tool made it; remove `signer`");
    }
    let first = region.first.value;
    let first_sector = written.first_sector.as_ref().map_or(first, |sector| sector.value);
    if let Some(sector) = written
        .first_sector
        .as_ref()
        .filter(|sector| sector.value > first)
    {
        check
            .found(
                &sector.span,
                format!("the file starts with sector {first_sector}, behind where its region does"),
            )
            .related(&region.first.span, format!("the region starts at sector {first}"))
            .hint("the sector of the card that the first byte of the file is for: 0 for one that brings sector 0 along");
    }
    let room = region.last.value.saturating_add(1).saturating_sub(first_sector);
    let room = Bytes(room.saturating_mul(SECTOR));
    let mut at_least = Bytes(0);
    if let Some(size) = &written.at_least {
        match parse_size(size) {
            Ok(size) => at_least = size,
            Err((fault, hint)) => {
                check.found(&size.span, fault).hint(hint);
            }
        }
        if at_least > room {
            check
                .found(
                    &size.span,
                    format!(
                        "no file of this size ends before sector {}",
                        region.last.value + 1
                    ),
                )
                .related(&region.last.span, "the region ends here")
                .hint(format!("at most {room} fit"));
        }
    }
    let magic = written.magic.as_ref().map(|magic| {
        let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
        if magic.text.is_empty() || !magic.text.chars().all(is_plain) {
            check
                .found(
                    &magic.text.span,
                    format!("{} is no mark of a format", quoted(&magic.text)),
                )
                .hint("plain characters, as `strings` shows them: \"@AML\"");
        }
        if magic.at.value >= room.0 {
            check
                .found(
                    &magic.at.span,
                    format!("byte {} is behind the end of the region", magic.at.value),
                )
                .related(&region.last.span, "it ends here")
                .hint("counted in bytes from the first of the file");
        }
        (magic.at.value, magic.text.value.clone())
    });
    RawFile {
        file: file_name(check, &written.file),
        first_sector: Lba(first_sector),
        at_least,
        magic,
    }
}

/// Whether a file brings sector 0 along.
pub(super) fn starts_with_table(written: &RawFileToml) -> bool {
    written
        .first_sector
        .as_ref()
        .is_some_and(|sector| sector.value == 0)
}

/// The name of a file in the folder of blobs.
pub(super) fn file_name(check: &mut Check<'_>, written: &At<String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
    if !written.starts_with(|c: char| c.is_ascii_alphanumeric()) || !written.chars().all(plain) {
        check
            .found(&written.span, format!("{} is no name of a file", quoted(written)))
            .hint("letters, digits and - _ + . only, a letter or digit first");
    }
    written.value.clone()
}
