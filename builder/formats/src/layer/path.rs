//! Paths of a layer: which are legal, and how one is shown in a message.

use thiserror::Error;

/// Longest component of a path, in bytes (btrfs: `BTRFS_NAME_LEN`, Linux: `NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Longest path and longest target of a symbolic link, in bytes (Linux: `PATH_MAX` less its NUL).
pub const MAX_PATH: usize = 4095;

/// Most components of a path. Linux has no such limit; no root file system comes near this one, and it keeps the work
/// for one entry small whatever an archive says.
pub const MAX_DEPTH: usize = 256;

/// Most bytes of a path that a message repeats.
const SHOWN: usize = 160;

/// Why a path cannot be one of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathFault {
    /// It starts with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// One of its components is `..`.
    #[error("the path contains `..`")]
    Parent,
    /// One of its components is empty or `.`.
    #[error("the path has an empty component or a `.` inside")]
    EmptyComponent,
    /// It contains a NUL byte.
    #[error("the path contains a NUL byte")]
    Nul,
    /// One of its components is longer than [`MAX_NAME`].
    #[error("the path has a component of {length} bytes, above the limit of {MAX_NAME}")]
    LongName {
        /// Bytes in the component.
        length: usize,
    },
    /// It is longer than allowed.
    #[error("the path of {length} bytes is above the limit of {limit}")]
    Long {
        /// Bytes in the path.
        length: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// It has more than [`MAX_DEPTH`] components.
    #[error("the path has {depth} components, above the limit of {MAX_DEPTH}")]
    Deep {
        /// Its components.
        depth: usize,
    },
}

/// Accepts components joined by single `/`, none of them `.` or `..`; the empty path is the root.
pub fn check(path: &[u8], limit: usize) -> Result<(), PathFault> {
    if path.len() > limit {
        return Err(PathFault::Long {
            length: path.len(),
            limit,
        });
    }
    if path.contains(&0) {
        return Err(PathFault::Nul);
    }
    if path.starts_with(b"/") {
        return Err(PathFault::Absolute);
    }
    if path.is_empty() {
        return Ok(());
    }
    let depth = 1 + path.iter().filter(|byte| **byte == b'/').count();
    if depth > MAX_DEPTH {
        return Err(PathFault::Deep { depth });
    }
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => return Err(PathFault::EmptyComponent),
            b".." => return Err(PathFault::Parent),
            _ if component.len() > MAX_NAME => {
                return Err(PathFault::LongName {
                    length: component.len(),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path of the directory that `path` lies in; the root, which is the empty path, lies in none.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    Some(
        path.iter()
            .rposition(|byte| *byte == b'/')
            .map_or(&[][..], |slash| &path[..slash]),
    )
}

/// A path for a message: UTF-8 stays, other bytes and control characters are escaped, a long one is cut.
pub fn shown(path: &[u8]) -> String {
    if path.is_empty() {
        return "`/`".to_owned();
    }
    let mut text = String::from("`");
    for chunk in path[..path.len().min(SHOWN)].utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text.push_str(if path.len() > SHOWN { "…`" } else { "`" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_paths_are_accepted_and_others_named() {
        for legal in [&b""[..], b"a", b"a/b", b"...", b".a/..b", b"\xff/\x01"] {
            assert_eq!(check(legal, MAX_PATH), Ok(()), "{}", shown(legal));
        }
        let long = vec![b'a'; 256];
        for (illegal, fault) in [
            (&b"/a"[..], PathFault::Absolute),
            (b"a/../b", PathFault::Parent),
            (b"..", PathFault::Parent),
            (b"a//b", PathFault::EmptyComponent),
            (b"a/", PathFault::EmptyComponent),
            (b"./a", PathFault::EmptyComponent),
            (b"a\0b", PathFault::Nul),
            (&long, PathFault::LongName { length: 256 }),
        ] {
            assert_eq!(check(illegal, MAX_PATH), Err(fault), "{}", shown(illegal));
        }
        assert_eq!(check(b"abc", 2), Err(PathFault::Long { length: 3, limit: 2 }));
    }

    #[test]
    fn shown_paths_cannot_write_to_a_terminal() {
        assert_eq!(shown("ü\x1b[2J\u{9b}".as_bytes()), r"`ü\u{1b}[2J\u{9b}`");
        assert_eq!(shown(b"a\xff"), r"`a\xff`");
        assert_eq!(shown(b""), "`/`");
        assert!(shown(&[b'x'; 5000]).len() < 200);
    }
}
