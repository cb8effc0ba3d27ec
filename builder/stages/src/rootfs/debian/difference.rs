//! What a root file system's tarball has over the one that it began as: the members that are other or new, as they are.
//!
//! Both are mmdebstrap's, whose tar writes the same member of the same file, so members are compared as bytes, header and all. One
//! that differs for another reason makes the difference larger, never wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write, copy};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use fetch::Sha256Sum;
use tar::{Archive, EntryType};

/// What a tar is made of.
const BLOCK: u64 = 512;

/// What dpkg says is installed: always told, also where a set asks for nothing but what the base has for others' sake.
const STATUS: &[u8] = b"var/lib/dpkg/status";

/// A member of a tarball.
struct Member {
    /// Without the `./` in front and, of a folder, the `/` behind.
    path: Vec<u8>,
    /// Where it is in the tarball, with the headers that extend it and the zeros that fill it.
    bytes: Range<u64>,
    /// The member that a hard link is another name of.
    target: Option<Vec<u8>>,
    sha256: Sha256Sum,
}

/// Writes the members of `whole` that `base` does not have to `added`, a tar. Returns the paths that `base` alone has, but for what
/// lies below one of them.
pub(super) fn difference(base: &Path, whole: &Path, added: impl Write) -> Result<Vec<Vec<u8>>> {
    let before: BTreeMap<_, _> = members(base)?
        .into_iter()
        .map(|member| (member.path, member.sha256))
        .collect();
    let now = members(whole)?;
    let is_new = |member: &&Member| member.path == STATUS || before.get(&member.path) != Some(&member.sha256);
    // A hard link and what it is a name of are one inode, so they come together.
    let inode = |member: &Member| member.target.clone().unwrap_or_else(|| member.path.clone());
    let inodes: BTreeSet<_> = now.iter().filter(is_new).map(inode).collect();
    let cannot = || format!("cannot copy from {}", whole.display());
    let mut source = File::open(whole).with_context(cannot)?;
    let mut added = added;
    for member in now.iter().filter(|member| inodes.contains(&inode(member))) {
        source
            .seek(SeekFrom::Start(member.bytes.start))
            .with_context(cannot)?;
        let length = member.bytes.end - member.bytes.start;
        copy(&mut (&source).take(length), &mut added).with_context(cannot)?;
    }
    // The mark of the end.
    added.write_all(&[0; 2 * BLOCK as usize]).with_context(cannot)?;
    let left: BTreeSet<&[u8]> = now.iter().map(|member| &member.path[..]).collect();
    let gone = before.into_keys().filter(|path| !left.contains(&path[..]));
    let mut removed: Vec<Vec<u8>> = Vec::new();
    for path in gone {
        let below = removed.last().and_then(|last| path.strip_prefix(&last[..]));
        if !below.is_some_and(|rest| rest.starts_with(b"/")) {
            removed.push(path);
        }
    }
    Ok(removed)
}

