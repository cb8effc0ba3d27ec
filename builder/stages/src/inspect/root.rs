//! The root file system of an image as its node sees it: the default subvolume, with the others where the node's
//! `/etc/fstab` mounts them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use formats::btrfs::read::{Found, InodeKind, Part, Reader, Subvolume, View};

/// Most bytes of a file that is read as a whole.
const MAX_TEXT: u64 = 1 << 20;

/// The default subvolume with everything that is mounted below it.
pub fn root_view(reader: &Reader<'_>) -> Result<View> {
    let subvolumes = reader.subvolumes()?;
    let root = subvolumes.iter().find(|subvolume| subvolume.is_default);
    let root = root.context("the default subvolume is not there")?.clone();
    let mut mounts = BTreeMap::new();
    // What hangs inside the default subvolume needs no mounting.
    for subvolume in subvolumes.iter().filter(|subvolume| subvolume.id != root.id) {
        let below = match root.path.is_empty() {
            true => Some(&subvolume.path[..]),
            false => subvolume
                .path
                .strip_prefix(&root.path[..])
                .and_then(|below| below.strip_prefix(b"/")),
        };
        if let Some(below) = below {
            mounts.insert(below.to_vec(), subvolume.clone());
        }
    }
    let view = View { root, mounts };
    let fstab = match reader.find(&view, b"etc/fstab")? {
        Some(found) => text(reader, &found)?,
        None => Vec::new(),
    };
    let View { root, mut mounts } = view;
    for (name, place) in fstab_subvolumes(&String::from_utf8_lossy(&fstab)) {
        let mounted = subvolumes
            .iter()
            .find(|subvolume| subvolume.path == name.as_bytes());
        if let Some(mounted) = mounted.filter(|mounted| mounted.id != root.id) {
            mounts.insert(place.into_bytes(), mounted.clone());
        }
    }
    Ok(View { root, mounts })
}

/// Names of subvolumes and where a node's fstab mounts them, without the `/` in front; the one at `/` is not listed.
fn fstab_subvolumes(fstab: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let (device, place, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        if device.starts_with('#') || kind != "btrfs" {
            return None;
        }
        let name = options
            .split(',')
            .find_map(|option| option.strip_prefix("subvol="))?;
        let place = place.trim_matches('/');
        (!place.is_empty()).then(|| (name.trim_matches('/').to_owned(), place.to_owned()))
    };
    fstab.lines().filter_map(line).collect()
}

/// All of a small file.
fn text(reader: &Reader<'_>, found: &Found<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    if let InodeKind::File(size) = found.inode.kind
        && size <= MAX_TEXT
    {
        for part in reader.parts(found.subvolume, &found.inode)? {
            match part? {
                Part::Bytes(bytes) => text.extend_from_slice(&bytes),
                // At most the size of the file.
                Part::Zeros(length) => text.resize(text.len() + length as usize, 0),
            }
        }
    }
    Ok(text)
}

/// The view and the path in it that `path` means: `@srv:/file` is one of a subvolume, `/srv/file` one of the root.
pub fn find_file<'p>(reader: &Reader<'_>, path: &'p str) -> Result<(View, &'p str)> {
    match volume_prefix(path) {
        Some((name, path)) => {
            let subvolumes = reader.subvolumes()?;
            let names: Vec<_> = subvolumes.iter().map(path_text).collect();
            let found = subvolumes
                .into_iter()
                .find(|subvolume| subvolume.path == name.as_bytes());
            match found {
                Some(subvolume) => Ok((View::of(subvolume), path)),
                None => bail!("there is no subvolume {name:?}: there are {}", names.join(", ")),
            }
        }
        None => Ok((root_view(reader)?, path)),
    }
}

/// What stands before the `:` of `@srv:/file`, and what behind.
pub(super) fn volume_prefix(path: &str) -> Option<(&str, &str)> {
    let (name, rest) = path.split_once(':')?;
    (!name.contains('/')).then_some((name, rest))
}

/// The path of a subvolume for people; the top level is `/`.
pub(super) fn path_text(subvolume: &Subvolume) -> String {
    match &subvolume.path[..] {
        b"" => "/".to_owned(),
        path => String::from_utf8_lossy(path).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_says_where_subvolumes_are() {
        let fstab = "# a comment\nPARTUUID=1-02 / btrfs rw,subvol=@ 0 0\nPARTUUID=1-02 /var/log/ btrfs subvol=/@log,rw 0 0\n\
                     LABEL=x /boot vfat ro 0 2\nbroken\n";
        let expected = [("@log".to_owned(), "var/log".to_owned())];
        assert_eq!(fstab_subvolumes(fstab), expected);
    }

    #[test]
    fn a_colon_before_a_slash_names_a_volume() {
        assert_eq!(volume_prefix("boot:/Image"), Some(("boot", "/Image")));
        assert_eq!(volume_prefix("/etc/a:b"), None);
        assert_eq!(volume_prefix("etc"), None);
    }
}
