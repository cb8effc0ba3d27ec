//! What was written last: a note beside the images that lets the next build leave alone what is still right.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::engine::Key;

/// The file in the folder of images that lists their hashes.
pub const SUMS: &str = "SHA256SUMS";

/// The files of one node in the folder of images.
#[derive(Debug, Clone)]
pub struct ImageFiles {
    /// The card.
    pub image: PathBuf,
    /// What went into it. It is there only while the image beside it is complete.
    pub manifest: PathBuf,
    /// The image's block map, for `bmaptool`.
    pub map: PathBuf,
    /// The note.
    state: PathBuf,
    /// The list of all images' hashes.
    sums: PathBuf,
}

/// What the note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageState {
    /// Everything that could change the image.
    key: String,
    /// The image's SHA-256.
    pub sha256: String,
    /// The image's size in bytes.
    pub size: u64,
    /// Bytes of it that are not holes.
    pub mapped: u64,
    /// Bytes that the root file system uses.
    pub root_used: u64,
    /// Inode, size and time of the file as it was left, and of those beside it: a file that was touched since
    /// is made anew.
    image: Fingerprint,
    manifest: Fingerprint,
    map: Fingerprint,
}

/// What changes when somebody touches a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// What a finished image is.
#[derive(Debug, Clone)]
pub struct Finished {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that are not holes.
    pub mapped: u64,
    /// Bytes that the root file system uses.
    pub root_used: u64,
}

impl ImageFiles {
    /// The files of `node` in `folder`.
    pub fn new(folder: &Path, node: &str) -> Self {
        Self {
            image: folder.join(format!("{node}.img")),
            manifest: folder.join(format!("{node}.manifest.json")),
            map: folder.join(format!("{node}.img.bmap")),
            state: folder.join(".state").join(format!("{node}.json")),
            sums: folder.join(SUMS),
        }
    }

    /// The note, if the image it tells of is still there as it was left.
    pub fn finished(&self) -> Option<ImageState> {
        let state: ImageState = serde_json::from_slice(&fs::read(&self.state).ok()?).ok()?;
        let untouched = state.image == Fingerprint::of(&self.image).ok()?
            && state.manifest == Fingerprint::of(&self.manifest).ok()?
            && state.map == Fingerprint::of(&self.map).ok()?;
        untouched.then_some(state)
    }

    /// The note, if the image is the one that `key` stands for.
    pub fn current(&self, key: &Key) -> Option<ImageState> {
        self.finished().filter(|state| state.key == key.as_str())
    }

    /// Takes note, manifest, map and list away before the image changes, so that none ever tells of another image.
    pub fn invalidate(&self) -> Result<()> {
        for path in [&self.state, &self.manifest, &self.map, &self.sums] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes that image and manifest are complete.
    pub fn record(&self, key: &Key, finished: Finished) -> Result<ImageState> {
        let fingerprint =
            |path: &Path| Fingerprint::of(path).with_context(|| format!("cannot look at {}", path.display()));
        let state = ImageState {
            key: key.as_str().to_owned(),
            sha256: finished.sha256,
            size: finished.size,
            mapped: finished.mapped,
            root_used: finished.root_used,
            image: fingerprint(&self.image)?,
            manifest: fingerprint(&self.manifest)?,
            map: fingerprint(&self.map)?,
        };
        crate::emit::write_file(&self.state, &serde_json::to_vec(&state)?)?;
        Ok(state)
    }
}

impl Fingerprint {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        })
    }
}
