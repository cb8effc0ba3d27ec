//! Which paths and labels a FAT volume can hold.

use std::collections::BTreeMap;

use super::FatError;

/// Characters that no long name may have (besides control characters).
const FORBIDDEN: &[char] = &['"', '*', '/', ':', '<', '>', '?', '\\', '|'];

/// UTF-16 units of a long name.
const MAX_NAME: usize = 255;

/// Checks every path of a file; returns the directories above them, parents first, spelled as first met.
pub(super) fn directories<'path>(paths: impl Iterator<Item = &'path str>) -> Result<Vec<String>, FatError> {
    /// What is at a path.
    #[derive(PartialEq)]
    enum Kind {
        Directory,
        File,
    }
    // By the path in lower case: FAT keeps cases but does not tell them apart.
    let mut seen: BTreeMap<String, (Kind, &'path str)> = BTreeMap::new();
    let mut found = Vec::new();
    for path in paths {
        check(path)?;
        let ends = path
            .match_indices('/')
            .map(|(at, _)| (at, Kind::Directory))
            .chain([(path.len(), Kind::File)]);
        for (end, kind) in ends {
            let here = &path[..end];
            match seen.get(&here.to_lowercase()) {
                Some((Kind::Directory, spelled)) if kind == Kind::Directory && *spelled == here => {}
                Some((_, first)) => {
                    return Err(FatError::Clash {
                        first: (*first).to_owned(),
                        second: path.to_owned(),
                    });
                }
                None => {
                    if kind == Kind::Directory {
                        found.push(here.to_owned());
                    }
                    seen.insert(here.to_lowercase(), (kind, here));
                }
            }
        }
    }
    Ok(found)
}

/// Refuses a path with a component that is not a long name.
fn check(path: &str) -> Result<(), FatError> {
    let refuse = |reason| {
        Err(FatError::Path {
            path: path.to_owned(),
            reason,
        })
    };
    for name in path.split('/') {
        if name.is_empty() {
            return refuse("it is empty, or a component of it is");
        }
        if name == "." || name == ".." {
            return refuse("a component is `.` or `..`");
        }
        if name.ends_with(['.', ' ']) || name.starts_with(' ') {
            return refuse(
                "a component starts with a space or ends with a space or dot, which other systems drop",
            );
        }
        if name.chars().any(|c| c.is_control() || FORBIDDEN.contains(&c)) {
            return refuse("it has a control character or one of \" * : < > ? \\ |");
        }
        if name.encode_utf16().count() > MAX_NAME {
            return refuse("a component is longer than 255 UTF-16 units");
        }
    }
    Ok(())
}

/// A label, padded with spaces as the boot sector and the root directory keep it.
pub(super) fn label(label: &str) -> Result<[u8; 11], FatError> {
    let refuse = |reason| {
        Err(FatError::Label {
            label: label.to_owned(),
            reason,
        })
    };
    let mut padded = [b' '; 11];
    let Some(room) = padded.get_mut(..label.len()).filter(|room| !room.is_empty()) else {
        return refuse("it must have 1 to 11 characters");
    };
    if !label
        .bytes()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || b" _-".contains(&c))
    {
        return refuse("it may have A-Z, 0-9, space, `_` and `-`");
    }
    if label.starts_with(' ') || label.ends_with(' ') {
        return refuse("it starts or ends with a space");
    }
    room.copy_from_slice(label.as_bytes());
    Ok(padded)
}

/// Characters besides letters and digits that a short name may have.
const SHORT_PUNCTUATION: &[u8] = b"$%'-_@~`!(){}^#&";

/// A short name for `name` that `take` accepts, which is asked about one after the other. Derived as Windows does: in
/// upper case as it is, or cut off before `~1`, `~2` and so on.
pub(super) fn short(name: &str, mut take: impl FnMut(&[u8; 11]) -> bool) -> [u8; 11] {
    let (base, extension) = name
        .rsplit_once('.')
        .filter(|(base, _)| !base.is_empty())
        .unwrap_or((name, ""));
    let (base, base_exact) = clean(base, 8);
    let (extension, extension_exact) = clean(extension, 3);
    let pack = |base: &[u8], tail: &[u8]| {
        let mut short = [b' '; 11];
        short[..base.len()].copy_from_slice(base);
        short[base.len()..base.len() + tail.len()].copy_from_slice(tail);
        short[8..8 + extension.len()].copy_from_slice(&extension);
        short
    };
    let exact = pack(&base, b"");
    if base_exact && extension_exact && take(&exact) {
        return exact;
    }
    let mut number = 1_u32;
    loop {
        let tail = format!("~{number}");
        let short = pack(&base[..base.len().min(8 - tail.len())], tail.as_bytes());
        if take(&short) {
            return short;
        }
        number += 1;
    }
}

/// The characters of a part of a name that a short name may have, at most `limit`, in upper case; and whether these are
/// all there were.
fn clean(part: &str, limit: usize) -> (Vec<u8>, bool) {
    let mut exact = true;
    let mut cleaned = Vec::new();
    for c in part.chars() {
        let upper = c.to_ascii_uppercase();
        match u8::try_from(upper) {
            Ok(byte) if upper.is_ascii_alphanumeric() || SHORT_PUNCTUATION.contains(&byte) => {
                cleaned.push(byte)
            }
            // Spaces and dots vanish, the rest becomes an underscore.
            Ok(b' ' | b'.') => exact = false,
            _ => {
                cleaned.push(b'_');
                exact = false;
            }
        }
    }
    exact &= cleaned.len() <= limit;
    cleaned.truncate(limit);
    (cleaned, exact)
}

/// A short name as it is read: `KERNEL.IMG`.
pub(super) fn expand(short: &[u8; 11]) -> String {
    let text = String::from_utf8_lossy(short);
    let (base, extension) = text.split_at(8);
    match (base.trim_end(), extension.trim_end()) {
        (base, "") => base.to_owned(),
        (base, extension) => format!("{base}.{extension}"),
    }
}
