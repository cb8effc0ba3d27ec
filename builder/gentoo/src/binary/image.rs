//! The image of a package entry by entry. What no package has is refused here, so that whoever installs one need not: paths
//! and links that lead out of it, devices, a path twice, a path through a link.

use std::io::BufRead;

use formats::layer::archive::{Archive, ArchiveError, Kind, Member};
use formats::layer::{Clash, MAX_PATH, PathFault, Places, member_path, shown};
use formats::units::Bytes;
use thiserror::Error;

use crate::binary::Limits;

/// Why an image is refused.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The tar cannot be read.
    #[error("the image is no sound tar")]
    Archive(#[from] ArchiveError),
    /// An entry is not accepted.
    #[error("the image's entry {} is refused: {reason}", shown(name))]
    Entry {
        /// Its name as the tar gives it.
        name: Vec<u8>,
        /// Why.
        reason: Refusal,
    },
}

/// Why an entry of an image is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It does not lie in the folder that has the image.
    #[error("it does not lie in `{folder}`")]
    Outside {
        /// The folder.
        folder: String,
    },
    /// Its path is none.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// It cannot stand beside the earlier entries.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// It is a device.
    #[error("it is {0}, which packages do not have")]
    Device(&'static str),
    /// The target of a hard link is not an earlier file.
    #[error(
        "it is a hard link to {}, which is no earlier file of the image",
        shown(target)
    )]
    Hardlink {
        /// The target.
        target: Vec<u8>,
    },
    /// The target of a symbolic link leads above the root.
    #[error("it is a symbolic link to {}, which leads out of the root", shown(target))]
    Escape {
        /// The target.
        target: Vec<u8>,
    },
    /// The target of a symbolic link is empty or too long.
    #[error("it is a symbolic link to a target of {length} bytes, not 1 to {MAX_PATH}")]
    Target {
        /// Bytes of the target.
        length: usize,
    },
    /// It is too large.
    #[error("its {size} are above the limit of {limit} for a file")]
    FileSize {
        /// Its length.
        size: Bytes,
        /// Largest file allowed.
        limit: Bytes,
    },
    /// The files are too large together.
    #[error("with it the files have more than the limit of {limit} together")]
    Total {
        /// Most bytes allowed.
        limit: Bytes,
    },
    /// There are too many entries.
    #[error("it is one more than the limit of {limit} entries")]
    Entries {
        /// Most entries allowed.
        limit: usize,
    },
}

/// The entries of an image, one after the other.
pub struct ImageEntries<'a> {
    archive: Archive<'a>,
    prefix: &'a str,
    limits: Limits,
    /// What is at each path so far.
    seen: Places<Kind>,
    /// Bytes of the files so far.
    total: u64,
}

impl<'a> ImageEntries<'a> {
    /// The entries of the plain tar `tar`, whose names begin with `prefix`: `image/`, or nothing.
    pub fn new(tar: impl BufRead + 'a, prefix: &'a str, limits: Limits) -> Self {
        Self {
            archive: Archive::plain(tar, limits.image.0),
            prefix,
            limits,
            seen: Places::default(),
            total: 0,
        }
    }

    /// The next entry, or `None` when the image ended as it should. Its name is its path in the root file system: components
    /// joined by `/`, empty for the root; the target of a hard link is such a path, too, of an earlier file or symbolic
    /// link. Unread data is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Member>, ImageError> {
        let Some(mut member) = self.archive.next_member()? else {
            return Ok(None);
        };
        match self.check(&member) {
            Ok((path, target)) => {
                self.seen.insert(path.clone(), member.kind);
                member.name = path;
                member.target = target;
                Ok(Some(member))
            }
            Err(reason) => Err(ImageError::Entry {
                name: member.name,
                reason,
            }),
        }
    }

    /// Fills `buffer` with the next data of the current entry: what its regions hold, one after the other.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<(), ImageError> {
        Ok(self.archive.read_data(buffer)?)
    }

    /// Path and target of an entry that is accepted.
    fn check(&mut self, member: &Member) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
        let path = self.path(&member.name, member.kind)?;
        if self.seen.len() >= self.limits.entries {
            return Err(Refusal::Entries {
                limit: self.limits.entries,
            });
        }
        self.seen.check(path, &member.kind)?;
        let mut target = member.target.clone();
        match member.kind {
            Kind::Directory | Kind::Fifo => {}
            Kind::File => self.total = self.add(member.size)?,
            Kind::Symlink => check_target(path, &target)?,
            Kind::Hardlink => {
                target = self
                    .path(&member.target, Kind::Hardlink)
                    .unwrap_or_default()
                    .to_vec();
                if !matches!(
                    self.seen.get(&target),
                    Some(Kind::File | Kind::Symlink | Kind::Hardlink)
                ) {
                    return Err(Refusal::Hardlink {
                        target: member.target.clone(),
                    });
                }
            }
            Kind::CharacterDevice | Kind::BlockDevice => return Err(Refusal::Device(member.kind.what())),
        }
        Ok((path.to_vec(), target))
    }

    /// The path in the root file system of what the tar calls `name`.
    fn path<'n>(&self, name: &'n [u8], kind: Kind) -> Result<&'n [u8], Refusal> {
        // The name as a whole has to be a path, too, so that `image/../..` is told what it is.
        let path = member_path(name, kind, MAX_PATH)?;
        let folder = self.prefix;
        let is_root = folder.strip_suffix('/').map(str::as_bytes) == Some(path);
        if is_root && kind == Kind::Directory || folder.is_empty() {
            return Ok(if is_root { b"" } else { path });
        }
        match path.strip_prefix(folder.as_bytes()) {
            Some(path) if !path.is_empty() => Ok(path),
            Some(_) => Err(PathFault::EmptyComponent.into()),
            None => Err(Refusal::Outside {
                folder: folder.to_owned(),
            }),
        }
    }

    /// Bytes of all files with another one of `size`.
    fn add(&self, size: u64) -> Result<u64, Refusal> {
        if size > self.limits.file.0 {
            return Err(Refusal::FileSize {
                size: Bytes(size),
                limit: self.limits.file,
            });
        }
        match self.total.checked_add(size) {
            Some(total) if total <= self.limits.image.0 => Ok(total),
            _ => Err(Refusal::Total {
                limit: self.limits.image,
            }),
        }
    }
}

/// Accepts the target of a symbolic link at `path`: absolute, which means within the root, or relative and not above it.
fn check_target(path: &[u8], target: &[u8]) -> Result<(), Refusal> {
    if target.is_empty() || target.len() > MAX_PATH {
        return Err(Refusal::Target { length: target.len() });
    }
    // Where the link itself lies; directories that are links elsewhere can only be known in the root.
    let mut depth = if target.starts_with(b"/") {
        0
    } else {
        path.iter().filter(|byte| **byte == b'/').count()
    };
    for component in target.split(|byte| *byte == b'/') {
        depth = match component {
            b"" | b"." => depth,
            b".." => depth.checked_sub(1).ok_or_else(|| Refusal::Escape {
                target: target.to_vec(),
            })?,
            _ => depth + 1,
        };
    }
    Ok(())
}