/// All members, in their order.
fn members(tarball: &Path) -> Result<Vec<Member>> {
    let cannot = || format!("cannot read {}", tarball.display());
    let file = File::open(tarball).with_context(cannot)?;
    let mut archive = Archive::new(BufReader::new(file));
    let mut members = Vec::new();
    let mut start = 0;
    for entry in archive.entries_with_seek().with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.path_bytes().into_owned();
        let path = name.strip_prefix(b"./").unwrap_or(&name);
        let path = path.strip_suffix(b"/").unwrap_or(path).to_vec();
        let is_link = entry.header().entry_type() == EntryType::Link;
        let target = entry.link_name_bytes().filter(|_| is_link);
        let target = target.map(|name| name.strip_prefix(b"./").unwrap_or(&name).to_vec());
        let end = (entry.raw_file_position() + entry.size()).next_multiple_of(BLOCK);
        members.push((path, start..end, target));
        start = end;
    }
    let mut file = BufReader::with_capacity(1 << 20, File::open(tarball).with_context(cannot)?);
    members
        .into_iter()
        .map(|(path, bytes, target)| {
            let sha256 =
                Sha256Sum::of_reader((&mut file).take(bytes.end - bytes.start)).with_context(cannot)?;
            Ok(Member {
                path,
                bytes,
                target,
                sha256,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// Folders by GNU tar, as mmdebstrap calls it.
    fn tarball(folder: &Path, file: &Path) {
        let options = [
            "--sort=name",
            "--mtime=@0",
            "--numeric-owner",
            "--owner=0",
            "--group=0",
            "--mode=a+rX,u+w",
            "--format=pax",
            "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        ];
        let status = Command::new("tar")
            .args(options)
            .arg("-cf")
            .arg(file)
            .arg("-C")
            .arg(folder)
            .arg(".")
            .status();
        assert!(status.unwrap().success());
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let mut archive = Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| entry.path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn what_is_other_or_new_comes_with_all_its_names_and_what_went_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        let long = format!("usr/{}", "l".repeat(150));
        fs::create_dir_all(root.join("usr/share/old/deep")).unwrap();
        for (path, text) in [
            ("usr/same", "same"),
            ("usr/other", "before"),
            ("usr/one", "linked"),
            ("usr/kept", "kept"),
            ("usr/share/old/deep/file", "gone"),
            ("usr/share/older", "not below old"),
            (long.as_str(), "a name with a header of its own"),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        fs::hard_link(root.join("usr/one"), root.join("usr/two")).unwrap();
        fs::hard_link(root.join("usr/kept"), root.join("usr/kept.2")).unwrap();
        symlink("same", root.join("usr/link")).unwrap();
        let (base, whole) = (scratch.path().join("base.tar"), scratch.path().join("whole.tar"));
        tarball(&root, &base);

        let mut nothing = Vec::new();
        assert!(difference(&base, &base, &mut nothing).unwrap().is_empty());
        assert_eq!(names(&nothing), [""; 0]);

        fs::write(root.join("usr/other"), "after!").unwrap();
        fs::write(root.join("usr/new"), "new").unwrap();
        // A third name of what had two.
        fs::hard_link(root.join("usr/one"), root.join("usr/three")).unwrap();
        fs::remove_dir_all(root.join("usr/share/old")).unwrap();
        fs::remove_file(root.join("usr/link")).unwrap();
        symlink("other", root.join("usr/link")).unwrap();
        tarball(&root, &whole);
        let mut added = Vec::new();
        let removed = difference(&base, &whole, &mut added).unwrap();
        assert_eq!(removed, [b"usr/share/old".to_vec()]);
        assert_eq!(
            names(&added),
            [
                "./usr/link",
                "./usr/new",
                "./usr/one",
                "./usr/other",
                "./usr/three",
                "./usr/two"
            ]
        );

        // Laid over each other they are what was packed.
        let laid = scratch.path().join("laid");
        fs::create_dir(&laid).unwrap();
        fs::write(scratch.path().join("added.tar"), &added).unwrap();
        for (tar, gone) in [("base.tar", true), ("added.tar", false)] {
            let tar = Command::new("tar")
                .arg("-xf")
                .arg(scratch.path().join(tar))
                .arg("-C")
                .arg(&laid)
                .status();
            assert!(tar.unwrap().success());
            if gone {
                fs::remove_dir_all(laid.join("usr/share/old")).unwrap();
            }
        }
        let again = scratch.path().join("again.tar");
        tarball(&laid, &again);
        assert_eq!(fs::read(again).unwrap(), fs::read(whole).unwrap());
    }

    #[test]
    fn what_is_installed_is_told_where_nothing_else_differs() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
        fs::write(root.join("var/lib/dpkg/status"), "Package: udev\n").unwrap();
        let base = scratch.path().join("base.tar");
        tarball(&root, &base);
        let mut added = Vec::new();
        assert!(difference(&base, &base, &mut added).unwrap().is_empty());
        assert_eq!(names(&added), ["./var/lib/dpkg/status"]);
    }
}
