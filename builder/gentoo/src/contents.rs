//! `CONTENTS` of `/var/db/pkg`: what a package has put where, one line for each path.
//!
//! ```text
//! dir /usr/lib/foo
//! obj /usr/bin/foo 1bc29b36f623ba82aaf6724fd3b16718 1700000000
//! sym /usr/lib/libfoo.so -> libfoo.so.1 1700000000
//! fif /run/foo
//! dev /dev/foo
//! ```
//!
//! Paths are as the package has them: directories that are symbolic links on the system are not resolved. Names may
//! have spaces, so a line is read from its end. Portage writes UTF-8, but what other programs left there is kept as the
//! bytes that it is.

use thiserror::Error;

use formats::digest::hex;

/// What is at a path of `CONTENTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// MD5 of its bytes.
        md5: [u8; 16],
        /// Last change, in seconds since 1970.
        mtime: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads, verbatim.
        target: Vec<u8>,
        /// Last change, in seconds since 1970.
        mtime: u64,
    },
    /// A named pipe.
    Fifo,
    /// A device node.
    Device,
}

/// A line of `CONTENTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Components joined by `/`, relative to the root.
    pub path: Vec<u8>,
    /// What is there.
    pub kind: Kind,
}

/// Why a line of `CONTENTS` is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} is not one of CONTENTS: {reason}")]
pub struct ContentsError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads `CONTENTS`. Empty slashes in paths go; a path that would leave the root is an error.
pub fn parse(bytes: &[u8]) -> Result<Vec<Item>, ContentsError> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            item(line).map_err(|reason| ContentsError {
                line: number + 1,
                reason,
            })
        })
        .collect()
}

/// The bytes of `CONTENTS` with these items, in their order.
pub fn to_bytes<'a>(items: impl IntoIterator<Item = &'a Item>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Item { path, kind } in items {
        let (name, rest) = match kind {
            Kind::Directory => ("dir", Vec::new()),
            Kind::Fifo => ("fif", Vec::new()),
            Kind::Device => ("dev", Vec::new()),
            Kind::File { md5, mtime } => ("obj", format!(" {} {mtime}", hex(md5)).into_bytes()),
            Kind::Symlink { target, mtime } => (
                "sym",
                [b" -> ", &target[..], format!(" {mtime}").as_bytes()].concat(),
            ),
        };
        for part in [name.as_bytes(), b" /", path, &rest, b"\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

fn item(line: &[u8]) -> Result<Item, &'static str> {
    if line.contains(&0) {
        return Err("it has a NUL byte");
    }
    let (name, rest) = line.split_at_checked(4).ok_or("it is too short")?;
    let (written, kind) = match name {
        b"dir " => (rest, Kind::Directory),
        b"fif " => (rest, Kind::Fifo),
        b"dev " => (rest, Kind::Device),
        b"obj " => {
            let (rest, mtime) = time(rest)?;
            let (path, md5) = last_word(rest).ok_or("it has no MD5")?;
            let md5 = parse_md5(md5).ok_or("its MD5 is not 32 hexadecimal digits")?;
            (path, Kind::File { md5, mtime })
        }
        b"sym " => {
            let (rest, mtime) = time(rest)?;
            let arrow = rest.windows(4).rposition(|window| window == b" -> ");
            let arrow = arrow.ok_or("it has no ` -> ` before the link's target")?;
            let target = rest[arrow + 4..].to_vec();
            if target.is_empty() {
                return Err("the link's target is empty");
            }
            (&rest[..arrow], Kind::Symlink { target, mtime })
        }
        _ => return Err("it starts with none of dir, obj, sym, fif and dev"),
    };
    Ok(Item {
        path: relative(written)?,
        kind,
    })
}

fn time(rest: &[u8]) -> Result<(&[u8], u64), &'static str> {
    let (rest, word) = last_word(rest).ok_or("it has no time")?;
    let digits = Some(word).filter(|word| !word.is_empty() && word.iter().all(u8::is_ascii_digit));
    let mtime = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    Ok((rest, mtime.ok_or("its time is no number of seconds")?))
}

/// What is before and behind the last space.
fn last_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = text.iter().rposition(|byte| *byte == b' ')?;
    Some((&text[..space], &text[space + 1..]))
}

/// The sum that 32 hexadecimal digits are.
pub(crate) fn parse_md5(text: &[u8]) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = text.try_into().ok()?;
    let mut md5 = [0; 16];
    for (byte, pair) in md5.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()?;
    }
    Some(md5)
}

fn relative(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    if !path.starts_with(b"/") {
        return Err("its path is not absolute");
    }
    let components = path.split(|byte| *byte == b'/');
    let components: Vec<&[u8]> = components
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    if components.contains(&&b".."[..]) {
        return Err("its path contains `..`");
    }
    if components.is_empty() {
        return Err("its path is the root");
    }
    Ok(components.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_spaces_arrows_and_any_bytes() {
        let text: &[u8] = b"dir /usr/share/a b\n\
            obj /usr/share/a b/c -> d 1bc29b36f623ba82aaf6724fd3b16718 1700000000\n\
            sym /usr/lib/x -> y z -> ../w v 12\n\
            obj /caf\xe9 00000000000000000000000000000000 0\n\
            fif /run/pipe\n\
            dev /dev/null 1\n";
        let items = parse(text).unwrap();
        assert_eq!(items[0].path, b"usr/share/a b");
        assert_eq!(items[1].path, b"usr/share/a b/c -> d");
        assert_eq!(items[2].path, b"usr/lib/x -> y z");
        let Kind::Symlink { target, mtime: 12 } = &items[2].kind else {
            panic!("{:?}", items[2])
        };
        assert_eq!(target, b"../w v");
        assert_eq!(items[3].path, b"caf\xe9");
        assert_eq!(items[5].path, b"dev/null 1");
        assert_eq!(to_bytes(&items), text);
    }

    #[test]
    fn what_is_no_line_is_named_with_its_number() {
        for (line, reason) in [
            ("xyz /a", "none of dir"),
            ("obj", "too short"),
            ("obj /a 123 5", "32 hexadecimal digits"),
            (
                "obj /a 1bc29b36f623ba82aaf6724fd3b16718 -5",
                "no number of seconds",
            ),
            (
                "obj /a 1bc29b36f623ba82aaf6724fd3b16718 99999999999999999999",
                "no number of seconds",
            ),
            ("obj 1bc29b36f623ba82aaf6724fd3b16718 5", "no MD5"),
            ("sym /a b 5", "has no ` -> `"),
            ("sym /a ->  5", "target is empty"),
            ("dir a", "not absolute"),
            ("dir /a/../../etc", "contains `..`"),
            ("dir //", "is the root"),
            ("dir /a\0b", "NUL"),
        ] {
            let error = parse(format!("dir /ok\n{line}\n").as_bytes()).unwrap_err();
            assert_eq!(error.line, 2);
            assert!(error.reason.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn paths_are_normal() {
        assert_eq!(parse(b"dir //usr/./lib//x/").unwrap()[0].path, b"usr/lib/x");
    }
}
